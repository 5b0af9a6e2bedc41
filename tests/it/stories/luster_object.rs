//! `require('luster')` in a worker: what it knows, what it tells, the extensions it loads, and how it says goodbye.

use serde_json::{Value, json};

use crate::harness::{Luster, Running, TELL, ending_of, eventually, on_every_node, on_oldest_and_newest};

#[track_caller]
fn ends_well(luster: Running) -> Vec<Value> {
    let (code, log) = luster.stop();
    assert_eq!(code, 0, "{log:?}");
    log
}

#[test]
fn the_object_knows_its_process_and_its_configuration() {
    let app = format!(
        "{TELL}const luster = require('luster');
        tell({{ isMaster: luster.isMaster, isWorker: luster.isWorker, number: luster.wid, id: luster.id,
            pid: luster.pid === process.pid, same: require('luster/lib/luster') === luster, states: require('luster/lib/worker_wrapper').STATES.RUNNING,
            get: luster.config.get('a.b'), other: luster.config.get('a.x', 'default'), has: [luster.config.has('a.b'), luster.config.has('a.x'), luster.config.has('constructor')],
            keys: luster.config.getKeys('a'), none: luster.config.getKeys('a.b'),
            resolved: luster.config.resolve('a.b') === require('path').join(__dirname, 'c'),
            resolvedDefault: luster.config.resolve('a.x', 'd') === require('path').join(__dirname, 'd'),
            base: luster.config.getBaseDir() === __dirname, listeners: luster.getMaxListeners() }});
        luster.whenInitialized().then(() => tell({{ initialized: true }}));
        tell({{ again: luster.run() === luster }});
        try {{ luster.configure({{}}); }} catch (error) {{ tell({{ refused: error.code, still: luster.config.get('a.b') }}); }}"
    );
    on_oldest_and_newest(|node| {
        let config = json!({"workers": 1, "a": {"b": "c", "e": null}, "maxEventListeners": 7});
        let luster = Luster::with(&app, config).node(node).start();
        let told = luster.await_told(4);
        let refused = json!({"wid": 1, "refused": "CONFIGURATION_CHECK_FAILED", "still": "c"});
        assert_eq!((&told[1]["again"], &told[2]), (&json!(true), &refused), "Node {}", node.major);
        let expected = json!({"wid": 1, "isMaster": false, "isWorker": true, "number": 1, "id": 1, "pid": true,
            "same": true, "states": "running", "get": "c", "other": "default", "has": [true, false, false],
            "keys": ["b", "e"], "none": [], "resolved": true, "resolvedDefault": true, "base": true, "listeners": 7});
        assert_eq!(told[0], expected, "Node {}", node.major);
        luster.await_ready(1);
        ends_well(luster);
    });
}

#[test]
fn events_come_in_their_order_in_the_worker_and_at_the_master() {
    let extension = format!(
        "{TELL}exports.configure = function (config, worker) {{
            if (worker.isMaster) return;
            worker.seen = ['configure'];
            for (const event of ['configured', 'extension loaded', 'initialized', 'loaded', 'ready', 'disconnect'])
                worker.on(event, () => {{ worker.seen.push(event); if (event === 'ready') tell({{ seen: worker.seen }}); }});
        }};"
    );
    on_oldest_and_newest(|node| {
        let luster = Luster::with(
            "require('luster').seen.push('app')",
            json!({"workers": 1, "extensions": {"ext": {}}}),
        )
        .file("node_modules/ext/index.js", &extension)
        .node(node)
        .start();
        let told = luster.await_told(1);
        assert_eq!(
            told[0]["seen"],
            json!(["configure", "extension loaded", "initialized", "app", "loaded", "ready"]),
            "Node {}",
            node.major
        );
        luster.await_ready(1);
        let names: Vec<_> = luster.events("worker_event").iter().map(|line| line["name"].clone()).collect();
        assert_eq!(
            names,
            ["configured", "extension loaded", "initialized", "loaded", "ready"],
            "Node {}",
            node.major
        );
        ends_well(luster);
    });
}

#[test]
fn a_worker_is_ready_when_the_app_says_so_and_only_once() {
    let app = format!(
        "{TELL}const luster = require('luster'), fs = require('fs');
        luster.on('loaded', () => tell({{ loaded: true }}));
        const look = setInterval(() => {{
            if (!fs.existsSync(__dirname + '/go')) return;
            clearInterval(look);
            luster.ready();
            try {{ luster.ready(); }} catch (error) {{ tell({{ code: error.code, name: error.name, message: error.message }}); }}
        }}, 10);"
    );
    let luster =
        Luster::with(&app, json!({"workers": 1, "control": {"triggerReadyStateManually": true}})).start();
    luster.await_told(1);
    assert_eq!(luster.events("ready").len(), 0);
    luster.put("go", "");
    luster.await_ready(1);
    let told = luster.await_told(2).remove(1);
    assert_eq!((&told["code"], &told["name"]), (&json!("ALREADY_READY"), &json!("LusterWorkerError")));
    assert_eq!(told["message"], "Worker#ready() called when worker is is \"ready\" state already");
    ends_well(luster);
}

