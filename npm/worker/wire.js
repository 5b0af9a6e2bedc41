// What goes over the channel between worker and master: commands `luster_<name>`, and answers awaited by id.
//
// Invariant: sending never throws or emits because the master is gone. The worker is then on its way out, and an
// error of ours must not decide its exit code.

const PREFIX = 'luster_';
const ANSWER_LIMIT = 10000;

exports.COMMANDS = {
    applyForeignProperties: 'core.worker.applyForeignProperties',
    suspend: 'core.worker.suspend',
    broadcastMasterEvent: 'core.worker.broadcastMasterEvent',
    broadcastWorkerEvent: 'core.master.broadcastWorkerEvent',
    leaving: 'core.master.leaving',
    callback: 'core.callback',
};

exports.send = function send(name, args) {
    if (process.connected) {
        const message = { cmd: PREFIX + name };
        if (args.length > 0) {
            message.args = args;
        }
        process.send(message, undefined, undefined, ignoreError);
    }
};

// EPIPE or ERR_IPC_CHANNEL_CLOSED: the master left between `connected` and the write.
function ignoreError() {}

/** `{name, args}` of a luster message; null for everybody else's. */
exports.parse = function parse(message) {
    return message && typeof message.cmd === 'string' && message.cmd.startsWith(PREFIX)
        ? { name: message.cmd.slice(PREFIX.length), args: message.args || [] }
        : null;
};

/** The calls whose answer the master still owes. */
exports.Answers = class Answers {
    constructor(owner) {
        this._owner = owner;
        this._awaited = new Map();
        this._count = 0;
    }

    /** Returns the id under which `callback(owner, error, data)` is called, once. */
    expect(command, callback, limit) {
        const id = `${this._owner.wid}_${this._count++}`;
        const timer = setTimeout(() => {
            const { LusterRPCCallbackError } = require('./errors');
            this._awaited.delete(id);
            callback(this._owner, LusterRPCCallbackError.createError('REMOTE_CALL_WITH_CALLBACK_TIMEOUT', { command }));
        }, limit || ANSWER_LIMIT);
        // A master that is gone owes nothing: its answers must not keep a leaving worker alive.
        timer.unref();
        this._awaited.set(id, { callback, timer });
        return id;
    }

    arrived(id, data) {
        const awaited = this._awaited.get(id);
        if (awaited) {
            this._awaited.delete(id);
            clearTimeout(awaited.timer);
            setImmediate(awaited.callback, this._owner, null, data);
        }
    }
};
