// How a worker starts: the main module, the configuration, extensions, readiness, `require('luster')`.

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const { ready, start, test, together, until, write } = require('./parent');

together(4);

const [major, minor] = process.versions.node.split('.').map(Number);
const hasHooks = major > 20 || (major === 20 && minor >= 6) || (major === 18 && minor >= 19);
const stripsTypes = major >= 24;


test('a CommonJS application is the main module and sees nothing of ours', async () => {
    const app = write('plain/app.js', `
        process.send({ seen: {
            main: require.main === module, argv: process.argv, execArgv: process.execArgv, id: module.id,
            boot: 'LUSTER_BOOT' in process.env, wid: process.env.LUSTER_WID, mainModule: process.mainModule === module,
        }});`);
    const instance = await ready({ app, nodeArgs: ['--no-deprecation'] });
    const { seen } = await instance.message(m => m.seen);
    assert.deepStrictEqual(seen, {
        main: true, argv: [process.execPath, app], execArgv: ['--no-deprecation'], id: '.', boot: false, wid: '7',
        mainModule: true,
    });
    assert.deepStrictEqual(instance.events, ['initialized', 'configured', 'loaded', 'ready']);
    assert.strictEqual(await instance.stop(), 0);
});

for (const [name, packageType] of [['app.mjs', undefined], ['app.js', 'module']]) {
    test(`an ES module (${name}) is evaluated once, awaited, and main`, async () => {
        if (packageType) {
            write('esm/package.json', JSON.stringify({ type: packageType }));
        }
        const app = write(`esm/${name}`, `
            import { setTimeout } from 'timers';
            globalThis.evaluated = (globalThis.evaluated || 0) + 1;
            await new Promise(resolve => setTimeout(resolve, 50));
            process.send({ seen: { evaluated: globalThis.evaluated, main: import.meta.main } });`);
        const instance = await ready({ app });
        const order = instance.messages.map(m => (m.seen ? 'app' : m.args[0]));
        assert.deepStrictEqual(order, ['initialized', 'configured', 'app', 'loaded', 'ready']);
        const { seen } = await instance.message(m => m.seen);
        assert.strictEqual(seen.evaluated, 1);
        assert.ok(seen.main === undefined || seen.main === true);
        if (major >= 24) {
            assert.strictEqual(seen.main, true);
        }
    });
}

test('--import runs before the application, which stays main', async () => {
    if (!hasHooks) {
        return;
    }
    write('withimport/first.mjs', `
        await new Promise(resolve => setTimeout(resolve, 50));
        globalThis.order = ['import'];`);
    for (const [name, text] of [
        ['app.mjs', 'order.push("app"); process.send({ seen: order, main: import.meta.main });'],
        ['app.cjs', 'order.push("app"); process.send({ seen: order, main: require.main === module });'],
    ]) {
        const app = write(`withimport/${name}`, text);
        const instance = await ready({ app, nodeArgs: ['--import', path.join(path.dirname(app), 'first.mjs')] });
        const message = await instance.message(m => m.seen);
        assert.deepStrictEqual(message.seen, ['import', 'app']);
        assert.notStrictEqual(message.main, false, name);
        assert.strictEqual(instance.events.pop(), 'ready');
    }
});

test('module syntax without a package type, and TypeScript, where Node takes them', async () => {
    if (!stripsTypes) {
        return;
    }
    const detected = write('detect/app.js', 'import "fs"; process.send({ main: import.meta.main });');
    const typed = write('detect/app.ts', 'import fs from "fs"; const a: boolean = import.meta.main; process.send({ main: a });');
    for (const app of [detected, typed]) {
        const instance = await ready({ app });
        assert.strictEqual((await instance.message(m => 'main' in m)).main, true);
    }
});

test('a main given without its extension and through a symbolic link', async () => {
    const real = write('linked/real.js', 'process.send({ file: __filename, main: require.main === module })');
    const link = path.join(path.dirname(real), 'link.js');
    fs.symlinkSync(real, link);
    const instance = await ready({ app: link.replace(/\.js$/, '') });
    assert.deepStrictEqual(await instance.message(m => m.file), { file: real, main: true });
});

test('an application that throws ends with its own error and code 1', async () => {
    for (const name of ['bad.js', 'bad.mjs']) {
        const app = write(`bad/${name}`, '\n\nthrow new TypeError("app broke");');
        const instance = start({ app });
        assert.strictEqual(await instance.ended(), 1, name);
        assert.match(instance.errors, /bad\.m?js:3/);
        assert.match(instance.errors, /TypeError: app broke/);
        assert.ok(!instance.events.includes('loaded'));
    }
});

