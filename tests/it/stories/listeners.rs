//! Whatever workers listen on, a rollout drops nothing: groups of ports, unix sockets, UDP, several at once.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::{
    HTTP, Load, Luster, PATIENCE, Running, Style, Target, eventually, free_port, free_ports,
};

fn start(app: &str, config: Value, listening: usize) -> Running {
    let workers = usize::try_from(config["workers"].as_u64().expect("a number")).expect("small");
    let luster = Luster::with(app, config).start();
    luster.await_ready(workers);
    luster.await_listening(listening);
    luster
}

/// Two rollouts with clients of both kinds at every target.
#[track_caller]
fn drops_nothing(luster: Running, targets: &[Target]) {
    let styles = [Style::KEEP_ALIVE, Style::NEW];
    let loads: Vec<_> =
        targets.iter().flat_map(|target| styles.map(|style| Load::begin(target, style))).collect();
    for _ in 0..2 {
        loads.iter().for_each(|load| load.await_answers(20));
        assert_eq!(luster.rollout()["event"], "rollout_finished");
    }
    loads.iter().for_each(|load| load.await_answers(20));
    loads.into_iter().for_each(Load::end_without_a_failure);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn port_groups() {
    for (balance, restart) in
        [("round-robin", "stop-first"), ("shared", "start-first"), ("reuseport", "stop-first")]
    {
        let port = free_ports(2);
        let config = json!({
            "workers": 3,
            "control": {"restart": restart},
            "server": {"port": port, "groups": 2, "balance": balance},
        });
        drops_nothing(start(HTTP, config, 3), &[Target::Tcp(port), Target::Tcp(port + 1)]);
    }
}

#[test]
fn unix_sockets() {
    for (balance, restart) in
        [("round-robin", "stop-first"), ("shared", "start-first"), ("reuseport", "stop-first")]
    {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app.sock");
        let config = json!({
            "workers": 1,
            "control": {"restart": restart},
            "server": {"port": path.to_str(), "balance": balance},
        });
        drops_nothing(start(HTTP, config, 1), &[Target::Unix(path)]);
        assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0, "no file is left");
    }
}

#[test]
fn two_ports_and_a_path_in_one_worker() {
    let app = HTTP.replace(
        "}).listen(Number(process.env.port) || process.env.port);",
        "}).listen(process.env.port);
        for (const on of [Number(process.env.port) + 1, 'also.sock']) {
            require('http').createServer((req, res) => res.end(String(process.pid))).listen(on);
        }",
    );
    for balance in ["round-robin", "shared", "reuseport"] {
        let port = free_ports(2);
        let config = json!({"workers": 1, "server": {"port": port, "balance": balance}});
        let luster = start(&app, config, 3);
        let path = luster.path().join("also.sock");
        drops_nothing(luster, &[Target::Tcp(port), Target::Tcp(port + 1), Target::Unix(path)]);
    }
}

#[test]
fn workers_that_refuse_connections_beyond_their_limit() {
    let app =
        HTTP.replace("}).listen(", "}).on('listening', function () { this.maxConnections = 2; }).listen(");
    for restart in ["stop-first", "start-first"] {
        let port = free_port();
        let config = json!({"workers": 2, "control": {"restart": restart}, "server": {"port": port}});
        let luster = start(&app, config, 2);
        // Kept connections would never give their place up to the others.
        let load = Load::begin(&Target::Tcp(port), Style::NEW);
        for _ in 0..2 {
            load.await_answers(20);
            assert_eq!(luster.rollout()["event"], "rollout_finished");
        }
        load.await_answers(20);
        load.end_without_a_failure();
        assert_eq!(luster.stop().0, 0);
    }
}

/// Sends a datagram and waits for its echo, again and again.
struct Echoes {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    client: std::thread::JoinHandle<()>,
}

impl Echoes {
    fn begin(port: u16) -> Self {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counted) = (stop.clone(), count.clone());
        let client = std::thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
            socket.connect(("127.0.0.1", port)).expect("connected");
            socket.set_read_timeout(Some(PATIENCE)).expect("set");
            while !stopped.load(Ordering::Relaxed) {
                let nth = counted.load(Ordering::Relaxed).to_string();
                let mut buffer = [0; 64];
                socket.send(nth.as_bytes()).expect("nobody refuses it");
                let length =
                    socket.recv(&mut buffer).unwrap_or_else(|error| panic!("datagram {nth}: {error}"));
                assert_eq!(&buffer[..length], nth.as_bytes());
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, count, client }
    }

    #[track_caller]
    fn await_more(&self, more: usize) {
        let goal = self.count.load(Ordering::Relaxed) + more;
        eventually("datagrams come back", || {
            (self.count.load(Ordering::Relaxed) >= goal || self.client.is_finished()).then_some(())
        });
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.client.join().expect("every datagram came back");
    }
}

#[test]
fn datagrams_are_echoed_across_rollouts() {
    let app = "const socket = require('dgram').createSocket('udp4');
        socket.on('message', (data, from) => socket.send(data, from.port, from.address));
        socket.bind(Number(process.env.port), '127.0.0.1');";
    for (workers, restart) in [(1, "stop-first"), (2, "stop-first"), (1, "start-first"), (2, "start-first")] {
        let port = free_port();
        let config = json!({"workers": workers, "control": {"restart": restart}, "server": {"port": port}});
        let luster = start(app, config, workers);
        let clients = [(); 4].map(|()| Echoes::begin(port));
        for _ in 0..2 {
            clients.iter().for_each(|client| client.await_more(20));
            assert_eq!(luster.rollout()["event"], "rollout_finished");
        }
        clients.iter().for_each(|client| client.await_more(20));
        clients.into_iter().for_each(Echoes::end);
        assert_eq!(luster.stop().0, 0);
    }
}
