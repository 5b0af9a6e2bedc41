// Loads the application where the main module is a custom master's script: as a module required by it.
//
// Invariant: what the application throws leaves this process as its own uncaught exception.

const Module = require('module');

/** What `require` says of a file that only `import` can load. */
const IMPORT_ONLY = ['ERR_REQUIRE_ESM', 'ERR_REQUIRE_ASYNC_MODULE'];

exports.load = function load(app, loaded) {
    try {
        parent().require(app);
    } catch (error) {
        if (!IMPORT_ONLY.includes(error && error.code)) {
            throw error;
        }
        importApp(parent(), app, loaded);
        return;
    }
    loaded();
};

/** The script; there is no such module if it is an ES module. */
function parent() {
    return process.mainModule || Object.assign(new Module(process.argv[1]), { filename: process.argv[1] });
}

function importApp(from, app, loaded) {
    const file = Module._resolveFilename(app, from, false);
    import(require('url').pathToFileURL(file).href).then(
        () => process.nextTick(loaded),
        error => process.nextTick(() => { throw error; }));
}
