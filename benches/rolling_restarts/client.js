// Clients on raw sockets that make requests until told to stop and count every outcome; nothing is retried.
//
// `node client.js PORT`; prints the number of answers so far every 50 ms, and when its stdin ends one JSON object:
// `{answered, excused, unsure, failures: {kind: count}, examples: [...]}`.
//
// What is no failure: a connection that ends after an answer that said `Connection: close` (it is left), and one that
// the server ends, or that is found ended by the next request, when it has been idle for IDLE_LIMIT or longer. No
// server can wait for ever for a client that has nothing to say, and HTTP gives it no way to ask; RFC 9112, 9.5, tells
// clients to expect that. These are counted as `excused`. Everything else counts by what happened: `connect`,
// `reset` and `eof` before the first byte of an answer, `cut` within an answer, `status`, `body`, `timeout`, and
// `early`: an idle connection ended by the server before its time.
//
// Idle time is only known if this process runs: on a machine that keeps it waiting, an answer is read late and a
// connection seems less idle than it was. What might be excused if all such waits around it were idle time is counted
// as `unsure`; to be sure, run on a quieter machine.

const net = require('net');

const IDLE_LIMIT = 300;
/** Far longer than any answer takes. */
const PATIENCE = 20000;
const BODY = Buffer.alloc(16 * 1024, 'x');

/** Every combination of these, so that one run meets them all. */
const KINDS = [];
for (const reuse of [true, false]) {
    for (const path of ['/', '/slow']) {
        for (const post of [true, false]) {
            // The last one never pauses; the longest pause is well below IDLE_LIMIT, so nothing of it is excused.
            for (const pause of [100, 10, 0]) {
                KINDS.push({ reuse, path, post, pause });
            }
        }
    }
}

const report = { answered: 0, excused: 0, unsure: 0, failures: {}, examples: [] };
let stopping = false;

function fail(kind, client, detail) {
    report.failures[kind] = (report.failures[kind] || 0) + 1;
    if (report.examples.length < 20) {
        report.examples.push({ kind, at: new Date().toISOString(), detail, ...client });
    }
}

