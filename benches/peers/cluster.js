// Node's own cluster module as a peer: as many workers as WORKERS says, balanced as NODE_CLUSTER_SCHED_POLICY says.
'use strict';

const cluster = require('cluster');
const path = require('path');

(cluster.setupPrimary || cluster.setupMaster)({ exec: path.join(__dirname, '..', 'worker.js') });
for (let started = 0; started < Number(process.env.WORKERS); started += 1) {
    cluster.fork();
}
