//! Sockets that luster is started with, as systemd's socket activation does it, and what else a starter tells luster alone.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;

use serde_json::{Value, json};

use crate::harness::{
    Connection, Luster, TELL, Target, get, on_every_node, on_oldest_and_newest, usual_node,
};

fn app(body: &str) -> String {
    format!(
        "{TELL}const http = require('http'), net = require('net'), dgram = require('dgram');
        const answer = (request, response) => response.end(process.env.LUSTER_WID);
        const serve = fd => http.createServer(answer).on('error', error => tell({{ fd, code: error.code }}))
            .listen({{ fd }}, function () {{ tell({{ fd, address: this.address() }}); }});
        {body}"
    )
}

/// Starts luster with these sockets as descriptors 3, 4, … and with what systemd says of them, or nothing.
pub(super) fn with_sockets(luster: Luster, sockets: Vec<OwnedFd>, told: bool) -> Luster {
    let luster = if told {
        // `$$` stays the same: each program becomes the next.
        luster.through(&[
            "sh",
            "-c",
            &format!("export LISTEN_PID=$$ LISTEN_FDS={}; exec \"$0\" \"$@\"", sockets.len()),
        ])
    } else {
        luster
    };
    luster.adjust(move |command| {
        let numbers: Vec<_> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
        // SAFETY: fcntl and dup2 are async-signal-safe, and the parent keeps what is duplicated.
        #[expect(unsafe_code, reason = "a child with descriptors at certain numbers")]
        unsafe {
            command.pre_exec(move || {
                // First out of the way, then each to its place; dup2 clears close-on-exec.
                let mut moved = [0; 8];
                for (place, number) in moved.iter_mut().zip(&numbers) {
                    *place = nix::libc::fcntl(*number, nix::libc::F_DUPFD_CLOEXEC, 100);
                }
                for (target, number) in (3..).zip(&moved[..numbers.len()]) {
                    nix::libc::dup2(*number, target);
                }
                Ok(())
            });
        }
    })
}

fn tcp() -> (OwnedFd, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    (listener.into(), port)
}

#[track_caller]
fn await_answers_of_both(target: &Target) {
    let mut seen = BTreeSet::new();
    crate::harness::eventually("both workers answer", || {
        seen.insert(get(target).expect("an answer").body);
        (seen.len() == 2).then_some(())
    });
}

#[test]
fn all_workers_serve_the_sockets_luster_was_started_with() {
    on_every_node(|node| {
        for (balance, told) in [("round-robin", true), ("shared", false), ("reuseport", true)] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("socket");
            let unix = OwnedFd::from(UnixListener::bind(&path).expect("bound"));
            let (socket, port) = tcp();
            let config = json!({"workers": 2, "server": {"balance": balance}});
            let luster =
                with_sockets(Luster::with(&app("serve(3); serve(4);"), config), vec![socket, unix], told);
            let luster = luster.node(node).start();
            let listens = luster.await_told(4);
            assert!(
                listens.iter().all(|told| told.get("code").is_none()),
                "Node {}: {listens:?}",
                node.major
            );
            let tcp = listens.iter().filter(|told| told["fd"] == 3);
            assert!(tcp.into_iter().all(|told| told["address"]["port"] == port), "{listens:?}");
            await_answers_of_both(&Target::Tcp(port));
            assert_eq!(get(&Target::Unix(path.clone())).expect("an answer").status, 200);
            luster.await_ready(2);
            assert_eq!(luster.rollout()["event"], "rollout_finished");
            await_answers_of_both(&Target::Tcp(port));
            let (code, log) = luster.stop();
            let exits = log.iter().filter(|line| line["event"] == "exit");
            assert!(exits.into_iter().all(|exit| exit["code"] == 0), "{balance}: {log:?}");
            assert_eq!(code, 0);
            assert!(path.exists(), "who made it removes it");
        }
    });
}

