//! A worker's process as its parent holds it: a number to show and a pidfd to signal through.
//!
//! Invariant: signals go through the pidfd only. It names this one process for ever, so a signal sent too late
//! reaches nobody, whoever has the number by then.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use thiserror::Error;

use super::registry::{self, Fate};
use super::{ExitStatus, Pid, sys};

/// A started worker, until dropped; dropping it neither kills nor reaps the process.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    fate: Fate,
}

/// What a worker can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGTERM: please end.
    Terminate,
    /// SIGKILL: end, unasked.
    Kill,
    /// Whatever somebody else wants; 0 only looks whether it is there.
    Other(i32),
}

/// Whether a signal found its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use]
pub enum Delivery {
    /// It is on its way (a process that is dead but not reaped yet counts as found).
    Sent,
    /// The process was dead and reaped already.
    Gone,
}

/// A signal was refused.
#[derive(Debug, Error)]
#[error("cannot signal process {pid}: {source}")]
pub struct SignalError {
    /// Who should have received it.
    pub pid: Pid,
    /// Why it did not; EPERM when the worker took on another user's rights.
    pub source: std::io::Error,
}

impl Child {
    pub(super) const fn new(pid: Pid, pidfd: OwnedFd, fate: Fate) -> Self {
        Self { pid, pidfd, fate }
    }

    /// The process's number: for messages and for finding the worker in a [`Reaped`](super::Harvest).
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// How it ended, once it has been reaped.
    #[must_use]
    pub fn status(&self) -> Option<ExitStatus> {
        self.fate.get().copied()
    }

    /// Kills it and all of its group. Nobody will ask how it ended.
    pub fn discard(self) {
        let mut registry = registry::lock();
        // Reaped already, it is nobody's group any more.
        if self.status().is_none() {
            registry.condemn(self.pid);
            let _ = self.signal(Signal::Kill);
        }
    }

    /// Sends a signal to the leading process (not to what that started).
    ///
    /// # Errors
    /// The kernel refuses, which it does only if the process runs with rights we do not have.
    pub fn signal(&self, signal: Signal) -> Result<Delivery, SignalError> {
        match sys::signal_through(self.pidfd.as_fd(), signal.number()) {
            Ok(()) => Ok(Delivery::Sent),
            Err(Errno::ESRCH) => Ok(Delivery::Gone),
            Err(errno) => Err(SignalError { pid: self.pid, source: errno.into() }),
        }
    }
}

impl AsFd for Child {
    /// The pidfd: readable once the process is dead.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Signal {
    fn number(self) -> i32 {
        match self {
            Self::Terminate => nix::libc::SIGTERM,
            Self::Kill => nix::libc::SIGKILL,
            Self::Other(number) => number,
        }
    }
}
