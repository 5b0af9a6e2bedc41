// The master's view of a worker: what JS luster calls WorkerWrapper.
//
// The truth is the supervisor's: methods are requests to it, and what is seen here follows its news. `wrapper._instance` is
// the process in the slot's seat. While a start-first replacement boots, it is already the new one, and the old one, which
// still serves, goes on as an elder: a wrapper of its own with the same `wid`, which is not among the master's workers.
//
// Invariants: events come in the order of JS luster; a method called in the wrong state is an `error` event and no request.

const EventEmitterEx = require('../shared/emitter');
const Port = require('../shared/port');
const { LusterWorkerWrapperError } = require('../shared/errors');
const { COMMANDS } = require('../shared/rpc');
const { EVENTS, PROXIED_EVENTS, REPORTED_EVENTS, STATES } = require('../shared/worker_constants');
const WorkerWrapperOptions = require('./worker_options');

const { inspect } = require('util');

/** The highest number of a wrapper that may still be wanted; the next one's follows it. */
let lastWid = 0;
/** Lower numbers whose workers were removed. */
const removed = new Set();

class WorkerWrapper extends EventEmitterEx {
    constructor(master, options, wid = ++lastWid) {
        super();
        this._master = master;
        this._wid = wid;
        lastWid = Math.max(lastWid, wid);
        removed.delete(wid);
        this._state = STATES.STOPPED;
        this._instance = null;
        this._elder = null;
        this._dead = false;
        /** Whether that is the supervisor's word. */
        this._isGivenUp = false;
        /** Whether the supervisor is to keep a process in the slot. */
        this._wanted = false;
        this.options = new WorkerWrapperOptions(options, () => master._limitsChanged(this));
        if (options.maxListeners > this.getMaxListeners()) {
            this.setMaxListeners(options.maxListeners);
        }
        this.restarting = false;
        this.stopping = false;
        this.ready = false;
        this.startTime = null;
        this.inspectPort = this.options.masterInspectPort + wid;

        this.on('online', () => this._setState(STATES.RUNNING));
        this.on('disconnect', () => this._onDisconnect());
        this.on('exit', () => this._onExit());
        this.on('ready', () => {
            this.ready = true;
        });
    }

    get wid() {
        return this._wid;
    }

    get state() {
        return this._state;
    }

    get id() {
        return this._instance === null ? undefined : this._instance.id;
    }

    get pid() {
        return this._instance === null ? undefined : this._instance.process.pid;
    }

    get process() {
        return this._instance === null ? undefined : this._instance.process;
    }

    get suicide() {
        return this._instance === null ? undefined : this._instance.worker.exitedAfterDisconnect;
    }

    /** It died too often. Set to false, it may be run again. */
    get dead() {
        return this._dead;
    }

    set dead(dead) {
        const revived = this._dead && !dead;
        this._dead = Boolean(dead);
        this._isGivenUp = this._isGivenUp && this._dead;
        if (revived) {
            this._request('revive');
        }
        this._master._limitsChanged(this);
    }

    isRunning() {
        return this._state === STATES.LAUNCHING || this._state === STATES.RUNNING;
    }

    /** Starts it. */
    run() {
        if (this.isRunning()) {
            this._refuse(STATES.LAUNCHING);
        } else {
            this._wanted = true;
            this._master._supervision.admit(this);
            this._request('start');
        }
        return this;
    }

    /** Stops it gracefully; it stays stopped. */
    stop() {
        return this._leaveBy('stop');
    }

    /** Stops it gracefully and starts it again. */
    restart() {
        this.restarting = true;
        return this._leaveBy('restart');
    }

    /** Restarts it when its turn comes in the restart queue. */
    softRestart() {
        this._master.scheduleWorkerRestart(this);
    }

    send(...args) {
        return this._instance !== null && this._instance.worker.send(...args);
    }

    disconnect() {
        if (this._instance !== null) {
            this._instance.worker.disconnect();
        }
    }

    /** Calls a command of the worker's. */
    remoteCall(name, ...args) {
        if (this.isRunning() && this._instance !== null) {
            this._instance.call(name, args);
        } else {
            this.emit('error', LusterWorkerWrapperError.createError('REMOTE_COMMAND_CALL_TO_STOPPED_WORKER', {
                wid: this.wid, pid: this.pid, command: name,
            }));
        }
    }

    /** Calls a command of the worker's that answers `callback(wrapper, error, data)`. */
    remoteCallWithCallback(options) {
        this.remoteCall(options.command, options.data, this._master._answers.expect(this, options));
    }

