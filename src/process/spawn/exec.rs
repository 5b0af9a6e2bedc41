//! What becomes of a process that was forked: it runs its program, or says why it cannot.
//!
//! A program that lies on a file system which does not answer keeps only its own process from going on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::error::{Failure, SpawnError, Subject};
use crate::process::Child;
use crate::process::wait_or_kill::{collect, has_ended};

/// A process that was forked and may not run its program yet.
#[derive(Debug)]
pub struct Forked {
    /// The process.
    pub child: Child,
    /// What becomes of it.
    pub exec: Exec,
}

/// The far end of a process's way to its program; readable once that is known.
#[derive(Debug)]
pub struct Exec {
    /// Closed by exec, and by the process's end; what is written there before is why it cannot go on.
    answer: OwnedFd,
    subject: Subject,
}

impl Forked {
    /// Waits until it runs its program or could not. Blocks.
    ///
    /// # Errors
    /// See [`SpawnError`]; no process is left behind.
    pub fn begun(self) -> Result<Child, SpawnError> {
        let Self { child, mut exec } = self;
        loop {
            match exec.outcome() {
                Some(Ok(())) => return Ok(child),
                Some(Err(error)) => {
                    // It is on its way out; one that is not to be reaped by us has been.
                    while matches!(collect(&child), Ok(None)) {
                        let _ = has_ended(&child, Duration::from_millis(5));
                    }
                    return Err(error);
                }
                // It fails only when interrupted.
                None => _ = poll(&mut [PollFd::new(exec.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE),
            }
        }
    }
}

impl Exec {
    pub(super) const fn new(answer: OwnedFd, subject: Subject) -> Self {
        Self { answer, subject }
    }

    /// Whether it runs its program, once that is known. A process that was killed on its way looks as if it did. One that
    /// failed is on its way out, and to be reaped.
    ///
    /// # Errors
    /// See [`SpawnError`]. To be asked no more after that.
    pub fn outcome(&mut self) -> Option<Result<(), SpawnError>> {
        let mut bytes = [0; Failure::SIZE];
        loop {
            return match nix::unistd::read(&self.answer, &mut bytes) {
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => None,
                Ok(Failure::SIZE) => Some(Err(Failure::from_bytes(bytes).of(&self.subject))),
                Ok(_) | Err(_) => Some(Ok(())),
            };
        }
    }
}

impl AsFd for Exec {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.answer.as_fd()
    }
}
