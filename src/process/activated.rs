//! Sockets that wait for clients already when luster is started: systemd's socket activation, or any starter that binds first.
//!
//! Invariant: only what was open at the start counts, and only sockets that clients can reach; `LISTEN_FDS` is not needed,
//! because the kernel says what a descriptor is.

use std::collections::BTreeMap;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::OnceLock;

use super::sys;

/// What a starter such as systemd tells luster, and nobody else: who heeded it as well would answer in luster's place, or
/// look for descriptors that it has not.
pub const FOR_LUSTER_ALONE: [&str; 7] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
];

/// Their numbers.
static FOUND: OnceLock<Vec<RawFd>> = OnceLock::new();

/// Looks for them; before anything of ours is opened.
pub(super) fn find() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let found = numbers.filter(|number| sys::awaits_clients(*number)).collect();
    // Set once: there is one start.
    let _ = FOUND.set(found);
}

/// A descriptor of each, by the number it was inherited under.
#[must_use]
pub fn activated_sockets() -> BTreeMap<RawFd, OwnedFd> {
    let found = FOUND.get().into_iter().flatten();
    found.filter_map(|number| Some((*number, sys::duplicate_at_exec_closed(*number).ok()?))).collect()
}
