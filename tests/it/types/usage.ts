// Code as users write it. What must be refused is marked so: the compiler complains if it is not.

import luster = require('luster');
import WorkerWrapper = require('luster/lib/worker_wrapper');
import type { Extension, Master } from 'luster';

luster.configure({ app: './worker', workers: 2, control: { stopTimeout: 10 }, mine: 1 }, true, __dirname).run();

if (luster.isMaster) {
    luster.setup({ silent: true });
    luster.on('worker exit', (worker, code) => {
        const wid: number = worker.wid;
        console.log(wid, code === 0);
    });
    luster.on('worker ready', worker => worker.remoteCall('greet', 1));
    luster.on('an event of my own', (one, two) => console.log(one, two));
    luster.add(new WorkerWrapper(luster, { port: 80 })).softRestart();
    luster.remoteCallToAllWithCallback({
        command: 'count',
        callback(worker, error, data) {
            console.log(worker.pid, error, data.count);
        },
    });
    for (const worker of luster.getWorkersArray()) {
        if (worker.state === WorkerWrapper.STATES.RUNNING) {
            worker.process?.stdout?.pipe(process.stdout);
        }
    }
    // @ts-expect-error a master is never ready
    luster.ready();
} else {
    const port: number = luster.config!.get('server.port', 8080);
    luster.registerSuspendFunction(async () => {});
    luster.on('master hello', (text: string) => console.log(text, port));
    luster.ready();
    // @ts-expect-error a worker restarts nobody
    luster.softRestart();
}

export const later: Extension = {
    configure(config, clusterProcess, done) {
        if (clusterProcess.isMaster) {
            const master: Master = clusterProcess;
            master.shutdown();
        }
        done();
    },
};

export const now: Extension = {
    configure(config) {
        console.log(config.get('path.to.something', 'default'));
    },
};

// @ts-expect-error an extension has to have `configure`
export const none: Extension = {};

// @ts-expect-error no such strategy
luster.configure({ control: { restart: 'sometimes' } });
