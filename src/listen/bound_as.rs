//! Whether a socket that was bound by somebody else - a worker that may do what luster may not, a starter such as systemd - is
//! bound where somebody wants to listen.
//!
//! Invariant: what is not exactly what is wanted is refused: it would be shared by all workers.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{SockType, UnixAddr, getsockname, getsockopt, sockopt};

use crate::listen::bind_address::{BindAddress, Host, Transport};
use crate::listen::socket::address_of;

/// Whether a socket that somebody else has bound is what is wanted there, and of which kind.
pub(crate) fn is_bound_as(socket: &OwnedFd, place: &BindAddress) -> Result<Transport, Errno> {
    let (transport, wanted, wanted_port) = match place {
        BindAddress::Tcp { host, port, .. } => (Transport::Stream, Some(*host), *port),
        BindAddress::TcpAnywhere { port, .. } => (Transport::Stream, None, *port),
        BindAddress::Udp { host, port, .. } => (Transport::Datagram, Some(*host), *port),
        BindAddress::Path(path) => return is_unix_at(socket, &UnixAddr::new(path.as_str())?),
        BindAddress::Abstract(name) => return is_unix_at(socket, &UnixAddr::new_abstract(name.as_bytes())?),
        BindAddress::Inherited { .. } => return Err(Errno::EINVAL),
    };
    let bound = address_of(socket).ok_or(Errno::EINVAL)?;
    match transport {
        _ if !is_of_kind(socket, transport)? => Err(Errno::EINVAL),
        // libuv tells later that an address is in use.
        Transport::Stream if bound.port() == 0 => Err(Errno::EADDRINUSE),
        Transport::Stream | Transport::Datagram if bound.port() == wanted_port && fits(wanted, bound) => {
            Ok(transport)
        }
        Transport::Stream | Transport::Datagram => Err(Errno::EINVAL),
    }
}

/// Whether it is a stream socket, or one for datagrams, as is wanted.
pub(super) fn is_of_kind(socket: &OwnedFd, transport: Transport) -> Result<bool, Errno> {
    let wanted = match transport {
        Transport::Stream => SockType::Stream,
        Transport::Datagram => SockType::Datagram,
    };
    Ok(getsockopt(socket, sockopt::SockType)? == wanted)
}

fn fits(wanted: Option<Host>, bound: SocketAddr) -> bool {
    match wanted {
        // The kernel forgets a zone that the address does not need.
        Some(Host { ip, scope }) => bound.ip() == ip && [0, scope].contains(&scope_of(bound)),
        None => bound.ip().is_unspecified(),
    }
}

fn scope_of(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    }
}

fn is_unix_at(socket: &OwnedFd, wanted: &UnixAddr) -> Result<Transport, Errno> {
    let bound: UnixAddr = getsockname(socket.as_raw_fd())?;
    let is_stream = is_of_kind(socket, Transport::Stream)?;
    if is_stream && bound == *wanted { Ok(Transport::Stream) } else { Err(Errno::EINVAL) }
}
