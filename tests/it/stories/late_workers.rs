//! Workers that are not ready in time and replace nobody: they are started anew where the configuration says how long it may take.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::harness::{Luster, Target, free_port, get};

/// Serves, unless a file says that it is to hang as it does.
const APP: &str = "const fs = require('fs');
let how = '';
try { how = fs.readFileSync(`how.${process.env.LUSTER_WID}`, 'utf8'); } catch { /* as always */ }
if (how === 'spins') { for (;;) { /* before it listens anywhere */ } }
require('http').createServer((_, r) => r.end(process.env.LUSTER_WID)).listen(process.env.port);
if (how === '') { require('luster').ready(); }
";

#[test]
fn workers_that_hang_before_they_are_ready_are_started_anew_and_the_others_serve() {
    let port = free_port();
    let config = json!({
        "workers": 3, "server": {"port": port},
        "control": {"readyTimeout": 10_000, "triggerReadyStateManually": true},
    });
    let luster = Luster::with(APP, config).start();
    luster.await_ready(3);
    for (wid, how) in [(1, "spins"), (2, "serves without a word")] {
        luster.put(&format!("how.{wid}"), how);
        kill(Pid::from_raw(luster.worker_pid(wid)), Signal::SIGKILL).expect("it is there");
    }
    for wid in [1, 2] {
        let late =
            luster.await_event_where("stopping", 1, |line| line["wid"] == wid && line["level"] == "WARN");
        let words = "was not ready within 10000 ms (control.readyTimeout): it has not called ready(); it is started anew";
        assert!(late["message"].as_str().is_some_and(|it| it.ends_with(words)), "{late}");
        luster.put(&format!("how.{wid}"), "");
        get(&Target::Tcp(port)).expect("somebody serves");
    }
    for wid in [1, 2] {
        luster.await_event_where("ready", 2, |line| line["wid"] == wid);
        let counters = &luster.control().status()["workers"][wid - 1]["counters"];
        assert_eq!(counters["crashed"], 1, "{counters}");
        assert!(counters["late"].as_u64() >= Some(1), "{counters}");
    }
    assert_eq!(luster.events("exit").iter().filter(|line| line["wid"] == 3).count(), 0);
}

#[test]
fn a_mended_release_replaces_one_that_is_never_ready_although_both_are_asked_for_in_the_same_rollout() {
    const HANGS: &str = "setTimeout(() => { for (;;) { /* before it listens anywhere */ } });";
    let app = |word: &str| {
        format!("require('http').createServer((_, r) => r.end('{word}')).listen(process.env.port);")
    };
    let port = free_port();
    let config = json!({"workers": 2, "server": {"port": port}, "control": {"readyTimeout": 10_000}});
    let luster = Luster::with(&app("first"), config).start();
    luster.await_ready(2);
    luster.put("worker.js", HANGS);
    assert_eq!(luster.control().post("/v1/reload?wait=false", "{}").0, 202);
    luster.await_event("fork", 3);
    luster.put("worker.js", &app("mended"));
    let (code, answer) = luster.control().post("/v1/reload", "{}");
    assert_eq!((code, &answer["outcome"]), (200, &json!("done")), "{answer}");
    assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "mended");
    assert_eq!(luster.events("rollout_aborted").len(), 0);
}
