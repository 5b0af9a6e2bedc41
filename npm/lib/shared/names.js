// Makes `require('luster')`, wherever it is called, mean this process's Master or Worker.
//
// Invariants: one such object per process, also when a `luster` package is installed beside the application; every other
// name resolves as before, at the price of one comparison, paid only on names Node has not resolved yet.

const path = require('path');
const Module = require('module');

/** Where `import`, and another copy of this package, find the object. */
exports.GLOBAL_NAME = 'luster.process';

/** What `require('luster/lib/<name>')` is in every process, by functions that give it when it is asked for. */
const DEEP = {
    'cluster_process': () => require('./cluster_process'),
    'configuration': () => require('./configuration'),
    'configuration/index': () => require('./configuration'),
    'configuration/check': () => require('./config_check'),
    'configuration/helpers': () => require('./values'),
    'errors': () => require('./errors'),
    'event_emitter_ex': () => require('./emitter'),
    'port': () => require('./port'),
    'rpc': () => require('./public_rpc'),
};

/** `own` is what there is besides in this kind of process. */
exports.install = function install(clusterProcess, own) {
    const deep = { ...DEEP, ...own };
    const sources = new Map([['luster', () => clusterProcess], ['luster/lib/luster', () => clusterProcess]]);
    for (const name of Object.keys(deep)) {
        sources.set(`luster/lib/${name}`, deep[name]);
    }
    const modules = new Map();

    const resolveFilename = Module._resolveFilename;
    Module._resolveFilename = function (request, ...rest) {
        const name = typeof request === 'string' && request.startsWith('luster') ? request.replace(/\.js$/, '') : '';
        const source = sources.get(name);
        if (source === undefined) {
            return resolveFilename.call(this, request, ...rest);
        }
        if (!modules.has(name)) {
            modules.set(name, moduleOf(name, source()));
        }
        const module = modules.get(name);
        // Set each time: applications that empty `require.cache` must still get the same object.
        Module._cache[module.filename] = module;
        return module.filename;
    };
    exports.publish(clusterProcess);
};

/** Makes the object findable for `import` and for other copies of this package. */
exports.publish = function publish(clusterProcess) {
    Object.defineProperty(globalThis, Symbol.for(exports.GLOBAL_NAME), { value: clusterProcess });
};

exports.published = function published() {
    return globalThis[Symbol.for(exports.GLOBAL_NAME)];
};

function moduleOf(name, value) {
    const module = new Module(path.join(__filename, name));
    module.filename = module.id;
    module.exports = value;
    module.loaded = true;
    return module;
}
