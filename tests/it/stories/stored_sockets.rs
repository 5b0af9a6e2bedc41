//! Listening sockets that the service manager keeps while luster is not there (systemd's `FileDescriptorStoreMax=`): clients wait
//! instead of being refused.

use std::io::IoSliceMut;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};

use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};
use serde_json::{Value, json};

use super::activated_sockets::with_sockets;
use super::service_manager::fill_queue;
use crate::harness::{
    Connection, HTTP, Load, Luster, Running, Style, TELL, Target, eventually, free_port, get,
    on_oldest_and_newest,
};

/// What stands where systemd would, with its store.
struct Manager {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
    room: usize,
    /// By name, in the order in which they came.
    store: Vec<(String, OwnedFd)>,
    said: Vec<String>,
}

impl Manager {
    fn new(room: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("bound");
        socket.set_nonblocking(true).expect("it can be");
        Self { socket, folder, room, store: Vec::new(), said: Vec::new() }
    }

    /// Starts a luster with what is in the store.
    fn starts(&self, luster: Luster) -> Running {
        let notify = self.folder.path().join("notify");
        let names: Vec<_> = self.store.iter().map(|(name, _)| name.clone()).collect();
        let sockets = self.store.iter().map(|(_, socket)| socket.try_clone().expect("room")).collect();
        let luster = luster
            .env("NOTIFY_SOCKET", notify.to_str().expect("UTF-8"))
            .env("FDSTORE", &self.room.to_string())
            .env("LISTEN_FDNAMES", &names.join(":"));
        with_sockets(luster, sockets, true).start()
    }

    /// Does what it has been told since.
    fn hears(&mut self) {
        loop {
            let mut buffer = [0; 4096];
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let mut space = nix::cmsg_space!([RawFd; 8]);
            let received = recvmsg::<UnixAddr>(
                self.socket.as_raw_fd(),
                &mut parts,
                Some(&mut space),
                MsgFlags::MSG_CMSG_CLOEXEC,
            );
            let Ok(received) = received else { return };
            let descriptors: Vec<OwnedFd> = received
                .cmsgs()
                .expect("whole")
                .flat_map(|message| match message {
                    ControlMessageOwned::ScmRights(numbers) => numbers,
                    _ => Vec::new(),
                })
                .map(|number| {
                    // SAFETY: it has just come, and is nobody else's.
                    #[expect(unsafe_code, reason = "descriptors come as numbers")]
                    unsafe {
                        OwnedFd::from_raw_fd(number)
                    }
                })
                .collect();
            let length = received.bytes;
            let lines: Vec<_> =
                String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned).collect();
            self.obeys(&lines, descriptors);
            self.said.extend(lines);
        }
    }

    fn obeys(&mut self, lines: &[String], descriptors: Vec<OwnedFd>) {
        let name = lines.iter().find_map(|line| line.strip_prefix("FDNAME="));
        if lines.iter().any(|line| line == "FDSTORE=1") {
            let name = name.expect("it says what to call it");
            let is_allowed = |character: char| (' '..'\x7f').contains(&character) && character != ':';
            assert!(name.len() <= 255 && name.chars().all(is_allowed), "{name:?}");
            assert!(lines.contains(&"FDPOLL=0".to_owned()), "{lines:?}");
            assert_eq!(descriptors.len(), 1, "{lines:?}");
            self.store.extend(descriptors.into_iter().map(|socket| (name.to_owned(), socket)));
            assert!(self.store.len() <= self.room, "it was told how many it may store");
        }
        if lines.iter().any(|line| line == "FDSTOREREMOVE=1") {
            let name = name.expect("it says which");
            self.store.retain(|(stored, _)| stored != name);
        }
    }

    #[track_caller]
    fn hears_until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        eventually(what, || {
            self.hears();
            condition(self).then_some(())
        });
    }

    #[track_caller]
    fn hears_ready(&mut self) {
        self.said.clear();
        self.hears_until("READY=1", |manager| manager.said.iter().any(|line| line == "READY=1"));
    }

    /// Sends SIGTERM, and answers with the log when it is over.
    #[track_caller]
    fn stops(&mut self, luster: Running) -> Vec<Value> {
        let (code, log) = luster.stop();
        assert_eq!(code, 0, "{log:?}");
        self.hears();
        log
    }
}

/// Listens on a port and on a unix socket.
fn on_both(port: u16, path: &std::path::Path) -> String {
    format!(
        "const answer = (request, response) => response.end(process.env.LUSTER_WID);
        for (const place of [{port}, {path:?}]) require('http').createServer(answer).listen(place);"
    )
}

