// The Master: what `require('luster')` is outside of workers. A custom master's script has one, and the extension host.
//
// Its truth instances in the supervisor: properties mirror what that tells, methods ask it. In a script the supervisor is
// started when the first worker is to run; in the extension host it was there before (`host/start.js` connects them).
//
// Invariants: requests reach the supervisor in their order, each after the settings and environment it was made in; this
// process is kept alive by workers that run or will run again, and by nothing else of ours.

const cluster = require('cluster');
const ClusterProcess = require('../shared/cluster_process');
const Port = require('../shared/port');
const { LusterRequestError } = require('../shared/errors');
const { COMMANDS } = require('../shared/rpc');
const { EVENTS, REPORTED_EVENTS, STATES } = require('../shared/worker_constants');
const validationErrors = require('./validation_errors');
const Settings = require('./settings');
const Supervision = require('./supervision');
const WorkerWrapper = require('./worker_wrapper');

/** The exit code, as the README has it. */
const WRONG_CONFIGURATION = 78;

class Master extends ClusterProcess {
    constructor() {
        super();
        this.workers = {};
        this.id = 0;
        this.wid = 0;
        this.pid = process.pid;
        this._supervision = new Supervision(this);
        this._settings = new Settings();
        this._validation = null;
        /** Whoever waits for workers; called with each that is removed. */
        this._awaiting = new Set();

        this.registerRemoteCommand(COMMANDS.broadcastWorkerEvent, (worker, event, ...args) =>
            this.broadcastWorkerEvent(worker, event, ...args));
        this.registerRemoteCommand(COMMANDS.leaving, () => {});
        this.on('worker message', (worker, message) => this._onMessage(worker, message));
        this.on('worker state', () => this._supervision.hold());
    }

    configure(...args) {
        try {
            return super.configure(...args);
        } catch (error) {
            if (error.code === 'EXTENSION_NOT_FOUND' && !this._supervision.isServing) {
                // The words say all there is to say.
                validationErrors.unlessCaught(error, WRONG_CONFIGURATION, `luster: ${error.message}`);
            }
            throw error;
        }
    }

    get isMaster() {
        return true;
    }

    get isWorker() {
        return false;
    }

    /** Settings for the workers to be started from now on, as `cluster.setupPrimary` takes them. */
    setup(settings) {
        Settings.set(settings);
        this._supervision.tellSettings();
    }

    getWorkersIds() {
        return this.getWorkersArray().map(worker => worker.wid);
    }

    getWorkersArray() {
        return Object.values(this.workers);
    }

    forEach(fn) {
        this.getWorkersArray().forEach(fn);
        return this;
    }

    /** Adds a worker to those this master keeps. */
    add(worker) {
        this._keep(worker);
        this._supervision.introduce(worker);
        return this;
    }

    /** Starts the workers when everything is initialized; emits `running` when all are ready. */
    run() {
        this.whenInitialized().then(() => process.nextTick(() => this._run()));
        return this;
    }

    /** Restarts all workers at once; emits `restarted` when all are ready. */
    restart() {
        if (this._supervision.isServing) {
            // The supervisor reads the configuration first, and does nothing if it is refused.
            this._ask('restart');
            return this;
        }
        const ready = this.waitForAllWorkers('worker ready');
        this.forEach(worker => worker.restart());
        ready.then(() => process.nextTick(() => this.emit('restarted')));
        return this;
    }

    /** Restarts the workers one by one, as `control.restart` and `control.parallel` say; emits `restarted` at the end. */
    softRestart() {
        this._ask('rollout');
        return this;
    }

    /** Reads the configuration anew and replaces all workers, as `luster reload` does. A promise of what came of it. */
    reload() {
        return this._supervision.request('reload');
    }

    /** Has so many workers, as `luster scale` does. A promise of what came of it. */
    scale(count) {
        if (!Number.isSafeInteger(count)) {
            return Promise.reject(LusterRequestError.createError('OUT_OF_RANGE', { count }));
        }
        return this._supervision.request('scale', { count });
    }

    /** A promise of how everything stands, as `luster status --json` says it. */
    status() {
        return this._supervision.request('status');
    }

    /** Restarts one worker when its turn comes. */
    scheduleWorkerRestart(worker) {
        this._ask('one', { wid: worker.wid, what: 'rollout' });
        return this;
    }

    /** Stops all workers gracefully; emits `shutdown` when they are gone. */
    shutdown() {
        const wids = this.getWorkersArray().filter(worker => worker.state !== STATES.STOPPED).map(worker => worker.wid);
        const gone = this.waitForWorkers(wids, 'worker exit');
        const isOver = this._supervision.hasToldEnd;
        this.forEach(worker => {
            if (worker.isRunning()) {
                worker.stop();
            } else if (worker._wanted) {
                // It is about to be started again.
                worker._wanted = false;
                this._ask('one', { wid: worker.wid, what: 'stop' });
            }
        });
        gone.then(() => process.nextTick(() => {
            // The end of everything, which came meanwhile, has told it.
            if (isOver || !this._supervision.hasToldEnd) {
                this.emit('shutdown');
            }
        }));
        return this;
    }

