// What becomes of each notification of the supervisor's.
//
// Invariants: news of an instance that is not known changes nothing; nothing here asks who the other side is.

const WorkerProcess = require('./worker_process');

/** Those that are not told of are none. */
const NO_LIMITS = { forkTimeout: undefined, stopTimeout: undefined, killTimeout: undefined, exitThreshold: undefined };

/** How long a script that handles a stop may take to end its process, in ms; and the host, which luster kills after 5 s. */
const SCRIPT_LIMIT = 10000;
const HOST_LIMIT = 4500;
/** Signals that stop everything. */
const STOPS = ['SIGTERM', 'SIGINT', 'SIGQUIT'];

/** By what is told; each is called with a Supervision as `this`. */
module.exports = {
    fork(news) {
        this._forked(news);
    },
    exit(news) {
        this._exited(news);
    },
    unstarted(news) {
        this._notStarted(news);
    },
    stopping(news) {
        this._stopping(news);
    },
    online(news) {
        this._ofInstance(news, instance => instance.online());
    },
    listening(news) {
        this._ofInstance(news, instance => instance.listening(news.address));
    },
    disconnect(news) {
        this._ofInstance(news, instance => instance.left(news.voluntary));
    },
    /** A stream of a process that is told next. */
    stream(news, socket) {
        const streams = this._streams.get(news.instance) || [null, null, null];
        streams[news.fd] = news.fd === 0 ? WorkerProcess.stdin(socket) : socket;
        this._streams.set(news.instance, streams);
    },
    line(news, socket) {
        this._ofInstance(news, instance => instance.adoptDirectChannel(socket));
    },
    vacant(news) {
        const worker = this._workerOf(news);
        if (worker !== undefined) {
            worker._endedBy(news.then);
        }
    },
    worker({ wid, port, limits }) {
        this._learned(wid, { ...NO_LIMITS, ...limits, port });
    },
    removed(news) {
        this._removed(news.wid);
    },
    present(news) {
        this._isExpectingPresent = false;
        // Those that are gone since this process was started.
        for (let wid = this._validation === null ? 0 : this._validation.ports.length; wid > news.workers; wid--) {
            this._removed(wid);
        }
        this.hold();
    },
    /** As in JS luster, where only one of all workers is told. */
    rolledOut(news) {
        if (news.all) {
            this._master.emit('restarted');
        }
    },
    rolloutAborted(news) {
        this._master.emit('restart aborted', news.wid === null ? null : this._workerOf(news), news.reason);
    },
    answer(news) {
        this._requests.answered(news.id, news.answer);
        this.hold();
    },
    /** Every worker is dead. Whoever listens may revive one; the supervisor waits for our word. */
    allDead(news) {
        this._isEndTold = true;
        this._exitOfDead = news.exit;
        this._master.emit('shutdown');
        if (process.exitCode === undefined) {
            process.exitCode = news.exit;
        }
        setImmediate(() => this._link.ask('concluded'));
        this.hold();
    },
    ending() {
        this._isEnding = true;
        this.hold();
    },
    /** All workers are gone, and the supervisor too: somebody has stopped everything, or killed it. */
    end(news) {
        this._isOver = true;
        if (news.exit && process.exitCode === undefined) {
            process.exitCode = news.exit;
        }
        for (const worker of this._roster.all()) {
            worker._wanted = false;
        }
        // Who listens to the end may have begun to clean up.
        this._requests.end(this.isServing ? 'this extension host' : 'luster');
        const exits = this._exitsAtEnd && this._master.listenerCount('shutdown') === 0;
        if (!this._isShutdownTold) {
            this._master.emit('shutdown');
        }
        if (exits) {
            process.exit();
        }
        this._isEnding = false;
        this.hold();
        setTimeout(() => process.exit(), this.isServing ? HOST_LIMIT : SCRIPT_LIMIT).unref();
    },
    signal(news) {
        if (STOPS.includes(news.name)) {
            this._exitsAtEnd = false;
        }
        process.emit(news.name, news.name, news.number);
    },
};
