//! A fleet with nothing to do costs nothing.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Connection, Pair, Target, eventually};

/// How often the threads of a process have been put to sleep, together.
fn naps(pid: i32) -> u64 {
    let nap = |status: String| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim();
        line.parse().ok()
    };
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("luster is there");
    let statuses = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("status")).ok());
    statuses.filter_map(nap).sum()
}

#[test]
fn an_idle_luster_never_wakes() {
    let control =
        json!({"forkTimeout": 60_000, "stopTimeout": 60_000, "killTimeout": 60_000, "exitThreshold": 500});
    let (luster, port) = Pair::of("", control);
    let luster = luster.start();
    luster.await_ready(2);
    luster.await_listening(2);
    let mut open = Connection::open(&Target::Tcp(port)).expect("it listens");
    open.request("GET / HTTP/1.1", b"").expect("an answer");
    // The last of the start, such as a worker's late message, is over some time; how late depends on the machine.
    eventually("two idle seconds without a wake-up", || {
        let before = naps(luster.pid());
        std::thread::sleep(Duration::from_secs(2)); // a measurement's window: nothing is waited for
        (naps(luster.pid()) == before).then_some(())
    });
    drop(open);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_luster_that_was_asked_how_it_is_sleeps_again() {
    let (luster, _) = Pair::of("", json!({}));
    let luster = luster.start();
    luster.await_ready(2);
    let control = luster.control();
    // One that stays open is closed when its time is over.
    let mut open = control.connect().expect("it listens");
    open.request("GET /v1/health HTTP/1.1", b"").expect("an answer");
    assert_eq!(control.status()["ready"], 2);
    assert!(open.is_closed_by_peer());
    let fds = || std::fs::read_dir(format!("/proc/{}/fd", luster.pid())).expect("/proc").count();
    let awake = fds();
    eventually("two idle seconds without a wake-up, and what it needed awake is given back", || {
        let before = naps(luster.pid());
        std::thread::sleep(Duration::from_secs(2)); // a measurement's window: nothing is waited for
        (naps(luster.pid()) == before && fds() < awake).then_some(())
    });
    assert_eq!(control.status()["ready"], 2);
    assert_eq!(luster.stop().0, 0);
}
