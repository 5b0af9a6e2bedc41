// A worker that decides itself when it is ready: after it has warmed up. A rollout waits for that.
'use strict';

const http = require('http');
const luster = require('luster');

const cache = new Map();

const server = http.createServer((request, response) => {
    response.end(`Worker ${luster.wid} has ${cache.size} entries\n`);
});

/** Stands for reading a database. */
async function warmUp() {
    for (const key of ['a', 'b', 'c']) {
        cache.set(key, await Promise.resolve(key.toUpperCase()));
    }
}

// Runs before the worker is stopped, however often a stop is asked for.
luster.registerSuspendFunction(async () => console.log(`worker ${luster.wid} says goodbye`));

warmUp().then(() => server.listen(Number(process.env.port), () => luster.ready()));
