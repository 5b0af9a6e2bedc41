//! The same script run by JS luster and by ours shows the same: which events there are, in which order, and the members of
//! the objects. What JS luster shows is recorded.

use serde_json::{Value, json};

use crate::harness::{Luster, Node, TELL, free_port, node, on_every_node, on_nodes, usual_node};

/// Starts two workers one after the other, restarts them, has one killed, stops and starts one, and stops all.
const SCRIPT: &str = "
    const luster = require('luster');
    const app = require('path').join(__dirname, 'worker.js');
    if (luster.isMaster) {
        const first = () => luster.workers[1];
        luster.once('running', () => {
            luster.softRestart();
            luster.once('restarted', () => {
                first().once('ready', () => setTimeout(() => {
                    first().stop();
                    first().once('exit', () => setImmediate(() => {
                        first().run();
                        first().once('ready', () => setTimeout(() => luster.shutdown(), 100));
                    }));
                }, 100));
                // What a worker tells itself may come later than what it tells its master.
                setTimeout(() => first().process.kill('SIGKILL'), 100);
            });
            luster.once('shutdown', () => process.exit());
        });
    }
    luster.configure({
        app, workers: 1, server: { port: PORT }, extensions: EXTENSIONS,
        control: { allowedSequentialDeaths: 5, exitThreshold: 10000, forkTimeout: 5000, stopTimeout: 5000, killTimeout: 6000 },
    }, true, __dirname).run();";

/// The names of the events that `NODE_DEBUG=luster:eex` shows, by emitter.
fn trace(node: &Node, extensions: &str) -> Value {
    let script = SCRIPT.replace("PORT", &free_port().to_string()).replace("EXTENSIONS", extensions);
    let luster = Luster::new().file("master.js", &script);
    let luster = luster.file("worker.js", "require('http').createServer(() => {}).listen(process.env.port)");
    let luster = luster.file("node_modules/one/index.js", "exports.configure = () => {};");
    let luster = luster
        .file("node_modules/two/index.js", "exports.configure = (c, l, done) => { setTimeout(done, 10); };")
        .env("NODE_DEBUG", "luster:eex");
    let (code, stdout, stderr) = luster.by_script(node, &[]).output();
    assert_eq!(code, 0, "{stderr}");
    let of = |emitter: &str| {
        let event = |line: &str| {
            let name = line.strip_prefix(emitter)?.split_once(").emit('")?.1.split('\'').next()?.to_owned();
            // Told of luster's own accord, or when it happens to be.
            let passed =
                ["message", "worker message", "listening", "worker listening", "foreign properties received"];
            let counts = !passed.contains(&name.as_str());
            counts.then_some(name)
        };
        stdout.lines().filter_map(event).collect::<Vec<_>>()
    };
    json!({"Master": of("Master(0"), "WorkerWrapper": of("WorkerWrapper(1"), "Worker": of("Worker(1")})
}

fn recorded() -> Value {
    serde_json::from_str(include_str!("../recorded/js_luster.json")).expect("JSON")
}

#[test]
fn events_are_emitted_in_the_same_order() {
    let recorded = recorded();
    on_every_node(|node| {
        for (extensions, expected) in recorded["events"].as_object().expect("an object") {
            let events = trace(node, extensions);
            for emitter in ["Master", "WorkerWrapper", "Worker"] {
                let version = node.major;
                assert_eq!(events[emitter], expected[emitter], "Node {version}, {emitter}, {extensions}");
            }
        }
    });
}

#[test]
fn every_member_of_the_objects_is_there() {
    let recorded = recorded();
    let script = format!(
        "const luster = require('luster');
        const expected = {};
        const lacks = (who, object) => console.log(who, expected[who].filter(name => !(name in object)).join());
        if (luster.isMaster) {{
            lacks('Master', luster);
            luster.configure({{ app: './worker.js', workers: 1 }}, true, __dirname).run();
            lacks('Configuration', luster.config);
            lacks('WorkerWrapper itself', require('luster/lib/worker_wrapper'));
            luster.once('running', () => {{
                lacks('WorkerWrapper', luster.workers[1]);
                luster.shutdown();
            }});
        }} else {{
            lacks('Worker', luster);
            luster.configure({{ app: './worker.js' }}, true, __dirname).run();
        }}",
        recorded["members"]
    );
    on_every_node(|node| {
        let luster = Luster::new().file("master.js", &script).file("worker.js", "").by_script(node, &[]);
        let (code, stdout, stderr) = luster.output();
        let mut lines: Vec<_> = stdout.lines().collect();
        lines.sort_unstable();
        // After each name, what it lacks.
        let nothing = ["Configuration ", "Master ", "Worker ", "WorkerWrapper ", "WorkerWrapper itself "];
        assert_eq!((code, lines), (0, nothing.to_vec()), "Node {}: {stderr}", node.major);
    });
}

