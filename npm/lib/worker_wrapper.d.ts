// The types of `require('luster/lib/worker_wrapper')`, which extensions read the names of states and events from.

import luster = require('./luster');

type Options = Partial<Omit<luster.WorkerWrapperOptions, 'port'>> & { port: number | string | luster.Port };

declare const WorkerWrapper: {
    new (master: luster.Master, options: Options): luster.WorkerWrapper;
    readonly STATES: Readonly<Record<'STOPPED' | 'LAUNCHING' | 'RUNNING' | 'STOPPING', luster.WorkerState>>;
    readonly EVENTS: readonly string[];
};

export = WorkerWrapper;