#[test]
fn the_npm_command_hands_them_on() {
    on_oldest_and_newest(|node| {
        let (socket, port) = tcp();
        let luster = Luster::with(&app("serve(3);"), json!({"workers": 2})).by_package(node, &[]);
        let luster = with_sockets(luster, vec![socket], true).start();
        let listens = luster.await_told(2);
        assert!(
            listens.iter().all(|told| told["address"]["port"] == port),
            "Node {}: {listens:?}",
            node.major
        );
        await_answers_of_both(&Target::Tcp(port));
        luster.await_ready(2);
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn a_custom_masters_script_hands_them_on() {
    let seen = format!(
        "{TELL}tell({{ seen: Object.keys(process.env).filter(name => name.startsWith('LISTEN_')) }});"
    );
    on_oldest_and_newest(|node| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let ((tcp, port), unix) = (tcp(), OwnedFd::from(UnixListener::bind(&path).expect("bound")));
        let luster = Luster::new()
            .file("worker.js", &format!("{seen}{}", app("serve(3); serve(4);").replacen(TELL, "", 1)))
            .file(
                "master.js",
                "require('luster').configure({ app: './worker.js', workers: 2 }, true, __dirname).run();",
            )
            .by_script(node, &[]);
        let luster = with_sockets(luster, vec![tcp, unix], true).start();
        let told = luster.await_told(6);
        assert!(told.iter().all(|told| told.get("code").is_none()), "Node {}: {told:?}", node.major);
        let names = told.iter().filter_map(|told| told.get("seen"));
        assert!(names.into_iter().all(|names| *names == json!([])), "Node {}: {told:?}", node.major);
        await_answers_of_both(&Target::Tcp(port));
        assert_eq!(get(&Target::Unix(path.clone())).expect("an answer").status, 200);
        assert_eq!(luster.stop().0, 0);
        assert!(path.exists(), "who made it removes it");
    });
}

/// A connection that the script has opened meanwhile, and that has got the number of one that it closed.
#[test]
fn what_a_script_has_put_in_their_place_stays_its_own() {
    let ((tcp, port), other) = (tcp(), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let master = format!(
        "{TELL}const fs = require('fs'), luster = require('luster');
        const begin = () => luster.configure({{ app: './worker.js', workers: 1 }}, true, __dirname).run();
        if (luster.isWorker) {{
            begin();
        }} else {{
            // The connection's descriptor is made in the tick behind this one.
            process.nextTick(() => fs.closeSync(3));
            const connection = require('net').connect({}, '127.0.0.1', () => {{
                tell({{ connection: connection._handle.fd }});
                luster.on('running', () => connection.destroy());
                begin();
            }});
        }}",
        other.local_addr().expect("bound").port()
    );
    let luster = Luster::new()
        .file("worker.js", &app("serve(3);"))
        .file("master.js", &master)
        .by_script(&usual_node(), &[]);
    let luster = with_sockets(luster, vec![tcp], true).start();
    let (mut ours, _) = other.accept().expect("it connects");
    let told = luster.await_told(2);
    assert_eq!(told[0]["connection"], 3, "{told:?}");
    assert_eq!(told[1]["code"], "EINVAL", "{told:?}");
    ours.set_read_timeout(Some(crate::harness::PATIENCE)).expect("set");
    assert_eq!(ours.read(&mut [0; 1]).expect("the end"), 0, "nobody else has it");
    assert!(get(&Target::Tcp(port)).is_err());
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_socket_of_ours_that_all_workers_have_closed_waits_for_the_next_who_listens() {
    let (socket, port) = tcp();
    let body = "const again = left => http.createServer(answer).listen({ fd: 3 }, function () {
            tell({ left });
            if (left > 0) setImmediate(() => this.close(() => again(left - 1)));
        });
        again(3);";
    let luster = with_sockets(Luster::with(&app(body), json!({"workers": 1})), vec![socket], false).start();
    luster.await_told_where(1, "the last server", |told| told["left"] == 0);
    assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "1");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn datagrams_come_to_a_socket_luster_was_started_with() {
    let body = "const socket = dgram.createSocket('udp4');
        socket.on('message', (text, from) => socket.send(`got ${text}`, from.port, from.address));
        socket.bind({ fd: 3 }, () => tell({ address: socket.address() }));";
    on_oldest_and_newest(|node| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("bound");
        let luster = with_sockets(Luster::with(&app(body), json!({"workers": 2})), vec![socket.into()], true);
        let luster = luster.node(node).start();
        assert!(luster.await_told(2).iter().all(|told| told["address"]["port"] == address.port()));
        let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
        client.set_read_timeout(Some(crate::harness::PATIENCE)).expect("set");
        client.send_to(b"it", address).expect("sent");
        let mut buffer = [0; 16];
        let (length, _) = client.recv_from(&mut buffer).expect("an answer");
        assert_eq!(&buffer[..length], b"got it");
        luster.await_ready(2);
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn no_other_descriptor_can_be_listened_on() {
    // 3 is a connection, 4 listens; whatever else there is, luster's epoll and channels among it, is luster's own.
    let (socket, port) = tcp();
    let connection = OwnedFd::from(TcpStream::connect(("127.0.0.1", port)).expect("connects"));
    let body = "for (let fd = 0; fd < 40; fd++) serve(fd);";
    let luster =
        with_sockets(Luster::with(&app(body), json!({"workers": 1})), vec![connection, socket], true).start();
    for told in luster.await_told(40) {
        let expected = if told["fd"] == 4 { Value::Null } else { "EINVAL".into() };
        assert_eq!(told["code"], expected, "{told}");
    }
    let refused = luster.await_event_where("refused", 1, |line| line["on"] == "fd 3");
    let reason = refused["reason"].as_str().expect("text");
    assert!(reason.contains("luster was started with") && reason.ends_with("those are 4"), "{reason}");
    luster.await_ready(1);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn what_a_starter_tells_luster_is_told_to_nobody_else() {
    let names =
        ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];
    let tell = format!("{TELL}tell({{ seen: {names:?}.filter(name => name in process.env) }});");
    let extension = format!("{tell}exports.configure = () => {{}};");
    let mut luster = Luster::with(&tell, json!({"workers": 1, "extensions": {"mine": {}}}))
        .file("node_modules/mine.js", &extension);
    for name in names {
        luster = luster.env(name, "1");
    }
    let luster = luster.start();
    // The worker runs it twice: as its app and as its extension.
    let told = luster.await_told(3);
    assert!(told.iter().all(|told| told["seen"] == json!([])), "{told:?}");
    assert!(told.iter().any(|told| told["wid"].is_null()), "the extension host, too: {told:?}");
    assert_eq!(luster.stop().0, 0);
}

/// As with systemd's `.socket` unit: clients wait while luster is not there yet, and while it is started again.
#[test]
fn who_listens_where_such_a_socket_is_bound_gets_it_and_clients_wait_over_a_restart_of_luster() {
    for balance in ["round-robin", "shared", "reuseport"] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let unix = UnixListener::bind(&path).expect("bound");
        let tcp = TcpListener::bind("[::]:0").expect("a port");
        let port = tcp.local_addr().expect("bound").port();
        let body = format!(
            "for (const place of [{{ port: {port} }}, {{ path: {path:?} }}])
                http.createServer(answer).on('error', error => tell({{ code: error.code }}))
                    .listen(place, () => tell({{ place }}));"
        );
        let start = || {
            let sockets = [unix.try_clone().expect("room").into(), tcp.try_clone().expect("room").into()];
            let config = json!({"workers": 2, "server": {"balance": balance}});
            with_sockets(Luster::with(&app(&body), config), sockets.into(), true).start()
        };
        for _ in 0..2 {
            let early = [Target::Tcp(port), Target::Unix(path.clone())].map(|target| {
                let connection = Connection::open(&target).expect("it waits");
                (target, connection)
            });
            let luster = start();
            for (target, mut connection) in early {
                assert_eq!(
                    connection.request("GET / HTTP/1.1", b"").expect("an answer").status,
                    200,
                    "{balance}"
                );
                await_answers_of_both(&target);
            }
            let told = luster.await_told(4);
            assert!(told.iter().all(|told| told.get("code").is_none()), "{balance}: {told:?}");
            luster.await_ready(2);
            assert_eq!(luster.rollout()["event"], "rollout_finished");
            await_answers_of_both(&Target::Tcp(port));
            assert_eq!(luster.stop().0, 0);
            assert!(path.exists(), "who made it removes it");
        }
    }
}

#[test]
fn who_listens_elsewhere_binds_as_ever() {
    let (socket, port) = tcp();
    let free = crate::harness::free_port();
    let body = format!(
        "for (const at of [[{free}, '127.0.0.1'], [{port}, '127.0.0.1'], [{port}, '127.0.0.2']])
            http.createServer(answer).on('error', error => tell({{ at, code: error.code }})).listen(...at, () => tell({{ at }}));"
    );
    let luster = with_sockets(Luster::with(&app(&body), json!({"workers": 1})), vec![socket], false).start();
    let told = luster.await_told(3);
    assert!(told.iter().all(|told| told.get("code").is_none()), "{told:?}");
    for (host, port) in [("127.0.0.1", free), ("127.0.0.1", port), ("127.0.0.2", port)] {
        TcpStream::connect((host, port)).expect("it listens there");
    }
    assert_eq!(luster.stop().0, 0);
}