#[test]
fn a_worker_that_is_ready_by_itself_may_not_say_so_again() {
    let app = format!(
        "{TELL}const luster = require('luster');
        luster.on('ready', () => {{ try {{ luster.ready(); }} catch (error) {{ tell({{ code: error.code }}); }} }});"
    );
    let luster = Luster::with(&app, json!({"workers": 1})).start();
    assert_eq!(luster.await_told(1)[0]["code"], "ALREADY_READY");
    luster.await_ready(1);
    ends_well(luster);
}

#[test]
fn suspend_functions_run_once_each_and_are_waited_for() {
    let app = format!(
        "{TELL}const luster = require('luster');
        const began = {{}};
        const slow = (name, ms) => () => {{ tell({{ name, runs: 'began' }}); return new Promise(done => setTimeout(() => {{ tell({{ name, runs: 'ended' }}); done(); }}, ms)); }};
        luster.registerSuspendFunction(slow('one', 250));
        luster.registerSuspendFunction(slow('two', 100));
        luster.registerSuspendFunction(() => {{ tell({{ name: 'three', runs: 'at once' }}); }});
        luster.on('disconnect', () => tell({{ name: 'disconnected' }}));
        require('http').createServer(() => {{}}).listen(0);"
    );
    let expected = ["one began", "two began", "three at once", "two ended", "one ended", "disconnected"];
    let names = |told: Vec<Value>| -> Vec<String> {
        let words = told.iter().map(|told| {
            let words = [&told["name"], &told["runs"]].map(|word| word.as_str().unwrap_or_default());
            words.join(" ").trim_end().to_owned()
        });
        words.collect()
    };
    on_oldest_and_newest(|node| {
        let luster = Luster::with(&app, json!({"workers": 1})).node(node).start();
        luster.await_ready(1);
        assert_eq!(luster.rollout()["event"], "rollout_finished");
        assert_eq!(names(luster.await_told(6)), expected, "Node {}: on a rollout", node.major);
        luster.signal(nix::sys::signal::Signal::SIGTERM);
        assert_eq!(names(luster.await_told(12))[6..], expected, "Node {}: on a stop", node.major);
        let mut luster = luster;
        assert_eq!(luster.await_end(), 0);
        assert_eq!(luster.told().len(), 12);
        let exits = luster.events("exit");
        assert!(exits.iter().all(|exit| ending_of(exit) == "exited with code 0"), "{exits:?}");
    });
}

#[test]
fn a_failed_suspend_function_is_an_error_event_and_the_stop_goes_on_without_an_answer() {
    let app = format!(
        "{TELL}const luster = require('luster');
        luster.on('error', error => tell({{ error: error.message }}));
        luster.registerSuspendFunction(() => Promise.reject(new Error('cannot save')));
        luster.registerSuspendFunction(() => {{ tell({{ also: 'run' }}); }});"
    );
    let config = json!({"workers": 1, "control": {"stopTimeout": 400}});
    let luster = Luster::with(&app, config).start();
    luster.await_ready(1);
    luster.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(
        luster.await_told(2),
        [json!({"wid": 1, "also": "run"}), json!({"wid": 1, "error": "cannot save"})]
    );
    let mut luster = luster;
    assert_eq!(luster.await_end(), 0);
    assert_eq!(luster.told().len(), 2);
    assert_eq!(ending_of(&luster.await_exit_of(1)), "was killed by SIGTERM");
}

#[test]
fn a_failed_suspend_function_nobody_listens_to_is_an_uncaught_error() {
    let app = "require('luster').registerSuspendFunction(() => { throw new Error('cannot save'); });";
    let luster = Luster::with(app, json!({"workers": 1})).start();
    luster.await_ready(1);
    luster.signal(nix::sys::signal::Signal::SIGTERM);
    let mut luster = luster;
    assert_eq!(luster.await_end(), 0);
    assert_eq!(ending_of(&luster.await_exit_of(1)), "exited with code 1");
    luster.await_stderr("Error: cannot save");
}

