//! What happens while an extension host is not initialized yet: the first one, and those that come later.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::harness::{HTTP, Luster, Running, TELL, eventually, free_port, node, on_nodes};

/// A luster whose extension does this, and is configured when there is no file `hold` any more.
fn held(body: &str, workers: u32, app: &str) -> Luster {
    let config = json!({
        "workers": workers, "server": {"port": free_port()}, "extensions": {"mine": {}},
    });
    let module = format!(
        "{TELL}const fs = require('fs');
        exports.configure = function (config, luster, done) {{
            if (!luster.isMaster) {{ return done(); }}
            {body}
            tell({{ configuring: process.pid }});
            const held = () => fs.existsSync('hold') ? setTimeout(held, 10) : done();
            held();
        }};"
    );
    Luster::with(app, config).file("node_modules/mine/index.js", &module)
}

fn end_host(luster: &Running, count: usize) {
    let pid = luster.await_event("host_fork", count)["pid"].as_i64().expect("a pid");
    kill(Pid::from_raw(i32::try_from(pid).expect("a pid")), Signal::SIGKILL).expect("it is there");
}

fn let_go(luster: &Running) {
    std::fs::remove_file(luster.path().join("hold")).expect("it was held");
}

#[test]
fn a_restart_that_is_asked_for_too_early_starts_nothing() {
    let luster = held("", 2, HTTP).file("hold", "").start();
    luster.await_told_where(1, "configuring", |told| told["configuring"].is_i64());
    luster.signal(Signal::SIGHUP);
    luster.await_event("rollout_finished", 1);
    assert_eq!(luster.events("fork").len(), 0, "workers wait for the extension");
    let_go(&luster);
    luster.await_ready(2);
    assert_eq!(luster.events("fork").len(), 2);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_worker_that_is_replaced_while_a_later_host_is_configured_is_known_once() {
    let body = "for (const event of ['fork', 'online', 'ready', 'exit']) {
            luster.on(`worker ${event}`, worker => tell({ event, wid: worker.wid, host: process.pid, running: worker.isRunning() }));
        }
        luster.on('running', () => tell({ running: process.pid }));";
    on_nodes(&[node(16), node(20), node(24)], |node| {
        let luster = held(body, 2, HTTP).node(node).start();
        luster.await_told_where(1, "running", |told| told["running"].is_i64());
        luster.put("hold", "");
        end_host(&luster, 1);
        let second =
            luster.await_told_where(2, "configuring", |told| told["configuring"].is_i64())[1]["configuring"]
                .clone();
        let first_life = luster.worker_pid(1);
        kill(Pid::from_raw(first_life), Signal::SIGKILL).expect("it is there");
        luster.await_ready(3);
        let_go(&luster);
        luster.await_told_where(1, "running, again", |told| told["running"] == second);
        let heard = |event: &str, wid: u32| {
            let told = luster.told();
            told.iter()
                .filter(|told| told["event"] == event && told["wid"] == wid && told["host"] == second)
                .count()
        };
        for wid in 1..=2 {
            let heard = (heard("fork", wid), heard("online", wid), heard("ready", wid), heard("exit", wid));
            assert_eq!(heard, (1, 1, 1, 0), "Node {}, worker {wid}", node.major);
        }
        kill(Pid::from_raw(luster.worker_pid(1)), Signal::SIGKILL).expect("it is there");
        let exits =
            luster.await_told_where(1, "its end", |told| told["event"] == "exit" && told["host"] == second);
        assert_eq!(exits[0]["running"], false, "Node {}", node.major);
        luster.await_ready(4);
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn hosts_that_cannot_start_cost_no_descriptor() {
    let body = "luster.setup({ silent: true });
        if (fs.existsSync('broken')) { throw new Error('broken'); }
        luster.on('running', () => tell({ running: true }));";
    let luster = held(body, 4, HTTP).start();
    luster.await_told_where(1, "running", |told| told["running"] == true);
    let held = || {
        let folder = format!("/proc/{}/fd", luster.pid());
        std::fs::read_dir(folder).expect("it is alive").count()
    };
    luster.put("broken", "");
    end_host(&luster, 1);
    // The second fails at once, the third after a pause: nothing but that pause goes on then.
    luster.await_event("host_exit", 2);
    let before = held();
    luster.await_event("host_exit", 4);
    eventually("as few as before", || (held() <= before).then_some(()));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn the_last_words_of_silent_workers_are_told_when_nobody_is_there_to_read_them() {
    let config = format!(
        "const luster = require('luster');
        if (luster.isMaster) {{ luster.setup({{ silent: true }}); }}
        module.exports = {{ app: 'worker.js', workers: 1, server: {{ port: {} }},
            control: {{ exitThreshold: 60000 }} }};",
        free_port()
    );
    let app = "console.log('x'.repeat(200000)); throw new Error('these are my last words');";
    let (code, stdout, stderr) =
        Luster::new().file("worker.js", app).file("luster.conf.js", &config).output();
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("Error: these are my last words"), "{stderr}");
    assert_eq!(stdout.trim_end().len(), 200_000);
}

#[test]
fn a_worker_that_an_extension_adds_is_not_added_again_by_the_next_host() {
    let body = "const WorkerWrapper = require('luster/lib/worker_wrapper');
        luster.add(new WorkerWrapper(luster, { port: 0, exitThreshold: 60000 }));
        luster.on('running', () => tell({ running: luster.getWorkersIds() }));";
    let app = "require('fs').existsSync('die') && process.exit(1);";
    let luster = held(body, 1, app).env("LUSTER_CONF", "control.exitThreshold=60000").start();
    luster.await_told_where(1, "running", |told| told["running"].is_array());
    end_host(&luster, 1);
    luster.await_told_where(2, "running", |told| told["running"].is_array());
    luster.put("die", "");
    for pid in luster.all_pids() {
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it is there");
    }
    let mut luster = luster;
    assert_eq!(luster.await_end(), 1, "{:?}", luster.log());
}
