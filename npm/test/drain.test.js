// How a worker stops: nobody who uses a connection notices, everybody who does not is let go soon.

const assert = require('assert');
const http2 = require('http2');
const net = require('net');
const tls = require('tls');
const { Client, TLS_OPTIONS } = require('./clients');
const { ready, serving, test, together, until, write } = require('./parent');

const APP = 'http.js';

/** How long a connection may be idle while its worker stops, unless configured, in ms; a tick less. */
const IDLE_TIMEOUT = 1950;

together(8);

function count(text, part) {
    return text.split(part).length - 1;
}

/** Stops the worker; what is measured runs from the moment the master's disconnect went out. */
async function stopTimed(instance) {
    await instance.suspend();
    const begin = Date.now();
    instance.worker.disconnect();
    assert.strictEqual(await instance.ended(), 0, instance.errors);
    return Date.now() - begin;
}

for (const kind of ['http', 'https', 'http2', 'http2s']) {
    test(`${kind}: an unused worker stops at once`, async () => {
        const instance = await serving({ app: APP, env: { KIND: kind } });
        const took = await stopTimed(instance);
        assert.ok(took < IDLE_TIMEOUT, `${took} ms`);
    });
}

for (const secure of [false, true]) {
    const env = { KIND: secure ? 'https' : 'http' };
    const name = env.KIND;

    test(`${name}: a used connection goes after its idle timeout`, async () => {
        const instance = await serving({ app: APP, env });
        const used = await Client.open(instance, secure);
        used.get('/a');
        await used.has('hello /a');
        const took = await stopTimed(instance);
        await used.end();
        assert.ok(took >= IDLE_TIMEOUT, `${took} ms`);
    });

    test(`${name}: a connection that has not carried a byte gets more time`, async () => {
        const instance = await serving({ app: APP, env });
        const fresh = await Client.open(instance, secure);
        const took = await stopTimed(instance);
        await fresh.end();
        assert.ok(took >= IDLE_TIMEOUT, `${took} ms`);
    });

    test(`${name}: a request on a kept connection, while stopping, is answered with close`, async () => {
        const instance = await serving({ app: APP, env });
        const kept = await Client.open(instance, secure);
        const fresh = await Client.open(instance, secure);
        kept.get('/1');
        await kept.has('hello /1');
        assert.ok(!/connection: close/i.test(kept.received));
        await instance.suspend();
        instance.worker.disconnect();
        kept.get('/2');
        fresh.get('/3');
        await kept.has('hello /2');
        await fresh.has('hello /3');
        await Promise.all([kept.end(), fresh.end()]);
        assert.strictEqual(count(kept.received.toLowerCase(), 'connection: close'), 1);
        assert.strictEqual(count(fresh.received.toLowerCase(), 'connection: close'), 1);
        assert.strictEqual(await instance.ended(), 0);
    });

    test(`${name}: an answer in progress is finished, with close if its head is not out`, async () => {
        const instance = await serving({ app: APP, env });
        const slow = await Client.open(instance, secure);
        const stream = await Client.open(instance, secure);
        const other = await Client.open(instance, secure);
        slow.get('/held');
        stream.get('/begun');
        await stream.has('begin;');
        other.get('/read');
        await other.has('hello /read');
        await instance.suspend();
        instance.worker.disconnect();
        other.get('/release');
        await other.end();
        await slow.end();
        await stream.end();
        assert.strictEqual(await instance.ended(), 0);
        assert.match(slow.received, /connection: close[^]*end$/i);
        assert.match(stream.received, /end\r\n0\r\n\r\n$/);
    });

    test(`${name}: slow senders of a head or a body are waited for`, async () => {
        const instance = await serving({ app: APP, env });
        const head = await Client.open(instance, secure);
        const body = await Client.open(instance, secure);
        const again = await Client.open(instance, secure);
        again.get('/0');
        await again.has('hello /0');
        head.socket.write('GET /head HTTP/1.1\r\nHo');
        body.socket.write('POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab');
        again.socket.write('GET /again HT');
        // The worker has read all that when it has answered a later request.
        const probe = await Client.open(instance, secure);
        probe.get('/probe');
        await probe.has('hello /probe');
        await instance.suspend();
        instance.worker.disconnect();
        await probe.end();
        await new Promise(resolve => setTimeout(resolve, 600));
        head.socket.write('st: x\r\n\r\n');
        body.socket.write('cd');
        again.socket.write('TP/1.1\r\nHost: x\r\n\r\n');
        await head.has('hello /head');
        await body.has('body 4');
        await again.has('hello /again');
        assert.strictEqual(await instance.ended(), 0);
    });

    test(`${name}: pipelined requests are all answered, the last with close`, async () => {
        const instance = await serving({ app: APP, env });
        const before = await Client.open(instance, secure);
        const during = await Client.open(instance, secure);
        before.get('/slow?ms=300');
        before.get('/b');
        before.get('/c');
        const probe = await Client.open(instance, secure);
        probe.get('/probe');
        await probe.has('hello /probe');
        await instance.suspend();
        instance.worker.disconnect();
        during.socket.write(['/x', '/y', '/z'].map(p => `GET ${p} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''));
        await before.end();
        await during.end();
        assert.match(before.received, /slow[^]*hello \/b[^]*hello \/c$/);
        assert.match(during.received, /hello \/x[^]*hello \/y[^]*hello \/z$/);
        assert.strictEqual(count(during.received.toLowerCase(), 'connection: close'), 1);
        // Not in what was behind the slow answer: those heads were made before the stop.
        for (const client of [before, during]) {
            assert.ok(!/connection: close[^]*HTTP\/1\.1/i.test(client.received), client.received);
        }
        assert.strictEqual(await instance.ended(), 0);
    });

    test(`${name}: keep-alive set by the application is overruled, its other headers are not`, async () => {
        const instance = await serving({ app: APP, env });
        const clients = [];
        for (const path of ['/keep-alive-set', '/keep-alive-written', '/keep-alive-object']) {
            const client = await Client.open(instance, secure);
            client.path = path;
            clients.push(client);
        }
        const probe = await Client.open(instance, secure);
        probe.get('/probe');
        await probe.has('hello /probe');
        await instance.suspend();
        instance.worker.disconnect();
        for (const client of clients) {
            client.get(client.path);
        }
        for (const client of clients) {
            await client.end();
            assert.match(client.received, /^HTTP\/1\.1 200/);
            assert.strictEqual(count(client.received.toLowerCase(), '\r\nconnection: close\r\n'), 1);
            assert.ok(!/keep-alive/i.test(client.received), client.received);
        }
        assert.match(clients[2].received, /X-Own: 1/);
        await probe.end();
        assert.strictEqual(await instance.ended(), 0);
    });

    test(`${name}: an early answer to a body still coming is read by its client`, async () => {
        const instance = await serving({ app: APP, env });
        const client = await Client.open(instance, secure);
        client.socket.write('POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n');
        await client.has('too much');
        const other = await Client.open(instance, secure);
        await instance.suspend();
        instance.worker.disconnect();
        other.socket.write('POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n');
        other.socket.write(Buffer.alloc(3000000, 'y'));
        await other.has('too much');
        client.socket.end();
        await other.end();
        assert.match(other.received, /connection: close/i);
    });

    test(`${name}: upgraded connections are left alone`, async () => {
        const instance = await serving({ app: APP, env });
        const client = await Client.open(instance, secure);
        client.get('/', 'Connection: Upgrade', 'Upgrade: echo');
        await client.has('101 Switching');
        await instance.suspend();
        instance.worker.disconnect();
        await new Promise(resolve => setTimeout(resolve, 700));
        assert.strictEqual(client.ended, false);
        client.socket.write('still here');
        await client.has('still here');
        client.socket.write('bye');
        await client.end();
        assert.strictEqual(await instance.ended(), 0);
    });
}

test('https: a handshake in progress is waited for, then served', async () => {
    const instance = await serving({ app: APP, env: { KIND: 'https' } });
    const raw = net.connect(instance.port, instance.host);
    await new Promise(resolve => raw.once('connect', resolve));
    const probe = await Client.open(instance, true);
    await instance.suspend();
    instance.worker.disconnect();
    await new Promise(resolve => setTimeout(resolve, 100));
    const socket = tls.connect(Object.assign({ socket: raw }, TLS_OPTIONS));
    const client = new Client(socket);
    await new Promise(resolve => socket.once('secureConnect', resolve));
    client.get('/late');
    await client.has('hello /late');
    await client.end();
    await probe.end();
    assert.strictEqual(await instance.ended(), 0);
});

test('http: the application\'s own close, while stopping, resets nobody', async () => {
    const instance = await serving({ app: APP });
    const fresh = await Client.open(instance);
    const used = await Client.open(instance);
    used.get('/1');
    await used.has('hello /1');
    await instance.suspend();
    instance.worker.send('close server');
    fresh.get('/f');
    used.get('/u');
    await fresh.has('hello /f');
    await used.has('hello /u');
    await instance.message(m => m === 'server closed');
    instance.worker.disconnect();
    assert.strictEqual(await instance.ended(), 0);
});

test('http: cluster.worker.disconnect() by the application drains too', async () => {
    const app = write('own/app.js', `
        require('http').createServer((q, r) => {
            process.send('asked');
            process.on('message', m => {
                if (m === 'leave') {
                    require('cluster').worker.disconnect();
                    setTimeout(() => r.end('done'), 200);
                }
            });
        }).listen(0, process.env.host);`);
    const instance = await serving({ app });
    const busy = await Client.open(instance);
    busy.get('/');
    await instance.message(m => m === 'asked');
    instance.worker.send('leave');
    await busy.end();
    assert.match(busy.received, /connection: close[^]*done/i);
    assert.strictEqual(await instance.ended(), 0);
});

test('http: an exclusive server ends with the worker', async () => {
    const app = write('exclusive/app.js', `
        const s = require('http').createServer((q, r) => r.end('x'));
        s.listen({ port: 0, host: '127.0.0.1', exclusive: true }, () => process.send({ port: s.address().port }));`);
    const instance = await ready({ app });
    const { port } = await instance.message(m => m.port);
    const client = await Client.open({ host: '127.0.0.1', port });
    await stopTimed(instance);
    await client.end();
});

test('net: a plain server keeps Node\'s own behaviour', async () => {
    const app = write('plainnet/app.js', `
        require('net').createServer(s => s.on('data', d => s.write(d)).on('end', () => s.end())).listen(0, process.env.host);`);
    const instance = await serving({ app });
    const client = await Client.open(instance);
    await instance.suspend();
    instance.worker.disconnect();
    await new Promise(resolve => setTimeout(resolve, 700));
    client.socket.write('echo');
    await client.has('echo');
    client.socket.end();
    assert.strictEqual(await instance.ended(), 0);
});

function openSession({ host, port }, secure) {
    const session = http2.connect(`${secure ? 'https' : 'http'}://${host}:${port}`, TLS_OPTIONS);
    session.goaways = [];
    session.errors = [];
    session.on('goaway', (code, last) => session.goaways.push([code, last]));
    session.on('error', error => session.errors.push(error));
    return session;
}

function fetchStream(session, path) {
    return new Promise(resolve => {
        const stream = session.request({ ':path': path });
        let text = '';
        stream.on('data', data => { text += data; });
        // The client's own library did not send it, because it had read that nothing new is taken.
        stream.on('frameError', () => resolve('unsent'));
        stream.on('error', error => resolve(stream.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM ? 'refused' : error.message));
        stream.on('close', () => resolve(text || 'refused'));
    });
}

/** Node 16's client resets the stream it did not open after the notice, which costs it the session. */
const CLIENT_CAN_REFUSE = !process.versions.node.startsWith('16.');

for (const secure of [false, true]) {
    const env = { KIND: secure ? 'http2s' : 'http2' };

    test(`${env.KIND}: streams under way and those that cross the notice are answered`, async () => {
        const instance = await serving({ app: APP, env });
        const session = openSession(instance, secure);
        const idle = openSession(instance, secure);
        assert.strictEqual(await fetchStream(idle, '/i'), 'hello /i');
        assert.strictEqual(await fetchStream(session, '/1'), 'hello /1');
        const slow = fetchStream(session, '/slow?ms=900');
        const large = Array.from({ length: 5 }, () => fetchStream(session, '/large'));
        instance.call('core.worker.suspend', null, 'x');
        const crossing = [];
        const cross = () => CLIENT_CAN_REFUSE && session.goaways.length === 0 && crossing.push(fetchStream(session, '/c'));
        const timer = setInterval(cross, 1);
        await instance.message(m => m.args && m.args[0] === 'x');
        instance.worker.disconnect();
        await until('the notice', () => session.goaways.length > 0);
        clearInterval(timer);
        if (!secure) {
            assert.deepStrictEqual(session.goaways[0], [0, 2 ** 31 - 1]);
        }
        const answers = await Promise.all(crossing);
        const [answered, unsent, refused] = ['hello /c', 'unsent', 'refused']
            .map(kind => answers.filter(answer => answer === kind).length);
        assert.strictEqual(answered + unsent + refused, answers.length, answers.join());
        // Under TLS there is no notice: what crossed the end is refused, which tells the client to repeat it.
        assert.ok(secure || refused === 0, `${refused} refused`);
        for (const text of await Promise.all(large)) {
            assert.strictEqual(text.length, 1e6);
        }
        assert.strictEqual(await slow, 'slow');
        assert.strictEqual(await instance.ended(), 0);
        assert.deepStrictEqual([...session.errors, ...idle.errors], []);
    });
}

test('http2s: HTTP/1 clients of an HTTP/2 server', async () => {
    const instance = await serving({ app: APP, env: { KIND: 'http2s' } });
    const kept = await Client.open(instance, true);
    const fresh = await Client.open(instance, true);
    kept.get('/1');
    await kept.has('hello /1');
    await instance.suspend();
    instance.worker.disconnect();
    kept.get('/2');
    await kept.has('hello /2');
    await kept.end();
    await fresh.end();
    assert.match(kept.received, /connection: close/i);
    assert.strictEqual(await instance.ended(), 0);
});
