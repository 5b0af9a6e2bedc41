//! Restarts asked for together are one, and a stop wins over all of them.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::{Connection, HTTP, Load, Luster, Style, Target, eventually, free_port};

#[test]
fn fifty_hangups_in_a_second_are_at_most_two_passes() {
    let (port, workers) = (free_port(), 3);
    let config = json!({"workers": workers, "server": {"port": port}});
    // A pass takes longer than the storm, or requests would rightly go on asking for new workers.
    let slowly =
        "require('luster').registerSuspendFunction(() => new Promise(done => setTimeout(done, 600)));";
    let luster = Luster::with(&format!("{slowly}{HTTP}"), config).start();
    luster.await_ready(workers);
    let loads = [Style::KEEP_ALIVE, Style::NEW].map(|style| Load::begin(&Target::Tcp(port), style));
    loads.iter().for_each(|load| load.await_answers(20));
    for _ in 0..50 {
        luster.signal(Signal::SIGHUP);
        std::thread::sleep(Duration::from_millis(20)); // The pace of the storm, not a wait for anything.
    }
    eventually("the storm is over", || {
        let (began, ended) = (luster.events("rollout_began"), luster.events("rollout_finished"));
        (!began.is_empty() && began.len() == ended.len()).then_some(())
    });
    loads.into_iter().for_each(Load::end_without_a_failure);
    let forks = luster.events("fork").len();
    assert!((2 * workers..=3 * workers).contains(&forks), "{forks} processes for {workers} workers");
    assert_eq!(luster.stop().0, 0);
}

/// Says on its standard output which requests it has, and answers them when told to, by a file.
const HOLDING: &str = r#"
const fs = require('fs');
require('http').createServer((req, res) => {
    console.log('has', req.url);
    const poll = setInterval(() => {
        if (fs.existsSync('answer')) {
            clearInterval(poll);
            res.end(String(process.pid));
        }
    }, 10);
}).listen(process.env.port);
"#;

#[test]
fn a_stop_in_the_middle_of_a_rollout_lets_requests_finish() {
    for restart in ["stop-first", "start-first"] {
        let port = free_port();
        let config = json!({"workers": 2, "control": {"restart": restart}, "server": {"port": port}});
        let mut luster = Luster::with(HOLDING, config).start();
        luster.await_ready(2);
        luster.await_listening(2);
        let mut connections: Vec<_> = (0..8)
            .map(|nth| {
                let mut connection = Connection::open(&Target::Tcp(port)).expect("open");
                connection
                    .send(format!("GET /{nth} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
                    .expect("sent");
                connection
            })
            .collect();
        eventually("all are in hand", || (luster.stdout().matches("has").count() == 8).then_some(()));
        luster.signal(Signal::SIGHUP);
        luster.await_event("stopping", 1);
        luster.signal(Signal::SIGTERM);
        luster.await_event("rollout_cancelled", 1);
        luster.signal(Signal::SIGHUP);
        std::fs::write(luster.path().join("answer"), "").expect("writable");
        for connection in &mut connections {
            let reply = connection.reply().expect("an answer");
            assert_eq!(reply.status, 200, "{reply:?}");
        }
        assert_eq!(luster.await_end(), 0);
        assert_eq!(luster.events("fork").len(), 2 + usize::from(restart == "start-first"));
    }
}
