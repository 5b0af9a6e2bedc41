//! What /proc says of processes. A zombie whose parent is slow to reap it counts as dead.

use std::fs;

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