#[test]
fn extensions_of_every_kind_are_loaded_from_where_they_may_be() {
    let sync = "exports.configure = function (config, worker) {
        worker.sync = { own: this === exports && require('luster') === worker, plain: config.get('deep.x'), base: config.getBaseDir() === process.cwd(), wid: worker.wid };
    };";
    let slow = "exports.configure = (config, worker, done) => setTimeout(() => { worker.slow = config.get('y'); done(); }, 50);";
    let flag = "exports.configure = (config, worker) => { worker.flag = config; };";
    let app = format!(
        "{TELL}const {{ sync, slow, flag, extensions }} = require('luster');
        tell({{ sync, slow, flag, names: Object.keys(extensions), kind: typeof extensions.sync.configure }});"
    );
    on_every_node(|node| {
        for (place, path) in
            [("node_modules", Value::Null), ("ext/node_modules", json!("ext")), ("ext", json!("./ext"))]
        {
            let mut config = json!({"workers": 1, "extensions": {"sync": {"deep": {"x": 1}}, "slow": {"y": 2}, "flag": true}});
            if !path.is_null() {
                config["extensionsPath"] = path;
            }
            let luster = Luster::with(&app, config)
                .file(&format!("{place}/sync/index.js"), sync)
                .file(&format!("{place}/slow.js"), slow)
                .file(&format!("{place}/flag/package.json"), r#"{"main": "lib"}"#)
                .file(&format!("{place}/flag/lib.js"), flag)
                .node(node)
                .start();
            let told = luster.await_told(1).remove(0);
            let expected = json!({"wid": 1, "sync": {"own": true, "plain": 1, "base": true, "wid": 1}, "slow": 2,
                "flag": true, "names": ["sync", "slow", "flag"], "kind": "function"});
            assert_eq!(told, expected, "Node {}: {place}", node.major);
            luster.await_ready(1);
            assert_eq!(luster.await_event("host_fork", 1)["names"], "sync, slow, flag");
            ends_well(luster);
        }
    });
}

#[test]
fn an_extension_that_throws_ends_the_worker_with_its_own_words() {
    let config = json!({"workers": 1, "extensions": {"bad": {}}, "control": {"exitThreshold": 60000}});
    let mut luster = Luster::with("", config)
        .file(
            "node_modules/bad.js",
            "exports.configure = (config, worker) => { if (worker.isWorker) throw new Error('bad extension'); };",
        )
        .start();
    assert_eq!(luster.await_end(), 1);
    luster.await_stderr("bad extension");
    luster.await_stderr("bad.js:1");
    assert_eq!(ending_of(&luster.await_exit_of(1)), "exited with code 1");
}

#[test]
fn extensions_that_never_finish_are_an_error_event_that_names_them() {
    let never = "exports.configure = (config, worker, done) => worker.isMaster && done();";
    let catcher = format!(
        "{TELL}exports.configure = (config, worker) => worker.isMaster || worker.on('error', error => tell({{ code: error.code, message: error.message }}));"
    );
    let luster = |extensions: Value| {
        let config = json!({"workers": 1, "extensions": extensions, "extensionsLoadTimeout": 100,
            "control": {"exitThreshold": 60000}});
        Luster::with("", config)
            .file("node_modules/a.js", never)
            .file("node_modules/b.js", never)
            .file("node_modules/catcher.js", &catcher)
            .start()
    };
    let text = "Extensions a,b not loaded in 100 ms";
    let mut uncaught = luster(json!({"a": {}, "b": {}}));
    assert_eq!(uncaught.await_end(), 1);
    uncaught.await_stderr(text);
    let caught = luster(json!({"catcher": {}, "a": {}, "b": {}}));
    let told = caught.await_told(1).remove(0);
    assert_eq!((&told["code"], &told["message"]), (&json!("EXTENSIONS_LOAD_TIMEOUT"), &json!(text)));
    ends_well(caught);
}

#[test]
fn node_debug_traces_every_event() {
    let luster = Luster::with("", json!({"workers": 1})).env("NODE_DEBUG", "luster:eex").start();
    luster.await_ready(1);
    for line in [
        "Worker(1).emit('configured')",
        "Worker(1).emit('initialized')",
        "Worker(1).emit('ready')",
        "Master(0).emit('configured')",
        "WorkerWrapper(1).emit('state', 'running')",
        "Master(0).emit('worker ready', WW{ id:1, state: running})",
        "Master(0).emit('running')",
    ] {
        eventually(line, || luster.stdout().lines().any(|told| told == line).then_some(()));
    }
    ends_well(luster);
}

#[test]
fn commands_the_master_does_not_know_are_not_answered_and_the_worker_is_told_after_its_timeout() {
    let app = format!(
        "{TELL}const luster = require('luster');
        luster.remoteCall('nobody.listens', 1, 2);
        luster.remoteCallWithCallback({{ command: 'nobody.answers', timeout: 50, callback: (worker, error) => tell({{ own: worker === luster, code: error.code }}) }});
        luster.registerRemoteCommand('mine', () => {{}});
        tell({{ has: luster.hasRegisteredRemoteCommand('mine') }});
        luster.unregisterRemoteCommand('mine');
        tell({{ has: luster.hasRegisteredRemoteCommand('mine') }});"
    );
    let luster = Luster::with(&app, json!({"workers": 1})).start();
    let told = luster.await_told(3);
    assert_eq!((&told[0]["has"], &told[1]["has"]), (&json!(true), &json!(false)));
    assert_eq!(
        (&told[2]["own"], &told[2]["code"]),
        (&json!(true), &json!("REMOTE_CALL_WITH_CALLBACK_TIMEOUT"))
    );
    luster.await_ready(1);
    eventually("the unknown commands are noted", || {
        (luster.events("unknown_command").len() == 2).then_some(())
    });
    ends_well(luster);
}
