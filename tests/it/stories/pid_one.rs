//! luster as PID 1, as in a container.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::harness::{
    HTTP, Luster, Pair, Running, Target, children, eventually, free_port, get, node, processes_in, state,
};

pub(super) const CONTAINER: &[&str] = &["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];

#[test]
fn pid_1_reaps_a_storm_of_orphans_and_stops_with_0() {
    let crime =
        "child_process.spawn('sh', ['-c', 'for i in $(seq 200); do (sleep 0.2 &) ; done; touch storm'],
        { stdio: 'ignore', detached: true }).unref()";
    let (luster, port) = Pair::of(crime, json!({}));
    let mut luster = luster.through(CONTAINER).start();
    luster.await_ready(2);
    luster.await_listening(2);
    let master = children(luster.pid())[0];
    assert_eq!(luster.await_event("start", 1)["pid"], 1);
    let request = "GET /crime HTTP/1.1\r\nConnection: close";
    let mut connection = crate::harness::Connection::open(&Target::Tcp(port)).expect("it listens");
    connection.request(request, b"").expect("an answer");
    eventually("the storm is over", || luster.path().join("storm").exists().then_some(()));
    eventually("only the two workers are left", || {
        let left = children(master);
        (left.len() == 2 && left.iter().all(|pid| state(*pid) != Some('Z'))).then_some(())
    });
    for group in 0..2 {
        get(&Target::Tcp(port + group)).expect("an answer");
    }
    kill(Pid::from_raw(master), Signal::SIGTERM).expect("it is there");
    assert_eq!(luster.await_end(), 0, "{:?}", luster.log());
    assert_eq!(processes_in(luster.path()), []);
}

#[test]
fn pid_1_ends_with_1_when_every_worker_is_dead() {
    let config = json!({"workers": 2, "control": {"exitThreshold": 60_000}});
    let mut luster = Luster::with("process.exit(4)", config).through(CONTAINER).start();
    assert_eq!(luster.await_end(), 1);
    luster.await_event("all_dead", 1);
}

/// The npm package's command as PID 1, on a Node that cannot become the binary; its number and the binary's.
fn package_as_pid_1(port: u16) -> (Running, i32, i32) {
    let config = json!({"workers": 1, "server": {"port": port}});
    let luster = Luster::with(HTTP, config).by_package(&node(18), &[]).through(CONTAINER).start();
    luster.await_listening(1);
    let stand_in = children(luster.pid())[0];
    let binary = children(stand_in)[0];
    (luster, stand_in, binary)
}

#[test]
fn the_package_as_pid_1_tells_when_the_binary_was_killed() {
    let (mut luster, _, binary) = package_as_pid_1(free_port());
    kill(Pid::from_raw(binary), Signal::SIGKILL).expect("it is there");
    assert_eq!(luster.await_end(), 128 + 9);
    assert_eq!(processes_in(luster.path()), []);
}

#[test]
fn the_package_as_pid_1_is_not_stopped_where_nobody_could_let_it_go_on() {
    let port = free_port();
    let (mut luster, stand_in, binary) = package_as_pid_1(port);
    kill(Pid::from_raw(stand_in), Signal::SIGTSTP).expect("it is there");
    // It is heard in their order.
    kill(Pid::from_raw(stand_in), Signal::SIGHUP).expect("it is there");
    luster.await_event("rollout_finished", 1);
    assert_ne!(state(binary), Some('T'));
    get(&Target::Tcp(port)).expect("an answer");
    kill(Pid::from_raw(stand_in), Signal::SIGTERM).expect("it is there");
    assert_eq!(luster.await_end(), 0);
}
