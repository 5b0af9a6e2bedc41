//! The end of one process, awaited.
//!
//! Blocks: it is for processes that come and go before the loop begins.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::sys::{self, Found, Then, Which};
use super::{Child, ExitStatus};

/// Between two looks at a process that has been killed.
const NAP: Duration = Duration::from_millis(5);

/// Waits for one of our processes to end, so long, then kills it; answers with how it ended. Blocks.
///
/// # Errors
/// It has been reaped already.
pub fn see_off(child: &Child, patience: Duration) -> io::Result<ExitStatus> {
    let ended = |wait: Duration| {
        let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
        // A pidfd is readable once its process is dead.
        poll(&mut [PollFd::new(child.as_fd(), PollFlags::POLLIN)], timeout).is_ok_and(|ready| ready > 0)
    };
    let deadline = Instant::now() + patience;
    while !ended(deadline.saturating_duration_since(Instant::now())) {
        if Instant::now() >= deadline {
            let _ = child.signal(super::Signal::Kill);
            break;
        }
    }
    loop {
        match sys::wait(Which::Only(child.pid()), Then::Reap)? {
            Found::Dead(_, status) => return Ok(status),
            Found::Nobody => return Err(Errno::ECHILD.into()),
            Found::Living => _ = ended(NAP),
        }
    }
}