#[test]
fn nobody_is_refused_while_luster_is_restarted() {
    for (balance, stored) in [("round-robin", 2), ("shared", 2), ("reuseport", 3)] {
        let (mut manager, port) = (Manager::new(16), free_port());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a socket: 100%");
        let start = |manager: &Manager, workers: u32| {
            let config = json!({"workers": workers, "server": {"balance": balance}});
            manager.starts(Luster::with(&on_both(port, &path), config))
        };
        let mut luster = start(&manager, 2);
        manager.hears_ready();
        manager.hears_until("everything is stored", |manager| manager.store.len() == stored);
        let targets = [Target::Tcp(port), Target::Unix(path.clone())];
        let loads = targets.each_ref().map(|target| Load::begin(target, Style::NEW));
        loads.iter().for_each(|load| load.await_answers(20));
        // There are fewer workers, as many, more: whoever has waited in the queue of a slot's own socket is served, too.
        for workers in [1, 2, 3] {
            let log = manager.stops(luster);
            let kept = log.iter().find(|line| line["event"] == "store_kept").expect("it is told");
            assert!(kept["on"].as_str().expect("text").contains(&format!("tcp *:{port}, unix ")), "{kept}");
            let early = targets.each_ref().map(|target| Connection::open(target).expect("it waits"));
            luster = start(&manager, workers);
            manager.hears_ready();
            for mut early in early {
                assert_eq!(early.request("GET / HTTP/1.1", b"").expect("an answer").status, 200, "{balance}");
            }
            loads.iter().for_each(|load| load.await_answers(20));
        }
        loads.into_iter().for_each(Load::end_without_a_failure);
        manager.hears();
        let groups = if balance == "reuseport" { 1 } else { 0 };
        assert_eq!(manager.store.len(), stored + groups, "nothing twice: {:?}", manager.store);
        manager.stops(luster);
    }
}

#[test]
fn nobody_is_refused_when_luster_is_killed() {
    let (mut manager, port) = (Manager::new(4), free_port());
    let start = |manager: &Manager| {
        manager.starts(Luster::with(HTTP, json!({"workers": 2, "server": {"port": port}})))
    };
    let mut luster = start(&manager);
    manager.hears_ready();
    manager.hears_until("it is stored", |manager| manager.store.len() == 1);
    luster.signal(Signal::SIGKILL);
    luster.await_end();
    let mut early = Connection::open(&Target::Tcp(port)).expect("it waits");
    let luster = start(&manager);
    assert_eq!(early.request("GET / HTTP/1.1", b"").expect("an answer").status, 200);
    manager.hears_ready();
    manager.stops(luster);
}

/// Where Node cannot become luster, its script stays in front and hands on what systemd has passed to it.
#[test]
fn the_npm_command_hands_them_on() {
    on_oldest_and_newest(|node| {
        let (mut manager, port) = (Manager::new(4), free_port());
        let start = |manager: &Manager| {
            let luster = Luster::with(HTTP, json!({"workers": 2, "server": {"port": port}}));
            manager.starts(luster.by_package(node, &[]))
        };
        let luster = start(&manager);
        manager.hears_ready();
        manager.hears_until("it is stored", |manager| manager.store.len() == 1);
        manager.stops(luster);
        let mut early = Connection::open(&Target::Tcp(port)).expect("it waits");
        let luster = start(&manager);
        let answer = early.request("GET / HTTP/1.1", b"").expect("an answer");
        assert_eq!(answer.status, 200, "Node {}", node.major);
        manager.hears_ready();
        manager.hears();
        assert_eq!(manager.store.len(), 1, "Node {}: {:?}", node.major, manager.store);
        manager.stops(luster);
    });
}

#[test]
fn what_is_closed_for_good_is_kept_no_longer_and_can_be_listened_on_again_at_once() {
    let (mut manager, port) = (Manager::new(4), free_port());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let app = format!(
        "{TELL}const http = require('http');
        const answer = (request, response) => {{
            if (request.url !== '/again') return response.end('it');
            response.end('soon', () => servers.forEach(server => server.close(() => setTimeout(() =>
                server.listen(server.place).once('listening', () => tell({{ again: server.place }})), 200))));
        }};
        const servers = [{port}, {path:?}].map(place => Object.assign(http.createServer(answer), {{ place }}));
        servers.forEach(server => server.listen(server.place).on('error', error => tell({{ code: error.code }})));"
    );
    let luster = manager.starts(Luster::with(&app, json!({"workers": 1})));
    manager.hears_ready();
    manager.hears_until("both are stored", |manager| manager.store.len() == 2);
    let before: Vec<_> = manager.store.iter().map(|(_, socket)| socket.as_raw_fd()).collect();
    let asked = Connection::open(&Target::Tcp(port))
        .and_then(|mut open| open.request("GET /again HTTP/1.1\r\nConnection: close", b""));
    assert_eq!(asked.expect("an answer").body, "soon");
    // The manager closes its copies late: nobody is kept waiting by them, and nothing is in the way.
    let told = luster.await_told(2);
    assert!(told.iter().all(|told| told.get("code").is_none()), "{told:?}");
    assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "it");
    assert_eq!(get(&Target::Unix(path.clone())).expect("an answer").body, "it");
    manager.hears_until("others are stored", |manager| {
        manager.store.len() == 2 && manager.said.iter().filter(|line| *line == "FDSTOREREMOVE=1").count() == 2
    });
    drop(before);
    manager.stops(luster);
}

