// The constants that extensions read from `luster/lib/worker_wrapper`. The wrapper itself lives in the master.

const PROXIED_EVENTS = ['message', 'online', 'listening', 'disconnect', 'exit'];
const REPORTED_EVENTS = ['configured', 'extension loaded', 'initialized', 'loaded', 'ready'];

exports.STATES = Object.freeze({
    STOPPED: 'stopped',
    LAUNCHING: 'launching',
    RUNNING: 'running',
    STOPPING: 'stopping',
});

exports.EVENTS = Object.freeze(['error', 'state', 'fork', ...PROXIED_EVENTS, ...REPORTED_EVENTS]);
