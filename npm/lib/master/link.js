// The channel to the supervisor, on Node's own IPC: what is asked of it, what it tells, and workers' messages both ways.
//
// Asks are `{ask: …}`, what is told is `{tell: …}`, a message to a worker's instance `{to, message}` and from one
// `{from, message}`; sockets travel along. Whoever owns the link handles what is told.
//
// Invariants: asks arrive in the order they were made, each after what had changed before it (`changes`); sending after
// the end does nothing but call back with an error; the link keeps this process alive only while it is held.

const { spawn } = require('child_process');
const EventEmitter = require('events');
const listenFds = require('./listen_fds');

/** The form of what is said here. The binary refuses another one. */
exports.PROTOCOL = 1;

/** How often changes are looked for while much is said, in ms. */
const LOOK_EVERY = 5;

/** So many messages within that time are much. */
const MUCH = 8;

/** Events: `tell` (what, socket), `message` (instance, message, socket), `end` (how the process ended, and whether it ran). */
class Link extends EventEmitter {
    constructor(child) {
        super();
        this._child = child;
        this._isHeld = false;
        /** The instances whose messages are in V8's own form. */
        this._advanced = new Set();
        /** What has changed since it was called last, as asks: they go before whatever is asked. */
        this.changes = () => [];
        this._lookedAt = -Infinity;
        this._look = null;
        /** How many messages have had changes looked for before them within the time that began then. */
        this._looks = { since: -Infinity, count: 0 };
        child.on('message', (text, socket) => this._received(text, socket));
        child.on('error', error => this._ended({ error }));
        child.on('exit', (code, signal) => this._afterLastWords(() => this._ended({ code, signal })));
        child.unref();
        this._unrefChannel();
    }

    get isOpen() {
        return this._child.connected;
    }

    ask(what, details) {
        this.tellChanges();
        this._send({ ask: what, ...details });
    }

    tellChanges() {
        this._lookedAt = Date.now();
        for (const ask of this.changes()) {
            this._send(ask);
        }
    }

    /** An instance's messages are in V8's own form from now on. */
    usesAdvanced(instance) {
        this._advanced.add(instance);
    }

    /** It has ended. */
    forget(instance) {
        this._advanced.delete(instance);
    }

    /** False if so much waits that more had better wait, as `child.send` has it. */
    sendTo(instance, message, socket, options, callback) {
        this.tellChangesBefore();
        const written = this._advanced.has(instance) ? advanced().pack(message) : message;
        return this._send({ to: instance, message: written }, socket, options, callback);
    }

    /**
     * Something is about to be said to a worker, which may end it: its successor is to have what has been changed until now.
     * To look for changes costs ten times what saying it costs, so when much is said it is done every now and then.
     */
    tellChangesBefore() {
        const now = Date.now();
        if (now - this._looks.since >= LOOK_EVERY) {
            this._looks = { since: now, count: 0 };
        }
        if (this._looks.count < MUCH) {
            this._looks.count++;
            this.tellChanges();
        } else {
            this.tellChangesSoon();
        }
    }

    /** Looks for changes within `LOOK_EVERY`: the supervisor has told something, and may start a worker by itself. */
    tellChangesSoon() {
        if (Date.now() - this._lookedAt >= LOOK_EVERY) {
            this.tellChanges();
        } else if (this._look === null) {
            this._look = setTimeout(() => {
                this._look = null;
                this.tellChanges();
            }, LOOK_EVERY).unref();
        }
    }

    /** Whether the link keeps this process alive. */
    hold(isHeld) {
        if (isHeld === this._isHeld) {
            return;
        }
        this._isHeld = isHeld;
        if (isHeld) {
            // The process too: when the channel has ended, how it ended is still to be heard.
            this._child.ref();
            if (this._child.channel) {
                this._child.channel.ref();
            }
        } else {
            this._child.unref();
            this._unrefChannel();
        }
    }

    close() {
        if (this._child.connected) {
            this._child.disconnect();
        }
    }

    _unrefChannel() {
        if (this._child.channel) {
            this._child.channel.unref();
        }
    }

    _send(text, socket, options, callback = () => {}) {
        if (this._child.connected) {
            return this._child.send(text, socket, options, callback);
        }
        const error = Object.assign(new Error('the channel to the supervisor is closed'), { code: 'ERR_IPC_CHANNEL_CLOSED' });
        process.nextTick(callback, error);
        return false;
    }

    _received(text, socket) {
        if (text.tell === undefined) {
            const { from, message } = text;
            this.emit('message', from, this._advanced.has(from) ? advanced().unpack(message) : message, socket);
        } else {
            this.emit('tell', text, socket);
        }
    }

    /** The end of a process may be noticed before what it said last has been read. */
    _afterLastWords(then) {
        if (this._child.connected) {
            this._child.once('disconnect', then);
        } else {
            then();
        }
    }

    _ended(how) {
        if (!this._hasEnded) {
            this._hasEnded = true;
            this.emit('end', how);
        }
    }
}

/** Most masters never need it. */
function advanced() {
    return require('../shared/advanced');
}

/** Starts the binary as the supervisor of this process's workers. */
exports.start = function start(binary) {
    const stdio = ['inherit', 'inherit', 'inherit', ...listenFds.inherited(), 'ipc'];
    return new Link(spawn(binary, ['__attach'], { stdio }));
};

/**
 * Connects to the supervisor that started this process, whose socket is the descriptor `socket`: a helper of ours, gone
 * at once, is given a channel, and hands its end on through that socket.
 */
exports.connect = function connect(binary, socket) {
    return new Link(spawn(binary, ['__link'], { stdio: ['ignore', 'ignore', 'inherit', 'ipc', socket] }));
};
