// The Master's side of the supervisor: what is asked of it, and what becomes of its news.
//
// Invariants: news of an instance that is not known changes nothing; before the supervisor runs, nothing is asked of it that
// its first message (`hello`) would not say anyway.

const { STATES } = require('../shared/worker_constants');
const { LusterRequestError, LusterWorkerWrapperError } = require('../shared/errors');
const binary = require('./binary');
const { namesIn } = require('../shared/native_extensions');
const inheritance = require('./inheritance');
const { describe } = require('./validate');
const WorkerInstance = require('./worker_instance');
const links = require('./link');
const Requests = require('./requests');
const Roster = require('./roster');
const Settings = require('./settings');
const OrderedQueue = require('./ordered_queue');
const NOTIFICATIONS = require('./notifications');

class Supervision {
    constructor(master) {
        this._master = master;
        this._link = null;
        this._roster = new Roster(master);
        this._requests = new Requests();
        this._instances = new Map();
        /** Streams of processes that are about to be told, by instance. */
        this._streams = new Map();
        /** What the supervisor thinks of the configuration, if it was there first. */
        this._validation = null;
        this._isReplay = false;
        /** What there is has not been told in full yet. */
        this._isExpectingPresent = false;
        /** All workers are dead, and that has been told. */
        this._isEndTold = false;
        this._exitOfDead = null;
        /** Everything is being stopped; that it is over will be told. */
        this._isEnding = false;
        this._isOver = false;
        this._queue = new OrderedQueue();
        /** Whether `shutdown` has been emitted since a worker was started last. */
        this._isShutdownTold = false;
        /** Whether this process ends when everything has been stopped: who handles the signals for that himself, ends it. */
        this._exitsAtEnd = true;
    }

    /** Serves a supervisor that was there first; `isReplay` if its workers may run already. */
    serve(link, validation, isReplay) {
        this._validation = validation;
        this._roster.areIntroduced(validation.ports.length);
        this._isReplay = Boolean(isReplay);
        this._isExpectingPresent = true;
        this.use(link);
        link.changes = () => this._changes();
    }

    /** Whether this process belongs to a supervisor that was there first. */
    get isServing() {
        return this._validation !== null;
    }

    /** What is thought of a configuration; throws a `BinaryError` if there is nobody to validate it. */
    validate(config, basedir, appliedEnv) {
        return this._validation || require('./validate')(binary.find(), config, basedir, appliedEnv);
    }

    /** Starts every worker. Those of a supervisor that is there already may run. */
    start() {
        if (this._validation !== null) {
            Settings.set({});
            this._link.ask('initialized', { native: namesIn(this._master.extensions) });
        }
        if (this._isReplay) {
            this._link.ask('start');
        } else {
            this._master.forEach(worker => worker.run());
        }
        this.hold();
    }

    ask(what, details) {
        if (this._link === null) {
            if (details === undefined || details.what !== 'start') {
                return;
            }
            this._startSupervisor();
        }
        this._link.ask(what, details);
        this.hold();
    }

    /** Asks for something that is answered; a promise of the answer. */
    request(what, details) {
        if (this._link === null) {
            return Promise.reject(LusterRequestError.createError('NO_SUPERVISOR'));
        }
        return this._requests.open(id => this.ask(what, { ...details, id }));
    }

    /** Tells what has changed since it was told last. */
    tellSettings() {
        if (this._link !== null) {
            this._link.tellChanges();
        }
    }

    _changes() {
        const { _settings: settings, config } = this._master;
        // Before it is known what is configured, nobody else can have changed anything.
        return config === null ? [] : settings.asks(config.has('server.balance'));
    }

    limitsChanged(worker) {
        this.ask('limits', Roster.about(worker));
    }

    /** It has been added to the master's, or is to run all the same. */
    introduce(worker) {
        if (this._link !== null) {
            for (const about of this._roster.introduce(worker)) {
                this.ask('add', about);
            }
        }
    }

    /** A worker is to run, which need not be one of the master's. */
    admit(worker) {
        if (this._roster.admit(worker)) {
            this.introduce(worker);
        }
    }

    reopenLogs() {
        this.ask('reopen');
    }

    /** This process stays as long as a worker does, or is expected. */
    hold() {
        if (this._link !== null) {
            const workers = this._roster.all();
            // That all are dead is about to be told.
            const isAboutToEnd = !this._isEndTold && workers.length > 0 && workers.every(worker => worker._isGivenUp);
            this._link.hold(this._isExpectingPresent || this._isEnding || isAboutToEnd || this._requests.isOpen || workers.some(worker =>
                worker._wanted || worker._elder !== null || worker.state !== STATES.STOPPED));
        }
    }

    /** The link to a supervisor that runs already, or has just been started. */
    use(link) {
        this._link = link;
        link.on('tell', (news, socket) => {
            // The supervisor starts workers by itself: it is to know of changes before the next one.
            link.tellChangesSoon();
            this._queue.take(() => this._told(news, socket));
        });
        link.on('message', (instance, message, socket) => this._queue.take(() => this._heard(instance, message, socket)));
    }

    /** Whether everything is over, and everybody has heard that it is. */
    get hasToldEnd() {
        return this._isOver && this._isShutdownTold;
    }

    shutdownTold() {
        this._isShutdownTold = true;
    }

