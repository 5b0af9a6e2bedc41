//! What signals do to luster, and what they do not do to its workers.

use std::os::unix::process::CommandExt;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::json;

use crate::harness::{
    Luster, Pair, Reply, Running, Target, eventually, free_port, get, is_alive, node, processes_in, stat,
    state,
};

/// Answers after a while, and says when it was asked and which signals it got.
const SLOW: &str =
    "require('http').createServer((_, r) => { console.log('asked'); setTimeout(() => r.end('done'), 500); })
        .listen(process.env.port);
    for (const name of ['SIGINT', 'SIGQUIT', 'SIGHUP']) { process.on(name, () => console.log(name)); }";

/// A luster with a request on its way; the request's answer is to come.
#[track_caller]
fn asked(luster: Luster, port: u16) -> (Running, std::thread::JoinHandle<std::io::Result<Reply>>) {
    let luster = luster.start();
    luster.await_ready(2);
    luster.await_listening(2);
    let client = std::thread::spawn(move || get(&Target::Tcp(port)));
    eventually("the request has arrived", || luster.stdout().contains("asked").then_some(()));
    (luster, client)
}

fn slow(port: u16) -> Luster {
    Luster::with(SLOW, json!({"workers": 2, "server": {"port": port}}))
}

#[test]
fn each_stop_signal_lets_the_request_under_way_finish() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let port = free_port();
        let (mut luster, client) = asked(slow(port), port);
        luster.signal(signal);
        assert_eq!(client.join().expect("no panic").expect("an answer").body, "done", "{signal}");
        assert_eq!(luster.await_end(), 0, "{signal}");
        let asked = luster.await_event("asked", 1)["message"].clone();
        assert_eq!(asked, format!("got {signal}"));
        assert_eq!(processes_in(luster.path()), []);
    }
}

#[test]
fn ctrl_c_reaches_the_master_only() {
    let port = free_port();
    let luster = slow(port).adjust(|command| {
        command.process_group(0);
    });
    let (mut luster, client) = asked(luster, port);
    killpg(Pid::from_raw(luster.pid()), Signal::SIGINT).expect("its group");
    assert_eq!(client.join().expect("no panic").expect("an answer").body, "done");
    assert_eq!(luster.await_end(), 0);
    assert_eq!(luster.stdout(), "asked\n", "no worker got a signal");
}

#[test]
fn sighup_replaces_the_workers_one_by_one() {
    let pair = Pair::running("", json!({}));
    let before = pair.luster.all_pids();
    let over = pair.luster.rollout();
    assert_eq!((&over["event"], &over["replaced"]), (&json!("rollout_finished"), &json!(2)));
    let after = pair.luster.all_pids();
    assert_eq!(after.len(), 4);
    assert!(before.iter().all(|pid| !is_alive(*pid)) && after[2..].iter().all(|pid| is_alive(*pid)));
    assert_eq!(pair.luster.stop().0, 0);
}

#[test]
fn a_stop_during_a_rolling_restart_wins() {
    let pair = Pair::running("", json!({}));
    pair.luster.signal(Signal::SIGHUP);
    pair.luster.await_event("rollout_began", 1);
    let folder = pair.luster.path().to_owned();
    let (code, log) = pair.luster.stop();
    assert_eq!(code, 0, "{log:?}");
    assert_eq!(processes_in(&folder), []);
}

#[test]
fn a_stop_right_after_the_start_leaves_nothing() {
    let luster = slow(free_port()).start();
    luster.await_event("fork", 1);
    let folder = luster.path().to_owned();
    let (code, log) = luster.stop();
    assert_eq!(code, 0, "{log:?}");
    assert_eq!(processes_in(&folder), []);
}

#[test]
fn workers_die_with_a_killed_luster_even_one_stuck_in_a_loop() {
    let pair = Pair::running("for (;;) {}", json!({}));
    let stuck = pair.commit();
    let pids = pair.luster.all_pids();
    assert!(pids.contains(&stuck));
    pair.luster.signal(Signal::SIGKILL);
    eventually("all workers are dead", || pids.iter().all(|pid| !is_alive(*pid)).then_some(()));
}

#[test]
fn every_worker_leads_a_group_of_its_own() {
    let pair = Pair::running("", json!({}));
    for pid in pair.luster.all_pids() {
        assert_eq!(stat(pid, 5), Some(i64::from(pid)));
    }
    pair.end();
}

