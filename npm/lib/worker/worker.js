// The Worker: what `require('luster')` is in a worker process.
//
// Invariants: there is one per process; the application is loaded when it is `initialized` and the master's foreign
// properties have arrived, in either order; suspend functions run once, however often the master asks; whatever listens to
// `ready` here has heard it before the master's next message.

const cluster = require('cluster');
const ClusterProcess = require('../shared/cluster_process');
const Configuration = require('../shared/configuration');
const { COMMANDS } = require('../shared/rpc');
const drain = require('./drain');
const channel = require('./channel');

const REPORTED_EVENTS = ['configured', 'extension loaded', 'initialized', 'loaded'];
/** From the master's hearing that this worker is ready to its own listeners' hearing it, in ms. */
const HEAD_START = 5;
const FOREIGN_PROPERTIES = 'foreign properties received';

class Worker extends ClusterProcess {
    constructor() {
        super();
        this._wid = parseInt(process.env.LUSTER_WID, 10);
        // What the master is about to say, too: extensions count on it from their first line on.
        this.pid = process.pid;
        this._ready = false;
        this._emitReady = null;
        this._suspendFunctions = [];
        this._suspended = null;
        this._foreignPropertiesReceived = new Promise(resolve => this.once(FOREIGN_PROPERTIES, resolve));
        this._main = null;
        this._validate = null;

        for (const event of REPORTED_EVENTS) {
            this.on(event, (...args) => channel.report(COMMANDS.broadcastWorkerEvent, [event, ...args]));
        }
        this._registerCoreCommands();
        process.on('message', message => {
            this._flushReady();
            this._onMessage(this, message);
        });
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

    /** Loads the application when everything is there for it. */
    run() {
        if (this._main !== null) {
            const load = this._main;
            this._main = null;
            this._whenPrepared(() => load(() => this._loaded()));
        }
        return this;
    }

    whenForeignPropertiesReceived() {
        return this._foreignPropertiesReceived;
    }

    /** Tells the master that this worker serves. For `control.triggerReadyStateManually`. */
    ready() {
        if (this._ready) {
            const { LusterWorkerError } = require('../shared/errors');
            throw LusterWorkerError.createError('ALREADY_READY');
        }
        this._tellReady();
        this.emit('ready');
        return this;
    }

    /** Runs `fn` before the worker stops; the stop waits for the promise it returns. */
    registerSuspendFunction(fn) {
        this._suspendFunctions.push(fn);
    }

    /** Calls a command of the master's. */
    remoteCall(name, ...args) {
        channel.send(name, args);
    }

    /** Calls a command of the master's that answers `callback(worker, error, data)`. */
    remoteCallWithCallback(options) {
        this.remoteCall(options.command, options.data, this._answers.expect(this, options));
    }

    /** How `run` loads the application: `load(loaded)`. */
    runsBy(load) {
        this._main = load;
    }

    /** Has configurations validated by `validate(config, basedir, appliedEnv)`. */
    validatesBy(validate) {
        this._validate = validate;
    }

    /**
     * What the master has taken is not validated again, unless it has refused one: that must not be taken here, either. And
     * whoever configures this process anew must leave it the one thing it needs itself.
     */
    _refusalOf(config, ...circumstances) {
        const isRefused = typeof new Configuration(config, '/').get('app') !== 'string'
            || (this._validate !== null && this._validate(config, ...circumstances).problems !== undefined);
        return isRefused ? refusal() : null;
    }

    /** Calls `then` on a clean stack: the application's exceptions are not a promise's business. */
    _whenPrepared(then) {
        Promise.all([this._initialized, this._foreignPropertiesReceived]).then(() => process.nextTick(then));
    }

    _loaded() {
        this.emit('loaded', this.config.resolve('app'));
        if (!this.config.get('control.triggerReadyStateManually', false)) {
            setImmediate(() => this._becomeReady());
        }
    }

    /** The master is told first: the listeners' work is not to keep the processor from it. */
    _becomeReady() {
        if (!this._ready) {
            this._tellReady();
            this._emitReady = setTimeout(() => this._flushReady(), HEAD_START);
        }
    }

    _flushReady() {
        if (this._emitReady !== null) {
            clearTimeout(this._emitReady);
            this._emitReady = null;
            this.emit('ready');
        }
    }

    _tellReady() {
        this._ready = true;
        channel.report(COMMANDS.broadcastWorkerEvent, ['ready']);
    }

    _registerCoreCommands() {
        this.registerRemoteCommand(COMMANDS.applyForeignProperties, (sender, properties) => this._adopt(properties));
        this.registerRemoteCommand(COMMANDS.broadcastMasterEvent, (sender, [event, ...args]) =>
            this.emit(`master ${event}`, ...args));
        // Answered by the channel, whatever else goes by the line: it is the supervisor who asks.
        this.registerRemoteCommand(COMMANDS.suspend, (sender, stop, callbackId) =>
            this._suspend(stop, () => channel.tellSupervisor(COMMANDS.callback, [callbackId])));
        this.registerRemoteCommand(COMMANDS.drain, () => drain.start());
        this.registerRemoteCommand(COMMANDS.bind, (sender, request) => require('./bind')(request));
        channel.register(this);
    }

    _adopt(properties) {
        for (const name of Object.keys(properties)) {
            Object.defineProperty(this, name, { value: properties[name], enumerable: true, configurable: true });
        }
        this.emit(FOREIGN_PROPERTIES);
    }

    /** Answers when every suspend function is done. A failed one is an `error` event, and never an answer. */
    _suspend(stop, answer) {
        if (this._suspended === null) {
            drain.start(stop !== null && typeof stop === 'object' && stop.hasty === true);
            this._suspended = Promise.all(this._suspendFunctions.map(async fn => fn()));
        }
        this._suspended.then(
            answer,
            // Out of the promise, so that an `error` nobody listens to ends the process as itself.
            error => process.nextTick(() => this.emit('error', error)));
    }
}

function refusal() {
    const { LusterConfigurationError } = require('../shared/errors');
    return LusterConfigurationError.createError('CONFIGURATION_CHECK_FAILED');
}

module.exports = Worker;
