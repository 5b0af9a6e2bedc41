// The order of a worker's start: configuration, extensions, the master's word, the application.
//
// Invariants: messages of the master are heard from the first moment; nothing of ours is left in `process.env` or
// `process.execArgv` for the application's own children to inherit.

const Worker = require('./worker');
const drain = require('./drain');
const names = require('./names');
const mainModule = require('./main_module');
const withoutPreload = require('./exec_argv');

const boot = JSON.parse(process.env.LUSTER_BOOT);
delete process.env.LUSTER_BOOT;
process.execArgv = withoutPreload(process.execArgv, __filename);

const worker = new Worker();
names.install(worker);
drain.watch();
if (boot.acks === 'by verdict') {
    require('./acks').leaveOut();
}

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
