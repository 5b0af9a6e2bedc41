//! Opens the sockets workers listen on, by the rules Node's primary has.
//!
//! Invariant: every socket is in the listening state when it leaves this file, so that connections wait instead of being
//! refused while no worker has it.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, UnixAddr, setsockopt, sockopt,
};

use crate::listen::bind_address::{BindAddress, Families, Host};
use crate::listen::options::{Options, Reuse};
use crate::listen::socket::{BoundSocket, address_of, bind_socket, new_socket};
use crate::listen::{sys, unix_path};

/// Whether a TCP port is bound once, or once per slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    Alone,
    Group,
}

/// Binds, and listens where that has a meaning.
pub(crate) fn open(place: &BindAddress, options: Options, sharing: Sharing) -> Result<BoundSocket, Errno> {
    match place {
        BindAddress::Tcp { host, port, families } => {
            tcp(host.at(*port), *families, options, sharing).map(BoundSocket::without_file)
        }
        BindAddress::TcpAnywhere { port, families } => {
            tcp_anywhere(*port, *families, options, sharing).map(BoundSocket::without_file)
        }
        BindAddress::Udp { host, port, families } => {
            udp(host.at(*port), *families, options.reuse).map(BoundSocket::without_file)
        }
        BindAddress::Path(path) => unix_path::open(path, options),
        BindAddress::Abstract(name) => abstract_name(name, options),
        // It is bound already.
        BindAddress::Inherited { .. } => Err(Errno::EINVAL),
    }
}

/// One more socket of a reuseport group, where its first one is.
pub(crate) fn open_beside(first: &OwnedFd, place: &BindAddress, options: Options) -> Result<OwnedFd, Errno> {
    let families = match place {
        BindAddress::Tcp { families, .. }
        | BindAddress::TcpAnywhere { families, .. }
        | BindAddress::Udp { families, .. } => *families,
        BindAddress::Path(_) | BindAddress::Abstract(_) | BindAddress::Inherited { .. } => Families::Both,
    };
    let address = address_of(first).ok_or(Errno::EINVAL)?;
    tcp(address, families, options, Sharing::Group)
}

fn tcp_anywhere(port: u16, families: Families, options: Options, sharing: Sharing) -> Result<OwnedFd, Errno> {
    match tcp(Host::ANY6.at(port), families, options, sharing) {
        // Somebody has the port: falling back to IPv4 would give this worker half of what it asked for.
        Err(Errno::EADDRINUSE) => Err(Errno::EADDRINUSE),
        // No IPv6 here.
        Err(_) => tcp(Host::ANY4.at(port), Families::Both, options, sharing),
        Ok(socket) => Ok(socket),
    }
}

fn tcp(
    address: SocketAddr,
    families: Families,
    options: Options,
    sharing: Sharing,
) -> Result<OwnedFd, Errno> {
    let socket = new_socket(family_of(address), SockType::Stream)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    match sharing {
        Sharing::Alone => {}
        Sharing::Group => setsockopt(&socket, sockopt::ReusePort, &true)?,
    }
    bind_to(&socket, address, families)?;
    sys::listen(socket.as_fd(), options.backlog)?;
    Ok(socket)
}

fn udp(address: SocketAddr, families: Families, reuse: Reuse) -> Result<OwnedFd, Errno> {
    let socket = new_socket(family_of(address), SockType::Datagram)?;
    match reuse {
        Reuse::No => {}
        Reuse::Address => setsockopt(&socket, sockopt::ReuseAddr, &true)?,
    }
    bind_to(&socket, address, families)?;
    Ok(socket)
}

fn bind_to(socket: &OwnedFd, address: SocketAddr, families: Families) -> Result<(), Errno> {
    if address.is_ipv6() {
        // Always said, because the system's default may be either.
        setsockopt(socket, sockopt::Ipv6V6Only, &(families == Families::Only6))?;
    }
    bind_socket(socket, &*exact(address))
}

/// An address that is as long as its family's are. The kernel takes longer ones too, but who stands before it may not:
/// `authbind` refuses whatever is not exactly as long as it should be.
fn exact(address: SocketAddr) -> Box<dyn SockaddrLike> {
    match address {
        SocketAddr::V4(v4) => Box::new(SockaddrIn::from(v4)),
        SocketAddr::V6(v6) => Box::new(SockaddrIn6::from(v6)),
    }
}

fn family_of(address: SocketAddr) -> AddressFamily {
    if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet }
}

/// Node 20 binds and connects to a name padded with NULs to the full length, Node 22 and everybody else to the bare
/// one. Which of them its clients are a listener cannot know, so it has both.
fn abstract_name(name: &str, options: Options) -> Result<BoundSocket, Errno> {
    let listener = |name: &[u8]| {
        let socket = new_socket(AddressFamily::Unix, SockType::Stream)?;
        bind_socket(&socket, &UnixAddr::new_abstract(name)?)?;
        sys::listen(socket.as_fd(), options.backlog)?;
        Ok(socket)
    };
    let socket = listener(name.as_bytes())?;
    let mut padded = name.as_bytes().to_vec();
    padded.resize(ABSTRACT_NAME.max(padded.len()), 0);
    let alias = if padded.len() > name.len() { Some(listener(&padded)?) } else { None };
    Ok(BoundSocket { socket, file: None, alias })
}

/// The bytes of a unix address after the leading NUL.
const ABSTRACT_NAME: usize = 107;

#[cfg(test)]
mod tests {
    use nix::libc;

    use super::*;

    #[test]
    fn addresses_are_exactly_as_long_as_their_family_says() {
        let length = |text: &str| exact(text.parse().unwrap()).len() as usize;
        assert_eq!(length("127.0.0.1:80"), size_of::<libc::sockaddr_in>());
        assert_eq!(length("[::]:80"), size_of::<libc::sockaddr_in6>());
    }
}
