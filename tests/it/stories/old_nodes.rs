//! A Node that is older than luster supports: luster says so, once, and the rest is as it happens to be.

use serde_json::json;

use crate::harness::{HTTP, Luster, Target, free_port, get, node};

#[test]
fn a_node_that_is_too_old_is_warned_of_once_and_one_that_is_not_never() {
    for (major, told) in [(14, 1), (16, 0)] {
        let port = free_port();
        let luster = Luster::with(HTTP, json!({"workers": 2, "server": {"port": port}})).node(&node(major));
        let luster = luster.start();
        luster.await_ready(2);
        luster.await_listening(2);
        assert_eq!(get(&Target::Tcp(port)).expect("an answer").status, 200);
        assert_eq!(luster.rollout()["event"], "rollout_finished");
        let warnings = luster.events("old_node");
        assert_eq!(warnings.len(), told, "Node {major}: {warnings:?}");
        for warning in warnings {
            let version = warning["version"].as_str().expect("a version");
            assert!(version.starts_with("v14."), "{warning}");
            let words = format!("workers run Node.js {version} (");
            assert!(warning["message"].as_str().expect("words").starts_with(&words), "{warning}");
            assert_eq!(warning["level"], "WARN");
        }
        assert_eq!(luster.stop().0, 0);
    }
}