test('children and threads of the application are no workers', async () => {
    const app = write('nested/app.js', `
        const { fork } = require('child_process');
        const { Worker } = require('worker_threads');
        fork(__dirname + '/child.js').on('message', child => new Worker(__dirname + '/child.js')
            .on('message', thread => process.send({ child, thread })));`);
    write('nested/child.js', `
        const report = [process.execArgv.length, Object.keys(process.env).filter(k => k === 'LUSTER_BOOT').length];
        process.send && require('worker_threads').isMainThread ? (process.send(report), process.disconnect())
            : require('worker_threads').parentPort.postMessage(report);`);
    const instance = await ready({ app });
    const { child, thread } = await instance.message(m => m.child);
    assert.deepStrictEqual(child, [0, 0]);
    assert.deepStrictEqual(thread[1], 0);
    assert.strictEqual(instance.exit, null);
});

test('configurations: data, a module, an ES module, a promise', async () => {
    const app = write('configs/app.js', 'const l = require("luster"); process.send({ x: l.config.get("x.y"), dir: l.config.getBaseDir() })');
    const files = {
        'a.json': '{"app": "./app.js", "x": {"y": 1}}',
        'b.js': 'module.exports = { app: require.resolve("./app"), x: { y: 1 } }',
        'c.mjs': 'export default { app: "./app.js", x: { y: 1 } }',
        'd.mjs': 'await null; export default Promise.resolve({ app: "./app.js", x: { y: 1 } })',
    };
    for (const [name, text] of Object.entries(files)) {
        const config = write(`configs/${name}`, text);
        const baseDir = path.dirname(config);
        const given = name.endsWith('.json') ? { data: text, boot: { baseDir } } : { boot: { config, format: 'module', baseDir } };
        const instance = await ready({ app, ...given });
        assert.deepStrictEqual(await instance.message(m => m.dir), { x: 1, dir: baseDir }, name);
        instance.worker.process.kill();
    }
});

test('a configuration that throws ends the worker with its own error', async () => {
    const app = write('badconfig/app.js', '');
    for (const name of ['conf.js', 'conf.mjs']) {
        const config = write(`badconfig/${name}`, '\nthrow new RangeError("no DB_URL")');
        const instance = start({ app, boot: { v: 1, config, format: 'module', baseDir: path.dirname(config) } });
        assert.strictEqual(await instance.ended(), 1);
        assert.match(instance.errors, /RangeError: no DB_URL/);
        assert.match(instance.errors, /conf\.m?js:2/);
    }
});

test('LUSTER_CONF overrides, removes, keeps quotes', async () => {
    const app = write('env/app.js', 'process.send({ config: require("luster").config.get() })');
    const instance = await ready({
        app,
        config: { a: { b: 1 }, gone: 1 },
        env: { LUSTER_CONF: ' a.b = 2 ;s="x;y"; t=plain text; gone=; =ignored; ignored; deep.er={"z":[1]}' },
    });
    const { config } = await instance.message(m => m.config);
    delete config.app;
    assert.deepStrictEqual(config, { a: { b: 2 }, s: 'x;y', t: 'plain text', deep: { er: { z: [1] } } });

    const refused = start({ app, config: { a: 1 }, env: { LUSTER_CONF: 'a.b=1' } });
    assert.strictEqual(await refused.ended(), 1);
    assert.match(refused.errors, /Property "a" already exists and is not an object/);
});

test('extensions: both kinds, in order, with this, config and the worker', async () => {
    const app = write('ext/app/app.js', 'process.send({ log: global.log })');
    write('ext/node_modules/sync/index.js', `exports.configure = function (config, proc) {
        (global.log = []).push(this === exports, config.get('k'), proc === require('luster'), config.resolve('k'));
        proc.added = 1;
    }`);
    write('ext/app/async.js', `exports.configure = function (config, proc, done) {
        setTimeout(() => { global.log.push(config, proc.added); done(); }, 30);
    }`);
    const instance = await ready({ app, config: { extensions: { sync: { k: 'v' }, async: 5 } } });
    assert.deepStrictEqual((await instance.message(m => m.log)).log, [true, 'v', true, path.join(__dirname, 'apps', 'v'), 5, 1]);
    assert.deepStrictEqual(instance.events,
        ['configured', 'extension loaded', 'extension loaded', 'initialized', 'loaded', 'ready']);
});

