// Rolling restarts under load, many in a row, in every configuration: not one request may fail.
//
// `node benches/rolling_restarts/run.js [--quick] [--rollouts N] [--only TEXT] [--node PATH]… [--jobs N] [--wrk]`
// after `cargo build --release`. `--quick` is 5 rollouts for each configuration instead of 50; `--only` takes those
// whose name contains the text; `--wrk` runs wrk beside the clients of `client.js`, whose head says what is counted.
// Prints a table; the exit code is 1 if a request failed, a rollout did not finish, or the master ended.

const fs = require('fs');
const net = require('net');
const os = require('os');
const path = require('path');
const childProcess = require('child_process');

const LUSTER = process.env.LUSTER || path.join(__dirname, '..', '..', 'target', 'release', 'luster');
/** A rollout that takes longer has failed. */
const PATIENCE = 60000;

/** Everything started here ends with this process. */
const children = new Set();
process.on('exit', () => children.forEach(child => child.kill('SIGKILL')));
['SIGINT', 'SIGTERM'].forEach(signal => process.on(signal, () => process.exit(1)));

function spawn(...args) {
    const child = childProcess.spawn(...args);
    children.add(child);
    return child.on('exit', () => children.delete(child));
}

const options = parse(process.argv.slice(2));

function parse(args) {
    const found = { rollouts: 50, only: '', nodes: [], jobs: 1, wrk: false };
    while (args.length > 0) {
        const name = args.shift();
        switch (name) {
        case '--quick': found.rollouts = 5; break;
        case '--rollouts': found.rollouts = Number(args.shift()); break;
        case '--only': found.only = args.shift(); break;
        case '--node': found.nodes.push(args.shift()); break;
        case '--jobs': found.jobs = Number(args.shift()); break;
        case '--wrk': found.wrk = true; break;
        default: throw new Error(`unknown option ${name}`);
        }
    }
    if (found.nodes.length === 0) {
        found.nodes.push(process.execPath);
    }
    return found;
}

function configurations() {
    const all = [];
    for (const node of options.nodes) {
        for (const balance of ['round-robin', 'shared', 'reuseport']) {
            for (const restart of ['stop-first', 'start-first']) {
                for (const workers of [1, 2]) {
                    all.push({ node, balance, restart, workers });
                }
            }
        }
    }
    return all;
}

/** A luster that is watched through its log. */
class Luster {
    constructor(folder, node) {
        this.events = [];
        this.waiting = [];
        this.exit = null;
        this.log = fs.createWriteStream(path.join(folder, 'luster.log'));
        this.child = spawn(LUSTER, ['-vv', '--log-format', 'json', '--node', node], {
            cwd: folder,
            stdio: ['ignore', 'ignore', 'pipe'],
        });
        this.child.on('exit', (code, signal) => { this.exit = signal || code; this.look(); });
        let rest = '';
        this.child.stderr.on('data', data => {
            this.log.write(data);
            const lines = (rest + data).split('\n');
            rest = lines.pop();
            for (const line of lines) {
                const event = /"event":"(\w+)"/.exec(line);
                if (event && event[1] !== 'event') {
                    this.events.push(event[1]);
                }
            }
            this.look();
        });
    }

    count(...names) {
        return this.events.filter(name => names.includes(name)).length;
    }

    look() {
        this.waiting.forEach(check => check());
    }

    until(what, condition) {
        return new Promise((resolve, reject) => {
            const settle = (act, value) => {
                clearTimeout(timer);
                this.waiting.splice(this.waiting.indexOf(check), 1);
                act(value);
            };
            const timer = setTimeout(() => settle(reject, new Error(`not in time: ${what}`)), PATIENCE);
            const check = () => {
                if (condition()) {
                    settle(resolve);
                } else if (this.exit !== null) {
                    settle(reject, new Error(`luster ended (${this.exit}) before: ${what}`));
                }
            };
            this.waiting.push(check);
            check();
        });
    }
}

function freePort() {
    return new Promise(resolve => {
        const server = net.createServer().listen(0, '127.0.0.1', () => {
            const { port } = server.address();
            server.close(() => resolve(port));
        });
    });
}

/** The clients of `client.js`. */
class Clients {
    constructor(port) {
        this.child = spawn(process.execPath, [path.join(__dirname, 'client.js'), String(port)], {
            stdio: ['pipe', 'pipe', 'inherit'],
        });
        this.output = collect(this.child);
        this.answered = 0;
        this.child.stdout.on('data', data => { this.answered = parseInt(String(data), 10) || this.answered; });
    }

