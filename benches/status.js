// Measures `luster status` from exec to exit, and the master's memory for each worker.
//
//     cargo build --release && node benches/status.js [--rounds=41] [part …]
//
// Parts: `tiny` (8 and 1,000 workers that do nothing; --tiny=N for another number), `load` (8 Node workers that serve as
// much as wrk asks for; needs wrk). Each figure is a median with its minimum, beside `true` started in the same way: what
// that takes is this script's and the kernel's. LUSTER_BINARY measures another binary.
//
// A tiny worker is a shell that says on its channel what a worker says at its start and then is `cat`, which ends with the
// channel: 1,000 Node processes need 40 GB. To the master it is a worker like any other.
'use strict';

const { spawn, spawnSync } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');

const ROOT = path.join(__dirname, '..');
const LUSTER = process.env.LUSTER_BINARY || path.join(ROOT, 'target', 'release', 'luster');
const PORT = 9190;

const args = process.argv.slice(2);
const option = (name, otherwise) => {
    const given = args.find(arg => arg.startsWith(`--${name}=`));
    return given === undefined ? otherwise : Number(given.split('=')[1]);
};
const rounds = option('rounds', 41);
const parts = args.filter(arg => !arg.startsWith('--'));

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'luster-status-'));
process.on('exit', () => fs.rmSync(scratch, { recursive: true, force: true }));

/** What a worker says when it has come up, and then nothing until its channel is closed. */
const TINY = `#!/bin/sh
printf '%s\\n%s\\n' '{"cmd":"NODE_CLUSTER","act":"online","seq":0}' \\
    '{"cmd":"luster_core.master.broadcastWorkerEvent","args":["ready"]}' >&3
exec cat <&3 >/dev/null
`;

const median = values => [...values].sort((a, b) => a - b)[values.length >> 1];
const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

/** A luster that serves with so many workers. */
async function start(workers, env) {
    const config = path.join(scratch, `${workers}.json`);
    fs.writeFileSync(config, JSON.stringify({ app: path.join(__dirname, 'worker.js'), workers, server: { port: PORT } }));
    const master = spawn(LUSTER, [config], { env: { ...process.env, ...env }, stdio: 'ignore' });
    for (;;) {
        const status = ask(config);
        if (status !== null && status.ready === workers) {
            return { master, config };
        }
        if (master.exitCode !== null) {
            throw new Error(`luster ended with ${master.exitCode}`);
        }
        await pause(200);
    }
}

function ask(config) {
    const { status, stdout } = spawnSync(LUSTER, ['status', '--json', config], { maxBuffer: 1 << 26 });
    return status === 0 ? JSON.parse(stdout) : null;
}

async function end({ master }) {
    const ended = new Promise(resolve => master.once('exit', resolve));
    master.kill('SIGTERM');
    await ended;
}

/** How many milliseconds a program takes from its start to its end. */
function time(program, programArgs) {
    const began = process.hrtime.bigint();
    const { status } = spawnSync(program, programArgs, { stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 26 });
    const took = Number(process.hrtime.bigint() - began) / 1e6;
    if (status !== 0) {
        throw new Error(`${program} ${programArgs.join(' ')} ended with ${status}`);
    }
    return took;
}

async function measure(what, { config }, breath = 20) {
    const series = { status: [], json: [], nothing: [] };
    for (let round = 0; round < rounds; round++) {
        series.nothing.push(time('true', []));
        series.status.push(time(LUSTER, ['status', config]));
        series.json.push(time(LUSTER, ['status', '--json', config]));
        await pause(breath);
    }
    const figure = values => `${median(values).toFixed(1)} ms (min ${Math.min(...values).toFixed(1)})`;
    const load = os.loadavg()[0].toFixed(1);
    console.log(`${what}: status ${figure(series.status)}, --json ${figure(series.json)}; true ${figure(series.nothing)}; `
        + `${rounds} rounds, load ${load}`);
}

/** The master's proportional share of memory, in KiB. */
function pss(pid) {
    return Number(/^Pss: +(\d+) kB/m.exec(fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]);
}

/** At rest: after a while it gives back what its start and answers needed. */
async function restingPss({ master }) {
    await pause(15_000);
    return pss(master.pid);
}

async function tiny() {
    const folder = path.join(scratch, 'bin');
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(path.join(folder, 'node'), TINY, { mode: 0o755 });
    const env = { LUSTER_NODE: path.join(folder, 'node') };
    const memory = {};
    const many = option('tiny', 1000);
    for (const workers of [8, many]) {
        const luster = await start(workers, env);
        await measure(`${workers} tiny workers`, luster);
        memory[workers] = await restingPss(luster);
        console.log(`${workers} tiny workers: the master's PSS at rest is ${memory[workers]} KiB`);
        await end(luster);
    }
    const each = (memory[many] - memory[8]) / (many - 8);
    console.log(`for each of ${many} tiny workers: ${each.toFixed(2)} KiB`);
}

async function load() {
    const luster = await start(8, {});
    const wrk = spawn('wrk', ['-t2', '-c64', `-d${rounds * 2 + 60}`, `http://127.0.0.1:${PORT}/`], { stdio: 'ignore' });
    await pause(2000);
    await measure('8 Node workers under full load', luster);
    wrk.kill();
    await end(luster);
}

const PARTS = { tiny, load };

(async () => {
    for (const [name, part] of Object.entries(PARTS)) {
        if (parts.length === 0 || parts.includes(name)) {
            await part();
        }
    }
})().catch(error => {
    console.error(error);
    process.exitCode = 1;
});
