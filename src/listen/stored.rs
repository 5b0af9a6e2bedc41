//! Listening sockets that a service manager keeps while luster is not there (systemd's FDSTORE): the names they go by, and
//! those that a former luster has left.
//!
//! Invariants: a name tells which place a socket is bound at, which of the place's sockets it is, and which file it has, and is
//! one that systemd takes; a socket is taken only for the very place it is bound at, with the file that its clients find.

use std::fmt::Write as _;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, Shutdown, SockaddrLike, SockaddrStorage, getsockname, getsockopt, shutdown, sockopt,
};
use socket2::SockRef;

use crate::listen::bind_address::{BindAddress, Families, Transport};
use crate::listen::bound_as::{is_bound_as, is_of_kind};
use crate::listen::options::Options;
use crate::listen::socket::address_of;
use crate::listen::socket_file::SocketFile;
use crate::listen::sys;

/// What the name of every socket stored by a luster begins with.
const PREFIX: &str = "luster-listen/";

/// The longest name that systemd takes.
const LONGEST: usize = 255;

/// What stands for the file of a socket that has none.
const NO_FILE: &str = "-";

/// Whether a luster has stored something under this name.
pub fn is_stored_name(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// What the `index`th socket of a place is called: `luster-listen/0/-/tcp *%3a80`. `None` if that would be too long.
pub(crate) fn name_of(place: &BindAddress, index: usize, file: Option<&SocketFile>) -> Option<String> {
    let file = file.map_or_else(|| NO_FILE.to_owned(), SocketFile::to_text);
    let mut name = format!("{PREFIX}{index}/{file}/");
    for byte in place.text().bytes() {
        match byte {
            b':' | b'%' | b'\\' | b'"' | b'\'' | ..=b' ' | 0x7f.. => {
                let _ = write!(name, "%{byte:02x}");
            }
            _ => name.push(char::from(byte)),
        }
    }
    (name.len() <= LONGEST).then_some(name)
}

/// Whether a place's sockets can be kept: those of streams, at an address that clients know, which can be bound again at once
/// when one is given up.
pub(crate) fn can_be_stored(place: &BindAddress) -> bool {
    match place {
        BindAddress::Tcp { port, .. } | BindAddress::TcpAnywhere { port, .. } => *port != 0,
        BindAddress::Path(_) => true,
        // A name is free only when the manager has closed its copy; datagrams do not wait for long anyway.
        BindAddress::Abstract(_) | BindAddress::Udp { .. } | BindAddress::Inherited { .. } => false,
    }
}

/// Has a socket refuse whoever comes from now on, whoever else has it open.
pub(crate) fn refuse_clients(socket: &OwnedFd) {
    // It fails for one that does not listen, which refuses already.
    let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
}

/// A socket that was found at the start.
#[derive(Debug)]
struct StoredSocket {
    name: String,
    index: usize,
    file: Option<SocketFile>,
    socket: OwnedFd,
}

/// What was found of a place: its sockets in their order, and the file that they have.
#[derive(Debug)]
pub(crate) struct FoundListener {
    pub(crate) names: Vec<String>,
    /// The number for the name of a socket to come.
    pub(crate) next: usize,
    pub(crate) sockets: Vec<OwnedFd>,
    pub(crate) file: Option<SocketFile>,
}

/// The sockets that were found at the start and that nobody has asked for yet.
#[derive(Debug, Default)]
pub(crate) struct StoredSockets(Vec<StoredSocket>);

impl StoredSockets {
    /// Takes what was found, and gives the names of what is of no use back.
    pub(crate) fn new(found: Vec<(String, Option<OwnedFd>)>) -> (Self, Vec<String>) {
        let (mut stored, mut useless) = (Self::default(), Vec::new());
        for (name, socket) in found {
            match socket.and_then(|socket| StoredSocket::read(&name, socket)) {
                Some(socket) => stored.0.push(socket),
                None => useless.push(name),
            }
        }
        stored.0.sort_by_key(|socket| socket.index);
        (stored, useless)
    }

    /// Takes the sockets of this place, ready for use in this way.
    pub(crate) fn take(&mut self, place: &BindAddress, options: Options) -> Option<FoundListener> {
        let taken: Vec<_> =
            self.0.extract_if(.., |stored| stored.is_at(place) && stored.prepare(options)).collect();
        let mut found = FoundListener { names: Vec::new(), next: 0, sockets: Vec::new(), file: None };
        for StoredSocket { name, index, file, socket } in taken {
            found.next = index + 1;
            found.names.push(name);
            found.sockets.push(socket);
            found.file = file.or(found.file);
        }
        (!found.sockets.is_empty()).then_some(found)
    }

    /// Takes those that keep a place from being bound, and are not what is wanted there.
    pub(crate) fn take_in_the_way(&mut self, place: &BindAddress) -> Vec<String> {
        self.0.extract_if(.., |stored| stored.occupies(place)).map(StoredSocket::give_up).collect()
    }

    /// Takes all that are left, which nobody wants.
    pub(crate) fn take_all(&mut self) -> Vec<String> {
        self.0.drain(..).map(StoredSocket::give_up).collect()
    }
}

impl StoredSocket {
    fn read(name: &str, socket: OwnedFd) -> Option<Self> {
        let mut parts = name.strip_prefix(PREFIX)?.splitn(3, '/');
        let (index, file) = (parts.next()?.parse().ok()?, parts.next()?);
        let file = match file {
            NO_FILE => None,
            file => Some(SocketFile::from_text(&unescaped(parts.next()?.strip_prefix("unix%20")?)?, file)?),
        };
        Some(Self { name: name.to_owned(), index, file, socket })
    }

    fn is_at(&self, place: &BindAddress) -> bool {
        match place {
            BindAddress::Path(path) => self.is_the_file_at(path),
            BindAddress::Tcp { families, .. } | BindAddress::TcpAnywhere { families, .. } => {
                is_bound_as(&self.socket, place).is_ok() && self.takes(*families)
            }
            BindAddress::Udp { .. } | BindAddress::Abstract(_) | BindAddress::Inherited { .. } => false,
        }
    }

    /// By its file, because a path may have been bound as it is seen from some folder.
    fn is_the_file_at(&self, path: &str) -> bool {
        let is_unix = getsockname::<SockaddrStorage>(self.socket.as_raw_fd())
            .is_ok_and(|address| address.family() == Some(AddressFamily::Unix));
        is_unix
            && is_of_kind(&self.socket, Transport::Stream) == Ok(true)
            && self.file.as_ref().is_some_and(|file| file.is_unchanged_at(path))
    }

    fn takes(&self, families: Families) -> bool {
        match address_of(&self.socket) {
            Some(address) if address.is_ipv6() => {
                getsockopt(&self.socket, sockopt::Ipv6V6Only) == Ok(families == Families::Only6)
            }
            Some(_) | None => true,
        }
    }

    /// Makes it what a new one would be.
    fn prepare(&self, options: Options) -> bool {
        let access = self.file.as_ref().map_or(Ok(()), |file| file.give_access(options.access, options.mode));
        access.is_ok()
            && SockRef::from(&self.socket).set_nonblocking(true).is_ok()
            && sys::listen(self.socket.as_fd(), options.backlog).is_ok()
    }

    fn occupies(&self, place: &BindAddress) -> bool {
        match place {
            BindAddress::Tcp { port, .. } | BindAddress::TcpAnywhere { port, .. } => {
                address_of(&self.socket).is_some_and(|address| address.port() == *port)
            }
            BindAddress::Path(path) => self.is_the_file_at(path),
            BindAddress::Udp { .. } | BindAddress::Abstract(_) | BindAddress::Inherited { .. } => false,
        }
    }

    /// Closes it for good.
    fn give_up(self) -> String {
        refuse_clients(&self.socket);
        if let Some(file) = self.file.filter(SocketFile::is_unchanged) {
            file.remove();
        }
        self.name
    }
}

/// What was written with `%` and two digits.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        if *first == b'%' {
            let (digits, behind) = behind.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?);
            rest = behind;
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    String::from_utf8(bytes).ok()
}