#[test]
fn signals_that_luster_was_told_to_ignore_are_not_ignored_by_workers() {
    // As below nohup, or as a background job of a shell without job control.
    let app = "const status = require('fs').readFileSync('/proc/self/status', 'utf8');
        console.log(/SigIgn:.*/.exec(status)[0]);";
    let ignoring = ["sh", "-c", "trap '' HUP INT USR2; exec \"$0\" \"$@\""];
    let luster = Luster::with(app, json!({"workers": 1})).through(&ignoring).start();
    let line = eventually("the worker tells", || luster.stdout().lines().next().map(str::to_owned));
    let mask = u64::from_str_radix(line.trim_start_matches("SigIgn:").trim(), 16).expect("hexadecimal");
    let ignored = |signal: Signal| mask >> (signal as i32 - 1) & 1 == 1;
    // Node itself ignores SIGPIPE.
    assert!(![Signal::SIGHUP, Signal::SIGINT, Signal::SIGUSR2].into_iter().any(ignored), "{line}");
    luster.signal(Signal::SIGINT);
    let mut luster = luster;
    assert_eq!(luster.await_end(), 0);
}

#[test]
fn a_second_stop_signal_at_once_cuts_nobody_off() {
    // As `timeout` does it, and a terminal whose Ctrl-C somebody passes on.
    for (first, second) in [(Signal::SIGTERM, Signal::SIGTERM), (Signal::SIGINT, Signal::SIGTERM)] {
        let port = free_port();
        let (mut luster, client) = asked(slow(port), port);
        luster.signal(first);
        luster.await_event("asked", 1);
        luster.signal(second);
        assert_eq!(client.join().expect("no panic").expect("an answer").body, "done");
        assert_eq!(luster.await_end(), 0);
        assert!(luster.events("killing_all").is_empty());
    }
}

/// The same for a luster and for a custom master.
fn serving(app: &str, port: u16) -> Luster {
    Luster::with(app, json!({"workers": 2, "server": {"port": port}})).file(
        "master.js",
        &format!(
            "require('luster').configure({{ app: './worker.js', workers: 2, server: {{ port: {port} }} }}, true, __dirname)
                .run();"
        ),
    )
}

#[test]
fn a_second_stop_signal_that_is_heard_late_is_the_same_stop_all_the_same() {
    let by_package = |luster: Luster| luster.by_package(&node(20), &[]);
    let by_script = |luster: Luster| luster.by_script(&node(20), &[]);
    let by_binary: fn(Luster) -> Luster = |luster| luster;
    std::thread::scope(|scope| {
        for by in [by_binary, by_package, by_script] {
            scope.spawn(move || {
                let port = free_port();
                let (mut luster, client) = asked(by(serving(&SLOW.replace("500", "4000"), port)), port);
                luster.signal(Signal::SIGINT);
                luster.await_event("stopping_all", 1);
                luster.signal(Signal::SIGSTOP);
                eventually("it stands still", || (state(luster.pid()) == Some('T')).then_some(()));
                luster.signal(Signal::SIGINT);
                // The time that nobody may count is what this is about.
                std::thread::sleep(std::time::Duration::from_millis(1000));
                luster.signal(Signal::SIGCONT);
                assert_eq!(client.join().expect("no panic").expect("an answer").body, "done");
                assert_eq!(luster.await_end(), 0);
                assert!(luster.events("killing_all").is_empty());
            });
        }
    });
}

#[test]
fn a_second_stop_signal_kills_through_whatever_is_in_front() {
    let by_package = |luster: Luster| luster.by_package(&node(20), &[]);
    let by_script: fn(Luster) -> Luster = |luster| luster.by_script(&node(20), &[]);
    std::thread::scope(|scope| {
        for by in [by_package, by_script] {
            scope.spawn(move || {
                let port = free_port();
                let app =
                    "require('http').createServer(() => console.log('asked')).listen(process.env.port);";
                let (mut luster, client) = asked(by(serving(app, port)), port);
                eventually("one of them is the second", || {
                    luster.signal(Signal::SIGINT);
                    (!luster.events("killing_all").is_empty()).then_some(())
                });
                client.join().expect("no panic").expect_err("it was cut off");
                assert_eq!(luster.await_end(), 130);
            });
        }
    });
}
