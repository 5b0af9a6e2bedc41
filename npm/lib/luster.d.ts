// The types of `require('luster')`: a Master outside of workers, a Worker inside. `isMaster` and `isWorker` tell them apart.

/// <reference types="node" />

import { ChildProcess } from 'child_process';
import { ClusterSettings, Worker as ClusterWorker, Address } from 'cluster';
import { EventEmitter } from 'events';

declare const luster: luster.Master | luster.Worker;

declare namespace luster {
    /** What the configuration may have; further keys are kept for the app and its extensions. */
    interface Config {
        /** What the workers load: CommonJS, an ES module, or TypeScript where Node strips types. */
        app: string;
        /** What runs the app, if not Node: a name, a path, or a list of it and its own arguments. */
        interpreter?: string | string[];
        /** The arguments of an app that is not Node's. */
        args?: string[];
        /** How many workers; the CPUs this process may use by default. */
        workers?: number;
        /** Times in milliseconds; 0 or absent means no limit. */
        control?: {
            forkTimeout?: number;
            stopTimeout?: number;
            killTimeout?: number;
            /** From having left with nothing under way to SIGTERM; 2000 without `stopTimeout`. */
            exitTimeout?: number;
            /** How long a stopping worker keeps idle connections open; 2000. */
            idleTimeout?: number;
            exitThreshold?: number;
            allowedSequentialDeaths?: number;
            triggerReadyStateManually?: boolean;
            restart?: 'stop-first' | 'start-first';
            parallel?: number;
            /** From fork to ready: 60000 for replacements in a rolling restart; for every worker where it is written. */
            readyTimeout?: number;
            /** The replacements of a reload that serve for `watch` milliseconds before the others follow. */
            canary?: { workers?: number; watch?: number };
            /** When an app that is not Node's is ready: when it has run for `after` milliseconds (1000), or says so (sd_notify). */
            ready?: 'after' | 'notify' | { after: number };
            /** The signal that asks an app that is not Node's to end; `'SIGTERM'`. */
            stopSignal?: string | number;
            /** Whether workers keep what Node has compiled for those after them (Node 22.8 or newer); true by default. */
            compileCache?: boolean;
            /** Path of the control socket; `false` for none. */
            socket?: string | boolean;
            /** Group whose users may use the control socket, too: a name or a number. */
            group?: string | number;
            [key: string]: unknown;
        };
        server?: {
            port?: number | string;
            groups?: number;
            portsPerGroup?: number;
            balance?: 'round-robin' | 'shared' | 'reuseport';
            /** Whether an app that is not Node's is started with its listening socket (LISTEN_FDS); true. */
            pass?: boolean;
            /** Permission bits of unix sockets, in octal: `'0660'` or `0o660`. */
            socketMode?: string | number;
            /** Group of unix sockets: a name or a number. */
            socketGroup?: string | number;
            [key: string]: unknown;
        };
        /** Extensions by module name, each with its configuration. */
        extensions?: Record<string, unknown>;
        extensionsPath?: string;
        extensionsLoadTimeout?: number;
        maxEventListeners?: number;
        properties?: { masterInspectPort?: number; [key: string]: unknown };
        [key: string]: unknown;
    }

    /** Values by dotted path. */
    interface Configuration {
        get<T = any>(path: string): T | undefined;
        get<T>(path: string, defaultValue: T): T;
        has(path: string): boolean;
        /** The names below `path`; none if there is no plain object. */
        getKeys(path: string): string[];
        /** The value as a path from the configuration's folder. */
        resolve(path: string, defaultPath?: string): string;
        getBaseDir(): string;
    }

    /** An extension's module. `configure` is asynchronous if it takes three parameters: it calls `done` when it is done. */
    interface Extension {
        configure(
            config: Configuration | any, clusterProcess: Master | Worker, done: (error?: Error | null) => void,
        ): void;
    }

    interface RemoteCallOptions<Sender> {
        command: string;
        data?: unknown;
        /** In milliseconds; 10000 by default. */
        timeout?: number;
        callback(sender: Sender, error: Error | null, data?: any): void;
    }

    interface ClusterProcess<Sender> extends EventEmitter {
        /** Null until `configure`. */
        readonly config: Configuration | null;
        /** The modules of the extensions, by name. */
        readonly extensions: Record<string, any>;
        /** Takes the configuration and loads the extensions; `applyEnv` applies `LUSTER_CONF` to it. */
        configure(config: Config, applyEnv?: boolean, basedir?: string): this;
        run(): this;
        /** Loads one more extension, with its part of the configuration. */
        loadExtension(name: string, callback: (error?: Error | null) => void): void;
        whenInitialized(): Promise<void>;
        /** Allows `fn` to be called from the other side. Throws if the name is taken. */
        registerRemoteCommand(name: string, fn: (sender: Sender, ...args: any[]) => void): void;
        registerRemoteCommandWithCallback(name: string, fn: (answer: (data?: unknown) => void, data: any) => void): void;
        unregisterRemoteCommand(name: string): void;
        hasRegisteredRemoteCommand(name: string): boolean;
    }

