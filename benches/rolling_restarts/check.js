// Checks that `client.js` sees what it is there to see: a server that misbehaves in each way, and what it is called.
//
// `node benches/rolling_restarts/check.js`; the exit code is 1 if anything is counted otherwise.

const net = require('net');
const path = require('path');
const { spawn } = require('child_process');

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 16406\r\n\r\n';
const good = post => `HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n${`read ${post ? 16384 : 0} by 1`.padEnd(17)}`;

/** What the server does with a whole request, and what the client has to call it. */
const CASES = {
    answered: (socket, post) => socket.write(good(post)),
    eof: socket => socket.end(),
    reset: socket => socket.resetAndDestroy(),
    cut: socket => socket.end(OK),
    status: socket => socket.write('HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n'),
    body: socket => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong'),
    early: (socket, post) => socket.end(good(post)),
    connect: null,
};

function serve(behave) {
    return net.createServer(socket => {
        let data = '';
        socket.on('error', () => {});
        socket.on('data', part => {
            data += part.toString('latin1');
            const post = data.startsWith('POST');
            const [head, body] = data.split('\r\n\r\n');
            if (body !== undefined && data.length >= head.length + 4 + (post ? 16384 : 0)) {
                data = '';
                behave(socket, post);
            }
        });
    });
}

async function check(name, behave) {
    const server = serve(behave || (() => {}));
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address();
    if (behave === null) {
        server.close();
    }
    const child = spawn(process.execPath, [path.join(__dirname, 'client.js'), String(port)]);
    let output = '';
    child.stdout.on('data', data => { output += data; });
    await new Promise(resolve => setTimeout(resolve, 1000));
    child.stdin.end();
    await new Promise(resolve => child.on('close', resolve));
    server.close();
    const report = JSON.parse(output.trim().split('\n').pop());
    const failures = Object.keys(report.failures);
    const right = name === 'answered'
        ? report.answered > 100 && failures.length === 0
        : report.failures[name] > 10 && failures.every(kind => kind === name || name === 'early');
    console.log(`${right ? 'ok' : 'not ok'} ${name}: ${JSON.stringify({ ...report, examples: undefined })}`);
    process.exitCode = right ? process.exitCode : 1;
}

(async () => {
    for (const [name, behave] of Object.entries(CASES)) {
        await check(name, behave);
    }
    process.exit();
})();
