//! Ports that a worker closes by itself: those it only tried out are free at once, those with clients as soon as it is clear
//! that the worker goes on.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{
    Luster, Node, Running, TELL, Target, eventually, free_port, free_ports, get, node, on_every_node,
    on_oldest_and_newest, packages,
};

const BALANCES: [&str; 3] = ["round-robin", "shared", "reuseport"];

/// For so long a port was kept whatever happened.
const KEPT_AT_MOST: Duration = Duration::from_secs(5);

fn app(body: &str) -> String {
    format!(
        "{TELL}const net = require('net'), http = require('http');
        const wid = Number(process.env.LUSTER_WID), port = Number(process.env.port);
        const answer = (request, response) => response.end(String(wid));
        {body}"
    )
}

fn start(node: &Node, body: &str, port: u16, workers: u32, balance: &str) -> Running {
    let config = json!({"workers": workers, "server": {"port": port, "groups": workers, "portsPerGroup": 10, "balance": balance}});
    Luster::with(&app(body), config).node(node).start()
}

#[test]
fn a_port_found_by_listening_and_closing_is_then_listened_on() {
    let body = "
        const hosts = ['127.0.0.1', '0.0.0.0', undefined, '::1', 'localhost', '::'];
        const probe = rest => {
            if (rest.length === 0) return http.createServer(answer).listen(port, () => tell({ serves: true }));
            const server = net.createServer();
            server.on('error', error => tell({ host: String(rest[0]), code: error.code }));
            server.listen(port, rest[0], () => server.close(() => probe(rest.slice(1))));
        };
        probe(hosts.concat(hosts));";
    on_oldest_and_newest(|node| {
        for workers in [1, 2] {
            for balance in BALANCES {
                let port = free_ports(20);
                let luster = start(node, body, port, workers, balance);
                let told = luster.await_told(workers as usize);
                assert!(told.iter().all(|told| told["serves"] == true), "Node {}: {told:?}", node.major);
                for wid in 1..=workers {
                    let served = port + 10 * u16::try_from(wid - 1).expect("small");
                    assert_eq!(get(&Target::Tcp(served)).expect("an answer").body, wid.to_string());
                }
                assert_eq!(luster.events("refused"), [] as [Value; 0]);
                luster.await_ready(workers as usize);
                assert_eq!(luster.stop().0, 0);
            }
        }
    });
}

#[test]
fn all_workers_find_their_ports_with_portfinder() {
    let body = "require('portfinder').getPort({ port }, (error, found) => {
            if (error) return tell({ error: error.message });
            http.createServer(answer).listen(found, () => tell({ found }));
        });";
    let modules = packages(&["portfinder"]);
    on_oldest_and_newest(|node| {
        for workers in [1, 2] {
            let port = free_ports(30);
            let config = json!({"workers": workers, "server": {"port": port}});
            let luster = Luster::with(&app(body), config).env("NODE_PATH", modules.to_str().expect("UTF-8"));
            let luster = luster.node(node).start();
            for told in luster.await_told(workers) {
                let found = told["found"].as_u64().unwrap_or_else(|| panic!("Node {}: {told}", node.major));
                let found = u16::try_from(found).expect("a port");
                assert!((port..port + 30).contains(&found), "{told}");
                assert_eq!(get(&Target::Tcp(found)).expect("an answer").status, 200);
            }
            assert_eq!(luster.stop().0, 0);
        }
    });
}

/// How many descriptors the supervisor has.
fn descriptors(luster: &Running) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", luster.pid())).expect("/proc").count()
}

