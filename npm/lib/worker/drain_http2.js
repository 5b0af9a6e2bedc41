// HTTP/2 while stopping: a session is told to send nothing new, and closed when what was under way has arrived.
//
// Node has `session.goaway(0, 2 ** 31 - 1)` for the first step, but its HTTP/2 library then ignores every stream the
// client opens before it has read the notice, and those requests hang (seen on Node 16 to 24). So on a plain
// connection the frame is written beside the library, which need not know of it: it promises nothing. Under TLS that
// cannot be done: a second writer makes Node abort. There a session is closed with the one GOAWAY Node sends, which
// tells the client which streams were not begun, so that it may repeat them.

const net = require('net');

/** GOAWAY, no error, last stream 2^31-1: RFC 9113, section 6.8, on graceful shutdown. */
const NOTICE = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

exports.apply = function apply(server) {
    // From Node 24 `close()` closes all sessions at once, without the notice.
    if (!Object.prototype.hasOwnProperty.call(server, 'close')) {
        server.close = net.Server.prototype.close;
    }
};

/**
 * Tells the client, in a frame of its own (sessions write whole frames), and closes the session as soon as the client
 * has read it: its answer to a ping sent behind the notice comes after every stream it opened before. Returns false
 * where that is impossible.
 */
exports.notify = function notify(socket, session) {
    if (session.encrypted || !socket.writable) {
        return false;
    }
    socket.write(NOTICE);
    return session.ping(error => {
        if (!error) {
            exports.close(session);
        }
    });
};

/** Ends the session when its streams have ended. */
exports.close = function close(session) {
    if (!session.closed && !session.destroyed) {
        session.close();
    }
};
