// The sockets that systemd hands to whatever it starts: descriptors from 3 on, as many as `LISTEN_FDS` says. Node sees to it
// that its children do not inherit them, so they have to be named.
//
// Invariant: a number is believed only if there is a socket behind it, which has been there from the start: a script may have
// closed it since, and opened a connection of its own that got the number.

const fs = require('fs');

const FIRST = 3;

/** The inodes of those there were. */
const atStart = [];
for (let fd = FIRST; fd < FIRST + Number(process.env.LISTEN_FDS || 0) && socketOf(fd) !== null; fd++) {
    atStart.push(socketOf(fd));
}

/** Their numbers: those up to the first that is gone, because a child's have to follow each other. */
exports.inherited = function inherited() {
    const gone = atStart.findIndex((inode, index) => socketOf(FIRST + index) !== inode);
    return atStart.slice(0, gone === -1 ? undefined : gone).map((inode, index) => FIRST + index);
};

function socketOf(fd) {
    try {
        const about = fs.fstatSync(fd, { bigint: true });
        return about.isSocket() ? about.ino : null;
    } catch {
        return null;
    }
}
