// What `require('luster')` is: this process's Master or Worker.
//
// Invariant: one per process, however many copies of the package there are.

const cluster = require('cluster');
const path = require('path');
const { publish, published } = require('./shared/names');

module.exports = published() || create();

function create() {
    // A worker of ours whose preloaded script has not run yet: something before it, such as `-r`, asks for luster.
    if (cluster.isWorker && process.env.LUSTER_BOOT) {
        return require('./worker/start');
    }
    require('./shared/extensions').lookBeside(path.join(__dirname, '..'));
    const ClusterProcess = cluster.isWorker ? require('./worker/worker') : require('./master/master');
    const clusterProcess = new ClusterProcess();
    publish(clusterProcess);
    return clusterProcess;
}
