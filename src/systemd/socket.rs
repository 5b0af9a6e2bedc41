//! The notify socket: datagrams of `KEY=VALUE` lines to where `NOTIFY_SOCKET` says.
//!
//! Invariant: sending never waits.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

/// A socket that speaks to the service manager.
#[derive(Debug)]
pub(super) struct NotifySocket {
    socket: UnixDatagram,
    manager: SocketAddr,
}

impl NotifySocket {
    /// Speaks to this address: a path, or `@` and a name without a file.
    pub(super) fn new(address: &str) -> io::Result<Self> {
        let manager = match address.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None if address.starts_with('/') => SocketAddr::from_pathname(address)?,
            None => return Err(io::Error::other("only a path, or @ and a name, can be notified")),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, manager })
    }

    /// Sends one datagram, or fails at once.
    pub(super) fn send(&self, text: &str) -> io::Result<()> {
        self.socket.send_to_addr(text.as_bytes(), &self.manager).map(drop)
    }

    /// The same with a descriptor, of which the manager gets one of its own.
    pub(super) fn send_with(&self, text: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let address = match (self.manager.as_pathname(), self.manager.as_abstract_name()) {
            (Some(path), _) => UnixAddr::new(path)?,
            (None, name) => UnixAddr::new_abstract(name.unwrap_or_default())?,
        };
        let descriptors = [descriptor.as_raw_fd()];
        let control = [ControlMessage::ScmRights(&descriptors)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let parts = [IoSlice::new(text.as_bytes())];
        sendmsg(self.socket.as_raw_fd(), &parts, &control, flags, Some(&address))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_address_are_sent_to_and_others_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let name = format!("luster-{}", std::process::id());
        let of_name = SocketAddr::from_abstract_name(&name).expect("short");
        for (manager, address) in [
            (UnixDatagram::bind(&path).expect("bound"), path.display().to_string()),
            (UnixDatagram::bind_addr(&of_name).expect("bound"), format!("@{name}")),
        ] {
            NotifySocket::new(&address).and_then(|socket| socket.send("READY=1")).expect("sent");
            let mut buffer = [0; 32];
            let length = manager.recv(&mut buffer).expect("received");
            assert_eq!(&buffer[..length], b"READY=1");
        }
        assert!(NotifySocket::new("vsock:2:1234").is_err());
        assert!(NotifySocket::new("/nowhere").and_then(|socket| socket.send("x")).is_err());
    }

    #[test]
    fn a_manager_that_does_not_read_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let _deaf = UnixDatagram::bind(&path).expect("bound");
        let socket = NotifySocket::new(&path.display().to_string()).expect("a socket");
        let refused = (0..100_000).find_map(|_| socket.send("STATUS=x").err()).expect("its queue is bounded");
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    }
}