#[test]
fn what_is_not_wanted_any_more_is_given_up() {
    let mut manager = Manager::new(4);
    let folder = tempfile::tempdir().expect("a folder");
    let paths = ["old", "new"].map(|name| folder.path().join(name));
    let (old, new) = (free_port(), free_port());
    let start = |manager: &Manager, port, path| {
        manager.starts(Luster::with(&on_both(port, path), json!({"workers": 2})))
    };
    let luster = start(&manager, old, &paths[0]);
    manager.hears_ready();
    manager.hears_until("both are stored", |manager| manager.store.len() == 2);
    manager.stops(luster);
    let (mut waits, mut waits_too) = (
        TcpStream::connect(("127.0.0.1", old)).expect("kept"),
        UnixStream::connect(&paths[0]).expect("kept"),
    );

    // One that listens in the way of what was stored: other families, the same port.
    let body = format!(
        "require('http').createServer((request, response) => response.end('it')).listen({{ port: {old}, host: '127.0.0.1' }});"
    );
    let luster = manager.starts(Luster::with(&body, json!({"workers": 2})));
    manager.hears_ready();
    assert_eq!(get(&Target::Tcp(old)).expect("an answer").body, "it");
    for stream in [&mut waits as &mut dyn std::io::Read, &mut waits_too] {
        assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)), "nobody comes any more");
    }
    assert!(!paths[0].exists(), "it was ours");
    manager.hears_until("only one is stored", |manager| manager.store.len() == 1);
    let log = manager.stops(luster);
    assert!(log.iter().any(|line| line["event"] == "store_released" && line["sockets"] == 1), "{log:?}");

    let luster = start(&manager, new, &paths[1]);
    manager.hears_ready();
    assert!(get(&Target::Tcp(old)).is_err());
    manager.hears_until("the others are stored", |manager| {
        manager.store.iter().all(|(name, _)| !name.contains("127.0.0.1")) && manager.store.len() == 2
    });
    manager.stops(luster);
}

#[test]
fn a_socket_whose_file_is_gone_is_bound_anew() {
    let (mut manager, port) = (Manager::new(4), free_port());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let start =
        |manager: &Manager| manager.starts(Luster::with(&on_both(port, &path), json!({"workers": 1})));
    let luster = start(&manager);
    manager.hears_ready();
    manager.hears_until("both are stored", |manager| manager.store.len() == 2);
    manager.stops(luster);
    // As `RuntimeDirectory=` does without RuntimeDirectoryPreserve=restart.
    std::fs::remove_file(&path).expect("it was left");
    let luster = start(&manager);
    manager.hears_ready();
    assert_eq!(get(&Target::Unix(path.clone())).expect("an answer").status, 200);
    manager.hears_until("the new one is stored", |manager| {
        manager.said.iter().any(|line| line == "FDSTOREREMOVE=1") && manager.store.len() == 2
    });
    manager.stops(luster);
    assert!(path.exists());
}

#[test]
fn what_there_is_no_room_for_is_told_and_closed_as_ever() {
    let (mut manager, port) = (Manager::new(1), free_port());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let luster = manager.starts(Luster::with(&on_both(port, &path), json!({"workers": 2})));
    manager.hears_ready();
    luster
        .await_event_where("store_full", 1, |line| line["on"].as_str().is_some_and(|on| on.contains("unix")));
    manager.stops(luster);
    assert_eq!(manager.store.len(), 1);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert!(!path.exists());
}

/// It is restarted into nothing: whoever waited there would wait for ever.
#[test]
fn what_the_manager_has_not_heard_of_is_closed_as_ever() {
    let (mut manager, port) = (Manager::new(4), free_port());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let _others = fill_queue(&manager.folder.path().join("notify"));
    let luster = manager.starts(Luster::with(&on_both(port, &path), json!({"workers": 1})));
    luster.await_ready(1);
    luster.await_event("service_manager", 1);
    let (code, log) = luster.stop();
    assert_eq!(code, 0);
    assert!(log.iter().all(|line| line["event"] != "store_kept"), "{log:?}");
    assert!(!path.exists() && TcpStream::connect(("127.0.0.1", port)).is_err());
    manager.hears();
    assert!(manager.store.is_empty());
}

#[test]
fn who_has_no_store_is_told_nothing_of_it() {
    let (mut manager, port) = (Manager::new(0), free_port());
    let luster = manager.starts(Luster::with(HTTP, json!({"workers": 1, "server": {"port": port}})));
    manager.hears_ready();
    manager.stops(luster);
    assert!(manager.said.iter().all(|line| !line.starts_with("FD")), "{:?}", manager.said);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}