    type WorkerState = 'stopped' | 'launching' | 'running' | 'stopping';

    /** A worker as its master sees it; kept over its restarts. */
    interface WorkerWrapper extends EventEmitter {
        /** From 1 on. */
        readonly wid: number;
        /** The number of its process among all there have been; undefined before the first. */
        readonly id: number | undefined;
        readonly pid: number | undefined;
        /** Its process, with streams for what is piped (`setup({silent: true})`). */
        readonly process: ChildProcess | undefined;
        readonly state: WorkerState;
        readonly ready: boolean;
        /** It died too often. Set to false, it may be run again. */
        dead: boolean;
        readonly restarting: boolean;
        readonly stopping: boolean;
        /** Milliseconds since 1970, when it came online; null before the first time. */
        readonly startTime: number | null;
        readonly inspectPort: number;
        readonly options: WorkerWrapperOptions;
        run(): this;
        stop(): this;
        restart(): this;
        softRestart(): void;
        isRunning(): boolean;
        send(message: any, sendHandle?: any, options?: object, callback?: (error: Error | null) => void): boolean;
        disconnect(): void;
        remoteCall(name: string, ...args: any[]): void;
        remoteCallWithCallback(options: RemoteCallOptions<WorkerWrapper>): void;
        broadcastEvent(event: string, ...args: any[]): void;

        on(event: 'listening', listener: (address: Address) => void): this;
        on(event: 'exit', listener: (code: number | null, signal: NodeJS.Signals | null) => void): this;
        on(event: 'message', listener: (message: any, handle: any) => void): this;
        on(event: 'state', listener: (state: WorkerState) => void): this;
        on(event: 'error', listener: (error: Error) => void): this;
        on(event: string, listener: (...args: any[]) => void): this;
    }

    /** May be changed while the worker runs. Times in milliseconds. */
    interface WorkerWrapperOptions {
        get port(): Port;
        set port(port: Port | number | string);
        persistent: boolean;
        forkTimeout?: number;
        stopTimeout?: number;
        killTimeout?: number;
        exitThreshold?: number;
        allowedSequentialDeaths: number;
        masterInspectPort?: number;
    }

    /** A TCP port, or the path of a unix socket. */
    interface Port {
        readonly value: number | string;
        readonly family: 'inet' | 'unix';
        isEqualTo(port: unknown): boolean;
        next(offset?: number): Port;
        unlink(done: (error?: Error) => void): void;
        /** Passes `error` on, if there is one. */
        unlink(error: Error | null | undefined, done: (error?: Error) => void): void;
        toString(): string;
        valueOf(): number | string;
    }

    /** What came of a request that was done. One that was not rejects with a `LusterRequestError`, whose `data` is the same. */
    interface Answer {
        /** The version of this form, 1. */
        schema: number;
        outcome: 'done';
        /** In one sentence. */
        message: string;
        /** How many workers have been replaced. */
        replaced?: number;
        /** The generation of the configuration that is in force now. */
        generation?: number;
    }

    /** How everything stands, as `luster status --json` has it; described in docs/openapi.json. */
    interface Status {
        /** The version of this form, 1; later ones of the same number only add to it. */
        schema: number;
        master: StatusOfMaster;
        revision: number;
        goal: 'serving' | 'stopping';
        generation: number;
        /** How many workers there are to be; those `removed` are on their way out. */
        count: number;
        /** How many of them are to run, and how many of those are ready. */
        wanted: number;
        ready: number;
        workers: StatusOfWorker[];
        /** Whether the configuration is being read anew. */
        reading: boolean;
        rollout?: {
            total: number; replaced: number; under_way: number; waiting: number; held: boolean; elapsed_ms: number;
            /** Workers go back to what they ran before. */
            taking_back: boolean;
        };
        failed_rollout?: StatusOfFailedRollout;
        counters: StatusCounters;
        host?: { kind: 'extension_host' | 'custom_master'; pid?: number; state: StatusWord };
    }

    /** The last rollout that failed, until one succeeds that makes up for it. */
    interface StatusOfFailedRollout {
        outcome: 'taken_back' | 'aborted' | 'refused';
        culprit: 'worker' | 'extension_host' | 'configuration';
        /** The worker whose replacement failed. */
        wid?: number;
        /** The generation that was to be rolled out. */
        generation: number;
        code?: number;
        signal?: string;
        /** How many workers had been replaced before. */
        replaced: number;
        /** What failed and why, a clause. */
        reason: string;
        /** What runs instead, a clause. */
        serving: string;
        ago_ms: number;
    }

    type StatusWord = 'starting' | 'ready' | 'draining' | 'stopping' | 'backing_off' | 'dead' | 'stopped' | 'idle';

