//! Workers that cannot be started, die while they start or never come up.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{HTTP, Luster, Pair, ending_of, eventually, free_port, is_alive, processes_in};

/// A program for `--node`: this script, then Node.
fn node_after(luster: Luster, script: &str) -> Luster {
    let luster = luster.file("node.sh", &format!("#!/bin/sh\n{script}\nexec node \"$@\"\n")).arg("--node");
    let path = luster.path().join("node.sh");
    may_run(&path, true);
    luster.arg(path)
}

fn may_run(path: &Path, may: bool) {
    let mode = if may { 0o755 } else { 0o644 };
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("ours");
}

#[test]
fn without_node_on_path_nothing_is_started_and_the_exit_code_is_71() {
    let (code, _, stderr) = Luster::with("", json!({})).env("PATH", "/nowhere").output();
    assert_eq!(code, 71);
    assert!(stderr.contains("no node on PATH (looked in /nowhere)"), "{stderr}");
}

#[test]
fn a_given_node_that_cannot_run_is_named_and_the_exit_code_is_71() {
    let luster = Luster::with("", json!({})).arg("--node").arg("/no/such/node");
    let (code, _, stderr) = luster.output();
    assert_eq!(code, 71);
    assert!(stderr.contains("/no/such/node: No such file"), "{stderr}");

    let luster = Luster::with("", json!({})).file("plain", "").arg("--node").arg("./plain");
    let (code, _, stderr) = luster.output();
    assert_eq!(code, 71);
    assert!(stderr.contains("./plain is not an executable file"), "{stderr}");
}

