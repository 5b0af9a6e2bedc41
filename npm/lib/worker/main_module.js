// Lets Node load the application, as its main module, at the moment we choose, and tells when it has loaded.
//
// Node lets `-r` modules replace `Module.runMain`; every kind of main, ES modules too, goes through it. Loading stays
// Node's own work, so `require.main`, `import.meta.main` and error output are what they are without us.
//
// Invariant: a module is never evaluated twice. To wait for an ES module we import the same URL, which joins the
// evaluation that Node has begun; we do so only after Node began it, because the first importer decides who is main.

const path = require('path');
const Module = require('module');
const imports = require('./imports');

/** The file of this process's main module. */
exports.file = () => exports.fileOf(process.argv[1]);

/**
 * Replaces `Module.runMain` until Node calls it; then calls `start(mainFile, load)`, after what Node was told to import
 * before the main module: the configuration and the extensions may need it, as they may in the master.
 */
exports.hold = function hold(start) {
    const runMain = Module.runMain;
    Module.runMain = function (...args) {
        Module.runMain = runMain;
        const begin = () => {
            const mainFile = exports.file();
            start(mainFile, (loaded, main = mainFile) => {
                if (main !== mainFile) {
                    process.argv[1] = args[0] = main;
                }
                runMain.apply(this, args);
                // Set only for a CommonJS main, and complete only when it did not turn out to be an ES module.
                if (process.mainModule && process.mainModule.loaded) {
                    loaded();
                } else {
                    awaitModule(main, loaded);
                }
            });
        };
        const first = imports.given();
        if (first.length === 0) {
            begin();
        } else {
            // One that fails is Node's to report, which comes to it again.
            imports.all(first).then(() => process.nextTick(begin), () => runMain.apply(this, args));
        }
    };
};

/** The file Node will take for `main`: extension added, symbolic links followed as its flags say. */
exports.fileOf = function fileOf(main) {
    return Module._findPath(path.resolve(main), null, true) || main;
};

async function awaitModule(mainFile, loaded) {
    try {
        await imports.all(imports.given());
        // Node begins the main module in the turn in which the last `--import` is done.
        await new Promise(setImmediate);
        await import(require('url').pathToFileURL(mainFile).href);
    } catch {
        // The same error reaches Node, who reports it and ends the process.
        return;
    }
    // Out of the promise: what a listener throws is an uncaught exception, not a rejection.
    process.nextTick(loaded);
}
