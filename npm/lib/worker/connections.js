// Which HTTP connections this process has, found when they are asked for instead of kept in a list.
//
// Node lists its active handles; of a TLS connection that is the raw socket beneath, and of an HTTP/2 one it says
// nothing. So TLS and HTTP/2 servers get one listener that writes on the raw socket what became of it. Their
// handshake costs a thousand times as much; plain HTTP servers get no listener.
//
// Invariant: a server is recognised by what it can do, never by `instanceof`, so that no HTTP module is loaded here.

const net = require('net');

/** On a raw socket: the TLS socket over it, once the handshake is done. */
const kSecure = Symbol('luster.secure');
/** On a socket: its HTTP/2 session. */
const kSession = Symbol('luster.session');

const tracked = new WeakSet();

exports.isHttp = function isHttp(server) {
    return server !== null && typeof server === 'object'
        && ('headersTimeout' in server || exports.isHttp2(server));
};

exports.isHttp2 = function isHttp2(server) {
    return inheritsFrom(server, 'Http2SecureServer') || inheritsFrom(server, 'Http2Server');
};

/** Makes the server's connections findable. False if they were already. */
exports.track = function track(server) {
    if (tracked.has(server)) {
        return false;
    }
    tracked.add(server);
    if (isTls(server)) {
        server.prependListener('secureConnection', rememberSecure);
    }
    if (exports.isHttp2(server)) {
        // Not 'request' or 'stream': those would change how the server behaves.
        server.prependListener('session', rememberSession);
    }
    return true;
};

/** What is found: `{socket, session, handshaking}`, the socket being the one that carries HTTP. */
exports.list = function list() {
    const found = [];
    for (const handle of process._getActiveHandles()) {
        if (handle instanceof net.Socket && !handle.destroyed && exports.isHttp(handle.server)) {
            const socket = handle[kSecure] || handle;
            if (!socket.destroyed) {
                found.push({
                    socket,
                    session: socket[kSession],
                    handshaking: isTls(handle.server) && socket === handle && !handle.encrypted,
                });
            }
        }
    }
    return found;
};

/** Whether any server of this process, of whatever protocol, has a connection. */
exports.areOpen = function areOpen() {
    return process._getActiveHandles()
        .some(handle => handle instanceof net.Socket && !handle.destroyed && Boolean(handle.server));
};

function rememberSecure(socket) {
    if (socket._parent) {
        socket._parent[kSecure] = socket;
    }
}

function rememberSession(session) {
    session.socket[kSession] = session;
}

function isTls(server) {
    return typeof server.setSecureContext === 'function';
}

function inheritsFrom(object, className) {
    for (let p = Object.getPrototypeOf(object); p !== null; p = Object.getPrototypeOf(p)) {
        if (p.constructor && p.constructor.name === className) {
            return true;
        }
    }
    return false;
}
