//! A start-first rollout whose replacement fails leaves the old workers in place, loses nothing and says so; a stop-first
//! one costs one worker and no request.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Connection, Load, Luster, Running, Style, Target, eventually, free_port, is_alive};

/// Serves until there is a file `broken`; then does what it says.
const APP: &str = r#"
const fs = require('fs');
const luster = require('luster');
const broken = fs.existsSync('broken') ? fs.readFileSync('broken', 'utf8') : '';
if (broken === 'dies') {
    process.exit(3);
}
const port = Number(process.env.port) + (broken === 'listens elsewhere' ? 1 : 0);
require('http').createServer((req, res) => res.end(String(process.pid))).listen(port);
if (broken !== 'is never ready' && process.env.MANUAL) {
    luster.ready();
}
"#;

fn start(port: u16, manual: bool) -> Running {
    let config = json!({
        "workers": 2,
        "control": {
            "restart": "start-first", "readyTimeout": 8000, "stopTimeout": 5000, "triggerReadyStateManually": manual,
        },
        "server": {"port": port},
    });
    let luster = Luster::with(APP, config).env("MANUAL", if manual { "1" } else { "" }).start();
    luster.await_ready(2);
    luster.await_listening(2);
    luster
}

/// The aborted rollout's line, after a rollout that worked before and one that works after.
#[track_caller]
fn keeps_the_old_workers(failure: &str, manual: bool) -> Value {
    let port = crate::harness::free_ports(2);
    let luster = start(port, manual);
    // The time to become ready is long, for a busy machine, and all of it is waited for: these leave room for others.
    let loads = [Style::KEEP_ALIVE, Style::NEW]
        .map(|style| Load::begin(&Target::Tcp(port), style.pausing(8, 10, 30)));
    let old = luster.all_pids();
    std::fs::write(luster.path().join("broken"), failure).expect("writable");
    let aborted = luster.rollout();
    assert_eq!(aborted["event"], "rollout_aborted", "{aborted}");
    loads.iter().for_each(|load| load.await_answers(20));
    assert!(old.iter().all(|pid| is_alive(*pid)), "{old:?} serve on");
    eventually("the replacement goes", || {
        luster.all_pids().iter().all(|pid| old.contains(pid) || !is_alive(*pid)).then_some(())
    });

    std::fs::remove_file(luster.path().join("broken")).expect("it is there");
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    eventually("the old ones go", || old.iter().all(|pid| !is_alive(*pid)).then_some(()));
    loads.into_iter().for_each(Load::end_without_a_failure);
    assert_eq!(luster.stop().0, 0);
    aborted
}

#[test]
fn a_replacement_that_is_never_ready() {
    keeps_the_old_workers("is never ready", true);
}

#[test]
fn a_replacement_that_dies_at_boot() {
    keeps_the_old_workers("dies", false);
}

#[test]
fn a_replacement_that_listens_elsewhere() {
    keeps_the_old_workers("listens elsewhere", false);
}

#[test]
fn a_connection_kept_through_an_aborted_rollout_is_not_told_to_close() {
    let port = free_port();
    let luster = start(port, false);
    let mut connection = Connection::open(&Target::Tcp(port)).expect("open");
    let before = connection.request("GET / HTTP/1.1", b"").expect("an answer");
    std::fs::write(luster.path().join("broken"), "dies").expect("writable");
    assert_eq!(luster.rollout()["event"], "rollout_aborted");
    let after = connection.request("GET / HTTP/1.1", b"").expect("an answer");
    assert_eq!(after, before);
    assert!(!after.closes);
}

