// The sockets that systemd hands to whatever it starts: descriptors from 3 on, as many as `LISTEN_FDS` says. Node sees to it
// that its children do not inherit them, so they have to be named.
//
// Invariant: a number is believed only if there is a socket behind it.

const fs = require('fs');

const FIRST = 3;

/** Their numbers. */
exports.inherited = function inherited() {
    const numbers = [];
    for (let fd = FIRST; fd < FIRST + Number(process.env.LISTEN_FDS || 0) && isSocket(fd); fd++) {
        numbers.push(fd);
    }
    return numbers;
};

function isSocket(fd) {
    try {
        return fs.fstatSync(fd).isSocket();
    } catch {
        return false;
    }
}
