// An extension: its `configure` is called in the master and in each worker, with the extension's own configuration.

exports.configure = function (config, luster) {
    if (luster.isMaster) {
        luster.on('worker exit', (worker, code, signal) => {
            console.log(`worker ${worker.wid} ended with ${signal || `code ${code}`}`);
        });
    } else {
        // What it puts on the object, the app finds there.
        luster.greeting = `${config.get('greeting', 'Hello')} from worker ${luster.wid}`;
    }
};
