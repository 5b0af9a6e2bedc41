//! Ports that cannot be had.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use serde_json::{Value, json};

use crate::harness::{Luster, Pair, Target, free_port, get, processes_in};

const SERVER: &str = "require('http').createServer((_, r) => r.end('x')).listen(process.env.port);";

#[test]
fn a_taken_port_is_named_and_served_once_it_is_free() {
    let (luster, port) = Pair::of("", json!({}));
    let taken = TcpListener::bind(("::", port)).expect("free");
    let pair = Pair::start(luster, port);
    let refused = pair.luster.await_event("refused", 2);
    assert_eq!(refused["wid"], 1);
    let message = refused["message"].as_str().expect("text");
    let holder = format!("pid {} ({})", std::process::id(), own_name());
    assert!(
        message.contains(&format!(":{port}: address already in use; {holder} listens there")),
        "{message}"
    );
    drop(taken);
    pair.await_answer(0);
    // Node told the app, which printed the error and died of it.
    assert!(
        pair.luster.log().iter().any(|line| line.as_str().is_some_and(|text| text.contains("EADDRINUSE")))
    );
    pair.end();
}

#[test]
fn an_app_that_handles_a_taken_port_lives_on() {
    let app = "const server = require('http').createServer((_, r) => r.end(`${process.env.LUSTER_WID} ${process.pid}`));
        server.on('error', error => { console.log(error.code); setTimeout(() => server.listen(process.env.port), 50); });
        server.listen(process.env.port);";
    let (luster, port) = Pair::of_app(app, json!({}));
    let taken = TcpListener::bind(("::", port)).expect("free");
    let pair = Pair::start(luster, port);
    pair.luster.await_event("refused", 3);
    drop(taken);
    assert_eq!(pair.await_answer(0), pair.luster.all_pids()[0]);
    assert!(pair.luster.stdout().starts_with("EADDRINUSE\nEADDRINUSE\n"), "{}", pair.luster.stdout());
    pair.end();
}

#[test]
fn when_a_taken_port_leaves_every_worker_dead_the_last_line_names_it() {
    let port = free_port();
    let _taken = TcpListener::bind(("::", port)).expect("free");
    let control = json!({"exitThreshold": 60_000});
    let config = json!({"workers": 2, "server": {"port": port}, "control": control});
    let mut luster = Luster::with(SERVER, config).start();
    assert_eq!(luster.await_end(), 1);
    let causes = luster.await_event("all_dead", 1)["causes"].as_str().expect("text").to_owned();
    assert!(
        causes.starts_with("workers 1, 2 exited with code 1 after they could not listen on "),
        "{causes}"
    );
    let holder = format!("pid {} ({})", std::process::id(), own_name());
    assert!(causes.contains(&format!(":{port}: address already in use; {holder} listens there")), "{causes}");
    assert_eq!(processes_in(luster.path()), []);
}

/// Of this process, as the kernel has it.
fn own_name() -> String {
    std::fs::read_to_string("/proc/self/comm").expect("/proc").trim_end().to_owned()
}

/// Worker 1 binds the port this way before worker 2 wants it; answers with why worker 2 may not have it.
#[track_caller]
fn reason_of_the_second(first: &str) -> String {
    let port = free_port();
    let app = format!(
        "const fs = require('fs'), net = require('net'), port = Number(process.env.port), go = __dirname + '/go';
        if (process.env.LUSTER_WID === '1') {{
            net.createServer().listen({first}, () => fs.writeFileSync(go, ''));
        }} else {{
            const timer = setInterval(() => {{
                if (!fs.existsSync(go)) return;
                clearInterval(timer);
                net.createServer().on('error', () => {{}}).listen(port);
            }}, 5);
        }}"
    );
    let luster = Luster::with(&app, json!({"workers": 2, "server": {"port": port}})).start();
    let refused = luster.await_event("refused", 1);
    assert_eq!(refused["wid"], 2);
    let reason = refused["reason"].as_str().expect("text").replace(&luster.worker_pid(1).to_string(), "PID");
    assert_eq!(luster.stop().0, 0);
    reason.replace(&port.to_string(), "PORT")
}

#[test]
fn a_port_that_one_of_our_own_has_is_said_to_be_so() {
    let prefix = "address already in use; ";
    let reasons = [
        ("{ port, exclusive: true }", "worker 1 (pid PID) has bound it itself (`exclusive` or `reusePort`)"),
        ("port, '127.0.0.1'", "other workers of this luster listen on tcp 127.0.0.1:PORT"),
    ];
    for (first, reason) in reasons {
        assert_eq!(reason_of_the_second(first), format!("{prefix}{reason}"));
    }
}

