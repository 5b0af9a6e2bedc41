//! Whose socket it is that keeps a worker from listening: what /proc says of it.
//!
//! It may take long where there are many connections and processes, so it is asked on a thread of its own. Invariant: what
//! is read is bounded, and of what cannot be read nothing is said.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Of a table no more is read.
const MOST_BYTES: u64 = 64 << 20;
/// Processes are looked through for so long at most.
const LIMIT: Duration = Duration::from_secs(2);

/// Where the socket is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// TCP; without an address on all of them.
    Tcp(Option<IpAddr>, u16),
    /// UDP.
    Udp(IpAddr, u16),
    /// A unix socket's file.
    Path(String),
    /// A unix socket's name.
    Name(String),
}

/// Who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A process.
    Process {
        /// Its number.
        pid: i32,
        /// Its name.
        name: String,
        /// What it does there.
        state: State,
    },
    /// A process that we may not look into, of this user.
    Hidden {
        /// The user's number.
        uid: u32,
    },
    /// There is a file where the socket should be, and it is no socket.
    NoSocket,
}

/// What a socket is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It listens, or takes datagrams.
    Listening,
    /// It is one end of a connection.
    Connected,
}

/// A socket in one of the kernel's tables.
struct Entry {
    inode: u64,
    uid: Option<u32>,
    state: State,
    /// Where it was bound to a path that its process's working directory begins: the socket's file.
    relative: Option<RelativePath>,
}

/// Such a path, and the file that it has to lead to.
struct RelativePath {
    path: PathBuf,
    file: FileId,
}

/// Device and inode of a file.
type FileId = (u64, u64);

/// Finds out who has a place. Slow.
#[must_use]
pub fn owner_of(bound: &Bound) -> Option<Owner> {
    let mut entries = match bound {
        Bound::Tcp(ip, port) => internet(["tcp", "tcp6"], *ip, *port),
        Bound::Udp(ip, port) => internet(["udp", "udp6"], Some(*ip), *port),
        Bound::Path(path) => unix_path(Path::new(path)),
        Bound::Name(name) => unix_name(&format!("@{name}")),
    };
    // Whoever listens is who is in the way; a connection is only where nobody does.
    entries.sort_by_key(|entry| entry.state == State::Connected);
    let owner = entries.iter().find_map(|entry| {
        let (pid, name) = process_with(entry.inode)?;
        if let Some(RelativePath { path, file }) = &entry.relative
            && file_id(&Path::new("/proc").join(pid.to_string()).join("cwd").join(path)) != Some(*file)
        {
            return None;
        }
        Some(Owner::Process { pid, name, state: entry.state })
    });
    let hidden = || entries.first()?.uid.map(|uid| Owner::Hidden { uid });
    owner.or_else(hidden).or_else(|| match bound {
        Bound::Path(path) => {
            let is_socket = std::fs::symlink_metadata(path).ok()?.file_type().is_socket();
            (!is_socket).then_some(Owner::NoSocket)
        }
        Bound::Tcp(..) | Bound::Udp(..) | Bound::Name(_) => None,
    })
}

fn lines_of(table: &str) -> impl Iterator<Item = String> {
    let file = File::open(format!("/proc/net/{table}")).ok();
    // The first line names the columns.
    file.into_iter()
        .flat_map(|file| BufReader::new(file.take(MOST_BYTES)).lines().map_while(Result::ok).skip(1))
}

fn internet(tables: [&str; 2], ip: Option<IpAddr>, port: u16) -> Vec<Entry> {
    let entry = |line: String| {
        let mut columns = line.split_ascii_whitespace();
        let (address, state) = (columns.nth(1)?, columns.nth(1)?);
        let (bound, theirs) = address.rsplit_once(':')?;
        if u16::from_str_radix(theirs, 16).ok()? != port || !overlap(ip, address_in(bound)?) {
            return None;
        }
        // TCP_LISTEN; and a datagram socket that is not connected.
        let state = if matches!(state, "0A" | "07") { State::Listening } else { State::Connected };
        let uid = columns.nth(3)?.parse().ok();
        let inode = columns.nth(1)?.parse().ok().filter(|inode| *inode != 0)?;
        Some(Entry { inode, uid, state, relative: None })
    };
    tables.into_iter().flat_map(|table| lines_of(table).filter_map(entry)).collect()
}

