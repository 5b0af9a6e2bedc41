// Whether a configuration that has run left something behind for which a process has to stay: listeners for what only a
// master sees, timers, servers, connections.
//
// Invariant: what it only registers for its own process's failures (`uncaughtException`, `warning`) is nothing to stay for.

const cluster = require('cluster');
const { signals } = require('os').constants;

const OF_PROCESS = ['exit', 'beforeExit', 'message', 'disconnect', ...Object.keys(signals)];

/** Remembers what there is now; the function returned says whether there is more. */
exports.since = function since(master) {
    // Made by being asked for; on a terminal each listens to SIGWINCH. What a configuration prints is nothing it leaves.
    void [process.stdout, process.stderr];
    const before = look(master);
    return () => {
        const now = look(master);
        return now.listeners > before.listeners || hasMore(now.resources, before.resources);
    };
};

function look(master) {
    const count = (emitter, events) => events.reduce((sum, event) => sum + emitter.listenerCount(event), 0);
    return {
        listeners: count(cluster, cluster.eventNames()) + count(master, master.eventNames()) + count(process, OF_PROCESS),
        resources: activeResources(),
    };
}

/** What keeps this process alive, by kind; the names are all older Nodes lack. */
function activeResources() {
    const kinds = process.getActiveResourcesInfo
        ? process.getActiveResourcesInfo()
        : process._getActiveHandles().map(() => 'handle');
    const counts = new Map();
    for (const kind of kinds) {
        counts.set(kind, (counts.get(kind) || 0) + 1);
    }
    return counts;
}

function hasMore(now, before) {
    return Array.from(now).some(([kind, count]) => count > (before.get(kind) || 0));
}
