// The states and events of a worker as its master sees them, which extensions read from `luster/lib/worker_wrapper`.

/** What Node tells of a worker. */
exports.PROXIED_EVENTS = Object.freeze(['message', 'online', 'listening', 'disconnect', 'exit']);

/** What a worker tells of itself. */
exports.REPORTED_EVENTS = Object.freeze(['configured', 'extension loaded', 'initialized', 'loaded', 'ready']);

exports.STATES = Object.freeze({
    STOPPED: 'stopped',
    LAUNCHING: 'launching',
    RUNNING: 'running',
    STOPPING: 'stopping',
});

exports.EVENTS = Object.freeze(['error', 'state', 'fork', ...exports.PROXIED_EVENTS, ...exports.REPORTED_EVENTS]);