    interface StatusCounters {
        started: number;
        /** Ended though nobody had asked for that. */
        crashed: number;
        /** Given up because they were slow to start. */
        late: number;
        /** Ended as asked. */
        asked: number;
    }

    interface StatusOfMaster {
        pid: number;
        version: string;
        name: string;
        /** The control socket; empty if there is none. */
        socket: string;
        uid: number;
        uptime_ms: number;
        config: string;
        config_real?: string;
        app?: string;
        cpu_ms?: number;
        memory_bytes?: number;
    }

    interface StatusOfWorker {
        wid: number;
        state: StatusWord;
        /** It goes with its last process, because there are to be fewer. */
        removed?: true;
        restarts: number;
        counters: StatusCounters;
        backoff_ms?: number;
        instances: StatusOfInstance[];
        last_failure?: { code?: number; signal?: string; reason: string; ago_ms: number };
    }

    interface StatusOfInstance {
        /** `cluster.worker.id`. */
        id: number;
        role: 'active' | 'successor' | 'retiring';
        state: StatusWord;
        pid?: number;
        generation: number;
        uptime_ms: number;
        ready_ms?: number;
        endpoints: string[];
        cpu_ms?: number;
        memory_bytes?: number;
    }

    /** What `require('luster')` is outside of workers. */
    interface Master extends ClusterProcess<WorkerWrapper> {
        readonly isMaster: true;
        readonly isWorker: false;
        readonly id: 0;
        readonly wid: 0;
        readonly pid: number;
        /** By `wid`. */
        readonly workers: Record<number, WorkerWrapper>;
        getWorkersIds(): number[];
        getWorkersArray(): WorkerWrapper[];
        forEach(fn: (worker: WorkerWrapper) => void): this;
        add(worker: WorkerWrapper): this;
        /** For workers that are started from now on. */
        setup(settings: ClusterSettings): void;
        /** Restarts all workers at once. */
        restart(): this;
        /** Restarts the workers one by one. */
        softRestart(): this;
        /** Reads the configuration anew and replaces all workers, as `luster reload` does. */
        reload(): Promise<Answer>;
        /** Has so many workers, as `luster scale` does; not for custom masters, which add and stop workers themselves. */
        scale(count: number): Promise<Answer>;
        status(): Promise<Status>;
        scheduleWorkerRestart(worker: WorkerWrapper): this;
        shutdown(): this;
        waitForWorkers(wids: number[], event: string): Promise<void>;
        waitForAllWorkers(event: string): Promise<void>;
        remoteCallToAll(name: string, ...args: any[]): void;
        remoteCallToAllWithCallback(options: RemoteCallOptions<WorkerWrapper>): void;
        broadcastEventToAll(event: string, ...args: any[]): void;
        emitToAll(event: string, ...args: any[]): void;

        on(event: 'configured' | 'initialized' | 'running' | 'restarted' | 'shutdown', listener: () => void): this;
        /**
         * A restart has been given up, because the replacement of this worker failed, or, if it is null, because the
         * configuration, read anew, was refused, or because extensions could not be started on it.
         */
        on(event: 'restart aborted', listener: (worker: WorkerWrapper | null, reason: string) => void): this;
        on(event: 'extension loaded', listener: (name: string) => void): this;
        on(event: 'error', listener: (error: Error) => void): this;
        on(event: 'worker exit', listener: (
            worker: WorkerWrapper, code: number | null, signal: NodeJS.Signals | null,
        ) => void): this;
        on(event: 'worker listening', listener: (worker: WorkerWrapper, address: Address) => void): this;
        on(event: `worker ${string}` | `received worker ${string}`, listener: (
            worker: WorkerWrapper, ...args: any[]
        ) => void): this;
        on(event: string, listener: (...args: any[]) => void): this;
    }

    /** What `require('luster')` is in a worker. */
    interface Worker extends ClusterProcess<Worker> {
        readonly isMaster: false;
        readonly isWorker: true;
        /** From 1 on, kept over restarts. */
        readonly wid: number;
        readonly id: ClusterWorker['id'];
        /** As the master knows it; set before the app is loaded. */
        readonly pid: number;
        /** Tells the master that this worker serves; for `control.triggerReadyStateManually`. Throws the second time. */
        ready(): this;
        /** Runs `fn` before the worker stops, which waits for the promise it returns. */
        registerSuspendFunction(fn: () => unknown): void;
        whenForeignPropertiesReceived(): Promise<void>;
        remoteCall(name: string, ...args: any[]): void;
        remoteCallWithCallback(options: RemoteCallOptions<Worker>): void;

        on(event: 'configured' | 'initialized' | 'ready' | 'disconnect', listener: () => void): this;
        on(event: 'loaded', listener: (app: string) => void): this;
        on(event: 'extension loaded', listener: (name: string) => void): this;
        on(event: 'error', listener: (error: Error) => void): this;
        on(event: `master ${string}`, listener: (...args: any[]) => void): this;
        on(event: string, listener: (...args: any[]) => void): this;
    }
}

export = luster;
