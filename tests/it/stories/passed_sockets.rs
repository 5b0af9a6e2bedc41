//! Programs that are started with their listening socket: no connection is refused or lost while they are replaced, by programs
//! or by a Node app.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{
    Connection, HTTP, Load, Luster, Running, Style, Target, eventually, free_port, get, processes_in,
};

/// Serves the socket it is given, and ends as servers should: it takes no further connection, answers those it has with
/// `Connection: close`, and goes when the last of them is closed.
const SERVER: &str = r#"
import http.server, json, os, signal, socket, sys, threading, time
assert os.environ["LISTEN_FDS"] == "1" and os.environ["LISTEN_PID"] == str(os.getpid()), os.environ
stopping = threading.Event()
lock, connections = threading.Lock(), 0

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = os.environ["port"].isdigit()
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        inode = os.fstat(3).st_ino
        told = {"wid": os.environ["LUSTER_WID"], "names": os.environ["LISTEN_FDNAMES"], "inode": inode,
                "blocking": BLOCKING, "files": FILES}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if stopping.is_set():
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    def __init__(self, listener):
        super().__init__(("", 0), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = "", 0
    def process_request_thread(self, *args):
        global connections
        try:
            super().process_request_thread(*args)
        finally:
            with lock:
                connections -= 1
    def process_request(self, *args):
        global connections
        with lock:
            connections += 1
        super().process_request(*args)
    def get_request(self):
        connection, _ = self.socket.accept()
        return connection, ("", 0)

FILES = sorted(int(number) for number in os.listdir("/proc/self/fd"))[:-1]
listener = socket.socket(fileno=3)
BLOCKING = os.get_blocking(3)
listener.setblocking(False)
server = Server(listener)

def stop(*_):
    stopping.set()
    threading.Thread(target=server.shutdown).start()
signal.signal(signal.SIGTERM, stop)
server.serve_forever(poll_interval=0.01)
while connections:
    time.sleep(0.01)
os._exit(0)
"#;

fn config(app: &str, more: Value) -> Value {
    let mut config =
        json!({"app": app, "workers": 2, "control": {"ready": {"after": 300}, "restart": "stop-first"}});
    if app.ends_with(".py") {
        config["interpreter"] = "python3".into();
    }
    for (section, keys) in more.as_object().expect("an object") {
        match keys.as_object() {
            Some(keys) => keys.iter().for_each(|(key, value)| config[section][key] = value.clone()),
            None => config[section] = keys.clone(),
        }
    }
    config
}

fn start(config: Value) -> Running {
    let luster = Luster::with(HTTP, config).file("app.py", SERVER).file("broken", "#!/bin/sh\nexit 5\n");
    std::fs::set_permissions(luster.path().join("broken"), PermissionsExt::from_mode(0o755)).expect("ours");
    luster.start()
}

fn asked(target: &Target) -> Value {
    serde_json::from_str(&get(target).expect("an answer").body).expect("JSON")
}

#[track_caller]
fn is_without_failure(load: Load, case: &str) {
    let report = load.end();
    assert!(report.failures.is_empty() && report.answered > 0, "{case}: {report:?}");
}

/// What many connections are told: in `key`, by whom.
fn seen(target: &Target, key: &str) -> BTreeSet<String> {
    (0..60).map(|_| asked(target)[key].to_string()).collect()
}

#[test]
fn a_program_has_its_socket_as_descriptor_3_and_says_so_in_its_environment() {
    for (balance, sockets) in [("shared", 1), ("reuseport", 2)] {
        let port = free_port();
        let luster = start(config("app.py", json!({"server": {"port": port, "balance": balance}})));
        luster.await_ready(2);
        let target = Target::Tcp(port);
        let told = asked(&target);
        assert_eq!(told["names"], "luster");
        assert_eq!(told["blocking"], balance == "reuseport" || told["blocking"] == true, "{told}");
        assert_eq!(told["files"], json!([0, 1, 2, 3]), "{told}");
        eventually("both serve", || (seen(&target, "wid").len() == 2).then_some(()));
        assert_eq!(seen(&target, "inode").len(), sockets, "{balance}");
        let on = luster.await_event("listening_on", 1);
        assert_eq!(on["on"], format!("tcp *:{port}"), "{on}");
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn programs_are_replaced_under_load_without_a_lost_request() {
    for (balance, order) in [("shared", "stop-first"), ("reuseport", "stop-first"), ("shared", "start-first")]
    {
        let port = free_port();
        let more = json!({"server": {"port": port, "balance": balance}, "control": {"restart": order}});
        let luster = start(config("app.py", more));
        luster.await_ready(2);
        let target = Target::Tcp(port);
        let loads = [Style::NEW, Style::KEEP_ALIVE].map(|style| Load::begin(&target, style));
        for _ in 0..2 {
            loads.iter().for_each(|load| load.await_answers(100));
            assert_eq!(luster.rollout()["event"], "rollout_finished");
        }
        loads.iter().for_each(|load| load.await_answers(100));
        loads.into_iter().for_each(|load| is_without_failure(load, &format!("{balance} {order}")));
        let (code, log) = luster.stop();
        assert_eq!(code, 0);
        assert!(!log.iter().any(|line| line["event"] == "signalled"), "{balance} {order}");
    }
}

#[test]
fn clients_wait_while_the_only_program_is_started_anew() {
    let port = free_port();
    let luster = start(config("app.py", json!({"workers": 1, "server": {"port": port}})));
    luster.await_ready(1);
    let target = Target::Tcp(port);
    asked(&target);
    for _ in 0..3 {
        kill(Pid::from_raw(luster.worker_pid(1)), Signal::SIGKILL).expect("it runs");
        assert_eq!(get(&target).expect("nobody is refused").status, 200);
    }
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_node_app_becomes_a_program_and_a_node_app_again_and_nobody_is_refused() {
    for (workers, order) in [(1, "stop-first"), (2, "stop-first"), (2, "start-first")] {
        let port = free_port();
        let more = json!({"workers": workers, "server": {"port": port}, "control": {"restart": order}});
        let luster = start(config("worker.js", more.clone()));
        luster.await_ready(workers);
        let target = Target::Tcp(port);
        // Idle connections to the only worker there is are closed early: others wait for its end.
        let styles = if workers == 1 { vec![Style::NEW] } else { vec![Style::NEW, Style::KEEP_ALIVE] };
        let is_python = || get(&target).expect("an answer").body.contains("inode");
        let loads: Vec<_> = styles.into_iter().map(|style| Load::begin(&target, style)).collect();
        for (app, wanted) in [("app.py", true), ("worker.js", false), ("app.py", true)] {
            loads.iter().for_each(|load| load.await_answers(100));
            luster.put("luster.conf.json", &config(app, more.clone()).to_string());
            assert_eq!(luster.rollout()["event"], "rollout_finished", "{app}");
            assert!((0..20).all(|_| is_python() == wanted), "{workers} {order} {app}");
        }
        loads.iter().for_each(|load| load.await_answers(100));
        for report in loads.into_iter().map(Load::end) {
            // What came in while the last worker of Node's went is reset; nobody waits in vain, or is refused.
            let is_reset =
                |failure: &String| failure.contains("reset by peer") && failure.contains("before: false");
            let few = if workers == 1 { 0 } else { 2 * Style::NEW.clients };
            let fine = report.failures.iter().all(is_reset) && report.failures.len() <= few;
            assert!(fine && report.answered > 0, "{workers} {order}: {report:?}");
        }
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn a_program_that_ends_at_once_costs_a_node_app_no_request() {
    let port = free_port();
    let more = json!({"server": {"port": port}});
    let luster = start(config("worker.js", more.clone()));
    luster.await_ready(2);
    let target = Target::Tcp(port);
    let load = Load::begin(&target, Style::NEW);
    load.await_answers(100);
    luster.put("luster.conf.json", &config("broken", more).to_string());
    assert_eq!(luster.rollout()["event"], "rollout_aborted");
    luster.await_event("rollout_taken_back", 1);
    load.await_answers(100);
    load.end_without_a_failure();
    assert_eq!(luster.events("pass_hint").len(), 1);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_program_may_have_a_unix_socket_and_its_file_is_gone_at_the_end() {
    let server = json!({"server": {"port": "app.sock", "socketMode": "0600"}});
    let luster = start(config("app.py", server.clone()));
    luster.await_ready(2);
    let path = luster.path().join("app.sock");
    let target = Target::Unix(path.clone());
    assert_eq!(asked(&target)["names"], "luster");
    let load = Load::begin(&target, Style::NEW);
    load.await_answers(50);
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    luster.put("luster.conf.json", &config("worker.js", server.clone()).to_string());
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    luster.put("luster.conf.json", &config("app.py", server).to_string());
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    load.await_answers(50);
    load.end_without_a_failure();
    let folder = luster.path().to_owned();
    assert_eq!(luster.stop().0, 0);
    assert!(UnixStream::connect(&path).is_err() && !path.exists());
    assert_eq!(processes_in(&folder), []);
}

#[test]
fn a_port_that_somebody_has_is_told_as_to_a_node_app() {
    let taken = TcpListener::bind(("0.0.0.0", 0)).expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let mut luster = start(config("app.py", json!({"server": {"port": port}})));
    let refused = luster.await_event("refused", 1);
    assert!(refused["reason"].as_str().is_some_and(|reason| reason.contains("already in use")), "{refused}");
    luster.signal(Signal::SIGTERM);
    let code = luster.await_end();
    assert!([0, 1, 71].contains(&code), "{code}");
}

#[test]
fn round_robin_is_for_node_alone() {
    let of = |server: Value| {
        let luster =
            Luster::with("", config("app.py", json!({"server": server}))).file("app.py", SERVER).arg("check");
        luster.output()
    };
    let (code, _, stderr) = of(json!({"port": 8080, "balance": "round-robin"}));
    assert_eq!(code, 78);
    assert!(stderr.contains("is \"round-robin\", which is for Node.js apps alone"), "{stderr}");
    let (code, _, stderr) = of(json!({"port": 8080, "balance": "shared", "pass": false}));
    assert_eq!(code, 0);
    assert!(stderr.contains("server.balance has no effect where server.pass is false"), "{stderr}");
}

#[test]
fn connections_of_a_program_that_drains_are_answered_to_their_end() {
    let port = free_port();
    let luster = start(config("app.py", json!({"workers": 1, "server": {"port": port}})));
    luster.await_ready(1);
    let mut open = Connection::open(&Target::Tcp(port)).expect("it listens");
    assert!(!open.request("GET / HTTP/1.1", b"").expect("an answer").closes);
    let pid = luster.worker_pid(1);
    luster.signal(Signal::SIGHUP);
    luster.await_event("stopping", 1);
    let reply = eventually("it is told", || {
        let reply = open.request("GET / HTTP/1.1", b"").expect("an answer");
        reply.closes.then_some(reply)
    });
    assert_eq!(reply.status, 200);
    luster.await_event("rollout_finished", 1);
    assert_ne!(luster.worker_pid(1), pid);
    assert_eq!(luster.stop().0, 0);
}
