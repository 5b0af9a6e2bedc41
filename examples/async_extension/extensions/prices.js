// An asynchronous extension: its `configure` takes a third parameter, and luster waits until it is called. The master
// reads the data once; each worker asks it for them before its app is loaded.

const fs = require('fs');

exports.configure = function (config, luster, done) {
    if (luster.isMaster) {
        fs.readFile(config.resolve('file'), 'utf8', (error, text) => {
            if (error) {
                done(error);
                return;
            }
            const prices = JSON.parse(text);
            luster.registerRemoteCommandWithCallback('prices', answer => answer(prices));
            done();
        });
    } else {
        luster.remoteCallWithCallback({
            command: 'prices',
            timeout: 3000,
            callback(worker, error, prices) {
                luster.prices = prices;
                done(error);
            },
        });
    }
};