    /** Waits for so many more answers, so that each rollout meets clients in every state. */
    async answers(more) {
        const goal = this.answered + more;
        const deadline = Date.now() + PATIENCE;
        while (this.answered < goal) {
            if (Date.now() > deadline) {
                throw new Error(`no ${more} answers in time`);
            }
            await new Promise(resolve => setTimeout(resolve, 20));
        }
    }

    async end() {
        this.child.stdin.end();
        const report = JSON.parse((await this.output).trim().split('\n').pop());
        if (typeof report.answered !== 'number') {
            throw new Error('the clients gave no report');
        }
        return report;
    }
}

/** Starts wrk; the function returned ends it and gives what it calls errors, which is nothing if there were none. */
function startWrk(port) {
    const child = spawn('wrk', ['-t1', '-c8', '-d3600s', '--timeout', '20s', `http://127.0.0.1:${port}/`], {
        stdio: ['ignore', 'pipe', 'inherit'],
    });
    const output = collect(child);
    return async () => {
        child.kill('SIGINT');
        const text = await output;
        const errors = text.split('\n').filter(line => /Socket errors|Non-2xx/.test(line)).map(line => line.trim());
        return { answered: Number(/(\d+) requests in/.exec(text)[1]), errors };
    };
}

function collect(child) {
    return new Promise(resolve => {
        let text = '';
        child.stdout.on('data', data => { text += data; });
        child.on('close', () => resolve(text));
    });
}

async function measure({ node, balance, restart, workers }) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'luster-rolling-'));
    const port = await freePort();
    fs.copyFileSync(path.join(__dirname, 'app.js'), path.join(folder, 'worker.js'));
    fs.writeFileSync(path.join(folder, 'luster.conf.json'), JSON.stringify({
        app: 'worker.js',
        workers,
        control: { restart, stopTimeout: 20000, killTimeout: 30000 },
        server: { port, balance },
    }));
    const luster = new Luster(folder, node);
    const result = { folder, rollouts: 0, answered: 0, excused: 0, unsure: 0, failures: {}, examples: [], master: 'alive' };
    try {
        await luster.until('the workers are ready', () => luster.count('ready') >= workers);
        const clients = new Clients(port);
        const endWrk = options.wrk ? startWrk(port) : async () => ({ answered: 0, errors: [] });
        try {
            while (result.rollouts < options.rollouts) {
                await clients.answers(100);
                luster.child.kill('SIGHUP');
                const wanted = result.rollouts + 1;
                await luster.until(`rollout ${wanted}`, () => luster.count('rollout_finished') >= wanted);
                result.rollouts = wanted;
            }
        } finally {
            const [report, wrk] = [await clients.end(), await endWrk()];
            Object.assign(result, report, { answered: report.answered + wrk.answered });
            wrk.errors.forEach(line => { result.failures[`wrk: ${line}`] = 1; });
        }
        luster.child.kill('SIGTERM');
        await luster.until('luster stops', () => luster.exit !== null);
        result.master = luster.exit === 0 ? 'alive' : `exit ${luster.exit}`;
    } catch (error) {
        result.master = error.message;
        luster.child.kill('SIGKILL');
    }
    luster.log.end();
    return result;
}

function describe(result) {
    const failures = Object.entries(result.failures).map(([kind, count]) => `${kind} ${count}`).join(', ');
    return [result.rollouts, result.answered, result.excused, result.unsure, failures || '0', result.master];
}

function print(name, columns) {
    console.log(`${name.padEnd(40)} ${columns.map(column => String(column).padStart(9)).join(' ')}`);
}

async function main() {
    print('configuration', ['rollouts', 'answered', 'excused', 'unsure', 'failures', 'master']);
    const queue = configurations()
        .map(configuration => ({ ...configuration, name: nameOf(configuration) }))
        .filter(({ name }) => name.includes(options.only));
    const work = async () => {
        for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
            const result = await measure(next);
            print(next.name, describe(result));
            const clean = Object.keys(result.failures).length === 0 && result.master === 'alive';
            if (clean) {
                fs.rmSync(result.folder, { recursive: true });
            } else {
                process.exitCode = 1;
                console.log(`  see ${result.folder}`);
                result.examples.forEach(example => console.log(`  ${JSON.stringify(example)}`));
            }
        }
    };
    await Promise.all(Array.from({ length: options.jobs }, work));
}

function nameOf({ node, balance, restart, workers }) {
    const version = childProcess.execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
    return `${version} ${balance} ${restart} ${workers}`;
}

main();
