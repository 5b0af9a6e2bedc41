// The Worker: what `require('luster')` is in a worker process.
//
// Invariants: there is one per process; the application is loaded when it is `initialized` and the master's foreign
// properties have arrived, in either order; suspend functions run once, however often the master asks.

const cluster = require('cluster');
const EventEmitterEx = require('./emitter');
const Configuration = require('./configuration');
const drain = require('./drain');
const wire = require('./wire');

const REPORTED_EVENTS = ['configured', 'extension loaded', 'initialized', 'loaded', 'ready'];
const FOREIGN_PROPERTIES = 'foreign properties received';

class Worker extends EventEmitterEx {
    constructor() {
        super();
        this.config = null;
        this.extensions = {};
        this._wid = parseInt(process.env.LUSTER_WID, 10);
        this._commands = new Map();
        this._answers = new wire.Answers(this);
        this._ready = false;
        this._suspendFunctions = [];
        this._suspended = null;
        this._initialized = new Promise(resolve => this.once('initialized', resolve));
        this._foreignPropertiesReceived = new Promise(resolve => this.once(FOREIGN_PROPERTIES, resolve));

        for (const event of REPORTED_EVENTS) {
            this.on(event, (...args) => this.remoteCall(wire.COMMANDS.broadcastWorkerEvent, event, ...args));
        }
        this._registerCoreCommands();
        process.on('message', message => this._onMessage(message));
        cluster.worker.on('disconnect', () => this.emit('disconnect'));
    }

    get wid() {
        return this._wid;
    }

    get id() {
        return cluster.worker.id;
    }

    get isMaster() {
        return false;
    }

    get isWorker() {
        return true;
    }

    /** Takes the configuration and loads the extensions. Only the first call counts: the second would load twice. */
    configure(config, applyEnv = true, basedir = process.cwd()) {
        if (this.config === null) {
            if (applyEnv) {
                Configuration.applyEnvironment(config);
            }
            this.config = Configuration.extend(config, basedir);
            this.setMaxListeners(this.config.get('maxEventListeners', 100));
            cluster.setMaxListeners(this.getMaxListeners());
            this.emit('configured');
            this._loadExtensions();
        }
        return this;
    }

    /** Does nothing: the application is the process's main module, and Node loads it. */
    run() {
        return this;
    }

    whenInitialized() {
        return this._initialized;
    }

    whenForeignPropertiesReceived() {
        return this._foreignPropertiesReceived;
    }

    /** Tells the master that this worker serves. For `control.triggerReadyStateManually`. */
    ready() {
        if (this._ready) {
            throw errors().LusterWorkerError.createError('ALREADY_READY');
        }
        this._ready = true;
        this.emit('ready');
        return this;
    }

    /** Runs `fn` before the worker stops; the stop waits for the promise it returns. */
    registerSuspendFunction(fn) {
        this._suspendFunctions.push(fn);
    }

    remoteCall(name, ...args) {
        wire.send(name, args);
    }

    remoteCallWithCallback({ command, callback, timeout, data }) {
        this.remoteCall(command, data, this._answers.expect(command, callback, timeout));
    }

    registerRemoteCommand(name, fn) {
        if (this._commands.has(name)) {
            throw errors().LusterClusterProcessError.createError('REMOTE_COMMAND_ALREADY_REGISTERED', { name });
        }
        this._commands.set(name, fn);
    }

    registerRemoteCommandWithCallback(name, fn) {
        this.registerRemoteCommand(name, (sender, data, callbackId) =>
            fn(answer => sender.remoteCall(wire.COMMANDS.callback, callbackId, answer), data));
    }

    unregisterRemoteCommand(name) {
        this._commands.delete(name);
    }

    hasRegisteredRemoteCommand(name) {
        return this._commands.has(name);
    }

    _registerCoreCommands() {
        const { COMMANDS } = wire;
        this.registerRemoteCommand(COMMANDS.callback, (sender, id, data) => this._answers.arrived(id, data));
        this.registerRemoteCommand(COMMANDS.applyForeignProperties, (sender, properties) => this._adopt(properties));
        this.registerRemoteCommand(COMMANDS.broadcastMasterEvent, (sender, [event, ...args]) =>
            this.emit(`master ${event}`, ...args));
        this.registerRemoteCommandWithCallback(COMMANDS.suspend, answer => this._suspend(answer));
    }

    _onMessage(message) {
        const call = wire.parse(message);
        if (call === null) {
            return;
        }
        const command = this._commands.get(call.name);
        if (command === undefined) {
            throw errors().LusterClusterProcessError.createError('REMOTE_COMMAND_IS_NOT_REGISTERED', {
                name: call.name,
                klass: this.constructor.name,
            });
        }
        command(this, ...call.args);
    }

    _loadExtensions() {
        const done = () => this.emit('initialized');
        if (this.config.getKeys('extensions').length === 0) {
            done();
        } else {
            require('./extensions')(this, done);
        }
    }

    _adopt(properties) {
        for (const name of Object.keys(properties)) {
            Object.defineProperty(this, name, { value: properties[name], enumerable: true, configurable: true });
        }
        this.emit(FOREIGN_PROPERTIES);
    }

    /** Answers when every suspend function is done. A failed one is an `error` event, and never an answer. */
    _suspend(answer) {
        if (this._suspended === null) {
            drain.start();
            this._suspended = Promise.all(this._suspendFunctions.map(async fn => fn()));
        }
        this._suspended.then(
            () => answer(),
            // Out of the promise, so that an `error` nobody listens to ends the process as itself.
            error => process.nextTick(() => this.emit('error', error)));
    }
}

/** Most workers never need one; they start without. */
function errors() {
    return require('./errors');
}

module.exports = Worker;
