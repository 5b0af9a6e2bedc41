//! Ports that need a privilege luster does not have itself.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::{HTTP, Luster, Target, get};

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

/// authbind's permission for a port, for as long as this lives.
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

/// That authbind finds nothing amiss where it is not installed shows in `cluster::bind`'s own test.
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
        assert_eq!(luster.roll_out()["event"], "roll_out_finished");
        assert_eq!(luster.stop().0, 0);
    }
}
