//! How JavaScript of the user's takes part in the end: clean-up that takes time, exit codes it chooses, signals sent to its
//! own process, and what the end of a supervisor or a script leaves to the next one.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::harness::{
    HTTP, Luster, Running, TELL, Target, children, eventually, free_port, get, node, on_nodes, packages,
    processes_in, usual_node,
};

/// Two workers, and an extension whose master's side is this.
fn with_extension(body: &str) -> Luster {
    let module =
        format!("{TELL}exports.configure = (config, luster) => {{ if (luster.isMaster) {{ {body} }} }};");
    let config = json!({"workers": 2, "server": {"port": free_port()}, "extensions": {"mine": {}}});
    Luster::with(HTTP, config).file("node_modules/mine/index.js", &module)
}

fn host_pid(luster: &Running) -> i32 {
    i32::try_from(luster.await_event("host_fork", 1)["pid"].as_i64().expect("a pid")).expect("a pid")
}

#[track_caller]
fn ends_with(mut luster: Running, code: i32) {
    assert_eq!(luster.await_end(), code, "{:?}", luster.log());
    eventually("nothing is left", || processes_in(luster.path()).is_empty().then_some(()));
}

#[test]
fn an_extension_has_time_to_clean_up_and_its_exit_code_is_lusters() {
    let listens_to_the_end = "luster.on('shutdown', async () => {
            await new Promise(resolve => setTimeout(resolve, 400));
            tell({ flushed: true });
            process.exitCode = 7;
        });";
    let handles_the_signal =
        "process.on('SIGTERM', () => setTimeout(() => { tell({ flushed: true }); process.exit(7); }, 400));";
    let at_once = "luster.on('shutdown', () => { tell({ flushed: true }); process.exit(7); });";
    let by_itself = "luster.once('running', () => luster.shutdown());
        luster.once('shutdown', () => setTimeout(() => { tell({ flushed: true }); process.exit(7); }, 50));";
    for (body, signal) in [
        (listens_to_the_end, Some(Signal::SIGINT)),
        (handles_the_signal, Some(Signal::SIGTERM)),
        (at_once, Some(Signal::SIGTERM)),
        (by_itself, None),
    ] {
        on_nodes(&[node(16), node(20), node(24)], |node| {
            let luster = with_extension(body).node(node).start();
            luster.await_event("host_ready", 1);
            if let Some(signal) = signal {
                luster.await_ready(2);
                luster.signal(signal);
            }
            luster.await_told_where(1, "the clean-up", |told| told["flushed"] == true);
            ends_with(luster, 7);
        });
    }
}

#[test]
fn an_extension_that_does_not_end_holds_up_the_end_for_a_few_seconds_only() {
    let luster =
        with_extension("luster.on('shutdown', () => tell({})); setInterval(() => {}, 1000);").start();
    luster.await_ready(2);
    luster.signal(Signal::SIGTERM);
    ends_with(luster, 0);
}

#[test]
fn a_shutdown_before_anything_runs_is_told_and_stops_nothing() {
    let luster =
        with_extension("luster.on('shutdown', () => tell({ shutdown: true })); luster.shutdown();").start();
    luster.await_told_where(1, "the end of nothing", |told| told["shutdown"] == true);
    luster.await_ready(2);
    assert_eq!(luster.events("host_fork").len(), 1);
    luster.signal(Signal::SIGTERM);
    ends_with(luster, 0);
}

#[test]
fn a_signal_to_the_extension_hosts_process_means_what_it_means_to_luster() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let luster = with_extension("luster.on('shutdown', () => tell({ shutdown: true }));").start();
        luster.await_ready(2);
        kill(Pid::from_raw(host_pid(&luster)), signal).expect("it is there");
        luster.await_told_where(1, "the end", |told| told["shutdown"] == true);
        ends_with(luster, 0);
    }
    let luster = with_extension("").start();
    luster.await_ready(2);
    kill(Pid::from_raw(host_pid(&luster)), Signal::SIGHUP).expect("it is there");
    assert_eq!(luster.await_event("rollout_finished", 1)["replaced"], 2);
    assert_eq!(luster.events("host_fork").len(), 1);
    luster.signal(Signal::SIGTERM);
    ends_with(luster, 0);
}

