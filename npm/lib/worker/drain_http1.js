// HTTP/1 while stopping: every connection ends with the answer it is waiting for.
//
// Invariants: an answer says `Connection: close` exactly if no later request of its connection has arrived, so that
// pipelined requests are all answered; after it, no request of that connection reaches the application; the socket
// is closed only when the client had its chance to read the answer.

/** On a socket: its last answer is under way, later requests are not ours. */
const kLast = Symbol('luster.last');
/** On a socket: we have said goodbye and wait for the client to. */
exports.kLingering = Symbol('luster.lingering');

let patched = false;

exports.apply = function apply(server) {
    if (!patched) {
        patched = true;
        patchResponses();
    }
    // `close()` calls it, and frameworks do; what is idle is decided by the sweep, which waits for late requests.
    // `closeAllConnections` stays: who calls that means it.
    if (typeof server.closeIdleConnections === 'function') {
        server.closeIdleConnections = function closeIdleConnections() {};
    }
    holdRequests(server);
};

/**
 * Emits requests one tick later than Node, when all that arrived together has been parsed: an answer given at once
 * would otherwise say `close` over the head of the request behind it.
 */
function holdRequests(server) {
    const emit = server.emit;
    server.emit = function (event, req, ...rest) {
        const isHttp1Request = (event === 'request' || event === 'checkContinue') && req.httpVersionMajor === 1;
        if (!isHttp1Request) {
            return emit.call(this, event, req, ...rest);
        }
        if (!req.socket[kLast]) {
            process.nextTick(() => emit.call(this, event, req, ...rest));
        }
        return true;
    };
}

/** Every header goes through here, however the application set it, also in answers already begun. */
function patchResponses() {
    const { prototype } = require('http').ServerResponse;
    const storeHeader = prototype._storeHeader;
    prototype._storeHeader = function (...args) {
        const result = storeHeader.apply(this, args);
        if (isLastAnswer(this)) {
            makeLast(this);
        }
        return result;
    };
}

function isLastAnswer(res) {
    const parser = res.req && res.req.socket && res.req.socket.parser;
    // No parser: an upgraded socket, or no connection of a server. 1xx: the answer is yet to come, or a protocol switch.
    return Boolean(parser) && res.statusCode >= 200
        && (!parser.incoming || parser.incoming === res.req);
}

function makeLast(res) {
    if (!res._last) {
        res._header = sayingClose(res._header);
        res._last = true;
        res.shouldKeepAlive = false;
    }
    const { socket } = res.req;
    socket[kLast] = true;
    socket.destroySoon = linger;
}

function sayingClose(header) {
    const lines = header.split('\r\n').filter(line => !/^(connection|keep-alive):/i.test(line));
    lines.splice(-2, 0, 'Connection: close');
    return lines.join('\r\n');
}

/**
 * In place of `destroySoon`: ends our side only. To close a socket with unread data (the rest of a body, a pipelined
 * request) resets it, and a reset can overtake the answer. The sweep closes it if the client does not.
 */
function linger() {
    this[exports.kLingering] = true;
    this.end();
}
