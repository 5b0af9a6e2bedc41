//! Where to listen, as a value: equal places can share a socket.
//!
//! Invariant: a place is complete and plausible; what no socket could be bound to never becomes one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::RawFd;

/// Something to bind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BindAddress {
    /// TCP on one address.
    Tcp { host: Host, port: u16, families: Families },
    /// TCP with no host given: both families if there is IPv6.
    TcpAnywhere { port: u16, families: Families },
    /// UDP, whose host the worker always names.
    Udp { host: Host, port: u16, families: Families },
    /// A unix socket, by its absolute path.
    Path(String),
    /// A unix socket with a name and no file.
    Abstract(String),
    /// A socket luster was started with, by its number.
    Inherited { number: RawFd, transport: Transport },
}

/// Where a socket is bound, to find out whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Site {
    /// TCP; without an address on all of them.
    Tcp {
        /// The address.
        ip: Option<IpAddr>,
        /// The port.
        port: u16,
    },
    /// UDP.
    Udp {
        /// The address.
        ip: IpAddr,
        /// The port.
        port: u16,
    },
    /// A unix socket's file.
    Path(String),
    /// A unix socket's name.
    Name(String),
}

/// What kind of socket is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Transport {
    Stream,
    Datagram,
}

/// An address; link-local ones name their interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Host {
    pub(crate) ip: IpAddr,
    pub(crate) scope: u32,
}

/// Whether an IPv6 socket takes IPv4 too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Families {
    Both,
    Only6,
}

impl BindAddress {
    /// The port asked for; `None` where there are no ports.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp { port, .. } | Self::TcpAnywhere { port, .. } | Self::Udp { port, .. } => Some(*port),
            Self::Path(_) | Self::Abstract(_) | Self::Inherited { .. } => None,
        }
    }

    /// Where somebody else may be found who has it.
    pub(crate) fn site(&self) -> Option<Site> {
        match self {
            Self::Tcp { host, port, .. } => Some(Site::Tcp { ip: Some(host.ip), port: *port }),
            Self::TcpAnywhere { port, .. } => Some(Site::Tcp { ip: None, port: *port }),
            Self::Udp { host, port, .. } => Some(Site::Udp { ip: host.ip, port: *port }),
            Self::Path(path) => Some(Site::Path(path.clone())),
            Self::Abstract(name) => Some(Site::Name(name.clone())),
            Self::Inherited { .. } => None,
        }
    }

    /// What users see.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Tcp { host, port, families } => {
                format!("tcp {}{}", address(*host, *port), note(*families))
            }
            Self::TcpAnywhere { port, families } => format!("tcp *:{port}{}", note(*families)),
            Self::Udp { host, port, families } if *host == Host::ANY4 => {
                format!("udp *:{port}{}", note(*families))
            }
            Self::Udp { host, port, families } => {
                format!("udp {}{}", address(*host, *port), note(*families))
            }
            Self::Path(path) => format!("unix {path}"),
            Self::Abstract(name) => format!("unix @{name}"),
            Self::Inherited { number, .. } => format!("fd {number}"),
        }
    }
}

impl Host {
    /// The socket address of `port` on this host.
    pub(crate) fn at(self, port: u16) -> SocketAddr {
        match self.ip {
            IpAddr::V4(ip) => SocketAddr::V4(SocketAddrV4::new(ip, port)),
            IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, self.scope)),
        }
    }

    /// All IPv6 addresses.
    pub(crate) const ANY6: Self = Self { ip: IpAddr::V6(Ipv6Addr::UNSPECIFIED), scope: 0 };
    /// All IPv4 addresses.
    pub(crate) const ANY4: Self = Self { ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), scope: 0 };
}

fn address(host: Host, port: u16) -> String {
    match host.ip {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) if host.scope == 0 => format!("[{ip}]:{port}"),
        IpAddr::V6(ip) => format!("[{ip}%{}]:{port}", host.scope),
    }
}

fn note(families: Families) -> &'static str {
    match families {
        Families::Both => "",
        Families::Only6 => " (IPv6 only)",
    }
}
