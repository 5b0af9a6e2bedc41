// The order of a worker's start: configuration, extensions, the master's word, the application.
//
// Invariants: messages of the master are heard from the first moment; nothing of ours is left in `process.env` or
// `process.execArgv` for the application's own children to inherit.

const path = require('path');
const Worker = require('./worker');
const drain = require('./drain');
const names = require('./names');
const mainModule = require('./main_module');

const boot = JSON.parse(process.env.LUSTER_BOOT);
delete process.env.LUSTER_BOOT;
process.execArgv = withoutPreload(process.execArgv, __filename);

const worker = new Worker();
names.install(worker);
drain.watch();

mainModule.hold((mainFile, load) => {
    require('./esm_names').installFor(mainFile);
    whenBoth('initialized', 'foreign properties received', () => load(applicationLoaded));
    require('./config_source')(boot, config => worker.configure(config, true, boot.baseDir));
});

/** Runs `then` after both events, on a clean stack: the application's exceptions are not their listeners' business. */
function whenBoth(one, other, then) {
    let missing = 2;
    const arrived = () => {
        if (--missing === 0) {
            process.nextTick(then);
        }
    };
    worker.once(one, arrived);
    worker.once(other, arrived);
}

function applicationLoaded() {
    worker.emit('loaded', worker.config.resolve('app'));
    if (!worker.config.get('control.triggerReadyStateManually', false)) {
        setImmediate(() => worker.ready());
    }
}

/** `args` less the option that loads `preload`, in any of its spellings. Only the name is compared: its folder may be a symbolic link. */
function withoutPreload(args, preload) {
    const isPreload = file => path.basename(file) === path.basename(preload);
    const isOption = arg => arg === '-r' || arg === '--require';
    return args.filter((arg, i) =>
        !(arg.startsWith('--require=') && isPreload(arg))
        && !(isOption(arg) && i + 1 < args.length && isPreload(args[i + 1]))
        && !(isPreload(arg) && isOption(args[i - 1])));
}
