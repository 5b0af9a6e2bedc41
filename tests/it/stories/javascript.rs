//! The workers' JavaScript under a genuine Node primary: `npm/test`, on every supported Node.

use std::path::Path;
use std::process::Command;

use crate::harness::{Node, node};

fn suite_passes_on(node: &Node) {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("npm/test/run.js");
    let output =
        Command::new("node").arg(suite).arg("--node").arg(&node.path).output().expect("node is there");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "Node {}:\n{told}{}",
        node.major,
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(told.contains(" passed, 0 failed"), "{told}");
}

#[test]
fn the_javascript_suite_passes_on_node_16() {
    suite_passes_on(&node(16));
}

#[test]
fn the_javascript_suite_passes_on_node_18() {
    suite_passes_on(&node(18));
}

#[test]
fn the_javascript_suite_passes_on_node_20() {
    suite_passes_on(&node(20));
}

#[test]
fn the_javascript_suite_passes_on_node_22() {
    suite_passes_on(&node(22));
}

#[test]
fn the_javascript_suite_passes_on_node_24() {
    suite_passes_on(&node(24));
}
