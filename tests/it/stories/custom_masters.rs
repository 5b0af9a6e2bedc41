//! A script of the user's own as the master: `node master.js`, whose workers are the script again.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{
    HTTP, Luster, Running, TELL, Target, children, eventually, free_port, get, is_alive, on_every_node,
    on_oldest_and_newest, processes_in, usual_node,
};

/// A custom master that does this besides.
fn master(port: u16, workers: u32, body: &str) -> Luster {
    script(port, workers, &format!("if (luster.isMaster) {{ {body} }}"))
}

/// A custom master whose workers do this, too.
fn script(port: u16, workers: u32, body: &str) -> Luster {
    let master = format!(
        "{TELL}const luster = require('luster');
        {body}
        luster.configure({{ app: './worker.js', workers: {workers}, server: {{ port: {port} }},
            control: {{ exitThreshold: 60000 }} }}, true, __dirname).run();"
    );
    Luster::new().file("worker.js", HTTP).file("master.js", &master)
}

fn supervisor_of(luster: &Running) -> i32 {
    eventually("the supervisor is there", || children(luster.pid()).first().copied())
}

#[track_caller]
fn ends_well(mut luster: Running) {
    luster.signal(Signal::SIGTERM);
    assert_eq!(luster.await_end(), 0, "{:?}", luster.log());
    assert_eq!(processes_in(luster.path()), []);
}

#[test]
fn workers_are_the_script_again_with_its_arguments_and_flags() {
    let body = "tell({ isMaster: luster.isMaster, argv: process.argv.slice(2), flags: process.execArgv,
            file: process.argv[1] === __filename, main: require.main === module, number: luster.wid });";
    on_every_node(|node| {
        let port = free_port();
        let luster = script(port, 2, body).by_script(node, &["--max-http-header-size=20000"]);
        let luster = luster.arg("one").arg("--two=2").start();
        luster.await_ready(2);
        let told = luster.await_told(3);
        for (master, wid) in [(true, 0), (false, 1), (false, 2)] {
            let mut expected = json!({
                "isMaster": master, "argv": ["one", "--two=2"], "flags": ["--max-http-header-size=20000"],
                "file": true, "main": true, "number": wid, "wid": wid,
            });
            if master {
                expected["wid"] = Value::Null;
            }
            assert!(told.contains(&expected), "Node {}: {expected} in {told:?}", node.major);
        }
        let body = get(&Target::Tcp(port)).expect("an answer").body;
        assert!(luster.all_pids().iter().any(|pid| body.starts_with(&pid.to_string())), "{body}");
        ends_well(luster);
    });
}

#[test]
fn the_master_and_its_workers_talk() {
    let body = "
        if (luster.isMaster) {
            luster.registerRemoteCommand('sum', (worker, a, b) => {
                tell({ from: worker.wid, sum: a + b });
                worker.remoteCall('result', a + b);
            });
            luster.registerRemoteCommandWithCallback('ask', (answer, data) => answer({ asked: data }));
            luster.on('worker ready', worker => {
                worker.remoteCallWithCallback({ command: 'double', data: 21, callback: (of, error, data) =>
                    tell({ of: of === worker, error, data }) });
                worker.remoteCallWithCallback({ command: 'never', timeout: 50, callback: (of, error) =>
                    tell({ code: error.code }) });
            });
            luster.on('worker message', (worker, message) => message.own && tell({ message }));
            luster.on('received worker loaded', (worker, app) => tell({ app: require('path').basename(app) }));
            luster.on('running', () => luster.emitToAll('greeting', 'hello', [1]));
        } else {
            luster.registerRemoteCommand('result', (sender, sum) => { tell({ result: sum, sender: sender === luster }); });
            luster.registerRemoteCommandWithCallback('double', (answer, data) => answer(data * 2));
            luster.registerRemoteCommand('never', () => {});
            luster.on('master greeting', (...args) => tell({ greeting: args }));
            luster.on('ready', () => {
                luster.remoteCall('sum', 1, 2);
                luster.remoteCallWithCallback({ command: 'ask', data: 'x', callback: (of, error, data) => tell({ error, answer: data }) });
                process.send({ own: true });
            });
        }";
    on_oldest_and_newest(|node| {
        let luster = script(free_port(), 1, body).by_script(node, &[]).start();
        for expected in [
            json!({"wid": null, "from": 1, "sum": 3}),
            json!({"wid": 1, "result": 3, "sender": true}),
            json!({"wid": null, "of": true, "error": null, "data": 42}),
            json!({"wid": null, "code": "REMOTE_CALL_WITH_CALLBACK_TIMEOUT"}),
            json!({"wid": 1, "error": null, "answer": {"asked": "x"}}),
            json!({"wid": null, "message": {"own": true}}),
            json!({"wid": null, "app": "worker.js"}),
            json!({"wid": 1, "greeting": ["hello", [1]]}),
        ] {
            let told = luster.await_told_where(1, &expected.to_string(), |told| *told == expected);
            assert_eq!(told.len(), 1, "Node {}: once", node.major);
        }
        ends_well(luster);
    });
}

