// The file of an app, as this process's Node finds it: what was loaded before, such as a compiler of TypeScript, may know
// more names than luster does.
//
// Invariant: nothing is loaded.

const { createRequire } = require('module');

/** The absolute path of the file for this absolute path; null if there is none. */
module.exports = function findApp(path) {
    try {
        return createRequire(path).resolve(path);
    } catch {
        return null;
    }
};
