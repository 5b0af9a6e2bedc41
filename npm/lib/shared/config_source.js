// Reads the configuration again in the worker, from where the master read it.
//
// Invariant: whatever the configuration's own code throws leaves this process as an uncaught exception, unchanged.

const fs = require('fs');
const types = require('util').types;

// What `require` says of a file that only `import` can load.
const IMPORT_ONLY = ['ERR_REQUIRE_ESM', 'ERR_REQUIRE_ASYNC_MODULE'];

/** Calls `use` with the configuration object, at once if that is possible. */
module.exports = function readConfig(boot, use) {
    switch (boot.format) {
    case 'value':
        use(boot.value);
        break;
    case 'json':
        use(readJson(boot.config));
        break;
    default:
        loadModule(boot.config, use);
    }
};

function readJson(file) {
    const text = fs.readFileSync(file, 'utf8').replace(/^\uFEFF/, '');
    try {
        return JSON.parse(text);
    } catch (error) {
        error.message = `${file}: ${error.message}`;
        throw error;
    }
}

function loadModule(file, use) {
    let exported;
    try {
        exported = require(file);
    } catch (error) {
        if (!IMPORT_ONLY.includes(error.code)) {
            throw error;
        }
        exported = import(require('url').pathToFileURL(file).href);
    }
    whenSettled(exported, namespace => whenSettled(defaultOf(namespace), use));
}

function defaultOf(exported) {
    const transpiled = exported && exported.__esModule;
    return (transpiled || types.isModuleNamespaceObject(exported)) && 'default' in exported
        ? exported.default
        : exported;
}

/** Continues with a value now, with a promise later; outside the promise, so that exceptions stay uncaught. */
function whenSettled(value, use) {
    if (value && typeof value.then === 'function') {
        value.then(
            settled => process.nextTick(use, settled),
            error => process.nextTick(() => { throw error; }));
    } else {
        use(value);
    }
}
