//! Ports that need a privilege luster does not have itself.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::{HTTP, Luster, Node, TELL, Target, get, nodes};

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

/// authbind's permission for a port, for as long as this is alive.
struct Permission(PathBuf);

impl Permission {
    fn of(port: u16) -> Self {
        let path = Path::new("/etc/authbind/byport").join(port.to_string());
        std::fs::write(&path, "").expect("root may");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("ours");
        Self(path)
    }
}

impl Drop for Permission {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// That authbind finds nothing amiss where it is not installed shows in `listen::bind`'s own test.
#[test]
fn authbind_lets_an_ordinary_user_serve_a_port() {
    if !Path::new("/etc/authbind/byport").is_dir() {
        return;
    }
    for (port, balance) in [(471, "round-robin"), (472, "shared")] {
        let _permission = Permission::of(port);
        let config = json!({"workers": 2, "server": {"port": port, "balance": balance}});
        let luster = by_nobody(HTTP, config).through(&["authbind", "--deep"]).start();
        luster.await_listening(2);
        luster.await_ready(2);
        assert_eq!(get(&Target::Tcp(port)).expect("an answer").status, 200);
        assert_eq!(luster.rollout()["event"], "roll_out_finished");
        assert_eq!(luster.stop().0, 0);
    }
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
        assert_eq!(luster.rollout()["event"], "roll_out_finished", "Node {}", node.major);
        assert_eq!(get(&Target::Tcp(port)).expect("an answer").status, 200);
        let (code, log) = luster.stop();
        let exits = log.iter().filter(|line| line["event"] == "exit");
        assert!(exits.into_iter().all(|exit| exit["code"] == 0), "{balance}: {log:?}");
        assert_eq!(code, 0);
    }
}

#[test]
fn a_taken_port_is_taken_for_a_node_with_the_capability_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = capable(&crate::harness::node(20), folder.path());
    let port = 490;
    let _taken = std::net::TcpListener::bind(("::", port)).expect("free, and root may");
    let app = format!(
        "{TELL}require('net').createServer().on('error', error => tell({{ code: error.code }})).listen({port});"
    );
    let luster = by_nobody(&app, json!({"workers": 1})).node(&node).start();
    assert_eq!(luster.await_told(1)[0]["code"], "EADDRINUSE");
    assert_eq!(luster.stop().0, 0);
}