#[test]
fn a_random_port_again_and_again_leaves_nothing_behind() {
    let body = "
        let left = 300;
        const again = () => net.createServer().listen(0, function () { this.close(() => --left ? again() : tell({ done: true })); });
        http.createServer(answer).listen(port, again);";
    for balance in BALANCES {
        let luster = start(&node(22), body, free_port(), 1, balance);
        luster.await_ready(1);
        luster.await_told(1);
        assert!(descriptors(&luster) < 100, "{balance}: {}", descriptors(&luster));
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn a_child_of_the_worker_can_listen_where_the_worker_had_clients() {
    let body = "
        const server = http.createServer(answer).listen(port, '127.0.0.1', () => tell({ serves: true }));
        process.once('SIGUSR2', () => server.close(() => {
            const child = require('child_process').fork(__dirname + '/child.js', [port]);
            child.on('message', outcome => tell({ outcome }));
        }));";
    let child = "require('net').createServer().on('error', error => process.send(error.code))
        .listen(process.argv[2], '127.0.0.1', () => process.send('listens'));";
    on_oldest_and_newest(|node| {
        let port = free_port();
        let config = json!({"workers": 1, "server": {"port": port}});
        let luster = Luster::with(&app(body), config).file("child.js", child).node(node).start();
        luster.await_told(1);
        luster.await_ready(1);
        assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "1");
        kill(Pid::from_raw(luster.worker_pid(1)), Signal::SIGUSR2).expect("it is there");
        assert_eq!(luster.await_told(2)[1]["outcome"], "listens", "Node {}", node.major);
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn a_port_with_clients_is_free_once_the_last_answer_is_given_and_not_before() {
    let body = "
        let finish;
        const server = http.createServer((request, response) => {
            response.write('begun');
            finish = () => response.end();
            tell({ begun: true });
        }).listen(port, '127.0.0.1', () => tell({ serves: true }));
        process.on('SIGUSR2', () => { server.close(() => tell({ closed: true })); tell({ closing: true }); });
        process.on('SIGWINCH', () => finish());";
    on_every_node(|node| {
        let port = free_port();
        let luster = start(node, body, port, 1, "round-robin");
        luster.await_ready(1);
        luster.await_told(1);
        let client = std::thread::spawn(move || get(&Target::Tcp(port)).expect("an answer"));
        luster.await_told_where(1, "a request", |told| told["begun"] == true);
        let signal = |signal| kill(Pid::from_raw(luster.worker_pid(1)), signal).expect("it is there");
        let began = Instant::now();
        signal(Signal::SIGUSR2);
        luster.await_told_where(1, "the closing", |told| told["closing"] == true);
        let is_free = || TcpListener::bind(("127.0.0.1", port)).is_ok();
        assert!(!is_free() || began.elapsed() > KEPT_AT_MOST, "it may still be about to end");
        signal(Signal::SIGWINCH);
        client.join().expect("no panic");
        eventually("the port is free", || is_free().then_some(()));
        assert!(began.elapsed() < KEPT_AT_MOST, "it is free because the worker lives on");
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn a_reload_moves_from_one_address_of_a_port_to_all_of_them() {
    let port = free_port();
    let body = "http.createServer(answer).listen(port, require('fs').readFileSync(__dirname + '/host', 'utf8') || undefined)
        .on('error', error => tell({ code: error.code }));";
    let luster = Luster::with(&app(body), json!({"workers": 1, "server": {"port": port}}));
    let luster = luster.file("host", "127.0.0.1").start();
    luster.await_ready(1);
    luster.await_listening(1);
    luster.put("host", "");
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    assert_eq!(luster.told(), [] as [Value; 0]);
    assert_eq!(get(&Target::Tcp6(port)).expect("an answer").body, "1");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn one_worker_has_as_many_servers_as_its_descriptors_allow() {
    let body = "
        let listening = 0;
        for (let n = 0; n < 1500; n++) {
            net.createServer(socket => socket.end()).on('error', error => tell({ n, code: error.code }))
                .listen(0, () => ++listening === 1500 && tell({ listening }));
        }";
    for (node, balance) in [(node(16), "round-robin"), (node(24), "round-robin"), (node(22), "shared")] {
        let config = json!({"workers": 1, "server": {"balance": balance}});
        let luster = Luster::with(&app(body), config).node(&node).start();
        assert_eq!(luster.await_told(1)[0]["listening"], 1500, "Node {}", node.major);
        luster.await_ready(1);
        assert_eq!(luster.rollout()["event"], "rollout_finished");
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn a_worker_that_asks_for_more_than_there_are_descriptors_is_told_and_can_be_replaced() {
    let body = "
        let open = 0, refused = 0;
        const count = () => open + refused === 400 && tell({ open, refused });
        for (let n = 0; n < 400; n++) {
            net.createServer().on('error', error => { refused += error.code === 'EMFILE'; count(); })
                .listen(0, () => { open++; count(); });
        }";
    let luster = Luster::with(&app(body), json!({"workers": 1})).descriptors(300).start();
    let told = luster.await_told(1);
    assert_eq!(
        (&told[0]["open"], &told[0]["refused"]),
        (&json!(225), &json!(175)),
        "three of four descriptors"
    );
    luster.await_ready(1);
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_later_extension_host_is_told_of_what_is_still_listened_on() {
    let body = "
        let left = 50;
        const again = () => net.createServer().listen(0, function () {
            setImmediate(() => this.close(() => --left ? again() : tell({ done: true })));
        });
        http.createServer(answer).listen(port, again);";
    let extension = format!(
        "{TELL}exports.configure = (config, luster) => {{
            if (luster.isMaster) luster.on('worker listening', (worker, address) => tell({{ host: process.pid, port: address.port }}));
        }};"
    );
    let port = free_port();
    let config = json!({"workers": 1, "server": {"port": port}, "extensions": {"mine": {}}});
    let luster = Luster::with(&app(body), config).file("node_modules/mine.js", &extension).start();
    luster.await_told_where(1, "the end of it", |told| told["done"] == true);
    luster.await_ready(1);
    let host =
        i32::try_from(luster.await_event("host_fork", 1)["pid"].as_i64().expect("a pid")).expect("a pid");
    luster.await_told_where(51, "a server", |told| told["host"] == host);
    kill(Pid::from_raw(host), Signal::SIGKILL).expect("it is there");
    luster.await_event("host_ready", 2);
    let later =
        luster.await_told_where(1, "a server", |told| told.get("host").is_some_and(|pid| *pid != host));
    assert_eq!(luster.stop().0, 0);
    assert_eq!(later.iter().map(|told| told["port"].clone()).collect::<Vec<_>>(), [json!(port)]);
}
