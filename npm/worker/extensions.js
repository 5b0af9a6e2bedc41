// Finds and configures the extensions named in the configuration.
//
// Invariants: all are loaded before the first is configured; they are configured in the configuration's order; an
// extension's exception is never caught here, so that it ends the worker with its own stack.

const path = require('path');
const Module = require('module');
const Configuration = require('./configuration');

const LOAD_LIMIT = 10000;

/** Calls `done` when every extension (there is at least one) is configured; reports through the worker's events. */
module.exports = function loadExtensions(worker, done) {
    const names = worker.config.getKeys('extensions');
    const waiting = new Set(names);
    const timer = armTimer(worker, waiting);
    const from = placeOfExtensions(worker.config);

    for (const name of names) {
        worker.extensions[name] = from.require(name);
        configure(worker, name, error => {
            if (error) {
                worker.emit('error', error);
            } else if (waiting.delete(name)) {
                worker.emit('extension loaded', name);
                if (waiting.size === 0) {
                    clearTimeout(timer);
                    done();
                }
            }
        });
    }
};

/** Configures one extension, after all are loaded. */
function configure(worker, name, done) {
    const extension = worker.extensions[name];
    const config = Configuration.extend(worker.config.get(`extensions.${name}`), worker.config.getBaseDir());

    process.nextTick(() => {
        if (extension.configure.length > 2) {
            extension.configure(config, worker, done);
        } else {
            extension.configure(config, worker);
            done();
        }
    });
}

function armTimer(worker, waiting) {
    const timeout = worker.config.get('extensionsLoadTimeout', LOAD_LIMIT);
    return timeout > 0 && setTimeout(() => {
        const { LusterClusterProcessError } = require('./errors');
        worker.emit('error', LusterClusterProcessError.createError('EXTENSIONS_LOAD_TIMEOUT', {
            timeouted: Array.from(waiting),
            timeout,
        }));
    }, timeout);
}

/** A module to require from that sees the extensions' folder itself and every `node_modules` above it. */
function placeOfExtensions(config) {
    const folder = config.resolve('extensionsPath', path.dirname(config.resolve('app')));
    const place = new Module(path.join(folder, 'luster extensions'));
    place.filename = place.id;
    place.paths = [folder, ...Module._nodeModulePaths(folder)];
    return place;
}