function headOf({ reuse, path, post }) {
    const lines = [`${post ? 'POST' : 'GET'} ${path} HTTP/1.1`, 'Host: localhost'];
    if (post) {
        lines.push(`Content-Length: ${BODY.length}`);
    }
    if (!reuse) {
        lines.push('Connection: close');
    }
    return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`);
}

/** When this process had to wait for the machine, and how long. */
const waits = [];
const PULSE = 10;
let pulse = Date.now();
setInterval(() => {
    const now = Date.now();
    if (now - pulse > 2 * PULSE) {
        waits.push({ at: now, ms: now - pulse - PULSE });
    }
    pulse = now;
}, PULSE).unref();

/** How long it waited since then, and in the time before in which an idle connection comes to its end. */
function waitedSince(then) {
    const current = Math.max(0, Date.now() - pulse - PULSE);
    return waits.filter(({ at }) => at >= then - IDLE_LIMIT).reduce((sum, { ms }) => sum + ms, current);
}

/** Whether the connection may have been idle for longer than this process could notice. */
function mayBeIdleEnd({ kind, idleSince, idle }) {
    return ['eof', 'reset', 'early'].includes(kind) && idle + waitedSince(idleSince) >= IDLE_LIMIT;
}

/** One client: a request after the other. */
async function run(kind, port) {
    const request = kind.post ? Buffer.concat([headOf(kind), BODY]) : headOf(kind);
    let connection = null;
    while (!stopping) {
        if (connection === null) {
            connection = await open(port, kind);
            if (connection === null) {
                continue;
            }
        }
        const outcome = await connection.ask(request);
        if (outcome.kind === 'answered') {
            judge(outcome, kind);
        } else if (outcome.used > 1 && outcome.kind !== 'early' && outcome.idle >= IDLE_LIMIT) {
            report.excused++;
        } else if (mayBeIdleEnd(outcome)) {
            report.unsure++;
        } else {
            fail(outcome.kind, kind, outcome);
        }
        if (outcome.kind !== 'answered' || outcome.closes || !kind.reuse) {
            connection.leave();
            connection = null;
        }
        if (kind.pause > 0) {
            await new Promise(resolve => setTimeout(resolve, Math.random() * kind.pause));
        }
    }
    if (connection !== null) {
        connection.leave();
    }
}

function judge({ status, body }, kind) {
    const wanted = `read ${kind.post ? BODY.length : 0} by `;
    if (status !== 200) {
        fail('status', kind, status);
    } else if (!body.startsWith(wanted)) {
        fail('body', kind, body);
    } else {
        report.answered++;
    }
}

/** Connects; null after a failure, which is counted. */
function open(port, kind) {
    return new Promise(resolve => {
        const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
        const timer = setTimeout(() => socket.destroy(new Error('timeout')), PATIENCE);
        const failed = error => {
            clearTimeout(timer);
            fail('connect', kind, error.code || error.message);
            resolve(null);
        };
        socket.once('error', failed);
        socket.once('connect', () => {
            clearTimeout(timer);
            socket.removeListener('error', failed);
            resolve(new Connection(socket, kind));
        });
    });
}

class Connection {
    constructor(socket, kind) {
        this.socket = socket;
        this.kind = kind;
        this.left = false;
        this.received = Buffer.alloc(0);
        this.idleSince = Date.now();
        this.used = 0;
        this.ended = null;
        this.done = null;
        socket.on('data', data => {
            this.received = Buffer.concat([this.received, data]);
            this.look();
        });
        socket.on('end', () => this.end('eof'));
        socket.on('error', error => this.end('reset', error.code));
        socket.on('close', () => this.end('eof'));
    }

    /** Sends a request; what became of it. */
    ask(request) {
        this.idle = Date.now() - this.idleSince;
        return new Promise(resolve => {
            const timer = setTimeout(() => this.end('timeout'), PATIENCE);
            this.done = outcome => {
                clearTimeout(timer);
                this.done = null;
                this.used++;
                const { idleSince } = this;
                this.idleSince = Date.now();
                resolve({ idleSince, idle: this.idle, used: this.used, port: this.socket.localPort, ...outcome });
            };
            if (this.ended === null) {
                this.socket.write(request);
            } else {
                this.done(this.ended);
            }
        });
    }

    look() {
        const headEnd = this.received.indexOf('\r\n\r\n');
        if (this.done === null || headEnd === -1) {
            return;
        }
        const head = this.received.toString('latin1', 0, headEnd);
        const length = /^content-length: *(\d+)/im.exec(head);
        const chunked = /^transfer-encoding: *chunked/im.test(head);
        const body = this.received.subarray(headEnd + 4);
        const whole = chunked ? body.toString('latin1').endsWith('0\r\n\r\n') : length && body.length >= Number(length[1]);
        if (whole) {
            this.received = Buffer.alloc(0);
            this.done({
                kind: 'answered',
                status: Number(head.split(' ')[1]),
                closes: /^connection: *close/im.test(head),
                body: chunked ? body.toString('latin1').replace(/^[0-9a-f]+\r\n/i, '') : body.toString('latin1'),
            });
        }
    }

    /** The connection has ended, whoever ended it. */
    end(kind, code) {
        if (this.left || this.ended !== null) {
            return;
        }
        this.ended = { kind: this.received.length > 0 ? 'cut' : kind, code };
        if (this.done !== null) {
            this.done(this.ended);
            return;
        }
        const idle = Date.now() - this.idleSince;
        if (idle < IDLE_LIMIT && !stopping) {
            this.ended.kind = 'early';
        }
    }

    leave() {
        this.left = true;
        this.socket.destroy();
    }
}

const port = Number(process.argv[2]);
const ticker = setInterval(() => console.log(report.answered), 50);
const clients = KINDS.map(kind => run(kind, port));
process.stdin.resume().on('end', async () => {
    stopping = true;
    await Promise.all(clients);
    clearInterval(ticker);
    console.log(JSON.stringify(report));
});
