//! What a reload finds out about a control socket before anything changes: that it can be made, and given to its group.
//!
//! Invariant: nothing is left of a socket that is not served in the end.

use std::io;
use std::os::unix::fs::fchown;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::socket::{Place, Socket, SocketError, Wanted};

/// A socket that was made to be served, if it comes to that: nothing is left of it else.
#[derive(Debug, Default)]
pub struct Prepared(Option<Socket>);

impl Prepared {
    /// Makes one for a master that runs, at a path that nobody has but that master.
    ///
    /// # Errors
    /// It cannot be made where it is wanted.
    pub fn make(wanted: &Wanted) -> Result<Self, SocketError> {
        let socket = Self(Some(Socket::make(wanted)?));
        match (&wanted.place, socket.0.as_ref().and_then(|socket| socket.first)) {
            (Place::Given(path, _), Some(pid)) => Err(SocketError::Taken(path.clone(), pid)),
            (Place::Given(..) | Place::Found(_), _) => Ok(socket),
        }
    }

    pub(super) fn take(mut self) -> Option<Socket> {
        self.0.take()
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            socket.remove();
        }
    }
}

impl Wanted {
    /// Whether its group can be given a socket of ours: tried with a file that has no name.
    ///
    /// # Errors
    /// It cannot.
    pub fn try_group(&self) -> Result<(), SocketError> {
        let Some(group) = self.group else { return Ok(()) };
        let tried = memfd_create(c"luster-control", MFdFlags::MFD_CLOEXEC)
            .map_err(io::Error::from)
            .and_then(|file| fchown(&file, None, Some(group)));
        tried.map_err(|error| SocketError::NoGroup(group, error))
    }
}
