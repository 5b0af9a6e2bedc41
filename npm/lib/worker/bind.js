// Binds a port for the master, which may not do so itself, where this process may: a Node with `cap_net_bind_service`. The
// socket is the master's from then on, as if it had bound it.
//
// Invariants: nothing listens here, so no connection ends in this process by mistake; the master is always answered.

const net = require('net');
const channel = require('./channel');
const { COMMANDS } = require('../shared/rpc');

/** As the kernel has it. */
const EACCES = 13;

/** Node's own way from a description to a bound handle; not documented, so it may be gone one day. */
const createHandle = net._createServerHandle;

module.exports = function bind({ id, address, port, addressType, flags }) {
    const handle = typeof createHandle === 'function' ? createHandle(address, port, addressType, -1, flags) : -EACCES;
    if (typeof handle === 'number') {
        channel.tellSupervisor(COMMANDS.bound, [id, handle]);
    } else {
        channel.sendSupervisor(COMMANDS.bound, [id], handle, () => handle.close());
    }
};
