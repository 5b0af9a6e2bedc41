//! The end of one process, awaited.
//!
//! Blocks: it is for processes that come and go before the loop begins, or for a thread beside the loop.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::registry::{self, Group};
use super::sys::Which;
use super::{Child, ExitStatus};

/// Between two looks at a process that has been killed.
const NAP: Duration = Duration::from_millis(5);

/// Waits for one of our processes to end, so long, then kills it; answers with how it ended, also if that was reaped by
/// somebody else meanwhile. Blocks.
///
/// # Errors
/// The kernel does not know it as our child.
pub fn wait_or_kill(child: &Child, patience: Duration) -> io::Result<ExitStatus> {
    let deadline = Instant::now() + patience;
    while !has_ended(child, deadline.saturating_duration_since(Instant::now())) {
        if Instant::now() >= deadline {
            let _ = child.signal(super::Signal::Kill);
            break;
        }
    }
    loop {
        if let Some(status) = collect(child)? {
            return Ok(status);
        }
        let _ = has_ended(child, NAP);
    }
}

/// How it ended, if it has.
pub(super) fn collect(child: &Child) -> io::Result<Option<ExitStatus>> {
    let mut registry = registry::lock();
    if let Some(status) = child.status() {
        return Ok(Some(status));
    }
    let Some(dead) = registry.find(Which::Only(child.pid()))? else { return Ok(None) };
    registry.reap(&dead, Group::Stays);
    Ok(Some(dead.status))
}

/// Waits so long for its death.
pub(super) fn has_ended(child: &Child, wait: Duration) -> bool {
    let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
    // A pidfd is readable once its process is dead.
    poll(&mut [PollFd::new(child.as_fd(), PollFlags::POLLIN)], timeout).is_ok_and(|ready| ready > 0)
}
