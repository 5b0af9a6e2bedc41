// Binds a port for the master, which may not do so itself, where this process may: a Node with `cap_net_bind_service`. The
// socket is the master's from then on, as if it had bound it.
//
// Invariants: nothing listens or receives here, so no connection or datagram ends in this process by mistake; the master is
// always answered.

const net = require('net');
const dgram = require('dgram');
const os = require('os');
const channel = require('./channel');
const { COMMANDS } = require('../shared/rpc');

/** As the kernel has it. */
const EACCES = 13;

/** Node's own ways from a description to a bound handle; not documented, so they may be gone one day. */
const createHandle = net._createServerHandle;
const createSocketHandle = dgram._createSocketHandle;

module.exports = function bind({ id, transport, address, scope, port, addressType, flags }) {
    const host = scope === 0 ? address : `${address}%${interfaceOf(scope)}`;
    const handle = transport === 'udp' ?
        udp(host, port, `udp${addressType}`, flags) :
        tcp(host, port, addressType, flags);
    if (typeof handle === 'number') {
        channel.tellSupervisor(COMMANDS.bound, [id, handle]);
    } else {
        channel.sendSupervisor(COMMANDS.bound, [id], handle, () => handle.close());
    }
};

function tcp(host, port, addressType, flags) {
    return typeof createHandle === 'function' ? createHandle(host, port, addressType, -1, flags) : -EACCES;
}

/** Node warns apps of this function; none of them has called it. */
function udp(host, port, type, flags) {
    if (typeof createSocketHandle !== 'function') {
        return -EACCES;
    }
    const { noDeprecation } = process;
    process.noDeprecation = true;
    try {
        return createSocketHandle(host, port, type, -1, flags);
    } finally {
        process.noDeprecation = noDeprecation;
    }
}

/** An interface's name by its number, which is what libuv takes; without one nothing is bound. */
function interfaceOf(scope) {
    const all = Object.entries(os.networkInterfaces());
    const found = all.find(([, addresses]) => addresses.some(address => address.scopeid === scope));
    return found === undefined ? '' : found[0];
}
