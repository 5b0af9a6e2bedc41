// A worker's process as its master sees it: what Node's `ChildProcess` shows, for a process that is the supervisor's.
//
// Invariants: its events come in Node's order; a method called too late does nothing but say so as Node does.

const EventEmitter = require('events');
const net = require('net');
const os = require('os');
const { inspect } = require('util');

/** What Node's channel takes. Of anything else JSON would leave nothing, and a message of nothing is none. */
const SENDABLE = ['string', 'object', 'number', 'boolean'];

class WorkerProcess extends EventEmitter {
    /** `streams` are the ends of its stdio that are ours: `[stdin, stdout, stderr]`, null where it is not a pipe. */
    constructor(link, instance, { pid, file, args, streams }) {
        super();
        this.pid = pid;
        this.connected = true;
        this.killed = false;
        this.exitCode = null;
        this.signalCode = null;
        this.spawnfile = file;
        this.spawnargs = args;
        this.stdio = streams;
        [this.stdin, this.stdout, this.stderr] = streams;
        // The supervisor's, whatever its worker's is: it keeps this process alive as long as there are workers.
        this.channel = { ref() {}, unref() {} };
        this._link = link;
        this._instance = instance;
    }

    /** Our end of a process's stdin, as `child_process` has it: of what its process leaves unread there is no news. */
    static stdin(socket) {
        const handle = socket._handle;
        handle.readStop();
        socket._handle = null;
        return new net.Socket({ handle, readable: false, writable: true });
    }

    /** Sends the process a signal, by its number or name. */
    kill(signal = 'SIGTERM') {
        const number = typeof signal === 'number' ? signal : os.constants.signals[String(signal).toUpperCase()];
        if (number === undefined) {
            throw Object.assign(new TypeError(`Unknown signal: ${signal}`), { code: 'ERR_UNKNOWN_SIGNAL' });
        }
        if (this.exitCode !== null || this.signalCode !== null) {
            return false;
        }
        this._link.ask('kill', { instance: this._instance, signal: number });
        this.killed = this.killed || number !== 0;
        return true;
    }

    send(message, socket, options, callback) {
        if (typeof socket === 'function') {
            [callback, socket, options] = [socket, undefined, undefined];
        } else if (typeof options === 'function') {
            [callback, options] = [options, undefined];
        }
        if (this.connected) {
            refuseUnsendable(message);
            return this._link.sendTo(this._instance, message, socket, options, callback);
        }
        const error = Object.assign(new Error('Channel closed'), { code: 'ERR_IPC_CHANNEL_CLOSED' });
        if (callback) {
            process.nextTick(callback, error);
        }
        return false;
    }

    disconnect() {
        if (this.connected) {
            this._link.ask('disconnect', { instance: this._instance });
        }
    }

    ref() {}

    unref() {}

    /** Its channel is closed. */
    left() {
        if (this.connected) {
            this.connected = false;
            this.channel = null;
            this.emit('disconnect');
        }
    }

    /** It has ended. What nobody reads is read away, so that `close` comes. */
    ended(code, signal) {
        this.exitCode = code;
        this.signalCode = signal;
        if (this.stdin) {
            this.stdin.destroy();
        }
        this.emit('exit', code, signal);
        const open = [this.stdout, this.stderr].filter(stream => stream && !stream.destroyed);
        let missing = open.length;
        const closed = () => {
            if (--missing <= 0) {
                this.emit('close', code, signal);
            }
        };
        for (const stream of open) {
            stream.once('close', closed);
            if (stream.readable && stream.listenerCount('readable') === 0 && !stream.isPaused()) {
                stream.resume();
            }
        }
        if (open.length === 0) {
            process.nextTick(closed);
        }
    }
}

/** Throws what Node's `ChildProcess` throws. */
function refuseUnsendable(message) {
    if (message === undefined) {
        throw Object.assign(new TypeError('The "message" argument must be specified'), { code: 'ERR_MISSING_ARGS' });
    }
    if (!SENDABLE.includes(typeof message)) {
        const received = typeof message === 'function'
            ? `function ${message.name}`
            : `type ${typeof message} (${inspect(message)})`;
        throw Object.assign(new TypeError('The "message" argument must be one of type string, object, number, or boolean. '
            + `Received ${received}`), { code: 'ERR_INVALID_ARG_TYPE' });
    }
}

module.exports = WorkerProcess;
