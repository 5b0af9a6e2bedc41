// Whether anybody handles a signal besides us.
//
// Invariant: the package signal-exit does not count. It listens to all of these wherever something depends on it, but does
// something only if nobody else listens: to end this process by the signal, which is no way to end it here.

/** The signals both of its forms listen to on Linux. */
const SIGNAL_EXIT = [
    'SIGABRT', 'SIGALRM', 'SIGHUP', 'SIGINT', 'SIGIO', 'SIGIOT', 'SIGPOLL', 'SIGPWR', 'SIGQUIT', 'SIGSTKFLT', 'SIGSYS', 'SIGTERM',
    'SIGTRAP', 'SIGUSR2', 'SIGVTALRM', 'SIGXCPU', 'SIGXFSZ',
];

/** `ours` is how many listeners to it are ours. */
exports.othersListen = (signal, ours) => process.listenerCount(signal) > ours + signalExits(signal);

/** How many listeners it has, as it counts them itself (versions 3 and 4). */
function signalExits(signal) {
    if (!SIGNAL_EXIT.includes(signal)) {
        return 0;
    }
    const emitters = [process.__signal_exit_emitter__, globalThis[Symbol.for('signal-exit emitter')]];
    return emitters.reduce((sum, emitter) => sum + (emitter && Number.isInteger(emitter.count) ? emitter.count : 0), 0);
}