/// A custom master of one worker, which takes this long to stop.
fn script(port: u16, suspended: u64, body: &str) -> Luster {
    let app = format!(
        "{HTTP}require('luster').registerSuspendFunction(() => new Promise(resolve => setTimeout(resolve, {suspended})));"
    );
    let master = format!(
        "{TELL}const luster = require('luster');
        if (luster.isMaster) {{ {body} }}
        luster.configure({{ app: './worker.js', workers: 1, server: {{ port: {port} }},
            control: {{ exitThreshold: 60000 }} }}, true, __dirname).run();"
    );
    Luster::new().file("worker.js", &app).file("master.js", &master)
}

#[test]
fn a_script_that_listens_to_errors_ends_too_when_its_supervisor_is_killed() {
    let body = "luster.on('error', error => tell({ message: error.message }));
        require('http').createServer(() => {}).listen(0);";
    let mut luster = script(free_port(), 0, body).by_script(&usual_node(), &[]).start();
    luster.await_ready(1);
    let supervisor = eventually("the supervisor is there", || children(luster.pid()).first().copied());
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).expect("it is there");
    assert_eq!(luster.await_end(), 70);
    let told = luster.await_told_where(1, "the error", |told| told["message"].is_string());
    assert_eq!(
        told[0]["message"],
        "the luster supervisor of this process was killed by SIGKILL, and its workers with it"
    );
}

#[test]
fn a_script_that_is_started_again_at_once_finds_its_port_free() {
    let port = free_port();
    let mut first = script(port, 3000, "").by_script(&usual_node(), &[]).start();
    first.await_listening(1);
    first.signal(Signal::SIGKILL);
    first.await_end();
    let second = script(port, 0, "").by_script(&usual_node(), &[]).start();
    second.await_listening(1);
    assert!(second.events("exit").is_empty(), "{:?}", second.log());
    let body = get(&Target::Tcp(port)).expect("an answer").body;
    assert!(body.starts_with(&second.worker_pid(1).to_string()), "{body}");
    second.signal(Signal::SIGTERM);
    ends_with(second, 0);
    eventually("nothing is left of the first", || processes_in(first.path()).is_empty().then_some(()));
}

/// The package signal-exit, which listens to every signal wherever something depends on it, and then leaves it to others.
fn with_signal_exit(version: u32) -> String {
    let module = packages(&[&format!("signal-exit@{version}")]).join("signal-exit");
    let module = json!(module);
    format!("const onExit = require({module}); (onExit.onExit || onExit)(() => {{}});")
}

#[test]
fn a_library_that_listens_to_every_signal_takes_none_from_luster() {
    for version in [3, 4] {
        let body = with_signal_exit(version);
        let shutdown = format!("{body} luster.once('shutdown', () => tell({{ shutdown: true }}));");
        for (luster, signal) in [
            (script(free_port(), 0, &shutdown).by_script(&usual_node(), &[]), Signal::SIGTERM),
            (with_extension(&shutdown), Signal::SIGTERM),
            (with_extension(&shutdown), Signal::SIGINT),
        ] {
            let luster = luster.start();
            luster.await_ready(1);
            luster.signal(signal);
            luster.await_told_where(1, "the end", |told| told["shutdown"] == true);
            ends_with(luster, 0);
        }
        for luster in [script(free_port(), 0, &body).by_script(&usual_node(), &[]), with_extension(&body)] {
            let luster = luster.start();
            luster.await_ready(1);
            luster.signal(Signal::SIGHUP);
            luster.await_event("rollout_finished", 1);
            luster.signal(Signal::SIGTERM);
            ends_with(luster, 0);
        }
    }
}

#[test]
fn a_script_that_handles_a_signal_once_keeps_it_for_itself_that_once() {
    let body = "process.once('SIGHUP', () => tell({ hangup: true }));";
    let luster = script(free_port(), 0, body).by_script(&usual_node(), &[]).start();
    luster.await_ready(1);
    luster.signal(Signal::SIGHUP);
    luster.await_told_where(1, "the signal", |told| told["hangup"] == true);
    assert!(luster.events("rollout_began").is_empty());
    luster.signal(Signal::SIGHUP);
    luster.await_event("rollout_finished", 1);
    luster.signal(Signal::SIGTERM);
    ends_with(luster, 0);
}