#[test]
fn killing_the_script_stops_everything_gracefully() {
    let app = "require('http').createServer((_, r) => { console.log('asked'); setTimeout(() => r.end('done'), 500); })
        .listen(process.env.port);";
    on_oldest_and_newest(|node| {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let port = free_port();
            let body = "luster.on('shutdown', () => tell({ shutdown: true }));";
            let luster = master(port, 2, body).file("worker.js", app).by_script(node, &[]).start();
            luster.await_listening(2);
            let client = std::thread::spawn(move || get(&Target::Tcp(port)));
            eventually("the request has arrived", || luster.stdout().contains("asked").then_some(()));
            luster.signal(signal);
            assert_eq!(client.join().expect("no panic").expect("an answer").body, "done");
            let mut luster = luster;
            assert_eq!(luster.await_end(), 0, "Node {}, {signal}", node.major);
            let told = luster.told().into_iter().filter(|told| told["shutdown"] == true).count();
            assert_eq!((told, processes_in(luster.path())), (1, Vec::new()));
        }
    });
}

#[test]
fn a_script_that_is_killed_leaves_nothing() {
    on_oldest_and_newest(|node| {
        let app = format!("{HTTP}process.on('SIGTERM', () => {{}}); process.on('disconnect', () => {{}});");
        let luster = master(free_port(), 2, "").file("worker.js", &app).by_script(node, &[]).start();
        luster.await_ready(2);
        let mut luster = luster;
        luster.signal(Signal::SIGKILL);
        luster.await_end();
        eventually("all are gone", || processes_in(luster.path()).is_empty().then_some(()));
    });
}

#[test]
fn a_supervisor_that_is_killed_ends_the_script_which_says_so() {
    let luster = master(free_port(), 2, "").by_script(&usual_node(), &[]).start();
    luster.await_ready(2);
    let workers = luster.all_pids();
    kill(Pid::from_raw(supervisor_of(&luster)), Signal::SIGKILL).expect("it is there");
    let mut luster = luster;
    assert_eq!(luster.await_end(), 70);
    let words =
        "luster: the luster supervisor of this process was killed by SIGKILL, and its workers with it";
    assert!(luster.stderr_of_workers().contains(words), "{}", luster.stderr_of_workers());
    assert!(workers.iter().all(|pid| !is_alive(*pid)));
}

#[test]
fn when_every_worker_is_dead_the_script_ends_with_1() {
    on_oldest_and_newest(|node| {
        let body = "luster.on('shutdown', () => tell({ dead: luster.getWorkersArray().map(worker => worker.dead) }));";
        let luster = master(free_port(), 2, body).file("worker.js", "process.exit(3)");
        let mut luster = luster.by_script(node, &[]).start();
        assert_eq!(luster.await_end(), 1, "Node {}", node.major);
        let told = luster.told().into_iter().find(|told| told["dead"].is_array()).expect("told");
        assert_eq!(told["dead"], json!([true, true]));
        assert_eq!(processes_in(luster.path()), []);
    });
}

