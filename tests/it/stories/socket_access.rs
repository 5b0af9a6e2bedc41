//! Who may connect to a unix socket: `server.socketMode` and `server.socketGroup`.

use serde_json::json;

use crate::harness::{Luster, Target, get};

#[test]
fn a_unix_socket_gets_the_mode_and_the_group_that_are_configured() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    // Root may give a file to any group, others only to their own.
    let group = if nix::unistd::geteuid().is_root() { 1 } else { nix::unistd::getegid().as_raw() };
    for (mode, bits) in [(json!("0660"), 0o660), (json!(0o666), 0o666)] {
        let luster = Luster::with(
            "require('http').createServer((_, r) => r.end('hello')).listen(process.env.port);",
            json!({"workers": 2}),
        );
        let path = luster.path().join("app.sock");
        let server = json!({"port": path, "socketMode": mode, "socketGroup": group});
        let luster = luster.config(json!({"workers": 2, "server": server})).start();
        luster.await_ready(2);
        let found = std::fs::metadata(&path).expect("it is there");
        assert_eq!((found.permissions().mode() & 0o777, found.gid()), (bits, group));
        assert_eq!(get(&Target::Unix(path)).expect("an answer").body, "hello");
        luster.rollout();
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn a_mode_or_group_that_is_none_is_a_mistake() {
    for (server, words) in [
        (
            json!({"socketMode": 660}),
            "\"server.socketMode\" must be permission bits in octal, such as \"0660\", not 660",
        ),
        (json!({"socketMode": "rw"}), "such as \"0660\", not \"rw\""),
        (
            json!({"socketMode": true}),
            "\"server.socketMode\" must be permission bits in octal, such as \"0660\", not true",
        ),
        (json!({"socketGroup": "no-such-group"}), "must be the name or number of a group of this system"),
    ] {
        let (code, _, stderr) = Luster::with("", json!({"server": server})).arg("check").output();
        assert_eq!(code, 78, "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
    }
}
