// Whether a signal is the one before it once more: npm and a terminal both send one Ctrl-C, `timeout` sends SIGTERM twice.
//
// Invariant: as in `src/core/goal.rs`, a time in which this process did not run counts for nothing: no signal says when it
// was sent, and what was sent meanwhile is heard after it.

/** How long it may be one, in ms, and after how much more it is told that this process did not run. */
const ECHO = 500;
const LATE = 20;

/** A function of a signal's name that says whether it is an echo. */
exports.listener = function listener() {
    const fresh = new Set();
    return name => {
        if (fresh.has(name)) {
            return true;
        }
        fresh.add(name);
        const end = Date.now() + ECHO;
        // Timers come before what waits to be heard.
        setTimeout(() => {
            setTimeout(() => fresh.delete(name), Date.now() > end + LATE ? ECHO : LATE).unref();
        }, ECHO).unref();
        return false;
    };
};