    /**
     * Resolves when each of these workers has emitted `event`, which is named as the master emits it. One that is removed
     * is not waited for.
     */
    waitForWorkers(wids, event) {
        const missing = new Set(wids);
        return new Promise(resolve => {
            if (missing.size === 0) {
                resolve();
                return;
            }
            const happened = worker => {
                missing.delete(worker.wid);
                if (missing.size === 0) {
                    this.removeListener(event, happened);
                    this._awaiting.delete(happened);
                    resolve();
                }
            };
            this.on(event, happened);
            this._awaiting.add(happened);
        });
    }

    waitForAllWorkers(event) {
        return this.waitForWorkers(this.getWorkersIds(), event);
    }

    /**
     * Calls a command of every worker. One that is not ready gets it when it is, and again in each later instance: so it is in
     * JS luster, and extensions that call once at the start rely on it.
     */
    remoteCallToAll(name, ...args) {
        this.forEach(worker => {
            if (worker._serving.ready) {
                worker._serving.remoteCall(name, ...args);
            }
            if (!worker.ready) {
                worker.on('ready', () => worker.remoteCall(name, ...args));
            }
        });
    }

    /** Calls a command of every running worker; `callback` is called for each. */
    remoteCallToAllWithCallback(options) {
        this.forEach(worker => {
            if (worker._serving.isRunning()) {
                worker._serving.remoteCallWithCallback(options);
            }
        });
    }

    /** Emits `master <event>` in every worker that is ready. */
    broadcastEventToAll(event, ...args) {
        this.forEach(worker => {
            if (worker._serving.ready) {
                worker._serving.broadcastEvent(event, ...args);
            }
        });
    }

    /** Emits `event` here, and `master <event>` in every worker that is ready. */
    emitToAll(event, ...args) {
        this.emit(event, ...args);
        this.broadcastEventToAll(event, ...args);
    }

    emit(event, ...args) {
        if (event === 'reopen-logs') {
            this._supervision.reopenLogs();
        } else if (event === 'shutdown') {
            this._supervision.shutdownTold();
        }
        return super.emit(event, ...args);
    }

    /** A worker reports an event of its own. */
    broadcastWorkerEvent(worker, event, ...args) {
        this.emit(`received worker ${event}`, worker, ...args);
    }

    /** The supervisor's requests, each in the circumstances of now. */
    _ask(what, details) {
        this._supervision.ask(what, details);
    }

    /** It is the process that asks who is answered, even if another one has taken its place. */
    _replyTo(worker) {
        const instance = worker._instance;
        return (callbackId, answer) => {
            const wrapper = worker._wrapperOf(instance);
            if (wrapper !== null) {
                wrapper.remoteCall(COMMANDS.callback, callbackId, answer);
            }
        };
    }

    _limitsChanged(worker) {
        this._supervision.limitsChanged(worker);
    }

    _refusalOf(config, basedir, appliedEnv) {
        const isHeard = this.listenerCount('error') > 0;
        let validation;
        try {
            validation = this._supervision.validate(config, basedir, appliedEnv);
        } catch (error) {
            return validationErrors.ofUnvalidated(error, isHeard);
        }
        for (const warning of validation.warnings || []) {
            console.error(`luster: ${warning}`);
        }
        if (validation.problems === undefined) {
            this._validation = validation;
            return null;
        }
        return validationErrors.of(validation);
    }

    _onConfigured() {
        const control = name => this.config.get(`control.${name}`);
        const limits = {
            forkTimeout: control('forkTimeout'),
            stopTimeout: control('stopTimeout'),
            killTimeout: control('killTimeout'),
            exitThreshold: control('exitThreshold'),
            allowedSequentialDeaths: control('allowedSequentialDeaths'),
        };
        for (const port of this._validation.ports) {
            // The supervisor knows of these by the configuration.
            this._keepAnother(undefined, { ...limits, port });
        }
        super._onConfigured();
    }

    /** One more worker that the supervisor has; without a number it is the next. */
    _keepAnother(wid, { port, ...limits }) {
        this._keep(new WorkerWrapper(this, {
            ...limits,
            port: Port.of(port),
            masterInspectPort: this.config.get('properties.masterInspectPort'),
            maxListeners: this.getMaxListeners(),
        }, wid));
    }

    /** The supervisor has this worker no more. */
    _drop(worker) {
        delete this.workers[worker.wid];
        worker._leave();
        for (const happened of [...this._awaiting]) {
            happened(worker);
        }
    }

    _keep(worker) {
        if (this.getWorkersArray().length === 0) {
            // Now, as in JS luster: who listened before hears of a worker's report before the worker's own event.
            for (const event of REPORTED_EVENTS) {
                this.on(`received worker ${event}`, reporter => reporter.emit(event));
            }
        }
        this.workers[worker.wid] = worker;
        this._proxyWorkerEvents(worker);
    }

    _run() {
        const ready = this.waitForAllWorkers('worker ready');
        this._supervision.start();
        ready.then(() => process.nextTick(() => this.emit('running')));
    }

    _proxyWorkerEvents(worker) {
        for (const event of EVENTS) {
            worker.on(event, (...args) => this.emit(`worker ${event}`, worker, ...args));
        }
    }

    /** A worker's mistake must not end its master, unless that wants to know. */
    _onUnknownCommand(error) {
        if (this.listenerCount('error') > 0) {
            this.emit('error', error);
        } else {
            console.error(`luster: ${error.message}`);
        }
    }
}

module.exports = Master;
