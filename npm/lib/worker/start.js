// The order of a worker's start: configuration, extensions, the master's word, the application.
//
// Invariants: messages of the master are heard from the first moment; nothing of ours is left in `process.env` or
// `process.execArgv` for the application's own children to inherit; it happens once, whichever copy of this file is first.

const Worker = require('./worker');
const drain = require('./drain');
const compileCache = require('./compile_cache');
const names = require('../shared/names');
const mainModule = require('./main_module');
const release = require('./release');
const withoutPreload = require('./exec_argv');
const configSource = require('../shared/config_source');

const boot = JSON.parse(process.env.LUSTER_BOOT);
const validate = process.env.LUSTER_VALIDATE;
delete process.env.LUSTER_BOOT;
delete process.env.LUSTER_VALIDATE;
configSource.take(boot);
process.execArgv = withoutPreload(process.execArgv, boot.preload);

if (boot.cache) {
    compileCache.enable(process.argv[1]);
}

if (process.env.LUSTER_SERIALIZATION === 'advanced') {
    require('./serialization').useAdvanced();
}
delete process.env.LUSTER_SERIALIZATION;

const worker = new Worker();
worker.once('loaded', () => compileCache.loaded(worker.wid));
names.install(worker, {
    'worker': () => Worker,
    'worker_wrapper': () => require('../shared/worker_constants'),
});
drain.watch(() => worker.config && worker.config.get('control.idleTimeout'));
require('./old_node').tell();
require('./goes_on').watch();
require('./last_words').watch();
require('../shared/extensions').lookBeside(boot.package);
if (boot.acks === 'by verdict') {
    require('./acks').leaveOut();
}

if (boot.format === 'script') {
    // A custom master's script is the main module here too; its `configure` and `run` do the rest.
    require('./esm_names').installFor(mainModule.file());
    if (validate !== undefined) {
        worker.validatesBy(require(validate).again);
    }
    worker.runsBy(loaded => require('./script_app').load(worker.config.resolve('app'), loaded));
} else {
    mainModule.hold((mainFile, load) => {
        worker.runsBy(release.enter(boot, mainFile) ? load : loaded => {
            load(loaded, release.given(boot, worker.config.resolve('app')));
        });
        configSource.read(boot, config => worker.configure(config, boot.app === undefined, boot.baseDir).run());
    });
}

module.exports = worker;
