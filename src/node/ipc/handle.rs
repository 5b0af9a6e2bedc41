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

/// How many sockets we hold of each of a peer's servers, by the server's key. There are no more than sockets, whatever the
/// peer asks.
#[derive(Debug, Default)]
pub(crate) struct SocketCounts(Vec<ServerSockets>);

/// What we hold of one server's.
#[derive(Debug)]
struct ServerSockets {
    key: Box<str>,
    count: Arc<AtomicUsize>,
    /// The server waits to hear that there are none.
    awaited: bool,
}

impl ServerSockets {
    fn is_open(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }
}

impl SocketCounts {
    /// Counts one more.
    pub(crate) fn add(&mut self, key: &RawValue, close_notify: &Arc<EventFd>) -> Counted {
        self.0.retain(|server| server.awaited || server.is_open());
        let count = Arc::clone(&self.server(key).count);
        count.fetch_add(1, Ordering::Relaxed);
        Counted { count, close_notify: Arc::clone(close_notify) }
    }

    /// How many there are.
    pub(crate) fn of(&self, key: &RawValue) -> usize {
        let known = self.0.iter().find(|server| *server.key == *key.get());
        known.map_or(0, |server| server.count.load(Ordering::Acquire))
    }

    /// Somebody wants to hear when there are none; one answer is for all who ask for the same server.
    pub(crate) fn await_none(&mut self, key: &RawValue) {
        self.server(key).awaited = true;
    }

    /// The keys of those awaited of which there are none now.
    pub(crate) fn take_closed(&mut self) -> Vec<Box<str>> {
        let closed = self.0.extract_if(.., |server| server.awaited && !server.is_open());
        closed.map(|server| server.key).collect()
    }

    fn server(&mut self, key: &RawValue) -> &mut ServerSockets {
        let known = self.0.iter().position(|server| *server.key == *key.get());
        let at = known.unwrap_or_else(|| {
            self.0.push(ServerSockets { key: key.get().into(), count: Arc::default(), awaited: false });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_that_waits_is_told_once_however_many_there_are_and_however_often_it_asks() {
        let bell = Arc::new(EventFd::new().unwrap());
        let key = |number: usize| RawValue::from_string(format!("\"server {number}\"")).unwrap();
        let mut counts = SocketCounts::default();
        let sockets: Vec<_> = (0..5000).map(|number| counts.add(&key(number), &bell)).collect();
        for number in 0..5000 {
            counts.await_none(&key(number));
            counts.await_none(&key(number));
        }
        assert_eq!((counts.take_closed().len(), counts.of(&key(7))), (0, 1));
        drop(sockets);
        // Who comes later finds those that wait still there.
        let later = counts.add(&key(7), &bell);
        let told = counts.take_closed();
        assert_eq!((told.len(), counts.0.len()), (4999, 1));
        assert!(!told.contains(&key(7).get().into()));
        drop(later);
        assert_eq!(counts.take_closed(), [key(7).get().into()]);
        // One that has none is told at once, and nothing is kept of it.
        counts.await_none(&key(1));
        assert_eq!((counts.take_closed().len(), counts.0.len()), (1, 0));
    }
}
