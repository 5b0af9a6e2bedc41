//! Ports that need a privilege luster does not have itself.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{HTTP, Luster, Node, TELL, Target, get, nodes, tool};

/// Nobody's number.
const NOBODY: u32 = 65_534;

/// A luster that an ordinary user starts.
fn by_nobody(app: &str, config: serde_json::Value) -> Luster {
    let luster = Luster::with(app, config).adjust(|command| {
        command.uid(NOBODY).gid(NOBODY);
    });
    std::fs::set_permissions(luster.path(), PermissionsExt::from_mode(0o755)).expect("ours");
    luster
}

/// An authbind of our own: whether one is installed or not, it asks a helper of ours with permissions of ours, so that neither
/// the machine's programs nor its `/etc` change.
struct Authbind {
    program: PathBuf,
    folder: tempfile::TempDir,
}

/// Where authbind's permissions and helper are, in its library and its helper.
const PERMISSIONS: &str = "/etc/authbind";
const HELPER: &str = "/usr/lib/authbind/helper";

impl Authbind {
    fn new() -> Self {
        let program = tool("authbind", "authbind").path;
        let root = program.ancestors().nth(3).expect("…/usr/bin/authbind");
        let installed = root.join("usr/lib/authbind");
        // Another path fits in if it is not longer.
        let folder =
            tempfile::Builder::new().prefix("ab").rand_bytes(6).tempdir_in("/tmp").expect("a folder");
        let ours = folder.path().to_str().expect("UTF-8").to_owned();
        let copy = |name: &str, from: &str, to: &str, mode: u32| {
            let text = std::fs::read(installed.join(name)).expect("authbind's file");
            let path = folder.path().join(name);
            std::fs::write(&path, with_other_path(&text, from, to)).expect("written");
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("ours");
        };
        copy("libauthbind.so.1", HELPER, &format!("{ours}/helper"), 0o755);
        copy("helper", PERMISSIONS, &ours, 0o4755);
        std::fs::create_dir(folder.path().join("byport")).expect("made");
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("ours");
        Self { program, folder }
    }

    /// Lets everybody bind this port.
    fn permit(&self, port: u16) {
        let path = self.folder.path().join("byport").join(port.to_string());
        std::fs::write(&path, "").expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("ours");
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("libauthbind.so.1")
    }
}

/// A program's text with a path replaced wherever it is.
fn with_other_path(text: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut padded = to.as_bytes().to_vec();
    padded.resize(from.len(), 0);
    assert!(to.len() <= from.len(), "{to} is no longer than {from}");
    let (mut text, mut found) = (text.to_vec(), 0);
    for at in 0..text.len().saturating_sub(from.len()) {
        if text[at..].starts_with(from.as_bytes()) {
            text[at..at + from.len()].copy_from_slice(&padded);
            found += 1;
        }
    }
    assert!(found > 0, "{from} is in it");
    text
}

