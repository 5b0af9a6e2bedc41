// Makes `require('luster')`, wherever it is called, mean this process's Worker.
//
// Invariants: one Worker per process, also when a `luster` package is installed beside the application; every other
// name resolves as before, at the price of one comparison, paid only on names Node has not resolved yet.

const path = require('path');
const Module = require('module');

/** Where `import` finds the Worker; see `esm_names.js`. */
exports.GLOBAL_NAME = 'luster.worker';

exports.install = function install(worker) {
    const byName = new Map();
    publish(byName, ['luster', 'luster/lib/luster', 'luster/lib/luster.js'], worker);
    publish(byName, ['luster/lib/worker_wrapper', 'luster/lib/worker_wrapper.js'], require('./worker_wrapper'));

    const resolveFilename = Module._resolveFilename;
    Module._resolveFilename = function (request, ...rest) {
        const module = byName.get(request);
        if (module === undefined) {
            return resolveFilename.call(this, request, ...rest);
        }
        // Set each time: applications that empty `require.cache` must still get the same object.
        Module._cache[module.filename] = module;
        return module.filename;
    };
    Object.defineProperty(globalThis, Symbol.for(exports.GLOBAL_NAME), { value: worker });
};

function publish(byName, names, value) {
    const module = new Module(path.join(__filename, names[0]));
    module.filename = module.id;
    module.exports = value;
    module.loaded = true;
    for (const name of names) {
        byName.set(name, module);
    }
}