test('extensionsPath is resolved from the configuration\'s folder', async () => {
    const app = write('extpath/app/app.js', 'process.send({ there: require("luster").extensions.there.yes })');
    const file = write('extpath/more/node_modules/there.js', 'exports.yes = 1; exports.configure = () => {}');
    const instance = await ready({ app, config: {
        extensionsPath: path.relative(path.join(__dirname, 'apps'), path.dirname(path.dirname(file))),
        extensions: { there: {} },
    } });
    assert.strictEqual((await instance.message(m => m.there)).there, 1);
});

test('extensions that do not finish, fail, or throw', async () => {
    const app = write('extbad/app.js', '');
    const outcomes = {
        never: [/Extensions never not loaded in 30 ms/, 'exports.configure = (c, p, done) => {}'],
        fails: [/Error: said no/, 'exports.configure = (c, p, done) => done(new Error("said no"))'],
        throws: [/throws\.js:2[^]*Error: thrown/, 'exports.configure = () => {\nthrow new Error("thrown") }'],
    };
    for (const [name, [expected, text]] of Object.entries(outcomes)) {
        write(`extbad/${name}.js`, text);
        const extensionsLoadTimeout = name === 'never' ? 30 : 20000;
        const instance = start({ app, config: { extensionsLoadTimeout, extensions: { [name]: {} } } });
        assert.strictEqual(await instance.ended(), 1, name);
        assert.match(instance.errors, expected);
        assert.ok(!instance.events.includes('initialized'));
    }
});

test('ready by hand, once', async () => {
    const app = write('manual/app.js', `
        const luster = require('luster');
        process.on('message', m => {
            if (m === 'go') { luster.ready(); try { luster.ready(); } catch (e) { process.send({ code: e.code }); } }
        });`);
    const instance = start({ app, config: { control: { triggerReadyStateManually: true } } });
    await instance.event('loaded');
    assert.ok(!instance.events.includes('ready'));
    instance.worker.send('go');
    assert.strictEqual((await instance.message(m => m.code)).code, 'ALREADY_READY');
    assert.strictEqual(instance.events.filter(e => e === 'ready').length, 1);
});

test('one luster per process, whatever is installed', async () => {
    const app = write('one/app.js', `
        const luster = require('luster');
        delete require.cache[require.resolve('luster')];
        const { STATES, EVENTS } = require('luster/lib/worker_wrapper');
        process.send({ same: luster === require('luster') && luster === require('./sub'), states: STATES, events: EVENTS.length,
            worker: luster.isWorker && !luster.isMaster && luster.wid === 7 && luster.id === require('cluster').worker.id,
            pid: luster.pid === process.pid, foreign: require('luster/package.json').version,
            idle: luster.run() === luster && luster.configure(luster.config) === luster });`);
    write('one/sub.js', 'module.exports = require("luster")');
    write('one/node_modules/luster/index.js', 'throw new Error("the installed one")');
    write('one/node_modules/luster/package.json', '{"version":"2.8.1"}');
    const instance = await ready({ app });
    assert.deepStrictEqual(await instance.message(m => m.states), {
        same: true, worker: true, pid: true, foreign: '2.8.1', idle: true, events: 13,
        states: { STOPPED: 'stopped', LAUNCHING: 'launching', RUNNING: 'running', STOPPING: 'stopping' },
    });
});

test('import luster, where Node has hooks', async () => {
    const app = write('importing/app.mjs', hasHooks
        ? `import luster from 'luster'; import { STATES } from 'luster/lib/worker_wrapper.js';
           import { createRequire } from 'module';
           process.send({ same: createRequire(import.meta.url)('luster') === luster, running: STATES.RUNNING });`
        : `import { createRequire } from 'module';
           process.send({ same: createRequire(import.meta.url)('luster').wid === 7, running: 'running' });`);
    const instance = await ready({ app });
    assert.deepStrictEqual(await instance.message(m => m.running), { same: true, running: 'running' });
});

