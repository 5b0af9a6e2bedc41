// Keeps a configuration that is only read again from what the process that runs it for good does already: its servers
// listen where nobody comes, and where none of that process's are in the way.
//
// Invariant: a server that listens says so, and where, as ever.

const dgram = require('dgram');
const net = require('net');

const NOWHERE = { port: 0, host: '127.0.0.1' };

exports.install = function install() {
    const { listen } = net.Server.prototype;
    net.Server.prototype.listen = function (...args) {
        return listen.call(this, NOWHERE, ...args.filter(isFunction).slice(0, 1));
    };
    const { bind } = dgram.Socket.prototype;
    dgram.Socket.prototype.bind = function (...args) {
        return bind.call(this, { port: 0 }, ...args.filter(isFunction).slice(0, 1));
    };
};

function isFunction(arg) {
    return typeof arg === 'function';
}
