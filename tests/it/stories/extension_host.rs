//! Extensions in the master, run by a Node process beside the workers, and what happens to those when it dies.

use std::collections::BTreeSet;
use std::time::SystemTime;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{
    HTTP, Luster, Running, TELL, Target, children, eventually, free_port, get, is_alive, on_every_node,
    on_oldest_and_newest, processes_in,
};

/// A luster with this extension, `mine`, beside workers that serve.
fn with_extension(port: u16, workers: u32, body: &str) -> Luster {
    let config = json!({
        "workers": workers, "server": {"port": port}, "extensions": {"mine": {"greeting": "hello"}},
    });
    let module = format!(
        "{TELL}exports.configure = function (config, luster, done) {{
            if (!luster.isMaster) {{ return done(); }}
            {body}
            done();
        }};"
    );
    Luster::with(HTTP, config).file("node_modules/mine/index.js", &module)
}

fn host_pid(luster: &Running, count: usize) -> i32 {
    i32::try_from(luster.await_event("host_fork", count)["pid"].as_i64().expect("a pid")).expect("a pid")
}

#[track_caller]
fn ends_well(mut luster: Running) {
    luster.signal(Signal::SIGTERM);
    assert_eq!(luster.await_end(), 0);
    assert_eq!(processes_in(luster.path()), []);
}

fn names(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().map(|name| name.as_str().expect("a name")).collect()
}

#[test]
fn an_extension_runs_in_the_host_and_in_every_worker_and_workers_wait_for_it() {
    let module = format!(
        "{TELL}exports.name = 'mine';
        exports.configure = function (config, luster, done) {{
            const about = {{ master: luster.isMaster, number: luster.wid, greeting: config.get('greeting'),
                self: this === exports, pid: luster.isMaster ? process.pid : 0, file: luster.config.resolve('app'),
                same: require('luster') === luster, listed: luster.extensions.mine === exports }};
            if (!luster.isMaster) {{ tell(about); return done(); }}
            setTimeout(() => {{ tell({{ ...about, running: luster.getWorkersArray().some(w => w.isRunning()) }}); done(); }}, 200);
        }};"
    );
    on_oldest_and_newest(|node| {
        let config = json!({"workers": 2, "extensions": {"mine": {"greeting": "hello"}}});
        let luster = Luster::with("", config).file("node_modules/mine/index.js", &module).node(node).start();
        let told = luster.await_told(3);
        let file = luster.path().join("worker.js");
        let expected = |wid: Option<u32>, number: u32, pid: i32| {
            let mut about = json!({
                "wid": wid, "number": number, "master": number == 0, "greeting": "hello", "self": true, "pid": pid,
                "file": file, "same": true, "listed": true,
            });
            if number == 0 {
                about["running"] = json!(false);
            }
            about
        };
        assert_eq!(told[0], expected(None, 0, host_pid(&luster, 1)), "Node {}: first the master", node.major);
        for wid in 1..=2 {
            assert!(told.contains(&expected(Some(wid), wid, 0)), "Node {}: {told:?}", node.major);
        }
        luster.await_ready(2);
        assert_eq!(children(luster.pid()).len(), 3);
        ends_well(luster);
    });
}