test('remote commands, answers, time limits, master events', async () => {
    const app = write('remote/app.js', `
        const luster = require('luster');
        luster.registerRemoteCommand('say', (sender, a, b) => process.send({ said: [sender === luster, a, b] }));
        luster.registerRemoteCommandWithCallback('double', (answer, n) => answer(n * 2));
        luster.on('master shout', (...args) => process.send({ shouted: args }));
        luster.remoteCallWithCallback({ command: 'ask', data: 1, callback: (p, e, data) => process.send({ answer: data }) });
        luster.remoteCallWithCallback({ command: 'ask', timeout: 20, callback: (p, e) => process.send({ late: e.code }) });
        try { luster.registerRemoteCommand('say', () => {}); } catch (e) { process.send({ twice: e.code }); }
        luster.unregisterRemoteCommand('x');
        process.send({ has: [luster.hasRegisteredRemoteCommand('say'), luster.hasRegisteredRemoteCommand('x')] });`);
    const instance = await ready({ app });
    instance.call('say', 1, 'two');
    instance.call('double', 21, 'id1');
    instance.call('core.worker.broadcastMasterEvent', ['shout', 1, 2]);
    const asked = await instance.message(m => m.cmd === 'luster_ask');
    assert.strictEqual(asked.args[0], 1);
    instance.call('core.callback', asked.args[1], 'yes');
    assert.deepStrictEqual((await instance.message(m => m.said)).said, [true, 1, 'two']);
    assert.deepStrictEqual((await instance.message(m => m.cmd === 'luster_core.callback')).args, ['id1', 42]);
    assert.deepStrictEqual((await instance.message(m => m.shouted)).shouted, [1, 2]);
    assert.strictEqual((await instance.message(m => m.answer)).answer, 'yes');
    assert.strictEqual((await instance.message(m => m.late)).late, 'REMOTE_CALL_WITH_CALLBACK_TIMEOUT');
    assert.strictEqual((await instance.message(m => m.twice)).twice, 'REMOTE_COMMAND_ALREADY_REGISTERED');
    assert.deepStrictEqual((await instance.message(m => m.has)).has, [true, false]);

    instance.call('unknown');
    assert.strictEqual(await instance.ended(), 1);
    assert.match(instance.errors, /Remote command "unknown" is not registered on Worker/);
});

test('suspend functions run once, at the same time; a failed one is an error and no answer', async () => {
    const app = write('suspend/app.js', `
        const luster = require('luster');
        let runs = 0, active = 0, most = 0;
        const wait = () => new Promise(resolve => {
            runs++; most = Math.max(most, ++active); setTimeout(() => { active--; resolve(); }, 50);
        });
        luster.registerSuspendFunction(wait);
        luster.registerSuspendFunction(wait);
        luster.on('disconnect', () => console.log('disconnect seen'));
        process.on('message', m => m === 'report' && process.send({ runs, most }));`);
    const instance = await ready({ app });
    await Promise.all([instance.suspend('a'), instance.suspend('b')]);
    instance.worker.send('report');
    assert.deepStrictEqual(await instance.message(m => m.runs), { runs: 2, most: 2 });
    assert.strictEqual(await instance.stop(), 0);
    assert.match(instance.output, /disconnect seen/);

    const failing = write('suspend/failing.js', `
        require('luster').registerSuspendFunction(() => { throw new Error('cannot suspend'); });`);
    const other = await ready({ app: failing });
    other.call('core.worker.suspend', null, 'c');
    assert.strictEqual(await other.ended(), 1);
    assert.match(other.errors, /cannot suspend/);
    assert.ok(!other.messages.some(m => m.cmd === 'luster_core.callback'));
});

test('a master that is gone does not make the worker fail', async () => {
    const app = write('gone/app.js', `
        const luster = require('luster');
        process.on('disconnect', () => {
            luster.remoteCall('anything', 1);
            luster.remoteCallWithCallback({ command: 'x', callback() {} });
        });`);
    const instance = await ready({ app });
    instance.worker.process.disconnect();
    assert.strictEqual(await instance.ended(), 0);
    assert.strictEqual(instance.errors, '');
});

test('NODE_DEBUG=luster:eex traces events', async () => {
    const app = write('trace/app.js', '');
    const instance = await ready({ app, env: { NODE_DEBUG: 'luster:eex' } });
    await until('the trace', () => /^Worker\(7\)\.emit\('ready'\)$/m.test(instance.output));
    assert.match(instance.output, /^Worker\(7\)\.emit\('configured'\)$/m);
});

test('the listener limit is the configured one', async () => {
    const app = write('limit/app.js', 'process.send({ max: require("luster").getMaxListeners() })');
    const instance = await ready({ app, config: { maxEventListeners: 42 } });
    assert.strictEqual((await instance.message(m => m.max)).max, 42);
});