#[test]
fn a_second_luster_is_told_of_the_first() {
    let port = json!(free_port());
    is_told_of_the_first(Luster::new(), &port, &port);
}

/// The kernel's table has the path as it was bound, which is from the first one's folder.
#[test]
fn a_second_luster_is_told_of_the_first_by_its_socket_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("link");
    let first = Luster::new();
    std::os::unix::fs::symlink(first.path(), &link).expect("a link");
    is_told_of_the_first(first, &json!("./web.sock"), &json!(link.join("web.sock")));
}

#[track_caller]
fn is_told_of_the_first(first: Luster, port: &Value, same: &Value) {
    let config = |port: &Value| json!({"app": "worker.js", "workers": 1, "server": {"port": port}});
    let first = first.file("worker.js", SERVER).config(config(port)).start();
    first.await_listening(1);
    let second = Luster::new().file("worker.js", SERVER).config(config(same)).start();
    let reason = second.await_event("refused", 1)["reason"].as_str().expect("text").to_owned();
    let expected =
        format!("another luster (pid {}) listens there: is this one running already?", first.pid());
    assert!(reason.ends_with(&expected), "{reason}");
}

/// All workers die of a listen that this user is not permitted.
#[track_caller]
fn is_not_permitted(port: &str) {
    let luster = Luster::with(SERVER, json!({"workers": 2, "server": {"port": port}})).adjust(|command| {
        command.uid(65_534).gid(65_534);
    });
    std::fs::set_permissions(luster.path(), PermissionsExt::from_mode(0o755)).expect("ours");
    let mut luster = luster.start();
    assert_eq!(luster.await_end(), 77, "{:?}", luster.log());
    let causes = luster.await_event("all_dead", 1)["causes"].as_str().expect("text").to_owned();
    assert!(causes.contains(&format!("{port}: permission denied")), "{causes}");
    assert_eq!(processes_in(luster.path()), []);
}

#[test]
fn a_privileged_port_ends_with_77_when_all_workers_died_of_it() {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").expect("/proc");
    assert!(first.trim().parse::<u16>().expect("a port") > 977, "the machine permits every port");
    is_not_permitted("977");
}

#[test]
fn a_socket_in_a_folder_not_ours_ends_with_77_when_all_workers_died_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("ours");
    is_not_permitted(folder.path().join("app.sock").to_str().expect("UTF-8"));
}

#[test]
fn a_socket_in_a_folder_that_is_not_there_is_named() {
    let config = json!({"workers": 1, "server": {"port": "/no/such/folder/app.sock"}});
    let mut luster = Luster::with(SERVER, config).start();
    assert_eq!(luster.await_end(), 1);
    let causes = luster.await_event("all_dead", 1)["causes"].as_str().expect("text").to_owned();
    assert!(causes.contains("/no/such/folder/app.sock: no such file or directory"), "{causes}");
}

#[test]
fn a_second_luster_on_the_same_configuration_ends_after_a_few_tries_and_was_never_ready() {
    let config = |port: u16| json!({"workers": 2, "server": {"port": port}});
    let port = free_port();
    let first = Luster::with(SERVER, config(port)).start();
    first.await_ready(2);
    let mut second = Luster::with(SERVER, config(port)).start();
    assert_eq!(second.await_end(), 1);
    let causes = second.await_event("all_dead", 1)["causes"].as_str().expect("text").to_owned();
    assert!(
        causes.starts_with("workers 1, 2 exited with code 1 after they could not listen on "),
        "{causes}"
    );
    assert!(second.events("ready").is_empty(), "{:?}", second.events("ready"));
    assert_eq!(second.events("refused").len(), 10, "five tries each");
    assert_eq!(get(&Target::Tcp(port)).expect("the first serves on").body, "x");
    assert_eq!(first.stop().0, 0);
}

#[test]
fn an_app_that_tries_the_next_port_is_ready_where_it_listens() {
    let port = crate::harness::free_ports(2);
    let _taken = TcpListener::bind(("::", port)).expect("free");
    let app = "const server = require('http').createServer((_, r) => r.end('x'));
        server.once('error', () => server.listen(Number(process.env.port) + 1));
        server.listen(process.env.port);";
    let luster = Luster::with(app, json!({"workers": 2, "server": {"port": port}})).start();
    luster.await_ready(2);
    assert_eq!(get(&Target::Tcp(port + 1)).expect("it serves").body, "x");
    assert_eq!(luster.all_pids().len(), 2);
    assert_eq!(luster.stop().0, 0);
}
