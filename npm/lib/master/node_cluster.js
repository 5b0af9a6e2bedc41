// Node's own cluster beside ours: a script or an extension may fork workers by `cluster.fork` itself. They are Node's, and
// share `cluster.workers` with the supervisor's, whose ids are the numbers of their instances.
//
// Invariants: no id is given twice, whoever forks; a worker has its id before anybody sees it, and its process has the
// same; whom Node's cluster has forked stays Node's in everything else.

const { ChildProcess } = require('child_process');
const cluster = require('cluster');
const { syncBuiltinESMExports } = require('module');

/** Beyond all instances there will ever be, and within Node's ids, which have 31 bits. */
const IDS_FROM = 1e9;

let lastId = IDS_FROM;

const { fork: nodesFork } = cluster;

/** As Node's, which counts on being the only one who gives ids. */
cluster.fork = function fork(env) {
    const before = { ...cluster.workers };
    const id = ++lastId;
    const worker = whileStarting(options => rename(options, id), () => nodesFork.call(cluster, env));
    if (worker.id in before) {
        cluster.workers[worker.id] = before[worker.id];
    } else {
        delete cluster.workers[worker.id];
    }
    worker.id = id;
    cluster.workers[id] = worker;
    return worker;
};

/** As Node's, whose callback would wait for workers that it has not forked. */
cluster.disconnect = function disconnect(callback) {
    const workers = Object.values(cluster.workers);
    if (typeof callback === 'function') {
        onceGone(workers, callback);
    }
    for (const worker of workers) {
        if (worker.isConnected()) {
            worker.disconnect();
        }
    }
};

// For those who have `import * as cluster`.
syncBuiltinESMExports();

/** Calls `fork`; `change` may change what `ChildProcess` is given to start the process with. */
function whileStarting(change, fork) {
    const { spawn } = ChildProcess.prototype;
    ChildProcess.prototype.spawn = function changed(options) {
        change(options);
        return spawn.call(this, options);
    };
    try {
        return fork();
    } finally {
        ChildProcess.prototype.spawn = spawn;
    }
}

/** Has the process know the worker's id; Node takes it from nobody. */
function rename({ envPairs }, id) {
    const at = envPairs.findIndex(pair => pair.startsWith('NODE_UNIQUE_ID='));
    if (at >= 0) {
        envPairs[at] = `NODE_UNIQUE_ID=${id}`;
    }
}

/** Calls `then`, once, when the processes of all these have ended and their channels too, which come in either order. */
function onceGone(workers, then) {
    let missing = workers.length;
    if (missing === 0) {
        process.nextTick(then);
    }
    for (const worker of workers) {
        const look = () => {
            if (worker.isDead() && !worker.isConnected()) {
                worker.removeListener('exit', look);
                worker.removeListener('disconnect', look);
                if (--missing === 0) {
                    then();
                }
            }
        };
        // Before others hear of it, as Node has it.
        worker.prependListener('exit', look);
        worker.prependListener('disconnect', look);
    }
}