#[test]
fn without_a_master_side_there_is_no_host() {
    for (name, config) in [
        ("luster.conf.json", r#"{"app": "worker.js", "workers": 1}"#),
        ("luster.conf.js", "module.exports = {app: require.resolve('./worker'), workers: 1};"),
    ] {
        let luster = Luster::new().file("worker.js", HTTP).file(name, config).start();
        luster.await_ready(1);
        assert_eq!(children(luster.pid()), luster.all_pids(), "{name}");
        ends_well(luster);
    }
}

#[test]
fn a_configuration_that_leaves_listeners_behind_stays_and_is_not_run_twice() {
    let config = format!(
        "{TELL}
        const luster = require('luster'), cluster = require('cluster');
        if (luster.isMaster) {{
            tell({{ evaluated: process.pid }});
            luster.on('worker ready', worker => tell({{ ready: worker.wid }}));
            cluster.on('online', worker => tell({{ online: worker.id }}));
            process.on('SIGUSR2', () => tell({{ got: 'SIGUSR2' }}));
        }}
        module.exports = {{ app: './worker.js', workers: 1 }};"
    );
    on_oldest_and_newest(|node| {
        let luster = Luster::new().file("worker.js", "").file("luster.conf.js", &config).node(node).start();
        let told = luster.await_told(3);
        assert_eq!(told[0]["evaluated"], host_pid(&luster, 1), "Node {}", node.major);
        assert_eq!((&told[1]["online"], &told[2]["ready"]), (&json!(1), &json!(1)), "Node {}", node.major);
        luster.signal(Signal::SIGUSR2);
        luster.await_told_where(1, "the signal", |told| told["got"] == "SIGUSR2");
        assert_eq!(luster.told().iter().filter(|told| told["evaluated"].is_i64()).count(), 1);
        ends_well(luster);
    });
}

#[test]
fn everything_a_configuration_keeps_open_serves_beside_the_workers() {
    let (port, control) = (free_port(), free_port());
    let config = format!(
        "const luster = require('luster');
        if (luster.isMaster) {{
            require('http').createServer((request, response) => {{
                luster.softRestart();
                luster.once('restarted', () => response.end(luster.getWorkersIds().join()));
            }}).listen({control});
        }}
        module.exports = {{ app: './worker.js', workers: 2, server: {{ port: {port} }} }};"
    );
    let luster = Luster::new().file("worker.js", HTTP).file("luster.conf.js", &config).start();
    luster.await_ready(2);
    let before = luster.all_pids();
    let answer = eventually("the control server answers", || get(&Target::Tcp(control)).ok());
    assert_eq!(answer.body, "1,2");
    assert!(before.iter().all(|pid| !is_alive(*pid)), "all were replaced");
    assert!(get(&Target::Tcp(port)).is_ok());
    ends_well(luster);
}

#[test]
fn workers_go_on_when_the_host_dies_and_its_successor_knows_everything() {
    let body = "luster.on('running', () => tell({ running: process.pid }));
        for (const event of ['online', 'listening', 'ready', 'exit']) {
            luster.on(`worker ${event}`, worker => tell({ event, number: worker.wid, of: process.pid, pid: worker.pid }));
        }
        process.on('SIGUSR2', () => {
            tell({ states: luster.getWorkersArray().map(worker => [worker.wid, worker.state, worker.ready, worker.pid]) });
            luster.workers[1].restart();
        });";
    on_oldest_and_newest(|node| {
        let port = free_port();
        let luster = with_extension(port, 2, body).node(node).start();
        luster.await_told_where(1, "running", |told| told["running"].is_i64());
        let first = host_pid(&luster, 1);
        let workers = luster.all_pids();
        kill(Pid::from_raw(first), Signal::SIGKILL).expect("it is there");
        let exit = luster.await_event("host_exit", 1);
        let message = exit["message"].as_str().expect("a message");
        assert!(
            message.contains("was killed by SIGKILL; restarting it, the workers keep running"),
            "{message}"
        );
        assert!(get(&Target::Tcp(port)).is_ok());
        let second = host_pid(&luster, 2);
        luster.await_told_where(1, "running, again", |told| told["running"] == second);
        let heard = |event: &str, wid: u32| {
            let told =
                |told: &&Value| told["event"] == event && told["of"] == second && told["number"] == wid;
            luster.told().iter().filter(told).count()
        };
        for wid in 1..=2 {
            assert_eq!(
                (heard("online", wid), heard("listening", wid), heard("ready", wid), heard("exit", wid)),
                (1, 1, 1, 0),
                "Node {}",
                node.major
            );
        }
        assert_eq!(luster.all_pids(), workers, "nobody was restarted");
        luster.signal(Signal::SIGUSR2);
        let states = luster.await_told_where(1, "states", |told| told["states"].is_array());
        let expected = json!([[1, "running", true, workers[0]], [2, "running", true, workers[1]]]);
        assert_eq!(states[0]["states"], expected);
        luster.await_event_where("exit", 1, |exit| exit["pid"] == workers[0]);
        luster.await_ready(3);
        ends_well(luster);
    });
}

#[test]
fn a_host_that_keeps_dying_is_started_with_growing_pauses() {
    // Once it has run well; a first start that fails is another story.
    let body = "if (require('fs').existsSync('began')) { process.kill(process.pid, 'SIGKILL'); }
        require('fs').writeFileSync('began', '');
        setTimeout(() => process.kill(process.pid, 'SIGKILL'), 300);";
    let luster = with_extension(free_port(), 1, body).start();
    luster.await_ready(1);
    let third = luster.await_event("host_exit", 3);
    assert!(third["pause_ms"].as_u64().is_some_and(|pause| pause > 0), "{third}");
    luster.await_event("host_fork", 4);
    assert_eq!(luster.events("exit").len(), 0, "the worker never noticed");
    ends_well(luster);
}

#[test]
fn silent_workers_are_read_by_the_extension_and_by_luster_while_there_is_no_host() {
    let body = "luster.setup({ silent: true });
        luster.on('worker fork', worker => {
            for (const name of ['stdout', 'stderr']) {
                worker.process[name].on('data', data => require('fs').appendFileSync(`${name}.txt`, data));
            }
        });
        if (require('fs').existsSync('slow')) { return setTimeout(done, 1000); }";
    let app = "const fs = require('fs'), written = fs.openSync('written.txt', 'a');
        let count = 0;
        setInterval(() => {
            fs.writeSync(written, `${Date.now()} ${++count}\\n`);
            console.log(`line ${count}`);
            console.error(`error ${count}`);
        }, 5);
        process.stdout.on('error', error => fs.writeFileSync('broken', String(error)));";
    on_oldest_and_newest(|node| {
        let luster = with_extension(free_port(), 1, body).file("worker.js", app).node(node).start();
        let read =
            |name: &str| numbers(&std::fs::read_to_string(luster.path().join(name)).unwrap_or_default());
        eventually("the extension reads", || (read("stdout.txt").len() > 10).then_some(()));
        assert_eq!(luster.stdout(), "", "Node {}: nothing passes through luster", node.major);
        luster.put("slow", "");
        kill(Pid::from_raw(host_pid(&luster, 1)), Signal::SIGKILL).expect("it is there");
        luster.await_event("host_exit", 1);
        let dead = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("past 1970").as_millis();
        eventually("luster reads", || luster.stdout().contains("line ").then_some(()));
        luster.await_stderr("error ");
        let between = read("stdout.txt").len();
        eventually("the next host reads", || (read("stdout.txt").len() > between + 10).then_some(()));
        assert_eq!(luster.events("exit").len(), 0, "the worker never noticed");
        let written = std::fs::read_to_string(luster.path().join("written.txt")).expect("the worker writes");
        let since = |line: &&str| line.split(' ').next().and_then(|at| at.parse().ok()) > Some(dead);
        let since: String = written.lines().filter(since).map(|line| format!("{line}\n")).collect();
        // What the host that died had read already is lost with it; nothing that was written after its end.
        eventually(&format!("every later line of stdout and stderr is read (Node {})", node.major), || {
            let relayed = [luster.stdout(), luster.stderr_of_workers() + "\n"];
            let all = |name: &str, relayed: &str| &read(name) | &numbers(relayed);
            let all = all("stdout.txt", &relayed[0])
                .intersection(&all("stderr.txt", &relayed[1]))
                .copied()
                .collect();
            numbers(&since).is_subset(&all).then_some(())
        });
        assert!(!luster.path().join("broken").exists(), "Node {}", node.major);
        ends_well(luster);
    });
}

/// The numbers at the end of all whole lines.
fn numbers(text: &str) -> BTreeSet<u64> {
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).collect()
}

