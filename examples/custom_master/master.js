// A custom master: the workers run this script too, up to `run()`, which loads the app there.

const luster = require('luster');

luster
    .configure({ app: './worker.js', workers: 2, server: { port: 8080 } }, true, __dirname)
    .run();

if (luster.isMaster) {
    let total = 0;

    // Called by a worker; told to all.
    luster.registerRemoteCommand('visited', worker => {
        total++;
        luster.remoteCallToAll('total', total, worker.wid);
    });
}
