// luster's remote calls: messages `{cmd: 'luster_<name>', args}`, and the answers awaited by id.
//
// Invariant: a call that is not answered in time is called back with an error, once.

const PREFIX = 'luster_';
const ANSWER_LIMIT = 10000;
/** What a call consists of. */
const PARTS = ['cmd', 'args', 'direct'];

exports.COMMANDS = {
    applyForeignProperties: 'core.worker.applyForeignProperties',
    suspend: 'core.worker.suspend',
    drain: 'core.worker.drain',
    bind: 'core.worker.bind',
    bound: 'core.master.bound',
    broadcastMasterEvent: 'core.worker.broadcastMasterEvent',
    broadcastWorkerEvent: 'core.master.broadcastWorkerEvent',
    leaving: 'core.master.leaving',
    drained: 'core.master.drained',
    livesOn: 'core.master.livesOn',
    lastWords: 'core.master.lastWords',
    oldNode: 'core.master.oldNode',
    callback: 'core.callback',
};

exports.message = function message(name, args) {
    return args.length > 0 ? { cmd: PREFIX + name, args } : { cmd: PREFIX + name };
};

/** `{name, args}` of a luster message; null for everybody else's. */
exports.parse = function parse(message) {
    return message && typeof message.cmd === 'string' && message.cmd.startsWith(PREFIX)
        ? { name: message.cmd.slice(PREFIX.length), args: message.args || [] }
        : null;
};

/** Whether a message is a call, with what belongs to one and nothing besides. */
exports.isOnlyCall = function isOnlyCall(message) {
    return exports.parse(message) !== null
        && (message.args === undefined || Array.isArray(message.args))
        && Object.keys(message).every(name => PARTS.includes(name));
};

/** The calls whose answers are owed to this process. */
exports.Answers = class Answers {
    constructor() {
        this._awaited = new Map();
        this._count = 0;
    }

    /** Returns the id under which `callback(process, error, data)` is called, once. */
    expect(owner, { command, callback, timeout }) {
        // No other process of this worker's has the same.
        const id = `${owner.wid}_${process.pid}_${this._count++}`;
        const timer = setTimeout(() => {
            const { LusterRPCCallbackError } = require('./errors');
            this._awaited.delete(id);
            callback(owner, LusterRPCCallbackError.createError('REMOTE_CALL_WITH_CALLBACK_TIMEOUT', { command }));
        }, timeout || ANSWER_LIMIT);
        // Who is gone owes nothing: its answers must not keep this process alive.
        timer.unref();
        this._awaited.set(id, { callback, timer });
        return id;
    }

    arrived(owner, id, data) {
        const awaited = this._awaited.get(id);
        if (awaited) {
            this._awaited.delete(id);
            clearTimeout(awaited.timer);
            awaited.callback(owner, null, data);
        }
    }
};
