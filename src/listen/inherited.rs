//! Sockets that luster was started with, as systemd's socket activation does it: workers name them by their number, or listen
//! where they are bound.
//!
//! Invariants: no other descriptor of ours can be named; they stay open as long as we live, so that clients wait while
//! nobody listens; nothing here binds, unlinks or closes what our starter has made.

use std::collections::BTreeMap;
use std::os::fd::{OwnedFd, RawFd};

use nix::errno::Errno;
use socket2::SockRef;

use crate::listen::bind_address::{BindAddress, Transport};
use crate::listen::bound_as::{is_bound_as, is_of_kind};

/// The sockets, by the numbers they had at the start.
#[derive(Debug, Default)]
pub(crate) struct Inherited(BTreeMap<RawFd, OwnedFd>);

impl Inherited {
    pub(crate) fn new(sockets: BTreeMap<RawFd, OwnedFd>) -> Self {
        Self(sockets)
    }

    pub(crate) fn numbers(&self) -> Vec<RawFd> {
        self.0.keys().copied().collect()
    }

    /// One more descriptor of the socket with this number, if it is of this kind.
    pub(crate) fn open(&self, number: RawFd, transport: Transport) -> Result<OwnedFd, Errno> {
        let socket = self.0.get(&number).ok_or(Errno::EINVAL)?;
        if !is_of_kind(socket, transport)? {
            return Err(Errno::EINVAL);
        }
        duplicate(socket)
    }

    /// One more descriptor of the socket that is bound there, if there is one.
    pub(crate) fn bound_at(&self, place: &BindAddress) -> Option<Result<OwnedFd, Errno>> {
        let there = self.0.values().find(|socket| is_bound_as(socket, place).is_ok());
        there.map(duplicate)
    }
}

fn duplicate(socket: &OwnedFd) -> Result<OwnedFd, Errno> {
    let duplicate = socket.try_clone().map_err(|_| Errno::EMFILE)?;
    // Whoever made it may not have seen to that, and a blocking one freezes workers.
    SockRef::from(&duplicate).set_nonblocking(true).map_err(|_| Errno::EINVAL)?;
    Ok(duplicate)
}