#[test]
fn whoever_listens_may_revive_the_dead() {
    let body = "luster.on('shutdown', () => {
            require('fs').writeFileSync('healed', '');
            luster.forEach(worker => { worker.dead = false; worker.run(); });
        });";
    let app = "if (!require('fs').existsSync('healed')) { process.exit(3); } require('./http');";
    let luster = master(free_port(), 2, body).file("worker.js", app).file("http.js", HTTP);
    let luster = luster.by_script(&usual_node(), &[]).start();
    luster.await_event("all_dead", 1);
    luster.await_listening(2);
    ends_well(luster);
}

#[test]
fn a_script_that_is_an_es_module_has_it_by_import() {
    let master = "import luster from 'luster';
        import { fileURLToPath } from 'url';
        import path from 'path';
        luster.on('worker ready', worker => console.log('ready', worker.wid));
        luster.configure({ app: './worker.mjs', workers: 1 }, true, path.dirname(fileURLToPath(import.meta.url))).run();";
    on_every_node(|node| {
        let luster = Luster::new().file("package.json", r#"{"type": "module"}"#).file("master.js", master);
        let app = "import luster from 'luster'; console.log('app', luster.isWorker);";
        let luster = luster.file("worker.mjs", app).by_script(node, &[]).start();
        eventually("both have told", || {
            let told = luster.stdout();
            (told.contains("app true") && told.contains("ready 1")).then_some(())
        });
        ends_well(luster);
    });
}

#[test]
fn workers_can_be_silent_and_their_streams_are_real() {
    let body = "
        luster.setup({ silent: true });
        luster.on('worker fork', worker => {
            let out = '';
            worker.process.stdout.setEncoding('utf8').on('data', text => { out += text; });
            worker.process.stderr.on('data', data => tell({ err: String(data) }));
            worker.process.stdin.write('typed');
            worker.process.on('close', code => tell({ closed: code, out: out.length, end: out.slice(-4) }));
        });";
    let app = "process.stdin.once('data', data => {
            process.stderr.write(`got ${data}`);
            // More than a pipe holds: it arrives whole, be it after the end of the process.
            process.stdout.write('x'.repeat(300000) + 'end.', () => process.exit(0));
        });";
    on_oldest_and_newest(|node| {
        let luster = master(free_port(), 1, body).file("worker.js", app).by_script(node, &[]).start();
        let told = luster
            .await_told_where(2, "its streams", |told| told["err"].is_string() || told["closed"].is_i64());
        assert_eq!(told[0]["err"], "got typed", "Node {}", node.major);
        assert_eq!(
            (&told[1]["closed"], &told[1]["out"], &told[1]["end"]),
            (&json!(0), &json!(300_004), &json!("end.")),
            "Node {}",
            node.major
        );
        let mut luster = luster;
        assert_eq!(luster.await_end(), 1, "it was the last worker's last life");
    });
}

#[test]
fn the_script_directs_single_workers() {
    let body = "
        const states = () => luster.getWorkersArray().map(worker => worker.state);
        luster.once('running', () => {
            const [first, second] = luster.getWorkersArray();
            const pid = second.pid;
            first.stop();
            luster.waitForWorkers([1], 'worker exit').then(() => {
                tell({ step: 'stopped', states: states(), running: first.isRunning() });
                first.run();
                luster.waitForWorkers([1], 'worker ready').then(() => {
                    tell({ step: 'started', states: states() });
                    luster.once('restarted', () => tell({ step: 'of one worker, which is not told' }));
                    second.once('exit', () => tell({ step: 'gone', restarting: second.restarting }));
                    luster.scheduleWorkerRestart(second);
                    second.once('ready', () => {
                        tell({ step: 'restarted', other: second.pid !== pid, states: states() });
                        second.process.kill('SIGKILL');
                        second.once('exit', (code, signal) => tell({ step: 'killed', code, signal }));
                        second.once('ready', () => {
                            tell({ step: 'back', states: states() });
                            luster.shutdown();
                            luster.once('shutdown', () => tell({ step: 'over', states: states() }));
                        });
                    });
                });
            });
        });";
    on_oldest_and_newest(|node| {
        let luster = master(free_port(), 2, body).env("LUSTER_CONF", "control.allowedSequentialDeaths=9");
        let mut luster = luster.by_script(node, &[]).start();
        assert_eq!(luster.await_end(), 0, "Node {}", node.major);
        let steps: Vec<Value> = luster
            .told()
            .into_iter()
            .map(|mut told| {
                told.as_object_mut().expect("an object").remove("wid");
                told
            })
            .collect();
        let running = json!(["running", "running"]);
        let expected = [
            json!({"step": "stopped", "states": ["stopped", "running"], "running": false}),
            json!({"step": "started", "states": running}),
            json!({"step": "gone", "restarting": true}),
            json!({"step": "restarted", "other": true, "states": running}),
            json!({"step": "killed", "code": null, "signal": "SIGKILL"}),
            json!({"step": "back", "states": running}),
            json!({"step": "over", "states": ["stopped", "stopped"]}),
        ];
        assert_eq!(steps, expected, "Node {}", node.major);
    });
}

