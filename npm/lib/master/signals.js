// What signals mean to a custom master's script: as to luster itself, SIGTERM, SIGINT and SIGQUIT stop everything
// gracefully, a second one kills, SIGHUP restarts the workers one by one.
//
// Invariant: a script that handles SIGHUP itself keeps it for itself; the others are handled besides, and the script's
// process is then its own to end.

const fs = require('fs');

exports.install = function install(master, link, leaveExitToOthers) {
    let isStopping = false;
    const stop = signal => {
        if (process.listenerCount(signal) > 1) {
            leaveExitToOthers();
        }
        link.ask(isStopping ? 'killAll' : 'stop');
        isStopping = true;
        link.hold(true);
    };
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT']) {
        process.on(signal, stop);
    }
    process.on('SIGHUP', () => {
        if (process.listenerCount('SIGHUP') === 1) {
            if (terminalIsLost()) {
                stop('SIGHUP');
            } else {
                master.softRestart();
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
