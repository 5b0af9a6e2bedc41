//! Processes that are not ours.
//!
//! Invariant: nothing is ever signalled here.

use std::io;
use std::os::fd::OwnedFd;

use super::{Pid, sys};

/// A descriptor that becomes readable when this process ends.
///
/// # Errors
/// There is no such process, or the kernel refuses.
pub fn watch_end(pid: Pid) -> io::Result<OwnedFd> {
    Ok(sys::open_pidfd(pid.for_nix())?)
}
