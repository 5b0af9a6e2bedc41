//! A listening socket as a source of connections.
//!
//! Invariants: nothing is accepted from a source that is shut or known to be empty; an error of one connection is no end
//! of those behind it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;

use crate::listen::sys;

/// A socket we may accept from.
#[derive(Debug)]
pub(crate) struct AcceptSource {
    pub(crate) socket: Arc<OwnedFd>,
    pub(crate) flow: AcceptState,
}

/// What is known of an accept source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AcceptState {
    /// It is not ours to accept from.
    Shut,
    /// Empty: there will be an edge.
    Dry,
    /// There may be connections.
    Running,
}

/// What accepting brought.
#[derive(Debug)]
pub(crate) enum Accepted {
    Connection(OwnedFd),
    Dry,
    /// We are out of descriptors or memory.
    Starved,
}

impl AcceptSource {
    pub(crate) fn new(socket: Arc<OwnedFd>, flow: AcceptState) -> Self {
        Self { socket, flow }
    }

    /// Accepts one connection.
    pub(crate) fn accept(&mut self) -> Accepted {
        // A connection that was reset while it waited is not an end of those behind it.
        for _ in 0..MAX_ABORTED {
            if self.flow != AcceptState::Running {
                return Accepted::Dry;
            }
            match sys::accept(self.socket.as_fd()) {
                Ok(connection) => return Accepted::Connection(connection),
                Err(Errno::EAGAIN | Errno::EINVAL | Errno::EBADF | Errno::ENOTSOCK) => {
                    self.flow = AcceptState::Dry
                }
                Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                    return Accepted::Starved;
                }
                Err(_) => {}
            }
        }
        Accepted::Starved
    }
}

/// So many failures in a row are a fault of the system's; it gets a pause.
const MAX_ABORTED: usize = 64;
