//! Descriptors: what workers inherit, and a master that runs out of them.

use std::net::TcpStream;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::harness::{Luster, Pair, Target, children, eventually, free_port, get, state, usual_node};

/// The numbers of the descriptors this process has right at its start.
const FIRST_WORDS: &str = "console.log('have ' + require('fs').readdirSync('/proc/self/fd').sort().join(' ')); setInterval(() => {}, 1000);";

/// What `stdout` says after this word.
fn word(stdout: &str, word: &str) -> Option<String> {
    stdout.lines().find_map(|line| line.strip_prefix(word)).map(|rest| rest.trim().to_owned())
}

#[test]
fn a_worker_has_the_descriptors_of_a_bare_node_child_and_none_of_lusters() {
    let leaking = ["bash", "-c", "exec 33</etc/passwd 44<>/tmp; exec \"$0\" \"$@\""];
    let leaking = [leaking[0], leaking[1], &leaking[2].replace(" 44<>/tmp", " 44</tmp")];
    let luster = Luster::with(FIRST_WORDS, json!({"workers": 1})).through(&leaking).start();
    let own = eventually("the worker tells", || word(&luster.stdout(), "have "));
    // A child of Node's own `fork` has a channel, too.
    let parent =
        "require('child_process').fork('./worker.js', { stdio: ['ignore', 'pipe', 'ignore', 'ipc'] })
        .stdout.on('data', text => { process.stdout.write(text); process.exit(); })";
    // Whoever runs the tests may have left descriptors open.
    let clean =
        "for fd in $(ls /proc/$$/fd); do [ $fd -gt 2 ] && eval \"exec $fd>&-\"; done; exec \"$1\" -e \"$0\"";
    let mut bare = Command::new("bash");
    let bare = bare
        .args(["-c", clean, parent])
        .arg(usual_node().path)
        .current_dir(luster.path())
        .output()
        .expect("node");
    let bare = word(&String::from_utf8_lossy(&bare.stdout), "have ").expect("it tells");
    assert_eq!(own, bare);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn workers_get_the_limit_luster_was_started_with_and_luster_takes_all() {
    let limited = ["bash", "-c", "ulimit -Sn 300; ulimit -Hn 4000; exec \"$0\" \"$@\""];
    // Node raises its own limit, so it is looked at before Node runs.
    let script = "#!/bin/sh\necho \"limit $(ulimit -Sn) $(ulimit -Hn)\"\nexec node \"$@\"\n";
    let luster = Luster::with("setInterval(() => {}, 1000);", json!({"workers": 1}));
    let luster = luster.file("node.sh", script).through(&limited).arg("--node").arg("./node.sh");
    let path = luster.path().join("node.sh");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(path, mode).expect("ours");
    let luster = luster.start();
    let limit = eventually("the worker tells", || word(&luster.stdout(), "limit "));
    assert_eq!(limit, "300 4000");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", luster.pid())).expect("/proc");
    let own = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    assert_eq!(own.split_whitespace().nth(3), Some("4000"), "{own}");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_luster_out_of_descriptors_replaces_a_killed_worker_and_recovers() {
    let app =
        "require('http').createServer((_, r) => r.end(process.env.LUSTER_WID)).listen(process.env.port);";
    let port = free_port();
    let luster = Luster::with(app, json!({"workers": 2, "server": {"port": port}})).descriptors(48).start();
    luster.await_ready(2);
    luster.await_listening(2);
    // More than the workers and luster together can hold; what none of them takes waits in the kernel's queue.
    let held: Vec<_> = (0..250).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("queued")).collect();
    luster.await_event("refusing", 1);
    let killed = luster.worker_pid(1);
    kill(Pid::from_raw(killed), Signal::SIGKILL).expect("it is there");
    luster.await_event_where("exit", 1, |line| line["pid"] == killed);
    luster.await_event("fork", 3);
    luster.await_ready(3);
    drop(held);
    for wid in ["1", "2"] {
        eventually("each worker answers", || (get(&Target::Tcp(port)).ok()?.body == wid).then_some(()));
    }
    let zombie = |pid| state(pid) == Some('Z');
    eventually("no zombie", || (!children(luster.pid()).into_iter().any(zombie)).then_some(()));
    let (code, log) = luster.stop();
    assert_eq!(code, 0, "{log:?}");
}

#[test]
fn a_worker_out_of_descriptors_is_named() {
    let crime = "const held = [];
        const fill = () => { try { for (;;) held.push(fs.openSync('/dev/null')); } catch {} };
        const again = setInterval(fill, 5);
        process.on('SIGUSR2', () => { clearInterval(again); held.splice(0).forEach(fd => fs.closeSync(fd)); });
        fill()";
    let (luster, port) = Pair::of(crime, json!({}));
    let pair = Pair::start(luster.descriptors(256), port);
    pair.await_answer(0);
    let criminal = pair.commit();
    // Nobody but worker 1 serves this port, so its connections wait until it takes them again.
    let mut waiting = Vec::new();
    let told = eventually("worker 1 refuses connections", || {
        waiting.push(TcpStream::connect(("127.0.0.1", port)).expect("queued"));
        pair.luster.events("refusing").into_iter().next()
    });
    assert_eq!((&told["wid"], &told["pid"]), (&json!(1), &json!(criminal)));
    kill(Pid::from_raw(criminal), Signal::SIGUSR2).expect("it is there");
    drop(waiting);
    assert_eq!(pair.await_answer(0), criminal);
    pair.end();
}
