// Code as users write it. What must be refused is marked so: the compiler complains if it is not.

import luster = require('luster');
import Configuration = require('luster/lib/configuration');
import errors = require('luster/lib/errors');
import Port = require('luster/lib/port');
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
    luster.reload().then(({ replaced = 0, message }) => console.log(replaced + 1, message));
    luster.scale(3).catch((error: errors.LusterRequestError) => console.log(error.code, error.outcome === 'taken_back'));
    luster.status().then(({ workers, host }) => console.log(workers[0]?.instances[0]?.pid, host?.kind === 'custom_master'));
    // @ts-expect-error a number is needed
    luster.scale('3');
    luster.on('error', error => errors.LusterError.ensureError(error).log('warn'));
    for (const worker of luster.getWorkersArray()) {
        worker.options.port = 80;
        worker.options.port = '/run/app.sock';
        worker.options.port = new Port('/run/*.sock').next(2);
        const port: Port = worker.options.port;
        console.log(port.family === Port.UNIX, worker.options.port.value);
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

const MyError = errors.LusterError.create('MyError', { BROKEN: 'broken by %who%' });
const mine = MyError.createError(MyError.CODES.BROKEN, { who: 'me' });
console.log(mine instanceof errors.LusterError, mine.bind({ who: 'you' }).getFullMessage(), mine.originalError?.message);
console.log(errors.LusterPortError.is('NOT_UNIX_SOCKET', mine));

const settings = Configuration.extend({ app: './worker' }, __dirname);
const file: string = settings.resolve('app');
console.log(file, settings.get('workers', 1) + Configuration.check({ app: file }));

// @ts-expect-error no port
new Port(true);

// @ts-expect-error an extension has to have `configure`
export const none: Extension = {};

// @ts-expect-error no such strategy
luster.configure({ control: { restart: 'sometimes' } });