#[test]
fn mistakes_in_the_use_of_a_worker_are_error_events_with_the_words_of_js_luster() {
    let body = "
        luster.once('running', () => {
            const worker = luster.workers[1];
            worker.on('error', error => tell({ error: error.message.replace(String(worker.pid), 'PID') }));
            worker.run();
            worker.stop();
            worker.once('exit', () => setImmediate(() => {
                worker.stop();
                worker.remoteCall('anything');
                try {
                    luster.registerRemoteCommand('core.callback', () => {});
                } catch (error) {
                    tell({ error: error.message });
                }
            }));
        });";
    let mut luster = master(free_port(), 1, body).by_script(&usual_node(), &[]).start();
    assert_eq!(luster.await_end(), 0);
    let errors: Vec<_> =
        luster.told().into_iter().filter_map(|told| Some(told["error"].as_str()?.to_owned())).collect();
    let change = |from: &str, to: &str| {
        format!("Invalid attempt to change worker #1 (pid: PID) state from \"{from}\" to \"{to}\"")
    };
    let expected = [
        change("running", "launching"),
        change("stopped", "stopping"),
        "Remote command call \"anything\" to stopped worker #1".to_owned(),
        "Command \"core.callback\" already registered as allowed for remote calls".to_owned(),
    ];
    assert_eq!(errors, expected);
}

#[test]
fn luster_conf_applies_to_the_master_and_its_workers() {
    let body = "tell({ mine: luster.isMaster });
        luster.once('configured', () => tell({ value: luster.config.get('a.b') }));";
    let luster = script(free_port(), 1, body)
        .env("LUSTER_CONF", "a.b=7; workers=2")
        .by_script(&usual_node(), &[])
        .start();
    luster.await_ready(2);
    let told = luster.await_told_where(3, "the value", |told| told["value"] == 7);
    assert_eq!(told.len(), 3);
    ends_well(luster);
}

#[test]
fn a_script_without_workers_wanted_ends_by_itself_as_any_script() {
    let master = "const luster = require('luster');
        console.log(luster.isMaster, typeof luster.configure);";
    let luster = Luster::new().file("master.js", master).by_script(&usual_node(), &[]);
    assert_eq!(luster.output(), (0, "true function\n".to_owned(), String::new()));
}

#[test]
fn clusters_scheduling_policy_is_the_scripts_to_choose() {
    let body = "const cluster = require('cluster');
        if (luster.isMaster) { cluster.schedulingPolicy = cluster.SCHED_NONE; }
        luster.on('loaded', () => setImmediate(() => tell({ shared: true })));";
    // A worker that accepts by itself has a server whose handle listens.
    let app = "const server = require('http').createServer(() => {}).listen(process.env.port, () => {
            console.log(JSON.stringify({ handle: server._handle.constructor.name }));
        });";
    let luster = script(free_port(), 1, body).file("worker.js", app).by_script(&usual_node(), &[]).start();
    luster.await_told_where(1, "a listening socket of its own", |told| told["handle"] == "TCP");
    ends_well(luster);
}
