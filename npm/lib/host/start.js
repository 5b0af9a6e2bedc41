// The process that luster starts for JavaScript of its own: it runs a configuration that is a program, and if there is a
// master side to run - extensions, or what the configuration left behind - it goes on as the extension host.
//
// Invariants: the configuration runs once; `require('luster')` is the Master from its first line on; luster is told why
// this process dies, if it dies of an error.

// Kept from before the configuration runs: it may replace it. Ends the process without `exit` listeners.
const reallyExit = process.reallyExit.bind(process);

const names = require('../shared/names');
const Master = require('../master/master');
const Settings = require('../master/settings');
const apps = require('../shared/apps');
const configSource = require('../shared/config_source');
const handshake = require('./handshake');
const evaluate = require('./evaluate');
const findApp = require('../master/find_app');
const residualHandles = require('./residual_handles');

const boot = JSON.parse(process.env.LUSTER_HOST);
delete process.env.LUSTER_HOST;
configSource.take(boot);

// Where Node restricts what a process may read, luster has added what this script needs: for this process alone.
const ours = process.execArgv.indexOf(`--allow-fs-read=${process.argv[1]}`);
if (ours !== -1) {
    process.execArgv = process.execArgv.slice(0, ours);
}

const master = new Master();
names.install(master, {
    'master': () => Master,
    'worker_wrapper': () => require('../master/worker_wrapper'),
});
const main = evaluate.become(boot);

if (boot.again) {
    require('./quiet').install();
}
if (boot.evaluate) {
    const stays = residualHandles.since(master);
    // Of its own: the master's tells the same again if this process stays.
    const settings = new Settings();
    const wishes = () => ({ env: settings.environmentChanges(), setup: settings.changes(true) });
    evaluate.load(main, boot).then(
        config => answered({ ...evaluate.describe(config), ...wishes(), stays: stays() }, config),
        error => answered(evaluate.describeError(error, boot.config)));
} else if (boot.listens) {
    // Only asked where files are.
    lastWord();
    reallyExit(0);
} else if (boot.format === 'module') {
    evaluate.load(main, boot).then(
        config => process.nextTick(serve, boot.app === undefined ? config : apps.pick(config, boot.app), boot),
        error => process.nextTick(() => { throw error; }));
} else {
    configSource.read(boot, config => serve(config, boot));
}

/** The configuration has been read, one way or the other; luster says what comes now. */
function answered(answer, config) {
    handshake.answer(boot.socket, boot.sizeLimit, answer);
    const word = lastWord();
    if (word.end) {
        reallyExit(0);
    }
    // Out of the promise: what extensions throw is an uncaught exception, not a rejection.
    process.nextTick(serve, config, { ...boot, ...word });
}

/** Answers what luster asks, until it says what becomes of this process. */
function lastWord() {
    for (;;) {
        const word = handshake.hear(boot.socket);
        if (word.find === undefined) {
            return word;
        }
        handshake.answer(boot.socket, boot.sizeLimit, { found: findApp(word.find) });
    }
}

function serve(config, about) {
    require('./serve')(master, config, about);
}
