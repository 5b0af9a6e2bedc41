// The ways from a worker to the other side: Node's channel to the supervisor, and the direct channel to the
// host, once there is one.
//
// Invariants: remote calls arrive in the order they were made, also when it is opened between two of them: what
// went by the channel is followed by a word that says so, and the direct channel is not read before that word. Sending never throws
// or emits because the other side is gone: this process is then on its way out, and an error of ours must not decide its
// exit code.

const { message, parse } = require('../shared/rpc');
const serialization = require('./serialization');

const LINE = 'core.worker.directChannel';
const OPEN_HERE = 'core.worker.directChannelOpen';
const OPEN_THERE = 'core.master.directChannelOpen';

let line = null;

/** A call for the host. */
exports.send = function send(name, args) {
    if (line !== null && line.isOpen) {
        line.send(message(name, args));
    } else {
        exports.tellSupervisor(name, args);
    }
};

/** What both the supervisor and the host have to know. */
exports.report = function report(name, args) {
    if (line !== null && line.isOpen) {
        line.send(message(name, args));
        sendByChannel({ ...message(name, args), direct: true });
    } else {
        exports.tellSupervisor(name, args);
    }
};

/** What the supervisor has to know; it passes on what is not its own. */
exports.tellSupervisor = function tellSupervisor(name, args) {
    sendByChannel(message(name, args));
};

/** The same with a handle; `sent` is called when it is no longer needed here. */
exports.sendSupervisor = function sendSupervisor(name, args, handle, sent) {
    if (process.connected) {
        process.send(message(name, args), handle, undefined, sent);
    } else {
        sent();
    }
};

/** Makes the worker know the commands about the line. */
exports.register = function register(worker) {
    for (const name of [LINE, OPEN_HERE]) {
        worker.registerRemoteCommand(name, () => {});
    }
    process.on('message', (text, handle) => {
        const call = parse(text);
        if (call !== null && call.name === LINE && handle) {
            adopt(handle);
        } else if (call !== null && call.name === OPEN_HERE && line !== null) {
            listen(line);
        }
    });
};

/** A new line replaces an earlier one, whose other end is gone. */
function adopt(socket) {
    const DirectChannel = require('../shared/direct_channel');
    if (line !== null) {
        line.close();
    }
    exports.tellSupervisor(OPEN_THERE, []);
    line = new DirectChannel(socket, serialization.isAdvanced);
}

/** What comes by the line is a message as if it had come by the channel. */
function listen(opened) {
    opened.listen(text => process.emit('message', text, undefined));
}

function sendByChannel(text) {
    if (process.connected) {
        process.send(text, undefined, undefined, ignoreError);
    }
}

// EPIPE or ERR_IPC_CHANNEL_CLOSED: the master left between `connected` and the write.
function ignoreError() {}
