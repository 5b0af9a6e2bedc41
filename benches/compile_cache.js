// How long an application that requires express, fastify and ws takes to load: as a worker of luster's, which has Node's
// compile cache, against bare `node app.js` without it.
//
//     node benches/compile_cache.js --luster target/release/luster [--node NODE] [--runs 40]
//
// Runs are in pairs, one of each kind by turns, so that whatever else the machine does meets both. Each reports the time
// since its process began and the processor's time, when the last module is loaded; the medians are compared.

const { execFileSync, spawn } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');

const option = (name, otherwise) => {
    const at = process.argv.indexOf(`--${name}`);
    return at === -1 ? otherwise : process.argv[at + 1];
};
const node = path.resolve(option('node', process.execPath));
const luster = path.resolve(option('luster', 'target/release/luster'));
const runs = Number(option('runs', 40));
/** Longer than a worker waits before it writes its cache. */
const WRITTEN_AFTER = 6000;

const APP = `
    require('express'); require('fastify'); require('ws');
    const { user, system } = process.cpuUsage();
    const took = { wall: require('perf_hooks').performance.now(), cpu: (user + system) / 1000 };
    require('fs').writeSync(1, JSON.stringify({ took, pid: process.pid }) + '\\n');
    process.env.LUSTER_WID ? setInterval(() => {}, 1e6) : process.reallyExit(0);`;

function prepare() {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'luster-bench-'));
    fs.writeFileSync(path.join(folder, 'app.js'), APP);
    fs.writeFileSync(path.join(folder, 'luster.conf.json'), '{"app": "app.js", "workers": 1}');
    execFileSync('npm', ['install', '--no-audit', '--no-fund', 'express', 'fastify', 'ws'], { cwd: folder, stdio: 'ignore' });
    return folder;
}

const bare = folder => JSON.parse(execFileSync(node, ['app.js'], { cwd: folder, encoding: 'utf8' })).took;

/** A fleet of one; `next()` ends its worker and resolves with what the one after it reports. */
function fleet(folder) {
    const cache = path.join(folder, 'cache');
    fs.mkdirSync(cache);
    const env = { ...process.env, CACHE_DIRECTORY: cache };
    const child = spawn(luster, ['-q', '--node', node], { cwd: folder, env, stdio: ['ignore', 'pipe', 'ignore'] });
    const reports = [];
    let wake = () => {};
    require('readline').createInterface({ input: child.stdout }).on('line', line => {
        reports.push(JSON.parse(line));
        wake();
    });
    let pid = null;
    return {
        async next() {
            if (pid !== null) {
                process.kill(pid, 'SIGKILL');
            }
            while (reports.length === 0) {
                await new Promise(resolve => { wake = resolve; });
            }
            const report = reports.shift();
            ({ pid } = report);
            return report.took;
        },
        stop: () => new Promise(resolve => child.on('exit', resolve).kill('SIGTERM')),
    };
}

const median = values => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function main() {
    const folder = prepare();
    const workers = fleet(folder);
    const cold = await workers.next();
    await new Promise(resolve => setTimeout(resolve, WRITTEN_AFTER));
    const [ours, theirs] = [[], []];
    for (let run = 0; run < runs; run++) {
        theirs.push(bare(folder));
        ours.push(await workers.next());
    }
    await workers.stop();
    fs.rmSync(folder, { recursive: true, force: true });
    console.log(`${execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()}, ${runs} pairs; first worker ${cold.wall.toFixed(0)} ms`);
    for (const kind of ['wall', 'cpu']) {
        const [mine, other] = [ours, theirs].map(all => median(all.map(took => took[kind])));
        console.log(`${kind}: bare node ${other.toFixed(1)} ms, worker ${mine.toFixed(1)} ms: x ${(mine / other).toFixed(3)}`);
    }
}

main();
