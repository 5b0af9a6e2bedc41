//! Sockets that travel with the application's messages, and the count of those that came from a peer.
//!
//! Invariants: a handle is of a kind every Node accepts, and non-blocking; dropping it closes it, and then the
//! peer whose server counts it can be told.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::libc;
use nix::sys::eventfd::EventFd;
use serde_json::value::RawValue;
use socket2::SockRef;
use thiserror::Error;

use crate::node::ipc::sys;

/// A socket sent with a message, by a peer or to one.
#[derive(Debug)]
pub struct UserHandle {
    // Before `_counted`: the socket is closed by the time the close_notify rings.
    socket: OwnedFd,
    kind: HandleKind,
    _counted: Option<Counted>,
}

/// What Node makes of a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandleKind {
    /// A connection: `net.Socket`.
    Socket,
    /// A listening socket: `net.Server`.
    Server,
    /// An IPv4 datagram socket: `dgram.Socket`.
    Udp4,
    /// An IPv6 datagram socket: `dgram.Socket`.
    Udp6,
}

/// A descriptor that would crash a Node process, or block its channel for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("only TCP, UDP and unix stream sockets can be sent to a worker")]
pub struct UnsupportedHandle;

impl UserHandle {
    /// A socket to be sent. It is made non-blocking: else whoever is at its other end could freeze the receiver.
    pub fn new(socket: OwnedFd) -> Result<Self, UnsupportedHandle> {
        let kind = HandleKind::of(socket.as_fd())?;
        SockRef::from(&socket).set_nonblocking(true).map_err(|_| UnsupportedHandle)?;
        Ok(Self { socket, kind, _counted: None })
    }

    /// What Node makes of it.
    #[must_use]
    pub fn kind(&self) -> HandleKind {
        self.kind
    }

    /// The socket alone.
    #[must_use]
    pub fn into_socket(self) -> OwnedFd {
        self.socket
    }

    /// One that a peer sent; `counted` if the peer's server wants to know when it is closed.
    pub(crate) fn received(socket: OwnedFd, counted: Option<Counted>) -> Result<Self, UnsupportedHandle> {
        Ok(Self { _counted: counted, ..Self::new(socket)? })
    }
}

impl AsFd for UserHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl HandleKind {
    fn of(socket: BorrowedFd<'_>) -> Result<Self, UnsupportedHandle> {
        match sys::socket_kind(socket) {
            Ok((libc::AF_INET | libc::AF_INET6 | libc::AF_UNIX, libc::SOCK_STREAM, 0)) => Ok(Self::Socket),
            Ok((libc::AF_INET | libc::AF_INET6 | libc::AF_UNIX, libc::SOCK_STREAM, _)) => Ok(Self::Server),
            Ok((libc::AF_INET, libc::SOCK_DGRAM, _)) => Ok(Self::Udp4),
            Ok((libc::AF_INET6, libc::SOCK_DGRAM, _)) => Ok(Self::Udp6),
            Ok(_) | Err(_) => Err(UnsupportedHandle),
        }
    }
}

/// One socket in a peer's count; leaves the count when dropped, and rings.
#[derive(Debug)]
pub(crate) struct Counted {
    count: Arc<AtomicUsize>,
    close_notify: Arc<EventFd>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Release);
        // Fails only when it has rung so often that it is ringing anyway.
        let _ = self.close_notify.write(1);
    }
}

/// How many sockets we hold of each of a peer's servers, by the server's key.
#[derive(Debug, Default)]
pub(crate) struct SocketCounts {
    counts: Vec<(Box<str>, Arc<AtomicUsize>)>,
    /// Servers that wait to hear that there are none.
    awaited: Vec<Box<RawValue>>,
}

/// More distinct keys than this are not awaited; a peer has as many as it has servers.
const MAX_AWAITED: usize = 1024;

impl SocketCounts {
    /// Counts one more.
    pub(crate) fn add(&mut self, key: &RawValue, close_notify: &Arc<EventFd>) -> Counted {
        self.counts.retain(|(_, count)| count.load(Ordering::Acquire) > 0);
        let count = match self.counts.iter().find(|(known, _)| **known == *key.get()) {
            Some((_, count)) => Arc::clone(count),
            None => {
                let count = Arc::new(AtomicUsize::new(0));
                self.counts.push((key.get().into(), Arc::clone(&count)));
                count
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
        Counted { count, close_notify: Arc::clone(close_notify) }
    }

    /// How many there are.
    pub(crate) fn of(&self, key: &RawValue) -> usize {
        let known = self.counts.iter().find(|(known, _)| **known == *key.get());
        known.map_or(0, |(_, count)| count.load(Ordering::Acquire))
    }

    /// Somebody wants to hear when there are none.
    pub(crate) fn await_none(&mut self, key: &RawValue) {
        if self.awaited.len() < MAX_AWAITED {
            self.awaited.push(key.to_owned());
        }
    }

    /// Those awaited of which there are none now.
    pub(crate) fn take_closed(&mut self) -> Vec<Box<RawValue>> {
        let (open, closed) = std::mem::take(&mut self.awaited).into_iter().partition(|key| self.of(key) > 0);
        self.awaited = open;
        closed
    }
}
