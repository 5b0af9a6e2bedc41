//! Python, for stories of programs that are not Node's.
//!
//! The one that is installed is used, else Debian's, unpacked below `target/` (see `tools`).

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::luster::Luster;
use super::tools::tool;

impl Luster {
    /// One that finds `python3` in PATH.
    pub(crate) fn with_python() -> Self {
        static PATH: OnceLock<OsString> = OnceLock::new();
        let path = PATH.get_or_init(path_with_python);
        Self::new().env("PATH", path.to_str().expect("text"))
    }
}

fn path_with_python() -> OsString {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&on_path).collect();
    if folders.iter().any(|folder| folder.join("python3").is_file()) {
        return on_path;
    }
    folders.insert(0, wrapper(&tool("python3", "python3").path));
    std::env::join_paths(folders).expect("no colon")
}

/// The folder of a `python3` that finds its libraries where it was unpacked.
fn wrapper(python: &Path) -> PathBuf {
    let home = python.parent().and_then(Path::parent).expect("it is in usr/bin");
    let folder = home.join("wrapper");
    let (new, script) = (folder.join("python3.new"), folder.join("python3"));
    std::fs::create_dir_all(&folder).expect("writable");
    let home = home.display();
    let text = format!(
        "#!/bin/sh\nexport PYTHONHOME='{home}' LD_LIBRARY_PATH=\"$(echo '{home}'/lib/*-linux-gnu)\"\nexec '{}' \"$@\"\n",
        python.display()
    );
    std::fs::write(&new, text).expect("writable");
    std::fs::set_permissions(&new, PermissionsExt::from_mode(0o755)).expect("ours");
    std::fs::rename(new, script).expect("writable");
    folder
}
