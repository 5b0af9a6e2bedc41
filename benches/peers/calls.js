// A custom master that measures remote calls there and back, with the `luster` that LUSTER_PACKAGE names.
//
// Prints `calls <microseconds one by one> <microseconds each, many at once>` and ends everything.
'use strict';

const luster = require(process.env.LUSTER_PACKAGE);

const COUNT = 20000;
/** Not measured: until both sides are warm. */
const WARM_UP = 2000;

luster.configure({ app: 'calls_worker.js', workers: 1, control: { stopTimeout: 500 } }, true, __dirname).run();

if (luster.isMaster) {
    luster.once('running', async () => {
        const [worker] = luster.getWorkersArray();
        const call = () => new Promise((resolve, reject) => {
            worker.remoteCallWithCallback({
                command: 'echo',
                data: { number: 1, text: 'x' },
                timeout: 60000,
                callback: (called, error) => (error ? reject(error) : resolve()),
            });
        });
        const oneByOne = async count => {
            for (let i = 0; i < count; i++) {
                await call();
            }
        };
        await oneByOne(WARM_UP);
        const single = await microseconds(() => oneByOne(COUNT));
        const many = await microseconds(() => Promise.all(Array.from({ length: COUNT }, call)));
        console.log(`calls ${single} ${many}`);
        luster.shutdown();
    });
}

async function microseconds(work) {
    const start = process.hrtime.bigint();
    await work();
    return Number(process.hrtime.bigint() - start) / 1000 / COUNT;
}