    /** Emits `master <event>` in the worker. */
    broadcastEvent(...args) {
        this.remoteCall(COMMANDS.broadcastMasterEvent, args);
    }

    inspect() {
        return `WW{ id:${this.wid}, state: ${this.state}}`;
    }

    [inspect.custom]() {
        return this.inspect();
    }

    /** The wrapper that calls for the worker are to go to now: the one that serves. */
    get _serving() {
        return this._elder !== null && this._elder.ready ? this._elder : this;
    }

    _leaveBy(what) {
        if (!this.isRunning()) {
            return this._refuse(STATES.STOPPING);
        }
        this._wanted = what === 'restart';
        this._saysStop();
        // In a turn of its own: what this turn still says to the worker comes before.
        setImmediate(() => this._request(what));
        return this;
    }

    _saysStop() {
        this.emit('stop');
        this.stopping = true;
    }

    _request(what) {
        this._master._ask('one', { wid: this.wid, what });
    }

    _refuse(targetState) {
        this.emit('error', LusterWorkerWrapperError.createError('INVALID_ATTEMPT_TO_CHANGE_STATE', {
            wid: this.wid, pid: this.pid, state: this.state, targetState,
        }));
        return this;
    }

    /** The supervisor says what holds of it: what it listens on, and perhaps its limits. */
    _learn(about) {
        WorkerWrapperOptions.learn(this.options, about);
    }

    /** It is the master's no more. */
    _leave() {
        this._wanted = false;
        removed.add(this._wid);
        while (removed.delete(lastWid)) {
            lastWid--;
        }
    }

    /** There is no process in the slot any more, and this follows: another one (`again`), none (`rest`, `dead`). */
    _endedBy(then) {
        this._wanted = then === 'again';
        this._isGivenUp = then === 'dead';
        // Somebody else may have said that it is dead, and then it rests.
        this._dead = this._isGivenUp || (this._dead && then === 'rest');
    }

    /** A process was started in the slot. If another one serves, it is a successor, and that one becomes an elder. */
    _forked(instance) {
        if (this._instance !== null && this._state !== STATES.STOPPED) {
            this._retire();
        }
        this._adopt(instance);
        instance.forked();
        this.emit('fork');
        this.restarting = false;
        this._wanted = true;
        this._dead = false;
        this._isGivenUp = false;
        this._setState(STATES.LAUNCHING);
    }

    _adopt(instance) {
        this._instance = instance;
        for (const event of PROXIED_EVENTS) {
            instance.worker.on(event, (...args) => {
                const wrapper = this._wrapperOf(instance);
                if (wrapper !== null) {
                    wrapper.emit(event, ...args);
                }
            });
        }
    }

    /** Whose instance it is: ours, or the elder's. */
    _wrapperOf(instance) {
        if (this._instance === instance) {
            return this;
        }
        return this._elder !== null && this._elder._instance === instance ? this._elder : null;
    }

    _retire() {
        const elder = new WorkerWrapper(this._master, this.options, this.wid);
        elder._instance = this._instance;
        elder._state = this._state;
        elder.ready = this.ready;
        elder.startTime = this.startTime;
        elder.restarting = true;
        this._master._proxyWorkerEvents(elder);
        elder.on('exit', () => {
            this._elder = null;
        });
        this._elder = elder;
        this.ready = false;
    }

    /** The process in the seat is gone. A successor that failed gives way to its elder. */
    _onExit() {
        this.ready = false;
        const elder = this._elder;
        if (elder !== null && elder.isRunning()) {
            this._elder = null;
            this._instance = elder._instance;
            this.ready = elder.ready;
            this._setState(elder.state);
            this.startTime = elder.startTime;
        } else {
            this.stopping = false;
            this._setState(STATES.STOPPED);
        }
    }

    _onDisconnect() {
        // The end of the channel and of the process may come in either order.
        if (this.isRunning()) {
            this.ready = false;
            this._setState(STATES.STOPPING);
        }
    }

    _setState(state) {
        this._state = state;
        if (state === STATES.RUNNING) {
            this.startTime = Date.now();
        }
        this.emit('state', state);
    }
}

Object.assign(WorkerWrapper, { STATES, EVENTS, _PROXY_EVENTS: PROXIED_EVENTS, _RPC_EVENTS: REPORTED_EVENTS, Port });

module.exports = WorkerWrapper;
