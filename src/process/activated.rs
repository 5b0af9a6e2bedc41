//! Sockets that wait for clients already when luster is started: systemd's socket activation, or any starter that binds first,
//! and what a former luster has left in the service manager's store.
//!
//! Invariants: only what was open at the start counts, and only sockets that clients can reach; `LISTEN_FDS` is not needed,
//! because the kernel says what a descriptor is; all are given away once.

use std::collections::BTreeMap;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Mutex;

use super::sys;

/// What a starter such as systemd tells luster, and nobody else: who heeded it as well would answer in luster's place, or
/// look for descriptors that it has not.
pub const FOR_LUSTER_ALONE: [&str; 8] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
    "FDSTORE",
];

/// The number of the first descriptor that a starter passes.
const FIRST: RawFd = 3;

/// What was open, until somebody has taken it.
static FOUND: Mutex<Vec<OpenAtStart>> = Mutex::new(Vec::new());

/// A descriptor that was open at the start.
#[derive(Debug, Clone, Copy)]
struct OpenAtStart {
    number: RawFd,
    awaits_clients: bool,
}

/// What luster was started with.
#[derive(Debug, Default)]
pub struct Activated {
    /// What the starter has bound, by the numbers it was inherited under.
    pub sockets: BTreeMap<RawFd, OwnedFd>,
    /// What a former luster has stored, by its names; without a socket what clients cannot reach any more.
    pub stored: Vec<(String, Option<OwnedFd>)>,
}

/// Looks for them; before anything of ours is opened.
pub(super) fn find() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers: Vec<RawFd> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    // The listing's own descriptor is closed by now.
    let open = numbers.into_iter().filter(|number| sys::is_open(*number));
    let found =
        open.map(|number| OpenAtStart { number, awaits_clients: sys::awaits_clients(number) }).collect();
    if let Ok(mut place) = FOUND.lock() {
        *place = found;
    }
}

/// All of them; nothing the second time. `is_stored` knows the names under which a luster stores.
#[must_use]
pub fn activated_sockets(is_stored: impl Fn(&str) -> bool) -> Activated {
    let found = FOUND.lock().map(|mut found| std::mem::take(&mut *found)).unwrap_or_default();
    let ours = [std::process::id(), std::os::unix::process::parent_id()];
    let mut names = names(|name| std::env::var(name).ok(), &ours);
    names.retain(|_, name| is_stored(name));
    let mut activated = Activated::default();
    for OpenAtStart { number, awaits_clients } in found {
        match (names.remove(&number), awaits_clients) {
            (Some(name), true) => activated.stored.push((name, Some(sys::take_inherited(number)))),
            (Some(name), false) => {
                drop(sys::take_inherited(number));
                activated.stored.push((name, None));
            }
            (None, true) => {
                activated.sockets.extend(Some(number).zip(sys::duplicate_at_exec_closed(number).ok()))
            }
            // Not ours to know.
            (None, false) => {}
        }
    }
    activated
}

/// What the starter calls the descriptors that it has passed to one of `ours`.
fn names(variable: impl Fn(&str) -> Option<String>, ours: &[u32]) -> BTreeMap<RawFd, String> {
    let is_meant =
        variable("LISTEN_PID").and_then(|pid| pid.parse::<u32>().ok()).is_some_and(|pid| ours.contains(&pid));
    let names = variable("LISTEN_FDNAMES").filter(|_| is_meant).unwrap_or_default();
    (FIRST..).zip(names.split(':').map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_only_for_whom_they_are_meant() {
        let read = |pid: Option<&str>| {
            let variable = |name: &str| match name {
                "LISTEN_PID" => pid.map(str::to_owned),
                "LISTEN_FDNAMES" => Some("a.socket::luster".to_owned()),
                _ => None,
            };
            names(variable, &[7, 8]).into_values().collect::<Vec<_>>()
        };
        assert_eq!(read(Some("8")), ["a.socket", "", "luster"]);
        assert!(read(Some("9")).into_iter().chain(read(None)).all(|name| name.is_empty()));
    }
}