/// What code that imports luster's files sees of them.
const MODULES: &str = include_str!("../recorded/modules.js");

/// `shown` is what JS luster shows, besides codes of our own.
#[track_caller]
fn is_as_recorded(mut shown: Value, place: &str) {
    let mut expected = recorded()["modules"].take();
    let (codes, expected_codes) = (shown["codes"].take(), expected["codes"].take());
    assert_eq!(shown, expected, "{place}");
    for (class, messages) in expected_codes.as_object().expect("classes") {
        for (code, message) in messages.as_object().expect("messages") {
            assert_eq!(codes[class][code], *message, "{place}: {class}.{code}");
        }
    }
}

#[test]
fn the_files_that_a_script_imports_show_the_same() {
    on_every_node(|node| {
        let script = "console.log(JSON.stringify(require('./modules')()))";
        let luster = Luster::new().file("master.js", script).file("modules.js", MODULES);
        let (code, stdout, stderr) = luster.by_script(node, &[]).output();
        assert_eq!(code, 0, "{stderr}");
        is_as_recorded(serde_json::from_str(&stdout).expect("JSON"), &format!("Node {}", node.major));
    });
}

#[test]
fn the_files_that_a_worker_and_an_extension_import_show_the_same_where_no_package_is_installed() {
    let tells =
        format!("{TELL}tell({{ shown: require(process.cwd() + '/modules')(), isMaster: luster.isMaster }});");
    let app = format!(
        "const luster = require('luster');
        if (!(luster instanceof require('luster/lib/worker'))) throw new Error('another Worker');
        if (!(luster instanceof require('luster/lib/cluster_process.js'))) throw new Error('another ClusterProcess');
        {tells}"
    );
    let extension = format!(
        "exports.configure = (config, luster) => {{
            if (luster.isWorker) return;
            if (!(luster instanceof require('luster/lib/master'))) throw new Error('another Master');
            {tells}
        }};"
    );
    on_nodes(&[node(16), node(20), node(24)], |node| {
        let config = json!({"workers": 1, "extensions": {"mine": {}}});
        let luster = Luster::with(&app, config)
            .file("modules.js", MODULES)
            .file("node_modules/mine/index.js", &extension)
            .node(node)
            .start();
        for told in luster.await_told(2) {
            let place = format!("Node {}, master {}", node.major, told["isMaster"]);
            is_as_recorded(told["shown"].clone(), &place);
        }
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn what_luster_reports_can_log_itself_and_says_what_about() {
    let script = "const luster = require('luster');
        const { LusterError, LusterWorkerWrapperError } = require('luster/lib/errors');
        luster.on('worker error', (worker, error) => error.log());
        luster.on('error', error => error.log('warn'));
        luster.configure({ app: './worker.js', workers: 1 }, true, __dirname);
        const worker = luster.workers[1];
        worker.on('error', error => console.log(error instanceof LusterWorkerWrapperError, error.code, JSON.stringify(error.data)));
        worker.stop();
        worker.remoteCall('greet');
        luster.emit('error', LusterError.ensureError(new Error('mine')));
        luster.loadExtension('one', error => console.log(error, luster.extensions.one.is));";
    let luster = Luster::new().file("master.js", script).file("worker.js", "");
    let luster = luster.file("node_modules/one.js", "exports.is = 'loaded'; exports.configure = () => {};");
    let (code, stdout, stderr) = luster.by_script(&usual_node(), &[]).output();
    let said = stdout.lines().filter(|line| !line.contains("> ")).collect::<Vec<_>>();
    let expected = [
        "ERROR INVALID_ATTEMPT_TO_CHANGE_STATE LusterWorkerWrapperError: Invalid attempt to change worker #1 \
         (pid: undefined) state from \"stopped\" to \"stopping\"",
        "true INVALID_ATTEMPT_TO_CHANGE_STATE {\"wid\":1,\"state\":\"stopped\",\"targetState\":\"stopping\"}",
        "ERROR REMOTE_COMMAND_CALL_TO_STOPPED_WORKER LusterWorkerWrapperError: \
         Remote command call \"greet\" to stopped worker #1",
        "true REMOTE_COMMAND_CALL_TO_STOPPED_WORKER {\"wid\":1,\"command\":\"greet\"}",
        "WARN UNKNOWN_ERROR LusterError: Unknown error",
        "undefined loaded",
    ];
    assert_eq!((code, said), (0, expected.to_vec()), "{stderr}");
}
