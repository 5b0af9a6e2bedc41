// What signals mean to a custom master's script: as to luster itself, SIGTERM, SIGINT and SIGQUIT stop everything
// gracefully, a second one kills, SIGHUP restarts the workers one by one.
//
// Invariant: a script that handles SIGTERM, SIGHUP or SIGUSR1 itself keeps it for itself, as under JS luster; SIGINT and
// SIGQUIT are handled besides, as there, and the script's process is then its own to end. We listen first, while those
// that listen once are still listeners.

const fs = require('fs');
const echo = require('./echo');
const { othersListen } = require('./listeners');

/** `reopens` says whether log files are opened anew on SIGUSR1; without them it stays Node's. */
exports.install = function install(master, link, { reopens, leaveExitToOthers }) {
    const isEcho = echo.listener();
    const stop = signal => {
        if (othersListen(signal, 1)) {
            leaveExitToOthers();
            if (signal === 'SIGTERM') {
                return;
            }
        }
        // Whether one that comes later, or another one, means now is the supervisor's to say.
        if (!isEcho(signal)) {
            link.ask('stop', { signal });
        }
        link.hold(true);
    };
    if (reopens) {
        process.prependListener('SIGUSR1', () => {
            if (!othersListen('SIGUSR1', 1)) {
                link.ask('reopen');
            }
        });
    }
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT']) {
        process.prependListener(signal, stop);
    }
    process.prependListener('SIGHUP', () => {
        if (!othersListen('SIGHUP', 1)) {
            if (terminalIsLost()) {
                stop('SIGHUP');
            } else {
                // An operator's request: unlike `softRestart()` it stops at a replacement that keeps dying.
                master._ask('rollout', { hold: true });
            }
        }
    });
};

/** The kernel takes the terminal away before it says so; without one there never was one to lose. */
const hadTerminal = hasTerminal();

function terminalIsLost() {
    return hadTerminal && !hasTerminal();
}

function hasTerminal() {
    try {
        fs.closeSync(fs.openSync('/dev/tty', 'r'));
        return true;
    } catch {
        return false;
    }
}