    _startSupervisor() {
        const master = this._master;
        Settings.set({});
        master._settings.handDown();
        const link = links.start(binary.find());
        this.use(link);
        link.on('end', how => this._queue.take(() => this._ended(how)));
        link.ask('hello', {
            protocol: links.PROTOCOL,
            version: require('../../package.json').version,
            spec: {
                script: {
                    node: process.execPath,
                    execArgv: process.execArgv,
                    exec: process.argv[1],
                    args: process.argv.slice(2),
                },
                config: describe(master.config.get(), master.config.getBaseDir()),
                baseDir: master.config.getBaseDir(),
                native: namesIn(master.extensions),
                workers: this._roster.introduceAll(),
            },
        });
        link.changes = () => this._changes();
        inheritance.watch(() => this.tellSettings());
        require('./signals').install(master, link, {
            reopens: namesIn(master.extensions).includes('luster-log-file'),
            leaveExitToOthers: () => {
                this._exitsAtEnd = false;
            },
        });
    }

    _heard(instance, message, socket) {
        const known = this._instances.get(instance);
        if (known !== undefined) {
            known.heard(message, socket);
        }
    }

    _told(news, socket) {
        const handler = NOTIFICATIONS[news.tell];
        if (handler !== undefined) {
            handler.call(this, news, socket);
        }
        if (ENDS.includes(news.tell)) {
            // Who has heard it may have changed something for the worker that follows.
            this.tellSettings();
        }
    }

    /** There is this worker, perhaps since now. */
    _learned(wid, about) {
        const worker = this._roster.of(wid);
        if (worker === undefined) {
            this._roster.learns(wid);
            this._master._keepAnother(wid, about);
        } else {
            worker._learn(about);
        }
    }

    /** There is no such worker any more. */
    _removed(wid) {
        const worker = this._roster.of(wid);
        if (worker !== undefined) {
            this._roster.forget(wid);
            this._master._drop(worker);
            this.hold();
        }
    }

    _workerOf(news) {
        return this._roster.of(news.wid);
    }

    /** Calls `tell` with the instance that is meant, and keeps this process alive no longer than needed. */
    _ofInstance(news, tell) {
        const instance = this._instances.get(news.instance);
        if (instance !== undefined) {
            tell(instance);
        }
    }

    _forked(news) {
        const worker = this._workerOf(news);
        if (worker !== undefined) {
            const streams = this._streams.get(news.instance) || [null, null, null];
            this._streams.delete(news.instance);
            const instance = new WorkerInstance(this._link, { ...news, streams });
            this._takeBackEnd();
            worker._learn({ port: news.port });
            this._instances.set(news.instance, instance);
            worker._forked(instance);
        }
    }

    /** Somebody has revived a worker when all were dead. */
    _takeBackEnd() {
        this._isShutdownTold = false;
        if (this._isEndTold) {
            this._isEndTold = false;
            if (process.exitCode === this._exitOfDead) {
                process.exitCode = undefined;
            }
        }
    }

    _exited(news) {
        this._ofInstance(news, instance => {
            this._instances.delete(news.instance);
            const worker = this._workerOf(instance);
            if (worker !== undefined && worker._instance === instance) {
                worker._endedBy(news.then);
            }
            const goOn = this._queue.hold();
            instance.ended(news.code, news.signal, () => {
                this.tellSettings();
                this.hold();
                goOn();
            });
        });
    }

    _notStarted(news) {
        const worker = this._workerOf(news);
        if (worker !== undefined) {
            worker._endedBy(news.then);
            worker.emit('error', LusterWorkerWrapperError.createError('NOT_STARTED', { wid: worker.wid, reason: news.reason }));
            this.hold();
        }
        // If there was a process, it has ended without having run Node.
        this._exited({ instance: news.instance, code: NOT_RUN, signal: null, then: news.then });
    }

    /** Somebody else than this process stops a worker. */
    _stopping(news) {
        this._ofInstance(news, instance => {
            const worker = this._workerOf(instance);
            if (worker !== undefined && worker._instance === instance && !worker.stopping) {
                worker.restarting = worker.restarting || news.replaced;
                worker._saysStop();
            }
        });
    }

    /** The supervisor's process has ended; its workers have ended with it. */
    _ended({ error, code, signal }) {
        this._link.hold(false);
        this._requests.end('luster');
        if (error) {
            this._fail(new binary.BinaryError(binary.explain(binary.find(), error)), NOT_EXECUTABLE);
        } else if (!this._isOver) {
            const how = signal ? `was killed by ${signal}` : `exited with code ${code}`;
            this._fail(new Error(`the luster supervisor of this process ${how}, and its workers with it`), code || INTERNAL);
        }
    }

    _fail(error, exit) {
        if (this._master.listenerCount('error') > 0) {
            process.exitCode = exit;
            // Without its workers the script is of no use, and whoever watches it is to notice.
            setImmediate(() => process.exit());
            this._master.emit('error', error);
        } else {
            console.error(`luster: ${error.message}`);
            process.exit(exit);
        }
    }
}

/** Exit codes, as the README has them. */
const INTERNAL = 70;
const NOT_EXECUTABLE = 71;

/** The exit code of a process that could not run its program, as shells have it. */
const NOT_RUN = 127;

/** What is told when another process is about to be started. */
const ENDS = ['disconnect', 'exit', 'unstarted'];

module.exports = Supervision;
