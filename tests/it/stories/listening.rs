//! `listen()` in a worker: every kind of address, how connections are spread, and what a refusal looks like.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{
    Luster, Node, Running, TELL, Target, ending_of, eventually, free_port, free_ports, get, node,
    on_every_node, on_nodes,
};

/// An HTTP app that answers with its wid, and tells its address.
fn http(listen: &str) -> String {
    format!(
        "{TELL}const http = require('http'), wid = process.env.LUSTER_WID;
        const answer = (request, response) => response.end(wid);
        const serve = (name, ...how) => {{
            const server = http.createServer(answer);
            server.on('error', error => tell({{ name, code: error.code, syscall: error.syscall, port: error.port }}));
            server.listen(...how, () => tell({{ name, address: server.address() }}));
            return server;
        }};
        const port = Number(process.env.port);
        {listen}"
    )
}

/// Asks until all these workers have answered.
#[track_caller]
fn await_answers_of(target: &Target, wids: u32) {
    let mut seen = BTreeSet::new();
    eventually(&format!("{wids} workers answer on {target:?}"), || {
        let burst: Vec<_> = (0..4)
            .map(|_| {
                let target = target.clone();
                std::thread::spawn(move || get(&target))
            })
            .collect();
        for reply in burst {
            seen.insert(reply.join().expect("no panic").expect("an answer").body);
        }
        (seen.len() == wids as usize).then_some(())
    });
}

fn address_of<'a>(told: &'a [Value], name: &str) -> &'a Value {
    let found = told.iter().find(|told| told["name"] == name);
    &found.unwrap_or_else(|| panic!("{name} in {told:?}"))["address"]
}