#[test]
fn authbind_lets_an_ordinary_user_serve_a_port() {
    let authbind = Authbind::new();
    let program = authbind.program.to_str().expect("UTF-8");
    for (port, balance) in [(471, "round-robin"), (472, "shared")] {
        let config = json!({"workers": 2, "server": {"port": port, "balance": balance}});
        let luster = || {
            by_nobody(HTTP, config.clone())
                .env("AUTHBIND_LIB", authbind.library().to_str().expect("UTF-8"))
                .through(&[program, "--deep"])
        };
        let (code, _, stderr) = luster().output();
        assert_eq!(code, 77, "without authbind's permission: {stderr}");
        authbind.permit(port);
        let luster = luster().start();
        luster.await_listening(2);
        luster.await_ready(2);
        assert_eq!(get(&Target::Tcp(port)).expect("an answer").status, 200);
        assert_eq!(luster.rollout()["event"], "rollout_finished");
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn a_port_that_authbind_does_not_allow_is_told_with_what_allows_it() {
    let authbind = Authbind::new();
    let program = authbind.program.to_str().expect("UTF-8");
    let luster = |port: u16| {
        by_nobody(HTTP, json!({"workers": 1, "server": {"port": port}}))
            .env("AUTHBIND_LIB", authbind.library().to_str().expect("UTF-8"))
            .through(&[program, "--deep"])
    };
    // As authbind looks for them: a port from 512 on has a `!` before it.
    for (port, file) in [(473, "/etc/authbind/byport/473"), (600, "'/etc/authbind/byport/!600'")] {
        let (code, _, stderr) = luster(port).output();
        let last = stderr.lines().last().expect("a sentence");
        let advice = format!(
            "tcp *:{port}: operation not permitted; authbind does not allow port {port} to user {NOBODY}: as root, `install -m \
             500 -o {NOBODY} /dev/null {file}`"
        );
        assert!(code == 77 && last.ends_with(&advice), "{code}: {stderr}");
    }
    // What authbind allows is nobody else's to say.
    let (code, stdout, stderr) = luster(473).arg("check").output();
    assert!(code == 0 && stdout.contains(": no mistakes; "), "{stdout}{stderr}");
}

/// A copy of a Node that may bind every port, whoever runs it, as `setcap cap_net_bind_service=+ep` makes it.
fn capable(node: &Node, folder: &Path) -> Node {
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).expect("ours");
    let path = folder.join("node");
    std::fs::copy(&node.path, &path).expect("copied");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("ours");
    // The kernel's `vfs_cap_data`, version 2: effective, permitted (two words each with the inheritable ones).
    let words: [u32; 5] = [0x0200_0001, 1 << 10, 0, 0, 0];
    let value: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    let file = std::ffi::CString::new(path.to_str().expect("UTF-8")).expect("no NUL");
    // SAFETY: both strings end with a NUL, and the value is as long as said.
    #[expect(unsafe_code, reason = "an extended attribute")]
    let set = unsafe {
        nix::libc::setxattr(
            file.as_ptr(),
            c"security.capability".as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    Node { path, ..node.clone() }
}

#[test]
fn a_node_with_the_capability_serves_an_ordinary_users_luster_on_a_privileged_port() {
    let app = format!(
        "{TELL}const http = require('http'), port = Number(process.env.port);
        const serve = (...how) => http.createServer((request, response) => response.end(process.env.LUSTER_WID))
            .on('error', error => tell({{ how, code: error.code }}))
            .listen(...how, function () {{ tell({{ how, port: this.address().port }}); }});
        serve(port);
        serve(port + 1, '127.0.0.1');
        serve({{ port: port + 2, host: '::1', ipv6Only: true }});"
    );
    for (node, balance) in nodes().iter().zip(["round-robin", "shared", "reuseport"].into_iter().cycle()) {
        let folder = tempfile::tempdir().expect("a folder");
        let node = capable(node, folder.path());
        let port = 480;
        let config = json!({"workers": 2, "server": {"port": port, "balance": balance}});
        let luster = by_nobody(&app, config).node(&node).start();
        let told = luster.await_told(6);
        assert!(told.iter().all(|told| told.get("code").is_none()), "Node {}: {told:?}", node.major);
        luster.await_ready(2);
        for target in [Target::Tcp(port), Target::Tcp6(port), Target::Tcp(port + 1), Target::Tcp6(port + 2)] {
            assert_eq!(get(&target).expect("an answer").status, 200, "Node {}: {target:?}", node.major);
        }
        assert_eq!(luster.rollout()["event"], "rollout_finished", "Node {}", node.major);
        assert_eq!(get(&Target::Tcp(port)).expect("an answer").status, 200);
        let (code, log) = luster.stop();
        let exits = log.iter().filter(|line| line["event"] == "exit");
        assert!(exits.into_iter().all(|exit| exit["code"] == 0), "{balance}: {log:?}");
        assert_eq!(code, 0);
    }
}

/// Asks a datagram socket until it answers: a datagram may be lost, and a worker may just be going.
fn echo(address: SocketAddr) -> String {
    let any: SocketAddr = if address.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" }.parse().expect("an address");
    let socket = UdpSocket::bind(any).expect("a port");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time");
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut answer = [0; 64];
    loop {
        // An error is the answer to an earlier datagram.
        let _ = socket.send_to(b"?", address);
        match socket.recv_from(&mut answer) {
            Ok((length, from)) => {
                assert_eq!(from.port(), address.port());
                return String::from_utf8_lossy(&answer[..length]).into_owned();
            }
            Err(error) => assert!(Instant::now() < deadline, "{address}: {error}"),
        }
    }
}

#[test]
fn such_a_node_serves_privileged_udp_ports_too() {
    let app = format!(
        "{TELL}const dgram = require('dgram'), port = Number(process.env.port);
        process.on('warning', warning => tell({{ warning: warning.message }}));
        const serve = (options, ...how) => {{
            const socket = dgram.createSocket(options);
            socket.on('message', (message, from) => socket.send(`wid ${{process.env.LUSTER_WID}}`, from.port, from.address))
                .on('error', error => tell({{ how, code: error.code }}))
                .bind(...how, () => tell({{ how, port: socket.address().port }}));
        }};
        serve('udp4', port);
        serve({{ type: 'udp4', reuseAddr: true }}, port + 1, '127.0.0.1');
        serve({{ type: 'udp6', ipv6Only: true }}, port, '::1');"
    );
    for node in nodes() {
        let folder = tempfile::tempdir().expect("a folder");
        let node = capable(&node, folder.path());
        let port = 500;
        let config = json!({"workers": 2, "server": {"port": port}});
        let luster = by_nobody(&app, config).node(&node).start();
        let told = luster.await_told(6);
        let is_fine = |told: &serde_json::Value| told.get("code").is_none() && told.get("warning").is_none();
        assert!(told.iter().all(is_fine), "Node {}: {told:?}", node.major);
        luster.await_ready(2);
        let addresses = [
            (IpAddr::from(Ipv4Addr::LOCALHOST), port),
            (Ipv4Addr::LOCALHOST.into(), port + 1),
            (Ipv6Addr::LOCALHOST.into(), port),
        ];
        for address in addresses {
            assert!(echo(address.into()).starts_with("wid "), "Node {}: {address:?}", node.major);
        }
        assert_eq!(luster.rollout()["event"], "rollout_finished", "Node {}", node.major);
        assert!(echo(addresses[0].into()).starts_with("wid "), "Node {}", node.major);
        assert_eq!(luster.stop().0, 0);
    }
}

/// The first link-local address of this machine, with its interface's name and number.
fn link_local() -> Option<(Ipv6Addr, String, u32)> {
    let all = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    all.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let address = Ipv6Addr::from(u128::from_str_radix(fields.first()?, 16).ok()?);
        let number = u32::from_str_radix(fields.get(1)?, 16).ok()?;
        address
            .is_unicast_link_local()
            .then(|| (address, (*fields.last().expect("a name")).to_owned(), number))
    })
}

#[test]
fn such_a_node_serves_a_privileged_port_of_a_link_local_address_too() {
    let Some((address, interface, number)) = link_local() else {
        eprintln!("skipped: this machine has no link-local IPv6 address");
        return;
    };
    for node in nodes() {
        let folder = tempfile::tempdir().expect("a folder");
        let node = capable(&node, folder.path());
        let app = format!(
            "{TELL}require('http').createServer((request, response) => response.end('here'))
                .on('error', error => tell({{ code: error.code }}))
                .listen(510, '{address}%{interface}', () => tell({{}}));"
        );
        let luster = by_nobody(&app, json!({"workers": 2})).node(&node).start();
        let told = luster.await_told(2);
        assert!(told.iter().all(|told| told.get("code").is_none()), "Node {}: {told:?}", node.major);
        let target = SocketAddr::V6(SocketAddrV6::new(address, 510, 0, number));
        let mut connection = TcpStream::connect(target).expect("it listens");
        connection.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("taken");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer");
        assert!(answer.ends_with("here"), "Node {}: {answer}", node.major);
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn a_taken_port_is_taken_for_a_node_with_the_capability_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = capable(&crate::harness::usual_node(), folder.path());
    let port = 490;
    let _taken = std::net::TcpListener::bind(("::", port)).expect("free, and root may");
    let app = format!(
        "{TELL}require('net').createServer().on('error', error => tell({{ code: error.code }})).listen({port});"
    );
    let luster = by_nobody(&app, json!({"workers": 1})).node(&node).start();
    assert_eq!(luster.await_told(1)[0]["code"], "EADDRINUSE");
    assert_eq!(luster.stop().0, 0);
}