#[test]
fn a_program_that_says_it_is_not_node_is_told_once_with_71() {
    for (program, answer) in
        [("/bin/true", "true ("), ("/bin/echo", "echo ("), ("/bin/false", "is not Node.js")]
    {
        let (code, _, stderr) = Luster::with("", json!({"workers": 2})).arg("--node").arg(program).output();
        assert_eq!(code, 71, "{stderr}");
        let words = format!("{program} is not Node.js: it answers `--version` with ");
        assert!(stderr.contains(&words) && stderr.contains(answer), "{stderr}");
        assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    }
    let program =
        Luster::new().file("c.js", "module.exports = f();").arg("--node").arg("/bin/true").arg("c.js");
    let (code, _, stderr) = program.output();
    assert_eq!(code, 71, "{stderr}");
    assert!(stderr.contains("c.js: ") && stderr.contains("/bin/true is not Node.js"), "{stderr}");
    // One under another name is taken.
    let luster = node_after(Luster::with("", json!({"workers": 1})), "").start();
    luster.await_ready(1);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_node_the_kernel_cannot_run_leaves_all_workers_dead_with_71() {
    let control = json!({"exitThreshold": 1000, "allowedSequentialDeaths": 1});
    let luster = Luster::with("", json!({"workers": 2, "control": control}));
    let luster = luster.file("node.bin", "no program").arg("--node").arg("./node.bin");
    may_run(&luster.path().join("node.bin"), true);
    let (code, _, stderr) = luster.output();
    assert_eq!(code, 71, "{stderr}");
    let last = stderr.lines().last().expect("lines");
    assert!(
        last.contains("every worker is dead: workers 1, 2 could not be started: cannot start "),
        "{last}"
    );
    assert!(last.contains("node.bin: Exec format error"), "{last}");
}

/// Worker 1 runs this at every boot.
fn boots_with(fault: &str, control: Value) -> Pair {
    let app = format!(
        "const wid = process.env.LUSTER_WID;
         if (wid === '1') {{ {fault} }}
         require('http').createServer((_, r) => r.end(`${{wid}} ${{process.pid}}`)).listen(process.env.port);"
    );
    let (luster, port) = Pair::of_app(&app, control);
    Pair::start(luster, port)
}

#[test]
fn a_worker_that_dies_at_boot_is_left_dead_and_the_line_says_how() {
    let faults = [
        ("process.exit(1)", "exited with code 1"),
        ("throw new Error('no database')", "exited with code 1"),
        ("process.abort()", "was killed by SIGABRT"),
        ("process.kill(process.pid, 'SIGSEGV')", "was killed by SIGSEGV"),
    ];
    for (fault, how) in faults {
        let control = json!({"exitThreshold": 60_000, "allowedSequentialDeaths": 1});
        let pair = boots_with(fault, control);
        let dead = pair.luster.await_event_where("exit", 1, |line| line["then"] == "dead");
        assert_eq!((&dead["wid"], &ending_of(&dead), &dead["deaths"]), (&json!(1), &json!(how), &json!(2)));
        pair.end();
    }
}

#[test]
fn a_worker_that_keeps_dying_at_boot_is_started_again_after_growing_pauses() {
    let pair = boots_with("process.exit(7)", json!({}));
    let paused = |line: &Value| line["pause_ms"].is_u64();
    let pauses: Vec<_> = (1..=4).map(|n| pair.luster.await_event_where("exit", n, paused)).collect();
    let pauses: Vec<_> = pauses.iter().map(|line| line["pause_ms"].as_u64().expect("a number")).collect();
    assert!(pauses.is_sorted() && pauses[3] >= 600, "{pauses:?}");
    pair.end();
}

#[test]
fn when_every_worker_is_dead_luster_ends_with_1_and_says_which_died_of_what() {
    let control = json!({"exitThreshold": 60_000});
    let app = "process.env.LUSTER_WID === '1' ? process.exit(3) : process.kill(process.pid, 'SIGKILL');";
    let mut luster = Luster::with(app, json!({"workers": 2, "control": control})).start();
    assert_eq!(luster.await_end(), 1);
    let causes = luster.await_event("all_dead", 1)["causes"].clone();
    assert_eq!(causes, "worker 1 exited with code 3; worker 2 was killed by SIGKILL");
    assert_eq!(processes_in(luster.path()), []);
}

#[test]
fn a_worker_that_is_not_online_in_time_gets_sigterm() {
    let (luster, port) = Pair::of("", json!({"forkTimeout": 5000}));
    let hang = "[ $LUSTER_WID = 1 ] && mkdir hung 2>/dev/null && exec sleep 1000";
    let pair = Pair::start(node_after(luster, hang), port);
    let told = pair.luster.await_event_where("stopping", 1, |line| line["wid"] == 1);
    let message = told["message"].as_str().expect("text");
    assert!(message.contains("was not online within 5000 ms (control.forkTimeout)"), "{message}");
    let exit = pair.luster.await_event_where("exit", 1, |line| line["wid"] == 1);
    assert_eq!(ending_of(&exit), "was killed by SIGTERM");
    pair.await_answer(0);
    pair.end();
}

#[test]
fn a_worker_that_hangs_at_boot_and_ignores_sigterm_gets_sigkill() {
    let (luster, port) = Pair::of("", json!({"forkTimeout": 5000, "killTimeout": 200}));
    let hang = "[ $LUSTER_WID = 1 ] && mkdir hung 2>/dev/null && trap '' TERM && exec sleep 1000";
    let pair = Pair::start(node_after(luster, hang), port);
    let signalled = pair.luster.await_event_where("signalled", 1, |line| line["wid"] == 1);
    assert_eq!(signalled["signal"], "SIGKILL");
    let exit = pair.luster.await_event_where("exit", 1, |line| line["wid"] == 1);
    assert_eq!(ending_of(&exit), "was killed by SIGKILL");
    pair.await_answer(0);
    pair.end();
}

#[test]
fn a_worker_stuck_while_it_loads_does_not_keep_luster_from_ending() {
    let pair = boots_with("for (;;);", json!({"stopTimeout": 200, "killTimeout": 400}));
    pair.luster.await_event_where("online", 1, |line| line["wid"] == 1);
    pair.end();
}

#[test]
fn a_node_that_stops_working_later_hurts_only_the_workers_that_need_it() {
    let (luster, port) = Pair::of("", json!({}));
    let luster = node_after(luster, "");
    let node = luster.path().join("node.sh");
    let pair = Pair::start(luster, port);
    let first = pair.await_answer(0);
    may_run(&node, false);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first), nix::sys::signal::SIGKILL)
        .expect("it is there");
    let paused = pair.luster.await_event_where("exit", 1, |line| line["pause_ms"].is_u64());
    let how = ending_of(&paused).as_str().expect("text").to_owned();
    assert!(
        how.contains("could not be started: cannot start") && how.contains("node.sh: Permission"),
        "{how}"
    );
    may_run(&node, true);
    pair.await_answer(first);
    pair.end();
}

#[test]
fn a_worker_killed_from_outside_is_replaced_and_its_children_are_gone() {
    let pair = Pair::running("", json!({}));
    let first = pair.await_answer(0);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first), nix::sys::signal::SIGKILL)
        .expect("it is there");
    pair.await_answer(first);
    eventually("the first is gone", || (!is_alive(first)).then_some(()));
    pair.end();
}

#[test]
fn workers_that_a_busy_machine_keeps_from_starting_in_time_are_not_left_dead() {
    // The first start of each takes as long as with far more work than cores; no death of its own would be allowed.
    let control = json!({"forkTimeout": 3000, "exitThreshold": 10_000});
    let config = json!({"workers": 2, "control": control, "server": {"port": free_port()}});
    let busy = "mkdir busy-$LUSTER_WID 2>/dev/null && \
        end=$(($(date +%s) + 6)) && while [ $(date +%s) -lt $end ]; do :; done";
    let luster = node_after(Luster::with(HTTP, config), busy).start();
    for wid in [1, 2] {
        let late = luster.await_event_where("stopping", 1, |line| line["wid"] == wid);
        assert!(late["message"].as_str().expect("text").contains("(control.forkTimeout)"), "{late}");
        luster.await_event_where("ready", 1, |line| line["wid"] == wid);
    }
    assert!(luster.events("exit").iter().all(|line| line["then"] == "restart"));
    assert_eq!(luster.stop().0, 0);
}
