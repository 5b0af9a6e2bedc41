// Stopping without cutting anyone off: from `start()` on, every HTTP server of this process lets its connections end
// in their own time, whoever closes it - Node's cluster, the application, a framework.
//
// Node's own `server.close()` resets connections on which a request is just arriving, or (before Node 19) waits for
// idle ones. Instead, closing a server closes its listening handle alone; answers say `Connection: close`
// (`drain_http1.js`), HTTP/2 sessions get a notice (`drain_http2.js`), and idle connections are swept (`sweep.js`).
//
// Invariants: before `start()` a plain HTTP connection costs nothing at all; plain net and tls servers are left as
// they are; no HTTP module is loaded here that the application did not load.

const cluster = require('cluster');
const net = require('net');

/** Every HTTP server that was told to listen, for as long as the application keeps it. */
const seen = new Set();
let stopping = false;
/** What the configuration says of `control.idleTimeout`. */
let configuredIdleTimeout = () => undefined;

/** Begins to notice servers. Called once, before the application is loaded. */
exports.watch = function watch(idleTimeout) {
    configuredIdleTimeout = idleTimeout;
    const listen = net.Server.prototype.listen;
    net.Server.prototype.listen = function (...args) {
        notice(this);
        return listen.apply(this, args);
    };

    // A worker that leaves by its own will deserves the same. The master is told before Node tells it of closed
    // servers, so that it keeps their sockets for the worker's successor.
    const { disconnect } = cluster.worker;
    cluster.worker.disconnect = function (...args) {
        require('./channel').tellSupervisor(require('../shared/rpc').COMMANDS.leaving, []);
        exports.start();
        return disconnect.apply(this, args);
    };
};

/** The process is stopping from here on; in haste if clients wait for its end. */
exports.start = function start(isHasty = false) {
    if (!stopping) {
        stopping = true;
        liveServers().forEach(change);
        require('./sweep').start(configuredIdleTimeout(), isHasty);
        sayWhenDrained();
        process.once('disconnect', closeTheRest);
    }
};

function notice(server) {
    const connections = require('./connections');
    if (connections.isHttp(server) && connections.track(server)) {
        seen.add(new WeakRef(server));
        if (stopping) {
            change(server);
        }
    }
}

/** Makes one server close the gentle way. */
function change(server) {
    require('./drain_http1').apply(server);
    if (require('./connections').isHttp2(server)) {
        require('./drain_http2').apply(server);
    }
}

/**
 * Node leaves the channel when the cluster's servers have no connection left. The master is told if nobody has: then the
 * rest of this process has little time to end, else much. Here, because nothing can be said afterwards.
 */
function sayWhenDrained() {
    const { disconnect } = process;
    process.disconnect = function (...args) {
        if (!require('./connections').areOpen()) {
            require('./channel').tellSupervisor(require('../shared/rpc').COMMANDS.drained, []);
        }
        return disconnect.apply(this, args);
    };
}

/** Servers the cluster does not know (`exclusive`, `reusePort`) would keep this process alive for ever. */
function closeTheRest() {
    for (const server of liveServers()) {
        if (server.listening) {
            server.close();
        }
    }
}

function liveServers() {
    return Array.from(seen, reference => reference.deref()).filter(server => server !== undefined);
}
