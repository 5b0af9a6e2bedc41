// Makes requests with Node's own clients until stdin ends: `node load.js https|http2|http2s PORT`.
//
// Prints `begun` after the first answer, and at the end `{answered, repeated, failures}`. A stream that the server says
// it did not begin (REFUSED_STREAM, RFC 9113, 8.7) is repeated, as browsers do, and counted.

const https = require('https');
const http2 = require('http2');

const [kind, port] = process.argv.slice(2);
const CLIENTS = 6;
/** Between two requests of a client, as in harness/load.rs: the workers need the cores, too. */
const rest = () => new Promise(resolve => setTimeout(resolve, 5));
const report = { answered: 0, repeated: 0, failures: [] };
let stopping = false;

function answered() {
    if (report.answered++ === 0) {
        console.log('begun');
    }
}

/** HTTP/1: half of the clients keep their connections. */
async function runHttps(nth) {
    const agent = new https.Agent({ keepAlive: nth % 2 === 0, maxSockets: 1 });
    while (!stopping) {
        await rest();
        await new Promise(resolve => {
            const fail = error => { report.failures.push(String(error.code || error)); resolve(); };
            https.get({ port, host: '127.0.0.1', agent, rejectUnauthorized: false, timeout: 20000 }, res => {
                let body = '';
                res.on('data', data => { body += data; });
                res.on('end', () => (res.statusCode === 200 && body !== '' ? answered() : fail(res.statusCode)));
                res.on('error', fail);
                res.on('close', resolve);
            }).on('error', fail).on('timeout', function () { this.destroy(new Error('timeout')); });
        });
    }
    agent.destroy();
}

/** HTTP/2: one session, replaced when it ends, and one stream after the other. */
async function runHttp2(nth) {
    const scheme = kind === 'http2s' ? 'https' : 'http';
    let session = null;
    while (!stopping) {
        await rest();
        if (session === null || session.closed || session.destroyed) {
            session = http2.connect(`${scheme}://127.0.0.1:${port}`, { rejectUnauthorized: false });
            session.on('error', error => report.failures.push(`session: ${error.code || error}`));
        }
        const outcome = await new Promise(resolve => ask(session, nth, resolve));
        if (outcome === 'answered') {
            answered();
        } else if (outcome === 'refused') {
            report.repeated++;
        } else {
            report.failures.push(outcome);
        }
    }
    session.close();
}

function ask(session, nth, resolve) {
    const stream = session.request({ ':path': nth % 2 === 0 ? '/' : '/slow' });
    let [status, body] = [0, ''];
    stream.setTimeout(20000, () => resolve('timeout'));
    stream.on('response', headers => { status = headers[':status']; });
    stream.on('data', data => { body += data; });
    stream.on('error', error => resolve(/REFUSED_STREAM|GOAWAY_SESSION/.test(error.message + error.code)
        ? 'refused' : String(error.message)));
    stream.on('close', () => resolve(status === 200 && body !== '' ? 'answered' : `status ${status}, ${stream.rstCode}`));
}

const run = kind === 'https' ? runHttps : runHttp2;
const clients = Array.from({ length: CLIENTS }, (_, nth) => run(nth));
process.stdin.resume().on('end', async () => {
    stopping = true;
    await Promise.all(clients);
    console.log(JSON.stringify(report));
    process.exit();
});