#[test]
fn the_masters_cluster_module_shows_the_workers() {
    let body = "const cluster = require('cluster');
        const seen = [];
        for (const event of ['fork', 'online', 'listening', 'disconnect', 'exit']) {
            cluster.on(event, (worker, ...rest) => {
                seen.push(event);
                if (event === 'listening') {
                    tell({ ids: Object.keys(cluster.workers), pid: worker.process.pid, address: rest[0],
                        state: worker.state, isWorker: worker instanceof cluster.Worker, connected: worker.isConnected(),
                        dead: worker.isDead() });
                    worker.send({ hello: worker.id });
                    worker.on('message', message => {
                        // luster's own are seen, too.
                        if (message.got) { tell({ message }); luster.workers[1].stop(); }
                    });
                }
                if (event === 'exit') {
                    tell({ seen, rest, voluntary: worker.exitedAfterDisconnect, left: Object.keys(cluster.workers), dead: worker.isDead() });
                }
            });
        }";
    let app =
        format!("{HTTP}process.on('message', message => message.hello && process.send({{ got: message }}));");
    on_every_node(|node| {
        let port = free_port();
        let mut luster = with_extension(port, 1, body).file("worker.js", &app).node(node).start();
        let told = luster.await_told(3);
        let pid = luster.worker_pid(1);
        let address = json!({"address": null, "port": port, "addressType": 4});
        assert_eq!((&told[0]["ids"], &told[0]["pid"]), (&json!(["1"]), &json!(pid)), "Node {}", node.major);
        assert_eq!(told[0]["address"]["port"], address["port"], "{}", told[0]);
        assert_eq!(told[0]["state"], "listening");
        assert_eq!(
            (&told[0]["isWorker"], &told[0]["connected"], &told[0]["dead"]),
            (&json!(true), &json!(true), &json!(false))
        );
        assert_eq!(told[1]["message"], json!({"got": {"hello": 1}}));
        assert_eq!(names(&told[2]["seen"]), ["fork", "online", "listening", "disconnect", "exit"]);
        assert_eq!((&told[2]["rest"], &told[2]["voluntary"]), (&json!([0, null]), &json!(true)));
        assert_eq!((&told[2]["left"], &told[2]["dead"]), (&json!([]), &json!(true)));
        // No worker is wanted, and nothing keeps the extension's process.
        assert_eq!(luster.await_end(), 0);
    });
}

