//! Sockets as all of ours are, and what is to be known of one that is open.
//!
//! Invariant: every socket is non-blocking and close-on-exec from birth: a blocking one would freeze the worker it is
//! handed to.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrLike, SockaddrStorage, bind, getsockname, socket,
};

use crate::listen::socket_file::SocketFile;

/// An open socket and what is to be known of it.
#[derive(Debug)]
pub(crate) struct BoundSocket {
    pub(crate) socket: OwnedFd,
    /// Its file, if it has one.
    pub(crate) file: Option<SocketFile>,
    /// The same place under its other name, if it has one.
    pub(crate) alias: Option<OwnedFd>,
}

impl BoundSocket {
    pub(crate) fn without_file(socket: OwnedFd) -> Self {
        Self { socket, file: None, alias: None }
    }
}

/// The address a TCP or UDP socket is bound to.
pub(crate) fn address_of(socket: &OwnedFd) -> Option<SocketAddr> {
    let storage: SockaddrStorage = getsockname(socket.as_raw_fd()).ok()?;
    let v4 = storage.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}

/// A new socket as all of ours are.
pub(super) fn new_socket(family: AddressFamily, kind: SockType) -> Result<OwnedFd, Errno> {
    socket(family, kind, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)
}

/// Binds to an address of any family.
pub(super) fn bind_socket(socket: &OwnedFd, address: &dyn SockaddrLike) -> Result<(), Errno> {
    bind(socket.as_raw_fd(), address)
}
