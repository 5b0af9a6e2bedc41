// Closes, while stopping, the connections that nobody is using.
//
// Invariants: a connection is closed only after `control.idleTimeout` without a byte, an answer in progress, or a request
// partly received: most clients come back before, and are told to close by the answer they get; the time runs from the start of stopping or from its last activity; upgraded connections are never ours.
// Long answers and slow senders are left to the master's stopTimeout.
//
// Time is counted in sweeps. Where the machine is too busy to let us sweep, clients come late as well, and a clock
// would close connections at the first chance after a standstill. One sweep more than the time says, because the last
// activity was up to a sweep ago when it is noticed.

const connections = require('./connections');
const { kLingering } = require('./drain_http1');

/** The time between sweeps, in ms. All times below are counted in sweeps. */
const TICK = 50;
/** How long a client that holds an open connection may take to send its next request, unless configured, in ms. */
const IDLE_TIMEOUT = 2000;
/** No more than to send the request it already meant to send: in haste, or after its last answer. */
const GRACE = 300 / TICK + 1;
/**
 * The least for a connection that has not carried a byte yet: whoever opens one means to use it, and on a machine with
 * more work than cores the time from connecting to sending is easily longer than GRACE.
 */
const FIRST_GRACE = 1000 / TICK + 1;
/** How long a client may go on sending after its last answer, or leave an HTTP/2 notice unread. */
const LINGER_LIMIT = 5000 / TICK;

/** What was last seen of a connection: since when it is silent, bytes read, when to close it at the latest. */
const observed = new WeakMap();
let now = 0;
let idleGrace = GRACE;

/** `idleTimeout` in ms, 0 being none; in haste it is no longer than GRACE. */
exports.start = function start(idleTimeout, isHasty) {
    idleGrace = graceOf(idleTimeout, isHasty);
    sweep();
    // After the poll phase, so that what has arrived in the kernel by now has been read.
    setInterval(() => setImmediate(sweep), TICK).unref();
};

function graceOf(idleTimeout, isHasty) {
    const isSet = typeof idleTimeout === 'number' && idleTimeout >= 0;
    const timeout = isSet ? idleTimeout : IDLE_TIMEOUT;
    const grace = timeout === 0 ? Infinity : timeout / TICK + 1;
    return isHasty ? Math.min(grace, GRACE) : grace;
}

function sweep() {
    now++;
    for (const connection of connections.list()) {
        const last = observe(connection);
        if (connection.session) {
            sweepSession(connection, last);
        } else if (connection.socket[kLingering]) {
            sweepLingering(connection.socket, last);
        } else if (isOurs(connection)) {
            sweepIdle(connection, last);
        }
    }
}

/** Notes the connection's activity. */
function observe({ socket }) {
    let last = observed.get(socket);
    if (last === undefined) {
        last = { since: now, bytes: socket.bytesRead, closeAt: null };
        observed.set(socket, last);
    } else if (last.bytes !== socket.bytesRead) {
        last.bytes = socket.bytesRead;
        last.since = now;
    }
    return last;
}

/** A session that has been told closes itself; the time here is for one that could not be, or does not listen. */
function sweepSession({ socket, session }, last) {
    const http2 = require('./drain_http2');
    if (last.closeAt === null) {
        last.closeAt = now + (http2.notify(socket, session) ? LINGER_LIMIT : GRACE);
    } else if (now >= last.closeAt) {
        http2.close(session);
    }
}

function sweepLingering(socket, last) {
    if (last.closeAt === null) {
        last.closeAt = now + LINGER_LIMIT;
        last.since = now;
    }
    if (socket.writableFinished && (now - last.since >= GRACE || now >= last.closeAt)) {
        socket.destroy();
    }
}

function sweepIdle(connection, last) {
    if (!connection.handshaking && isBusy(connection.socket)) {
        last.since = now;
    } else if (now - last.since >= (last.bytes === 0 ? Math.max(FIRST_GRACE, idleGrace) : idleGrace)) {
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
