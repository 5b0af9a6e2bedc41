// The direct channel for remote calls, over a socket of its own.

const assert = require('assert');
const net = require('net');
const os = require('os');
const path = require('path');
const { test, until } = require('./parent');
const DirectChannel = require('../lib/shared/direct_channel');

/** Both ends of a connection. */
async function pair() {
    const server = net.createServer().listen(path.join(os.tmpdir(), `luster-line-${process.pid}-${Math.random()}`));
    const there = new Promise(resolve => server.once('connection', resolve));
    await new Promise(resolve => server.once('listening', resolve));
    const here = net.connect(server.address());
    const ends = [here, await there];
    server.close();
    return ends;
}

test('a line that is cut into pieces arrives whole, and in order', async () => {
    const [socket, other] = await pair();
    const heard = [];
    new DirectChannel(socket).listen(message => heard.push(message));
    for (const piece of ['{"a":', '1}\n"b', '"\nnull\n', '7\n']) {
        other.write(piece);
        await new Promise(resolve => setImmediate(resolve));
    }
    await until('four messages', () => heard.length === 4);
    assert.deepStrictEqual(heard, [{ a: 1 }, 'b', null, 7]);
    other.destroy();
});

for (const nonsense of ['nonsense', '', '{"cmd":', '{}{}', '\u0000']) {
    test(`what is no message (${JSON.stringify(nonsense)}) ends the line, and is no error`, async () => {
        const [socket, other] = await pair();
        const [heard, warnings] = [[], []];
        const warned = warning => warnings.push(warning);
        process.on('warning', warned);
        const line = new DirectChannel(socket);
        let closed = false;
        line.listen(message => heard.push(message));
        line.onceClosed(() => {
            closed = true;
        });
        other.on('error', () => {});
        other.write(`"before"\n${nonsense}\n"after"\n`);
        await until('the end of the line', () => closed && warnings.length > 0);
        process.removeListener('warning', warned);
        assert.deepStrictEqual(heard, ['before']);
        assert.strictEqual(line.isOpen, false);
        assert.strictEqual(warnings.length, 1);
        assert.match(warnings[0].message, /is no message .* remote calls go through luster/);
        other.destroy();
    });
}
