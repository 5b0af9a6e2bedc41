// Closes, while stopping, the connections that nobody is using.
//
// Invariants: a connection is closed only after GRACE without a byte, an answer in progress, or a request partly
// received; the time runs from the start of stopping or from its last activity; upgraded connections are never ours.
// Long answers and slow senders are left to the master's stopTimeout.

const connections = require('./connections');
const { kLingering } = require('./drain_http1');

/** How long a client that holds an open connection may take to send the request it already meant to send. */
const GRACE = 300;
/** How long a client may go on sending after its last answer, or leave an HTTP/2 notice unread. */
const LINGER_LIMIT = 5000;
const TICK = 50;

/** What was last seen of a connection: `{first, since, bytes, lingering}`. */
const observed = new WeakMap();

exports.start = function start() {
    sweep();
    // After the poll phase, so that what has arrived in the kernel by now has been read.
    setInterval(() => setImmediate(sweep), TICK).unref();
};

function sweep() {
    const now = Date.now();
    for (const connection of connections.list()) {
        const last = observe(connection, now);
        if (connection.session) {
            sweepSession(connection.session, last, now);
        } else if (connection.socket[kLingering]) {
            sweepLingering(connection.socket, last, now);
        } else if (isOurs(connection)) {
            sweepIdle(connection, last, now);
        }
    }
}

/** Notes the connection's activity; greets a session met for the first time. */
function observe({ socket, session }, now) {
    let last = observed.get(socket);
    if (last === undefined) {
        last = { first: now, since: now, bytes: socket.bytesRead, lingering: null };
        observed.set(socket, last);
        if (session) {
            require('./drain_http2').notify(socket, session);
        }
    } else if (last.bytes !== socket.bytesRead) {
        last.bytes = socket.bytesRead;
        last.since = now;
    }
    return last;
}

function sweepSession(session, last, now) {
    if (now - last.first >= LINGER_LIMIT) {
        require('./drain_http2').close(session);
    }
}

function sweepLingering(socket, last, now) {
    if (last.lingering === null) {
        last.lingering = now;
        last.since = now;
    }
    if (socket.writableFinished && (now - last.since >= GRACE || now - last.lingering >= LINGER_LIMIT)) {
        socket.destroy();
    }
}

function sweepIdle(connection, last, now) {
    if (!connection.handshaking && isBusy(connection.socket)) {
        last.since = now;
    } else if (now - last.since >= GRACE) {
        connection.socket.destroy();
    }
}

/** Once upgraded, or taken over by the application, a connection has no parser. */
function isOurs({ socket, handshaking }) {
    return handshaking || Boolean(socket.parser);
}

function isBusy(socket) {
    // `finish` tells a parser that no more will come. Between messages it has nothing to say to that, within one it
    // returns an error; it changes nothing either way.
    return Boolean(socket._httpMessage) || socket.parser.finish() instanceof Error;
}
