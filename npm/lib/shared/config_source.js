// The configuration as luster's processes get it: what is data, luster hands over as it read it, whatever has become of the
// file since; a program is run again by each.
//
// Invariants: a descriptor that the data comes by is closed before any code of others runs; whatever the configuration's own
// code throws leaves this process as an uncaught exception, unchanged.

const fs = require('fs');
const types = require('util').types;
const apps = require('./apps');

// What `require` says of a file that only `import` can load. The last one is that of Node 20 and 22 for an ES module that
// imports what only the hooks of `module.register` can resolve: those run in a thread of their own, and `require` does not wait.
const IMPORT_ONLY = ['ERR_REQUIRE_ESM', 'ERR_REQUIRE_ASYNC_MODULE', 'ERR_INTERNAL_ASSERTION'];

/** Takes what luster has handed over. Before anybody else's code runs, or children would inherit the descriptor. */
exports.take = function take(boot) {
    if (boot.data !== undefined) {
        boot.text = readAll(boot.data);
        fs.closeSync(boot.data.descriptor);
    }
};

/** Calls `use` with the configuration object, at once if that is possible; where there are several apps, with this app's. */
exports.read = function read(boot, use) {
    if (boot.app !== undefined) {
        readWhole(boot, config => use(apps.pick(config, boot.app)));
    } else {
        readWhole(boot, use);
    }
};

function readWhole(boot, use) {
    if (boot.format === 'data') {
        use(JSON.parse(boot.text));
    } else {
        loadModule(boot.config, use);
    }
}

/** From the beginning, whoever else reads it: all have one position. */
function readAll({ descriptor, size }) {
    const bytes = Buffer.alloc(size);
    for (let done = 0, length = 0; done < size; done += length) {
        length = fs.readSync(descriptor, bytes, done, size - done, done);
        if (length === 0) {
            throw new Error('luster: the configuration that was handed to this process ends too early');
        }
    }
    return bytes.toString();
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
