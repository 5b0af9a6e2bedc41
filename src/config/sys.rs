//! The one thing here that the standard library cannot do: handing a descriptor to a child.
//!
//! Invariant: the descriptor is inheritable in the child only; in this process it stays close-on-exec, so
//! that no other child started meanwhile gets it.

#![expect(unsafe_code, reason = "pre_exec is unsafe: its closure runs between fork and exec")]

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

/// Lets the child keep `fd`, under the number returned, and ties the child's life to this thread's: it must
/// not outlive a luster that is killed. The descriptor is closed here when the command is dropped.
pub(super) fn give(command: &mut Command, fd: OwnedFd) -> RawFd {
    let number = fd.as_raw_fd();
    // SAFETY: the closure only makes the system calls fcntl and prctl, which are async-signal-safe, and does
    // not allocate.
    unsafe {
        command.pre_exec(move || {
            fcntl(&fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
            set_pdeathsig(Signal::SIGKILL)?;
            Ok(())
        });
    }
    number
}
