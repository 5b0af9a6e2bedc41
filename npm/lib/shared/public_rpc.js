// Remote calls as code that imports `luster/lib/rpc` knows them.

const { COMMANDS, message, parse } = require('./rpc');

/** `call(name, …args)` that goes by `target.send`. */
exports.createCaller = target => (name, ...args) => {
    target.send(message(name, args));
};

/** `{cmd, args}` of a luster message, without luster's prefix; null for everybody else's. */
exports.parseMessage = text => {
    const call = parse(text);
    return call === null ? null : { cmd: call.name, args: text.args };
};

/** The names of luster's own commands, by whose they are. */
exports.fns = {
    worker: {
        broadcastMasterEvent: COMMANDS.broadcastMasterEvent,
        applyForeignProperties: COMMANDS.applyForeignProperties,
        suspend: COMMANDS.suspend,
    },
    master: { broadcastWorkerEvent: COMMANDS.broadcastWorkerEvent },
    callback: COMMANDS.callback,
};