#[test]
fn a_stop_first_rollout_onto_a_broken_version_waits_at_the_first_worker() {
    let port = free_port();
    let luster = Luster::with(APP, json!({"workers": 3, "server": {"port": port}})).start();
    luster.await_ready(3);
    luster.await_listening(3);
    let load = Load::begin(&Target::Tcp(port), Style::NEW);
    let old: Vec<_> = [1, 2, 3].map(|wid| luster.worker_pid(wid)).into();
    luster.put("broken", "dies");
    luster.signal(Signal::SIGHUP);
    let held = luster.await_event("rollout_held", 1);
    assert_eq!((held["wid"].as_i64(), held["waiting"].as_i64()), (Some(1), Some(2)), "{held}");
    luster.await_event_where("exit", 4, |exit| exit["wid"] == 1);
    load.await_answers(20);
    assert!(old[1..].iter().all(|pid| is_alive(*pid)), "the others serve on");

    std::fs::remove_file(luster.path().join("broken")).expect("it is there");
    assert_eq!(luster.await_event("rollout_finished", 1)["replaced"], 3);
    assert_eq!(luster.events("rollout_held").len(), 1);
    eventually("the old ones go", || old.iter().all(|pid| !is_alive(*pid)).then_some(()));
    load.end_without_a_failure();
    assert_eq!(luster.stop().0, 0);
}

/// A broken version, with the README's own limits: it never costs a worker that serves, and luster lives on.
#[track_caller]
fn holds_at_the_first(workers: u32, parallel: u32, allowed: u32) {
    let port = free_port();
    let control = json!({"exitThreshold": 2000, "allowedSequentialDeaths": allowed, "parallel": parallel});
    let config = json!({"workers": workers, "control": control, "server": {"port": port}});
    let luster = Luster::with(APP, config).start();
    luster.await_ready(workers as usize);
    let old: Vec<_> = (1..=workers).map(|wid| luster.worker_pid(wid)).collect();
    luster.put("broken", "dies");
    luster.signal(Signal::SIGHUP);
    let held = luster.await_event("rollout_held", parallel as usize);
    assert_eq!(held["level"], "ERROR", "{held}");
    // More often than the limits allow; the pauses between them grow.
    for exits in 1..=allowed as usize + 3 {
        luster.await_event_where("exit", exits, |exit| exit["wid"] == 1);
    }
    let (touched, others) = old.split_at(parallel as usize);
    assert!(touched.iter().all(|pid| !is_alive(*pid)) && others.iter().all(|pid| is_alive(*pid)), "{old:?}");
    assert_eq!(luster.events("rollout_held").len(), parallel as usize, "each says it once");

    std::fs::remove_file(luster.path().join("broken")).expect("it is there");
    let over = luster.rollout();
    assert_eq!((&over["event"], &over["replaced"]), (&json!("rollout_finished"), &json!(workers)));
    eventually("the old ones go", || old.iter().all(|pid| !is_alive(*pid)).then_some(()));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_broken_version_costs_no_more_workers_than_are_replaced_at_a_time() {
    for (workers, parallel, allowed) in [(1, 1, 0), (1, 1, 3), (2, 1, 0), (3, 1, 3), (4, 2, 0)] {
        holds_at_the_first(workers, parallel, allowed);
    }
}

/// The limits that the README's example has.
#[test]
fn a_broken_version_under_the_limits_of_the_example_holds_too() {
    holds_at_the_first(3, 1, 10);
}

#[test]
fn a_version_that_dies_soon_after_it_was_ready_holds_the_rollout_too() {
    let app = r#"
        require('http').createServer((req, res) => res.end()).listen(process.env.port);
        if (require('fs').existsSync('broken')) {
            require('luster').once('ready', () => setTimeout(() => process.exit(3), 20));
        }"#;
    let control = json!({"exitThreshold": 3000, "allowedSequentialDeaths": 1});
    let port = free_port();
    let luster =
        Luster::with(app, json!({"workers": 4, "control": control, "server": {"port": port}})).start();
    luster.await_ready(4);
    let old: Vec<_> = (1..=4).map(|wid| luster.worker_pid(wid)).collect();
    luster.put("broken", "");
    luster.signal(Signal::SIGHUP);
    assert_eq!(luster.await_event("rollout_held", 1)["wid"], 1);
    luster.await_event_where("exit", 4, |exit| exit["wid"] == 1);
    assert!(is_alive(old[3]) && is_alive(old[2]), "worker 2 may have begun before worker 1 died");

    std::fs::remove_file(luster.path().join("broken")).expect("it is there");
    luster.await_event("rollout_finished", 1);
    eventually("the old ones go", || old.iter().all(|pid| !is_alive(*pid)).then_some(()));
    assert_eq!(luster.stop().0, 0);
}
