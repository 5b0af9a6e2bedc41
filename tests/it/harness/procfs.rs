//! What /proc says of processes. A zombie whose parent is slow to reap it counts as dead.

use std::fs;
use std::path::Path;

/// The state letter of a process (`R`, `S`, `Z` …), if it exists.
pub(crate) fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

pub(crate) fn is_alive(pid: i32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// The pids whose parent is `pid`.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let parent = |candidate: i32| -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{candidate}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let processes = fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes.filter(|candidate| parent(*candidate) == Some(pid)).collect()
}

/// A field of the stat line, counted as proc(5) does; from the third on, they are past the name.
pub(crate) fn stat(pid: i32, field: usize) -> Option<i64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(field - 3)?.parse().ok()
}

/// The living processes whose working directory is this folder, be it deleted: everything that a luster started
/// there has left behind, wherever in the tree of processes it is now.
pub(crate) fn processes_in(folder: &Path) -> Vec<(i32, String)> {
    let folder = folder.to_str().expect("UTF-8");
    let found = |pid: i32| {
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        let here = cwd.to_str()?.trim_end_matches(" (deleted)") == folder;
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        (here && is_alive(pid)).then(|| (pid, command.replace('\0', " ")))
    };
    let numbers = fs::read_dir("/proc").expect("/proc");
    numbers.filter_map(|entry| found(entry.ok()?.file_name().to_str()?.parse().ok()?)).collect()
}