fn refused(outcome: io::Result<impl Sized>) -> bool {
    outcome.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

type ToTarget = fn(u16) -> Target;

#[test]
fn every_form_of_tcp_address_is_served_by_all_workers_and_known_to_them() {
    let app = http(
        "serve('any', port);
        serve('v4', port + 1, '127.0.0.1');
        serve('v6', port + 2, '::1');
        serve('localhost', { port: port + 3, host: 'localhost', backlog: 50 });
        serve('any4', port + 4, '0.0.0.0');
        serve('any6', { port: port + 5, host: '::' });
        serve('only6', { port: port + 6, host: '::', ipv6Only: true });
        serve('text', String(port + 7));",
    );
    on_every_node(|node| {
        let port = free_ports(8);
        let config = json!({"workers": 2, "server": {"port": port}});
        let luster = Luster::with(&app, config).node(node).start();
        let told = luster.await_told(16);
        let (v4, v6): (ToTarget, ToTarget) = (Target::Tcp, Target::Tcp6);
        let cases: [(&str, u16, &str, &[ToTarget]); 8] = [
            ("any", 0, "::", &[v4, v6]),
            ("v4", 1, "127.0.0.1", &[v4]),
            ("v6", 2, "::1", &[v6]),
            ("localhost", 3, "", &[]),
            ("any4", 4, "0.0.0.0", &[v4]),
            ("any6", 5, "::", &[v4, v6]),
            ("only6", 6, "::", &[v6]),
            ("text", 7, "::", &[v4, v6]),
        ];
        for (name, offset, address, targets) in cases {
            for told in told.iter().filter(|told| told["name"] == name) {
                assert_eq!(told["address"]["port"], port + offset, "Node {}: {told}", node.major);
                if !address.is_empty() {
                    assert_eq!(told["address"]["address"], address, "Node {}: {told}", node.major);
                    let family = if address.contains(':') { "6" } else { "4" };
                    assert!(told["address"]["family"].to_string().contains(family), "{told}");
                }
            }
            for target in targets {
                let answers: BTreeSet<_> =
                    (0..4).map(|_| get(&target(port + offset)).expect("an answer").body).collect();
                assert_eq!(answers.len(), 2, "Node {}: {name}", node.major);
            }
        }
        let localhost = address_of(&told, "localhost")["address"].as_str().expect("an address").to_owned();
        let target = if localhost == "::1" { v6 } else { v4 };
        assert_eq!(get(&target(port + 3)).expect("an answer").status, 200);
        assert!(refused(TcpStream::connect(("127.0.0.1", port + 6))), "only IPv6");
        luster.await_ready(2);
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn port_0_is_one_random_port_for_all_workers_and_another_one_for_the_next_server() {
    let app = http(
        "serve('first', 0).on('listening', () => serve('second', { port: 0, host: '127.0.0.1' })); serve('third');",
    );
    on_every_node(|node| {
        let luster = Luster::with(&app, json!({"workers": 3})).node(node).start();
        let told = luster.await_told(9);
        let ports = |name: &str| -> BTreeSet<u64> {
            let of_name = told.iter().filter(|told| told["name"] == name);
            of_name.map(|told| told["address"]["port"].as_u64().expect("a port")).collect()
        };
        let (first, second, third) = (ports("first"), ports("second"), ports("third"));
        assert_eq!((first.len(), second.len(), third.len()), (1, 1, 1), "Node {}: {told:?}", node.major);
        let all: BTreeSet<u64> = first.iter().chain(&second).chain(&third).copied().collect();
        assert!(all.len() == 3 && !all.contains(&0), "{told:?}");
        for port in all {
            await_answers_of(&Target::Tcp(u16::try_from(port).expect("a port")), 3);
        }
        luster.await_ready(3);
        assert_eq!(luster.rollout()["event"], "rollout_finished");
        // The new instances listen on the same ports.
        let later = luster.await_told(18);
        assert_eq!(
            later.iter().map(|told| told["address"]["port"].to_string()).collect::<BTreeSet<_>>().len(),
            3
        );
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn a_unix_socket_has_the_mode_asked_for_replaces_a_stale_one_and_leaves_no_file() {
    let app = http(
        "serve('open', { path: __dirname + '/open.sock', readableAll: true, writableAll: true });
        serve('plain', 'plain.sock');
        serve('stale', __dirname + '/stale.sock');",
    );
    on_every_node(|node| {
        let luster = Luster::with(&app, json!({"workers": 2}));
        drop(UnixListener::bind(luster.path().join("stale.sock")).expect("bound"));
        let luster = luster.node(node).start();
        luster.await_told(6);
        let path = |name: &str| luster.path().join(name);
        let mode = |name: &str| std::fs::metadata(path(name)).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode("open.sock") & 0o666, 0o666);
        assert_eq!(mode("plain.sock") & 0o022, 0, "the umask's");
        for name in ["open.sock", "plain.sock", "stale.sock"] {
            await_answers_of(&Target::Unix(path(name)), 2);
        }
        luster.await_ready(2);
        let sockets = ["open.sock", "plain.sock", "stale.sock"].map(path);
        luster.signal(nix::sys::signal::Signal::SIGTERM);
        eventually("the files are gone", || sockets.iter().all(|path| !path.exists()).then_some(()));
        let mut luster = luster;
        assert_eq!(luster.await_end(), 0);
    });
}

#[test]
fn what_another_process_holds_or_nobody_has_is_an_error_the_worker_can_survive() {
    let app = http(
        "serve('taken', port, '127.0.0.1');
        serve('taken path', __dirname + '/live.sock');
        serve('no such address', port, '203.0.113.1');
        serve('a file', __dirname + '/worker.js');
        serve('good', port + 1, '127.0.0.1');",
    );
    on_every_node(|node| {
        let port = free_ports(2);
        let _taken = TcpListener::bind(("127.0.0.1", port)).expect("free");
        let luster = Luster::with(&app, json!({"workers": 2, "server": {"port": port}}));
        let _live = UnixListener::bind(luster.path().join("live.sock")).expect("bound");
        let luster = luster.node(node).start();
        let told = luster.await_told(10);
        let expected = BTreeMap::from([
            ("taken", "EADDRINUSE"),
            ("taken path", "EADDRINUSE"),
            ("no such address", "EADDRNOTAVAIL"),
            ("a file", "EADDRINUSE"),
        ]);
        for (name, code) in expected {
            let codes: Vec<_> =
                told.iter().filter(|told| told["name"] == name).map(|told| &told["code"]).collect();
            assert_eq!(codes, [code, code], "Node {}: {name}: {told:?}", node.major);
        }
        assert!(told.iter().any(|told| told["syscall"] == "bind" && told["port"] == port), "{told:?}");
        await_answers_of(&Target::Tcp(port + 1), 2);
        luster.await_ready(2);
        let reason =
            luster.await_event_where("refused", 1, |line| line["on"] == format!("tcp 127.0.0.1:{port}"));
        assert!(reason["reason"].as_str().expect("text").starts_with("address already in use"), "{reason}");
        let (code, log) = luster.stop();
        let exits = log.iter().filter(|line| line["event"] == "exit");
        assert!(exits.into_iter().all(|exit| ending_of(exit) == "exited with code 0"), "{log:?}");
        assert_eq!(code, 0);
    });
}

#[test]
fn a_port_that_becomes_free_can_be_listened_on_by_trying_again() {
    let app = http(
        "const again = () => {
            const server = http.createServer(answer).on('error', error => { tell({ code: error.code }); setTimeout(again, 20); });
            server.listen(port, '127.0.0.1', () => tell({ name: 'got it' }));
        };
        again();",
    );
    let port = free_port();
    let taken = TcpListener::bind(("127.0.0.1", port)).expect("free");
    let luster = Luster::with(&app, json!({"workers": 2, "server": {"port": port}})).start();
    luster.await_told_where(4, "refusals", |told| told["code"] == "EADDRINUSE");
    drop(taken);
    luster.await_told_where(2, "successes", |told| told["name"] == "got it");
    await_answers_of(&Target::Tcp(port), 2);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn exclusive_servers_belong_to_their_worker_alone() {
    let app = http("serve('own', { port, host: '127.0.0.1', exclusive: true });");
    on_every_node(|node| {
        let port = free_ports(2);
        let config =
            json!({"workers": 2, "server": {"port": port, "groups": 2}, "control": {"stopTimeout": 300}});
        let luster = Luster::with(&app, config).node(node).start();
        luster.await_told(2);
        for wid in 0..2 {
            for _ in 0..3 {
                assert_eq!(get(&Target::Tcp(port + wid)).expect("an answer").body, (wid + 1).to_string());
            }
        }
        assert_eq!(luster.events("listening").len(), 0, "nobody was asked");
        luster.await_ready(2);
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn reuse_port_lets_every_worker_bind_for_itself() {
    let app = http("serve('own', { port, host: '127.0.0.1', reusePort: true });");
    on_nodes(&[node(22), node(24)], |node| {
        let port = free_port();
        let config = json!({"workers": 2, "server": {"port": port}, "control": {"stopTimeout": 300}});
        let luster = Luster::with(&app, config).node(node).start();
        let told = luster.await_told(2);
        assert!(told.iter().all(|told| told["address"]["port"] == port), "Node {}: {told:?}", node.major);
        await_answers_of(&Target::Tcp(port), 2);
        luster.await_ready(2);
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn round_robin_spreads_new_connections_evenly() {
    let app = http("serve('it', port);");
    on_every_node(|node| {
        let port = free_port();
        let config = json!({"workers": 3, "server": {"port": port, "balance": "round-robin"}});
        let luster = Luster::with(&app, config).node(node).start();
        luster.await_told(3);
        let mut counts = BTreeMap::new();
        for _ in 0..60 {
            *counts.entry(get(&Target::Tcp(port)).expect("an answer").body).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 3, "Node {}: {counts:?}", node.major);
        assert!(counts.values().all(|count| (18..=22).contains(count)), "Node {}: {counts:?}", node.major);
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn shared_and_reuseport_sockets_are_served_by_all_workers() {
    let app = http("serve('it', port); serve('path', __dirname + '/s.sock');");
    on_every_node(|node| {
        for balance in ["shared", "reuseport"] {
            let port = free_port();
            let config = json!({"workers": 3, "server": {"port": port, "balance": balance}});
            let luster = Luster::with(&app, config).node(node).start();
            let told = luster.await_told(6);
            let ports = told.iter().filter(|told| told["name"] == "it").map(|told| &told["address"]["port"]);
            assert!(ports.into_iter().all(|found| *found == port), "Node {}: {told:?}", node.major);
            await_answers_of(&Target::Tcp(port), 3);
            await_answers_of(&Target::Tcp6(port), 3);
            assert_eq!(get(&Target::Unix(luster.path().join("s.sock"))).expect("an answer").status, 200);
            luster.await_ready(3);
            let (code, log) = luster.stop();
            let exits = log.iter().filter(|line| line["event"] == "exit");
            assert!(
                exits.into_iter().all(|exit| ending_of(exit) == "exited with code 0"),
                "{balance}: {log:?}"
            );
            assert_eq!(code, 0);
        }
    });
}

#[test]
fn the_scheduling_policy_of_the_environment_is_nodes_and_the_configuration_wins() {
    // What a worker says of it is nothing to the master.
    let app = http("require('cluster').schedulingPolicy = 1; serve('it', port);");
    let sockets_of = |balance: Option<&str>, extensions: &Value| {
        let port = free_port();
        let mut config = json!({"workers": 2, "server": {"port": port}, "extensions": extensions});
        if let Some(balance) = balance {
            config["server"]["balance"] = balance.into();
        }
        let luster = Luster::with(&app, config).file("node_modules/mine.js", "exports.configure = () => {};");
        let luster = luster.env("NODE_CLUSTER_SCHED_POLICY", "none").start();
        luster.await_told(2);
        get(&Target::Tcp(port)).expect("an answer");
        // Only a worker that accepts by itself has the listening socket.
        let table = std::fs::read_to_string("/proc/net/tcp6").expect("readable");
        let listens = |line: &&str| line.contains(&format!(":{port:04X} ")) && line.contains(" 0A ");
        let inode =
            table.lines().find(listens).expect("it listens").split_whitespace().nth(9).expect("an inode");
        let has = |pid: &i32| {
            let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it is there");
            let mut targets = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
            targets.any(|target| target.to_string_lossy() == format!("socket:[{inode}]"))
        };
        let having = luster.all_pids().iter().filter(|pid| has(pid)).count();
        assert_eq!(luster.stop().0, 0);
        having
    };
    for extensions in [json!({}), json!({"mine": {}})] {
        assert_eq!(sockets_of(None, &extensions), 2, "{extensions}");
        assert_eq!(sockets_of(Some("round-robin"), &extensions), 0, "{extensions}");
    }
}

#[test]
fn udp_is_answered_from_a_socket_that_all_workers_share() {
    let app = format!(
        "{TELL}const dgram = require('dgram'), port = Number(process.env.port);
        const serve = (name, type, ...how) => {{
            const socket = dgram.createSocket(type);
            socket.on('error', error => tell({{ name, code: error.code }}));
            socket.on('message', (text, from) => socket.send(`${{name}} ${{text}}`, from.port, from.address));
            socket.bind(...how, () => tell({{ name, address: socket.address() }}));
        }};
        serve('v4', 'udp4', port, '127.0.0.1');
        serve('v6', 'udp6', port, '::1');
        serve('any', {{ type: 'udp4', reuseAddr: true }}, port + 1);
        serve('taken', 'udp4', port + 2, '127.0.0.1');"
    );
    on_every_node(|node| {
        let port = free_ports(3);
        let _taken = UdpSocket::bind(("127.0.0.1", port + 2)).expect("free");
        let luster = Luster::with(&app, json!({"workers": 2, "server": {"port": port}})).node(node).start();
        let told = luster.await_told(8);
        assert!(
            told.iter().all(|told| (told["name"] == "taken") == (told["code"] == "EADDRINUSE")),
            "{told:?}"
        );
        for (name, from, to, offset) in [
            ("v4", "127.0.0.1:0", "127.0.0.1", 0),
            ("v6", "[::1]:0", "::1", 0),
            ("any", "127.0.0.1:0", "127.0.0.1", 1),
        ] {
            assert_eq!(address_of(&told, name)["port"], port + offset);
            let client = UdpSocket::bind(from).expect("a port");
            client.set_read_timeout(Some(crate::harness::PATIENCE)).expect("set");
            for number in 0..5 {
                client.send_to(format!("{number}").as_bytes(), (to, port + offset)).expect("sent");
                let mut buffer = [0; 64];
                let (read, _) = client.recv_from(&mut buffer).expect("an answer");
                assert_eq!(String::from_utf8_lossy(&buffer[..read]), format!("{name} {number}"));
            }
        }
        luster.await_ready(2);
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn a_server_can_be_closed_and_opened_again_and_the_last_close_closes_the_port() {
    let app = format!(
        "{TELL}const http = require('http'), port = Number(process.env.port);
        const answer = (request, response) => response.end('here');
        let server = http.createServer(answer).listen(port, '127.0.0.1', () => tell({{ name: 'first' }}));
        process.on('message', () => {{}});
        const close = then => server.close(() => {{ tell({{ name: 'closed' }}); then && then(); }});
        let last = '';
        setInterval(() => {{
            const go = require('fs').readFileSync(__dirname + '/go', 'utf8');
            if (go === last) return;
            last = go;
            if (go === 'close') close();
            else server = http.createServer(answer).listen(port, '127.0.0.1', () => tell({{ name: 'again' }}));
        }}, 20);"
    );
    on_every_node(|node| {
        let port = free_port();
        let luster = Luster::with(&app, json!({"workers": 2, "server": {"port": port}}))
            .file("go", "")
            .node(node)
            .start();
        luster.await_told_where(2, "first listens", |told| told["name"] == "first");
        luster.await_ready(2);
        assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "here");
        luster.put("go", "close");
        luster.await_told_where(2, "closes", |told| told["name"] == "closed");
        eventually("the port is closed", || refused(TcpStream::connect(("127.0.0.1", port))).then_some(()));
        // Another process may take it, and give it back.
        drop(TcpListener::bind(("127.0.0.1", port)).expect("free"));
        luster.put("go", "open again");
        luster.await_told_where(2, "second listens", |told| told["name"] == "again");
        for _ in 0..4 {
            assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "here");
        }
        assert_eq!(luster.events("exit").len(), 0, "Node {}", node.major);
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn two_servers_of_one_worker_on_one_port_are_one_too_many() {
    let app = http("serve('one', port).on('listening', () => serve('two', port));");
    on_every_node(|node| {
        let port = free_port();
        let luster = Luster::with(&app, json!({"workers": 2, "server": {"port": port}})).node(node).start();
        let told = luster.await_told(4);
        let codes = told.iter().filter(|told| told["name"] == "two").map(|told| told["code"].clone());
        assert_eq!(codes.collect::<Vec<_>>(), ["EADDRINUSE", "EADDRINUSE"], "Node {}", node.major);
        await_answers_of(&Target::Tcp(port), 2);
        luster.await_ready(2);
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn a_full_worker_leaves_connections_to_the_others_and_the_rest_wait_for_room() {
    let app = format!(
        "{TELL}const server = require('net').createServer(socket => {{ socket.write(process.env.LUSTER_WID); socket.on('data', () => socket.destroy()); }});
        server.maxConnections = 1;
        server.listen(process.env.port, () => tell({{}}));"
    );
    on_every_node(|node| {
        let port = free_port();
        let luster = Luster::with(&app, json!({"workers": 2, "server": {"port": port}})).node(node).start();
        luster.await_told(2);
        let open = || {
            let stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
            stream.set_read_timeout(Some(crate::harness::PATIENCE)).expect("set");
            stream
        };
        let wid = |stream: &mut TcpStream| {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            byte[0]
        };
        let (mut one, mut two, mut waiting) = (open(), open(), open());
        let (first, second) = (wid(&mut one), wid(&mut two));
        assert_ne!(first, second, "Node {}", node.major);
        two.write_all(b"go").expect("sent");
        assert_eq!(wid(&mut waiting), second, "Node {}", node.major);
        for mut stream in [one, waiting] {
            stream.write_all(b"go").expect("sent");
            assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
        }
        luster.await_ready(2);
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn a_server_closed_before_it_listens_or_right_after_harms_nobody() {
    let app = http(
        "const early = http.createServer(answer);
        early.on('error', error => tell({ name: 'error', code: error.code }));
        early.listen(port);
        early.close();
        const late = http.createServer(answer).listen(port + 1, () => late.close(() => tell({ name: 'late closed' })));
        serve('good', port + 2);",
    );
    on_every_node(|node| {
        let port = free_ports(3);
        let luster = Luster::with(&app, json!({"workers": 2, "server": {"port": port}})).node(node).start();
        luster.await_told_where(2, "good listens", |told| told["name"] == "good");
        luster.await_told_where(2, "late closes", |told| told["name"] == "late closed");
        await_answers_of(&Target::Tcp(port + 2), 2);
        eventually("the port is closed", || {
            refused(TcpStream::connect(("127.0.0.1", port + 1))).then_some(())
        });
        luster.await_ready(2);
        assert!(luster.told().iter().all(|told| told["name"] != "error"), "{}", luster.stdout());
        let (code, log) = luster.stop();
        let exits: Vec<_> = log.iter().filter(|line| line["event"] == "exit").collect();
        assert!(
            exits.len() == 2 && exits.iter().all(|exit| ending_of(exit) == "exited with code 0"),
            "Node {}: {exits:?}",
            node.major
        );
        assert_eq!(code, 0);
    });
}

/// Says what it gets from the path given.
const PATH_CLIENT: &str = "const path = process.argv[1].replace('@', '\\0');
    require('net').connect(path, function () { this.end('GET / HTTP/1.0\\r\\n\\r\\n'); })
        .on('data', data => process.stdout.write(String(data).split('\\r\\n\\r\\n')[1]))
        .on('error', error => console.log(error.code));";

/// Asks each of two workers by a path, as it is seen from `below` the folder.
fn answers_by_path(node: &Node, listen: &str, below: &str, path: &str) -> BTreeSet<String> {
    let luster = Luster::with(&http(&format!("serve('it', {listen});")), json!({"workers": 2}))
        .file(&format!("{below}/x"), "")
        .node(node)
        .start();
    luster.await_told(2);
    let ask = || {
        let mut client = Command::new(&node.path);
        client.args(["-e", PATH_CLIENT, "--", path]).current_dir(luster.path().join(below));
        String::from_utf8_lossy(&client.output().expect("runs").stdout).into_owned()
    };
    let answers = BTreeSet::from([ask(), ask()]);
    luster.await_ready(2);
    assert_eq!(luster.stop().0, 0);
    answers
}

#[test]
fn a_path_too_long_for_an_address_is_served_if_it_is_short_from_where_luster_is() {
    let deep = "d".repeat(70);
    let listen = format!("__dirname + '/{deep}/long-enough-to-be-too-long.sock'");
    on_every_node(|node| {
        let answers = answers_by_path(node, &listen, &deep, "long-enough-to-be-too-long.sock");
        assert_eq!(answers, BTreeSet::from(["1".to_owned(), "2".to_owned()]), "Node {}", node.major);
    });
}

/// Node 16 and 18 lose the name on the way to the kernel, on both sides.
#[track_caller]
fn a_name_without_a_file_is_served_to(nodes: &[Node]) {
    on_nodes(nodes, |node| {
        let name = format!("luster-it-{}-{}", std::process::id(), node.major);
        let answers = answers_by_path(node, &format!("'\\0{name}'"), "x", &format!("@{name}"));
        assert_eq!(answers, BTreeSet::from(["1".to_owned(), "2".to_owned()]), "Node {}", node.major);
    });
}

#[test]
fn a_name_without_a_file_is_served_to_clients_that_pad_it() {
    a_name_without_a_file_is_served_to(&[node(20)]);
}

#[test]
fn a_name_without_a_file_is_served_to_clients_that_do_not_pad_it() {
    a_name_without_a_file_is_served_to(&[node(22), node(24)]);
}

const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/npm/test/apps/certificate.js");

/// Makes a TLS connection, then another with its session, and so on, by each version of TLS in turn; says of each who
/// answered and whether the session was resumed.
const TLS_CLIENT: &str = "
    const tls = require('tls');
    const [port, folder, ...versions] = process.argv.slice(1), fs = require('fs');
    const visit = (maxVersion, session, left) => {
        let next = session, text = '';
        const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, maxVersion, session });
        socket.on('session', session => { next = session; });
        socket.on('data', data => { text += data; });
        socket.on('error', error => { console.log('error', error.message); process.exit(1); });
        socket.on('end', () => {
            console.log(text.split('\\r\\n\\r\\n')[1], socket.isSessionReused());
            socket.end();
            if (left > 1) return visit(maxVersion, next, left - 1);
            fs.writeFileSync(folder + '/' + maxVersion, next);
            begin();
        });
        socket.on('secureConnect', () => socket.write('GET / HTTP/1.0\\r\\n\\r\\n'));
    };
    const begin = () => {
        const version = versions.shift(), file = folder + '/' + version;
        if (version) visit(version, fs.existsSync(file) ? fs.readFileSync(file) : undefined, 4);
    };
    begin();";

/// The four visits by each version of TLS; keeps the sessions in files of the folder from call to call.
fn visits(node: &Path, port: u16, folder: &Path) -> Vec<Vec<String>> {
    let mut client = Command::new(node);
    client.args(["-e", TLS_CLIENT, "--", &port.to_string()]).arg(folder).args(["TLSv1.2", "TLSv1.3"]);
    let output = client.output().expect("runs");
    let lines: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 8, "{output:?}");
    lines.chunks(4).map(<[String]>::to_vec).collect()
}

#[test]
fn a_tls_session_begun_with_one_worker_is_resumed_by_the_others() {
    let app = format!(
        "{TELL}const {{ key, cert }} = require({CERTIFICATE:?});
        const server = require('https').createServer({{ key, cert }}, (request, response) => response.end(process.env.LUSTER_WID));
        server.listen(process.env.port, '127.0.0.1', () => tell({{ listens: true }}));"
    );
    // One of each OpenSSL: 1.1, 3.0 (Node 18 and 20) and 3.5 (since Node 22).
    on_nodes(&[node(16), node(18), node(24)], |node| {
        for balance in ["round-robin", "shared"] {
            let port = free_port();
            let config = json!({"workers": 2, "server": {"port": port, "balance": balance}});
            let luster = Luster::with(&app, config).node(node).start();
            luster.await_told(2);
            for visits in visits(&node.path, port, luster.path()) {
                assert!(visits[0].ends_with("false"), "{visits:?}");
                let resumed = visits[1..].iter().all(|visit| visit.ends_with("true"));
                assert!(resumed, "Node {}: {visits:?}", node.major);
                let wids: BTreeSet<_> = visits.iter().map(|visit| &visit[..1]).collect();
                assert!(balance == "shared" || wids.len() == 2, "{visits:?}");
            }
            luster.await_ready(2);
            assert_eq!(luster.rollout()["event"], "rollout_finished");
            for visits in visits(&node.path, port, luster.path()) {
                let resumed = visits.iter().all(|visit| visit.ends_with("true"));
                assert!(resumed, "Node {}: the keys outlive the workers: {visits:?}", node.major);
            }
            assert_eq!(luster.stop().0, 0);
        }
    });
}

#[test]
fn a_listen_by_descriptor_is_refused_and_survivable() {
    let app = http("serve('fd', { fd: 5 }); serve('good', port);");
    on_every_node(|node| {
        let port = free_port();
        let luster: Running =
            Luster::with(&app, json!({"workers": 1, "server": {"port": port}})).node(node).start();
        let told = luster.await_told(2);
        let fd = told.iter().find(|told| told["name"] == "fd").expect("told");
        assert_eq!(fd["code"], "EINVAL", "Node {}", node.major);
        assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "1");
        luster.await_ready(1);
        assert_eq!(luster.stop().0, 0);
    });
}
