// What is served by Node's round robin. A process keeps the scheduling policy it had when it first set up its workers, so
// these tests have a process of their own.

const assert = require('assert');
const { Client } = require('./clients');
const noRequestFails = require('./replacements');
const { ready, roundRobin, serving, test, write } = require('./parent');

roundRobin();

test('round robin it is: the worker has no listening socket', async () => {
    const app = write('handle/app.js', `
        const server = require('net').createServer().listen(0, '127.0.0.1',
            () => process.send({ handle: server._handle.constructor.name }));`);
    const instance = await ready({ app });
    const { handle } = await instance.message(m => m.handle);
    assert.notStrictEqual(handle, 'TCP');
});

test('http: a request on a kept connection, while stopping, is answered with close', async () => {
    const instance = await serving({ app: 'http.js' });
    const kept = await Client.open(instance);
    kept.get('/1');
    await kept.has('hello /1');
    await instance.suspend();
    instance.worker.disconnect();
    kept.get('/2');
    await kept.has('hello /2');
    await kept.end();
    assert.match(kept.received, /connection: close/i);
    assert.strictEqual(await instance.ended(), 0);
});

noRequestFails({ name: 'http, keep-alive, round robin', keepAlive: true });
