// Finds and configures the extensions named in the configuration, in a master or a worker.
//
// Invariants: all are loaded before the first is configured; they are configured in the configuration's order, each with
// its module as `this`, and what one has put off to a promise or the next tick is done before the next one; an extension
// is done once. What an extension throws leaves this process as its own uncaught exception, with its stack; `current`
// says whose it was.

const path = require('path');
const Module = require('module');
const Configuration = require('./configuration');

const LOAD_LIMIT = 10000;

/** The extension whose code is running, for whoever has to say what failed. */
let current = null;
exports.current = () => current;

/** Whom to tell whose code runs, by name; null when it has returned. */
let tellTurn = () => {};
exports.onTurn = tell => {
    tellTurn = tell;
};

/** Where luster's own package is, beside which extensions may be installed. */
let packageFolder = null;
exports.lookBeside = folder => {
    packageFolder = folder;
};

/** Where a folder was that a link leads to, when the configuration was read. */
let pinned = {};
exports.lookInPlaceOf = (given, real) => {
    pinned = { given, real };
};

/** Calls `done` when every extension (there is at least one) is configured; reports through the process's events. */
exports.load = function load(clusterProcess, done) {
    const { config } = clusterProcess;
    const names = config.getKeys('extensions');
    const waiting = new Set(names);
    const place = placeOfExtensions(config);

    for (const name of names) {
        clusterProcess.extensions[name] = find(place, name);
    }
    const timer = armTimer(clusterProcess, waiting);
    for (const name of names) {
        configureLater(clusterProcess, name, error => {
            if (error) {
                clusterProcess.emit('error', named(name, error));
            } else if (waiting.delete(name)) {
                clusterProcess.emit('extension loaded', name);
                if (waiting.size === 0) {
                    clearTimeout(timer);
                    done();
                }
            } else {
                console.error(`luster: extension "${name}" said more than once that it is configured`);
            }
        });
    }
};

/** Loads and configures one more; `done(error)` is called. */
exports.loadOne = function loadOne(clusterProcess, name, done) {
    clusterProcess.extensions[name] = find(placeOfExtensions(clusterProcess.config), name);
    configureLater(clusterProcess, name, done);
};

function find(place, name) {
    const found = during(name, () => {
        try {
            return place.require(name);
        } catch (error) {
            // What the extension itself fails to find is its own error.
            if (error && error.code === 'MODULE_NOT_FOUND' && isAbout(error, name)) {
                return require('./native_extensions').find(name) || notFound(place, name);
            }
            throw error;
        }
    });
    if (!found || typeof found.configure !== 'function') {
        throw failed(name, 'its module exports no function "configure"');
    }
    return found;
}

function isAbout(error, name) {
    return error.message.startsWith(`Cannot find module '${name}'`);
}

function notFound(place, name) {
    const { LusterClusterProcessError } = require('./errors');
    const folder = path.dirname(place.filename);
    const advice = isPath(name) ? adviceForPath(name, folder)
        : ` in ${folder}, nor in node_modules there or above: install it (npm install ${name}), or set extensionsPath to the folder it is in`;
    throw LusterClusterProcessError.createError('EXTENSION_NOT_FOUND', { name, folder, advice });
}

/** Whether Node takes it for the path of a file or folder. */
function isPath(name) {
    return path.isAbsolute(name) || ['.', '..'].includes(name.split('/')[0]);
}

function adviceForPath(name, folder) {
    const start = path.isAbsolute(name) ? '' : '; a name that begins with a dot starts from extensionsPath, which is the app\'s folder unless set';
    return `: ${path.resolve(folder, name)} should be a file (.js may be left out), or a folder with index.js or a package.json that names `
        + `its main module${start}`;
}

function failed(name, reason) {
    const { LusterClusterProcessError } = require('./errors');
    return LusterClusterProcessError.createError('EXTENSION_FAILED', { name, reason });
}

/** The extension's own error, or one around whatever it gave in place of one. */
function named(name, error) {
    if (!(error instanceof Error)) {
        return failed(name, typeof error === 'string' ? error : require('util').inspect(error));
    }
    error.extension = name;
    return error;
}

/** Configures one extension, after all are loaded. */
function configureLater(clusterProcess, name, done) {
    const extension = clusterProcess.extensions[name];
    const { config } = clusterProcess;
    const own = Configuration.extend(settingsOf(config, name), config.getBaseDir());

    setImmediate(during, name, () => {
        if (extension.configure.length > 2) {
            watch(extension.configure(own, clusterProcess, done), done);
        } else {
            watch(extension.configure(own, clusterProcess), done);
            done();
        }
    });
}

/** The extension's own settings: `./my-extension.js` is a key with dots, not a path of keys. */
function settingsOf(config, name) {
    const all = config.get('extensions');
    const isKey = all !== undefined && all !== null && Object.prototype.hasOwnProperty.call(all, name);
    return isKey ? all[name] : config.get(`extensions.${name}`);
}

/** JS luster waits for no promise, but one that is rejected is an error of this extension's, not of nobody's. */
function watch(result, done) {
    if (result && typeof result.then === 'function') {
        result.then(undefined, error => process.nextTick(done, error || new Error('rejected without a reason')));
    }
}

/** Calls `work`; while it runs, and if it throws from then on, `name` is to blame. */
function during(name, work) {
    current = name;
    tellTurn(name);
    const result = work();
    current = null;
    tellTurn(null);
    return result;
}

function armTimer(clusterProcess, waiting) {
    const timeout = clusterProcess.config.get('extensionsLoadTimeout', LOAD_LIMIT);
    return timeout > 0 && setTimeout(() => {
        const { LusterClusterProcessError } = require('./errors');
        clusterProcess.emit('error', LusterClusterProcessError.createError('EXTENSIONS_LOAD_TIMEOUT', {
            timeouted: Array.from(waiting),
            timeout,
        }));
    }, timeout);
}

/** A module to require from that sees the extensions' folder itself and every `node_modules` above it. */
function placeOfExtensions(config) {
    const given = config.resolve('extensionsPath', path.dirname(config.resolve('app')));
    const folder = given === pinned.given ? pinned.real : given;
    const place = new Module(path.join(folder, 'luster extensions'));
    place.filename = place.id;
    const folders = new Set([folder, ...Module._nodeModulePaths(folder), ...Module._nodeModulePaths(given), ...besideLuster()]);
    place.paths = Array.from(folders);
    return place;
}

/** Where extensions installed with the package are, if it is elsewhere than the application. */
function besideLuster() {
    return packageFolder ? Module._nodeModulePaths(packageFolder) : [];
}
