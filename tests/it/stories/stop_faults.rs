//! Workers that will not stop.

use serde_json::{Value, json};

use crate::harness::{Luster, Pair, Target, ending_of, eventually, free_port, get, processes_in};
use nix::sys::signal::Signal;

/// The signals worker 1 got because it was late, in order.
fn signalled(pair: &Pair) -> Vec<Value> {
    let lines = pair.luster.events("signalled");
    lines.iter().filter(|line| line["wid"] == 1).map(|line| line["signal"].clone()).collect()
}

#[test]
fn a_worker_stuck_in_a_loop_gets_sigterm_after_the_stop_timeout() {
    let pair = Pair::running("for (;;) {}", json!({"stopTimeout": 300}));
    let stuck = pair.commit();
    // Only worker 1 is looked at: the end of the story stops both.
    pair.luster.signal(Signal::SIGHUP);
    let exit = pair.luster.await_event_where("exit", 1, |line| line["pid"] == stuck);
    assert_eq!(ending_of(&exit), "was killed by SIGTERM");
    assert_eq!(signalled(&pair), ["SIGTERM"]);
    let told = pair.luster.await_event("signalled", 1)["message"].as_str().expect("text").to_owned();
    assert!(told.contains("has not exited within 300 ms (control.stopTimeout); sending SIGTERM"), "{told}");
    pair.luster.await_event("rollout_finished", 1);
    assert_eq!(pair.luster.stop().0, 0);
}

#[test]
fn a_worker_that_ignores_sigterm_gets_sigkill_after_the_kill_timeout() {
    let crime = "process.on('SIGTERM', () => {}); for (;;) {}";
    let pair = Pair::running(crime, json!({"stopTimeout": 200, "killTimeout": 500}));
    let stuck = pair.commit();
    pair.luster.signal(Signal::SIGHUP);
    let exit = pair.luster.await_event_where("exit", 1, |line| line["pid"] == stuck);
    assert_eq!(ending_of(&exit), "was killed by SIGKILL");
    assert_eq!(signalled(&pair), ["SIGTERM", "SIGKILL"]);
    pair.luster.await_event("rollout_finished", 1);
    assert_eq!(pair.luster.stop().0, 0);
}

#[test]
fn a_stop_is_not_held_up_by_a_worker_that_ignores_everything() {
    let crime = "process.on('SIGTERM', () => {}); for (;;) {}";
    let pair = Pair::running(crime, json!({"stopTimeout": 200, "killTimeout": 500}));
    pair.commit();
    pair.end();
}

#[test]
fn a_second_stop_kills_at_once_what_the_first_waits_for_and_the_exit_code_says_so() {
    // No timeouts: a graceful stop would wait for this request for ever.
    let app = "require('http').createServer(() => console.log('asked')).listen(process.env.port);
        process.on('SIGTERM', () => {});";
    let pairs = [(Signal::SIGTERM, Signal::SIGTERM, 143), (Signal::SIGINT, Signal::SIGINT, 130)];
    for (first, second, code) in pairs {
        let port = free_port();
        let mut luster = Luster::with(app, json!({"workers": 2, "server": {"port": port}})).start();
        luster.await_ready(2);
        luster.await_listening(2);
        let client = std::thread::spawn(move || get(&Target::Tcp(port)));
        eventually("the request has arrived", || luster.stdout().contains("asked").then_some(()));
        luster.signal(first);
        luster.await_event("asked", 1);
        luster.await_event("exit", 1); // the worker without a request
        // How long one is the echo of the first depends on how busy the machine is.
        eventually("one of them is the second", || {
            luster.signal(second);
            (!luster.events("killing_all").is_empty()).then_some(())
        });
        assert_eq!(luster.await_end(), code);
        luster.await_event("killing_all", 1);
        assert!(client.join().expect("no panic").is_err());
        assert_eq!(processes_in(luster.path()), []);
    }
}

#[test]
fn an_unfinished_suspend_function_holds_a_stop_for_ten_seconds_at_most() {
    let app = "const worker = require('luster'); worker.registerSuspendFunction(() => new Promise(() => {}));
        require('http').createServer((_, r) => r.end('x')).listen(process.env.port);";
    let luster = Luster::with(app, json!({"workers": 1, "server": {"port": free_port()}})).start();
    luster.await_ready(1);
    let (code, log) = luster.stop();
    assert_eq!(code, 0);
    assert!(log.iter().any(|line| line["event"] == "suspend_unanswered"), "{log:?}");
}

#[test]
fn a_worker_whose_event_loop_is_blocked_is_ended_although_no_timeout_is_set() {
    let app = "require('http').createServer((_, r) => r.end('x')).listen(process.env.port);
        require('luster').once('ready', () => setTimeout(() => {
            require('fs').writeSync(1, 'blocked');
            Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
        }, 200));";
    let luster = Luster::with(app, json!({"workers": 1, "server": {"port": free_port()}})).start();
    luster.await_ready(1);
    eventually("it is blocked", || luster.stdout().contains("blocked").then_some(()));
    let (code, log) = luster.stop();
    assert_eq!(code, 0);
    let signalled: Vec<_> = log.iter().filter(|line| line["event"] == "signalled").collect();
    assert_eq!(signalled.len(), 1, "{log:?}");
    assert_eq!((&signalled[0]["signal"], &signalled[0]["ms"]), (&json!("SIGTERM"), &json!(10_000)));
}
