// The master in these tests: Node's own cluster primary, speaking luster's messages.
//
// Invariant: nothing waits for a fixed time; every wait names what it waits for and fails with what was seen instead.

const { AsyncLocalStorage } = require('async_hooks');
const cluster = require('cluster');
const fs = require('fs');
const os = require('os');
const path = require('path');

const WAIT_LIMIT = 60000;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'luster-js-'));
const preload = path.join(folder, 'preload.cjs');
fs.writeFileSync(preload, require('./bundle')('worker'));
process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));

const APPS = path.join(__dirname, 'apps');
let files = 0;
let hosts = 0;

/** The workers of the test that runs. */
const own = new AsyncLocalStorage();
cluster.schedulingPolicy = cluster.SCHED_NONE;

/** For all workers of this process. Called before the first of them, because Node keeps what it was then. */
exports.roundRobin = function roundRobin() {
    cluster.schedulingPolicy = cluster.SCHED_RR;
};

/** A file of the test's own, below a fresh folder. */
exports.write = function write(name, text) {
    const file = path.join(folder, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
    return file;
};

exports.preload = preload;

/** Waits until `condition()` is true. */
exports.until = async function until(what, condition) {
    const deadline = Date.now() + WAIT_LIMIT;
    while (!condition()) {
        if (Date.now() > deadline) {
            throw new Error(`waited in vain for ${typeof what === 'function' ? what() : what}`);
        }
        await new Promise(resolve => setTimeout(resolve, 5));
    }
};

class Life {
    constructor({ app, config, boot, data, env, nodeArgs = [] }) {
        this.events = [];
        this.messages = [];
        this.output = '';
        this.errors = '';
        this.exit = null;
        const main = path.resolve(APPS, app);
        const text = data || JSON.stringify({ app: main, ...config });
        // As luster hands it over: by descriptor 4.
        const file = exports.write(`data-${++files}`, text);
        const descriptor = fs.openSync(file, 'r');
        cluster.setupPrimary({
            exec: main, execArgv: [...nodeArgs, '-r', preload], stdio: ['pipe', 'pipe', 'pipe', 'ipc', descriptor],
        });
        this.worker = cluster.fork(Object.assign({
            LUSTER_WID: '7',
            host: `127.0.1.${++hosts}`,
            port: '0',
            LUSTER_BOOT: JSON.stringify({
                v: 1,
                preload: path.basename(preload),
                format: 'data',
                baseDir: APPS,
                data: { descriptor: 4, size: Buffer.byteLength(text) },
                ...boot,
            }),
        }, env));
        fs.closeSync(descriptor);
        this._listen();
        own.getStore().push(this);
    }

    _listen() {
        const { worker } = this;
        worker.on('online', () => this.call('core.worker.applyForeignProperties', { pid: worker.process.pid }));
        worker.on('message', message => this._onMessage(message));
        worker.on('listening', address => { this.address = address; });
        worker.on('error', () => {});
        worker.process.stdout.on('data', text => { this.output += text; });
        worker.process.stderr.on('data', text => { this.errors += text; });
        this._noteEnd(worker.process);
    }

    /** Gone when it has exited and all it printed is here. ('close' never comes once we have closed the channel.) */
    _noteEnd(child) {
        let missing = 3;
        let end;
        const closed = () => {
            if (--missing === 0) {
                this.exit = end;
            }
        };
        child.stdout.on('close', closed);
        child.stderr.on('close', closed);
        child.on('exit', (code, signal) => {
            end = signal || code;
            closed();
        });
    }

    _onMessage(message) {
        if (message.cmd === 'luster_core.master.broadcastWorkerEvent') {
            this.events.push(message.args[0]);
        }
        this.messages.push(message);
    }

    call(name, ...args) {
        this.worker.send({ cmd: `luster_${name}`, args }, undefined, undefined, () => {});
    }

    event(name) {
        return exports.until(
            () => `event ${name} of ${this.events}; exit ${this.exit}; ${this.output}${this.errors}`,
            () => this.events.includes(name));
    }

    /** Until the application has answered `{command: …}` style messages of its own. */
    async message(matches) {
        let found;
        await exports.until(
            () => `a message; exit ${this.exit}; ${this.errors}`,
            () => (found = this.messages.find(matches)) !== undefined);
        return found;
    }

    async ended() {
        await exports.until(() => `the exit of ${this.worker.process.pid}; ${this.errors}`, () => this.exit !== null);
        return this.exit;
    }

    async suspend(id = `0_${Math.random()}`) {
        this.call('core.worker.suspend', null, id);
        await this.message(m => m.cmd === 'luster_core.callback' && m.args[0] === id);
    }

    /** What the master does to stop a worker. */
    async stop() {
        await this.suspend();
        this.worker.disconnect();
        return this.ended();
    }
}

exports.start = options => new Life(options);

exports.ready = async function ready(options) {
    const instance = new Life(options);
    await instance.event('ready');
    return instance;
};

/** Ready, and listening on `instance.port` of `instance.host`: its own, or workers would share the socket of port 0. */
exports.serving = async function serving(options) {
    const instance = await exports.ready(options);
    await exports.until('listening', () => instance.address !== undefined);
    ({ address: instance.host, port: instance.port } = instance.address);
    return instance;
};

const tests = [];
let atOnce = 1;
exports.test = (name, body) => tests.push({ name, body });

/** This file's tests mostly wait: so many of them run at the same time. */
exports.together = count => { atOnce = count; };

async function run({ name, body }) {
    const instances = [];
    try {
        await own.run(instances, body);
        console.log(`ok ${name}`);
    } catch (error) {
        console.log(`not ok ${name}\n${error.stack}`);
    }
    for (const { worker } of instances) {
        worker.process.kill('SIGKILL');
    }
    await exports.until('all workers to be gone', () => instances.every(({ exit }) => exit !== null));
}

/** Runs this file's tests. */
setImmediate(async () => {
    const wanted = process.env.LUSTER_TEST || '';
    const left = tests.filter(test => test.name.includes(wanted));
    const next = async () => {
        for (let test = left.shift(); test !== undefined; test = left.shift()) {
            await run(test);
        }
    };
    await Promise.all(Array.from({ length: atOnce }, next));
    process.exit();
});
