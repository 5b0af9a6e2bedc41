// Says that this process goes on although it has closed its servers.
//
// The master keeps the socket of a closed server for a while, because `server.close(() => process.exit(1))` is how many
// an app dies, and its clients are to find the next process. Once the last connection has ended and the process is still
// there, the port is closed for good: another program, a child of ours, may want it.
//
// Invariants: it is said after everything that was to happen at the server's `close`; never while another server's
// connections are still to end; servers that are not closed cost nothing.

const net = require('net');
const { COMMANDS } = require('../shared/rpc');

let closing = 0;

/** Begins to notice servers that are closed. Called once, before the application is loaded. */
exports.watch = function watch() {
    const { close } = net.Server.prototype;
    net.Server.prototype.close = function (...args) {
        // Without a handle it listens no more, or not yet.
        if (this._handle) {
            closing++;
            this.once('close', closed);
        }
        return close.apply(this, args);
    };
};

function closed() {
    closing--;
    setImmediate(() => {
        if (closing === 0) {
            require('./channel').tellSupervisor(COMMANDS.livesOn, []);
        }
    });
}