/// The kernel writes addresses as words in its own byte order.
fn address_in(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    if hex.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let mut bytes = [0; 16];
    for (index, part) in bytes.chunks_mut(4).enumerate() {
        part.copy_from_slice(&word(index * 8)?);
    }
    Some(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
}

fn overlap(wanted: Option<IpAddr>, theirs: IpAddr) -> bool {
    wanted.is_none_or(|ip| ip.is_unspecified() || theirs.is_unspecified() || ip.to_canonical() == theirs)
}

/// Sockets bound to this file, by whatever path: luster and Node take the shorter one from their working directory.
fn unix_path(path: &Path) -> Vec<Entry> {
    let (Some(file), Some(name)) = (file_id(path), path.file_name()) else { return Vec::new() };
    let entry = |line: String| {
        let (inode, state, bound) = unix_columns(&line)?;
        let bound = PathBuf::from(bound);
        if bound.file_name() != Some(name) {
            return None;
        }
        let relative = bound.is_relative().then(|| RelativePath { path: bound.clone(), file });
        let is_ours = relative.is_some() || file_id(&bound) == Some(file);
        is_ours.then_some(Entry { inode, uid: None, state, relative })
    };
    lines_of("unix").filter_map(entry).collect()
}

fn unix_name(name: &str) -> Vec<Entry> {
    let entry = |line: String| {
        let (inode, state, bound) = unix_columns(&line)?;
        (bound == name).then_some(Entry { inode, uid: None, state, relative: None })
    };
    lines_of("unix").filter_map(entry).collect()
}

/// Inode, state and address, which may have spaces; accepted connections have the address of their listener.
fn unix_columns(line: &str) -> Option<(u64, State, &str)> {
    let mut rest = line;
    let mut next = || {
        let (column, tail) = rest.trim_start().split_once(' ')?;
        rest = tail;
        Some(column)
    };
    let flags = (0..4).filter_map(|_| next()).last()?;
    let inode = (0..3).filter_map(|_| next()).last()?.parse().ok()?;
    // __SO_ACCEPTCON.
    let state = if flags == "00010000" { State::Listening } else { State::Connected };
    Some((inode, state, rest))
}

fn file_id(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// The process that has the socket with this inode, and its name.
fn process_with(inode: u64) -> Option<(i32, String)> {
    let deadline = Instant::now() + LIMIT;
    let socket = format!("socket:[{inode}]");
    let numbers = std::fs::read_dir("/proc").ok()?;
    let mut pids = numbers.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let pid = pids.by_ref().take_while(|_| Instant::now() < deadline).find(|pid| {
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"));
        descriptors.into_iter().flatten().any(|entry| {
            let target = entry.ok().and_then(|entry| std::fs::read_link(entry.path()).ok());
            target.is_some_and(|target| target.as_os_str() == socket.as_str())
        })
    })?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some((pid, name.trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    fn ours(state: State) -> Option<Owner> {
        let name = std::fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned();
        Some(Owner::Process { pid: std::process::id().cast_signed(), name, state })
    }

    #[test]
    fn whoever_listens_is_found_by_any_address_that_overlaps() {
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = v4.local_addr().unwrap().port();
        let owner = |ip: &str| owner_of(&Bound::Tcp(Some(ip.parse().unwrap()), port));
        for overlapping in ["127.0.0.1", "0.0.0.0", "::"] {
            assert_eq!(owner(overlapping), ours(State::Listening), "{overlapping}");
        }
        assert_eq!(owner("127.0.0.2"), None);
        assert_eq!(owner_of(&Bound::Tcp(None, port)), ours(State::Listening));
        let v6 = TcpListener::bind("[::]:0").unwrap();
        let port = v6.local_addr().unwrap().port();
        assert_eq!(owner_of(&Bound::Tcp(Some("127.0.0.1".parse().unwrap()), port)), ours(State::Listening));
    }

    #[test]
    fn the_port_of_a_connection_is_its_owners() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let port = client.local_addr().unwrap().port();
        assert_eq!(owner_of(&Bound::Tcp(None, port)), ours(State::Connected));
    }

    #[test]
    fn datagrams_paths_and_names_have_owners() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = udp.local_addr().unwrap();
        assert_eq!(owner_of(&Bound::Udp(address.ip(), address.port())), ours(State::Listening));
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let _listener = UnixListener::bind(path("socket")).unwrap();
        std::fs::write(path("file"), "").unwrap();
        assert_eq!(owner_of(&Bound::Path(path("socket"))), ours(State::Listening));
        assert_eq!(owner_of(&Bound::Path(path("file"))), Some(Owner::NoSocket));
        assert_eq!(owner_of(&Bound::Path(path("nothing"))), None);
    }

    #[test]
    fn the_file_of_a_socket_is_known_by_every_path_that_leads_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("the real");
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, folder.path().join("link")).unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let listener = UnixListener::bind(path("link/a socket")).unwrap();
        // Whoever accepts a connection has a socket of this name, too.
        let _client = UnixStream::connect(path("link/a socket")).unwrap();
        let _accepted = listener.accept().unwrap();
        for way in ["link/a socket", "the real/a socket", "link/../link/a socket"] {
            assert_eq!(owner_of(&Bound::Path(path(way))), ours(State::Listening), "{way}");
        }
    }
}