#[test]
fn an_extension_can_end_everything() {
    let body = "luster.on('running', () => luster.shutdown()); luster.on('shutdown', () => tell({ shutdown: true }));";
    on_oldest_and_newest(|node| {
        let mut luster = with_extension(free_port(), 2, body).node(node).start();
        assert_eq!(luster.await_end(), 0, "Node {}", node.major);
        assert_eq!(luster.told().len(), 1);
        assert_eq!(processes_in(luster.path()), []);
    });
}

#[test]
fn a_signal_that_an_extension_listens_to_is_its_own() {
    let body = "process.on('SIGHUP', signal => tell({ signal }));";
    let luster = with_extension(free_port(), 1, body).start();
    luster.await_ready(1);
    eventually("the extension hears it, and nobody else", || {
        luster.signal(Signal::SIGHUP);
        (!luster.told().is_empty()).then_some(())
    });
    assert_eq!(luster.told()[0]["signal"], "SIGHUP");
    assert_eq!(luster.events("rollout_began").len(), 0);
    ends_well(luster);
}

#[test]
fn node_debug_shows_what_master_and_workers_emit() {
    on_oldest_and_newest(|node| {
        let luster =
            Luster::with("", json!({"workers": 1})).env("NODE_DEBUG", "luster:eex").node(node).start();
        luster.await_ready(1);
        for line in [
            "Master(0).emit('configured')",
            "WorkerWrapper(1).emit('state', 'running')",
            "Master(0).emit('received worker ready', WW{ id:1, state: running})",
            "Worker(1).emit('loaded', ",
            "Worker(1).emit('ready')",
        ] {
            eventually(&format!("{line}, Node {}", node.major), || {
                luster.stdout().contains(line).then_some(())
            });
        }
        ends_well(luster);
    });
}
