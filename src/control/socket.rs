//! Makes the control socket: a place for it that nobody else can tamper with, and in place of a dead master's.
//!
//! Invariants: a file is removed only if it is a socket nobody answers on, or the very one we made; a socket is listened on
//! only once it has its permissions, those of its user or a group; a folder that others could write to is not used.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, socket, sockopt,
};
use nix::unistd::Uid;
use thiserror::Error;

use super::place::{Folder, Identity, Owner, Surroundings, parse_file_name};

/// The longest path a unix socket can have, in bytes.
const LONGEST_PATH: usize = 107;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 128;

/// How long another master that makes its socket in the same folder is waited for. It takes less than a millisecond.
const LOCK_PATIENCE: Duration = Duration::from_millis(200);

/// Where a socket is wanted, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What it is called by, unless its path is given.
    pub identity: Identity,
    /// Where.
    pub place: Place,
    /// The group whose users may connect, too (`control.group`).
    pub group: Option<u32>,
}

/// Where a socket is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At this path (`control.socket`), and a link to it in the first of these folders that can be used.
    Given(PathBuf, Vec<Folder>),
    /// In the first of these folders that can be used.
    Found(Vec<Folder>),
}

/// Why there is no socket.
#[derive(Debug, Error)]
pub enum SocketError {
    /// The path is too long.
    #[error(
        "{} is {} bytes long, and a unix socket's path has at most {LONGEST_PATH}; set control.socket to a shorter one",
        .0.display(), .0.as_os_str().len()
    )]
    TooLong(PathBuf),
    /// Somebody else's folder.
    #[error("{} belongs to another user (uid {}); remove it, or set control.socket", .0.display(), .1)]
    Foreign(PathBuf, u32),
    /// Something else is where the folder is to be.
    #[error("{} is not a folder; remove it, or set control.socket", .0.display())]
    NotAFolder(PathBuf),
    /// Others could put another socket there.
    #[error("other users can write to {}; forbid it, or set control.socket to another place", .0.display())]
    Unsafe(PathBuf),
    /// The folder cannot be made or looked at.
    #[error("the folder {} cannot be used: {}", .0.display(), .1)]
    Folder(PathBuf, io::Error),
    /// There is a file that is no socket.
    #[error("{} is there already and is not a socket; set control.socket to another path", .0.display())]
    NotASocket(PathBuf),
    /// Another process has it.
    #[error("{} is the socket of another process (pid {}); set control.socket to another path", .0.display(), .1)]
    Taken(PathBuf, i32),
    /// The group cannot be given to it.
    #[error("{} cannot be given to the group {} of control.group: {}", .0.display(), .1, .2)]
    Group(PathBuf, u32, io::Error),
    /// The group cannot be given to any file of ours.
    #[error("the control socket cannot be given to the group {0} of control.group: {1}")]
    NoGroup(u32, io::Error),
    /// The kernel refuses.
    #[error("{} cannot be made: {}", .0.display(), .1)]
    Bind(PathBuf, Errno),
    /// There is nobody to serve it.
    #[error("the thread for it cannot be started: {0}")]
    Thread(io::Error),
    /// None of the folders will do.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Nowhere(Vec<Self>),
}

/// A socket that is listened on, and its file.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    device: u64,
    inode: u64,
    /// Another master that has the name we were to have: its process number.
    pub first: Option<i32>,
    /// The name it is to have when our earlier socket, or a link to that, has it no more.
    pub(super) next_path: Option<PathBuf>,
}

impl Place {
    /// Where sockets are by themselves.
    #[must_use]
    pub fn by_environment() -> Self {
        Self::Found(Surroundings::now().folders())
    }
}

impl Socket {
    /// Makes it.
    ///
    /// # Errors
    /// It cannot be made anywhere it may be.
    pub fn make(wanted: &Wanted) -> Result<Self, SocketError> {
        match &wanted.place {
            Place::Given(path, _) => at(path, &beside(path), wanted.group),
            Place::Found(folders) => {
                let mut errors = Vec::new();
                for folder in folders {
                    match in_folder(folder, &wanted.identity, wanted.group) {
                        Ok(socket) => return Ok(socket),
                        Err(error) => errors.push(error),
                    }
                }
                match (errors.pop(), errors.is_empty()) {
                    (Some(error), true) => Err(error),
                    (last, _) => Err(SocketError::Nowhere(errors.into_iter().chain(last).collect())),
                }
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same socket for a thread to accept from.
    pub(super) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }

    /// Whether this path leads to it, and no link does.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let is_ours = |found: &fs::Metadata| found.dev() == self.device && found.ino() == self.inode;
        fs::symlink_metadata(path).is_ok_and(|found| is_ours(&found))
    }

    /// Gives it to another group, where it is.
    pub(super) fn set_group(&self, wanted: &Wanted) -> Result<(), SocketError> {
        if !self.is_at(&self.path) {
            return Err(SocketError::Bind(self.path.clone(), Errno::ENOENT));
        }
        if let Place::Found(folders) = &wanted.place
            && let Some(folder) = folders.iter().find(|folder| Some(&*folder.path) == self.path.parent())
        {
            prepare(folder, wanted.group)?;
        }
        give_access(&self.path, wanted.group)
    }

    /// Takes the name it is to have, which nobody needs any more. Without it, it stays where it is.
    pub(super) fn take_next_path(&mut self) {
        if let Some(next) = self.next_path.take()
            && self.is_at(&self.path)
            && fs::rename(&self.path, &next).is_ok()
        {
            self.path = next;
        }
    }

    /// Takes the file away, unless somebody has put another in its place.
    pub(super) fn remove(&self) {
        if self.is_at(&self.path) {
            // Nothing more can be done about it; the next master takes it for a dead one's.
            drop(fs::remove_file(&self.path));
        }
    }
}

fn in_folder(folder: &Folder, identity: &Identity, group: Option<u32>) -> Result<Socket, SocketError> {
    prepare(folder, group)?;
    let first = folder.path.join(identity.file_name());
    remove_dead_link(&first);
    let second = folder.path.join(identity.second_file_name(std::process::id()));
    let socket = at(&first, &second, group)?;
    sweep(&folder.path, identity);
    Ok(socket)
}

/// Makes sure that the folder is there, and what it is to be.
pub(super) fn prepare(Folder { path, owner }: &Folder, group: Option<u32>) -> Result<(), SocketError> {
    let failed = |error: io::Error| SocketError::Folder(path.clone(), error);
    // The workers' script may be there, too, and some run as other users.
    match DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    // Not what a link leads to: whoever made it could make it lead elsewhere.
    let found = fs::symlink_metadata(path).map_err(failed)?;
    let (uid, mode) = (Uid::effective().as_raw(), found.mode());
    let is_ours = match owner {
        Owner::Ours => found.uid() == uid,
        Owner::ServiceManager => found.uid() == uid || found.uid() == 0,
    };
    if !found.is_dir() {
        return Err(SocketError::NotAFolder(path.clone()));
    } else if !is_ours {
        return Err(SocketError::Foreign(path.clone(), found.uid()));
    } else if mode & 0o022 != 0 {
        return Err(SocketError::Unsafe(path.clone()));
    }
    match (owner, group) {
        // Those of the group have to get through to their socket.
        (Owner::Ours, Some(_)) if mode & 0o011 != 0o011 => {
            fs::set_permissions(path, Permissions::from_mode(mode & 0o777 | 0o011)).map_err(failed)
        }
        (Owner::Ours | Owner::ServiceManager, _) => Ok(()),
    }
}

/// Makes the socket at this path, or, if another master has that, at the second.
fn at(path: &Path, second: &Path, group: Option<u32>) -> Result<Socket, SocketError> {
    for path in [path, second] {
        if path.as_os_str().len() > LONGEST_PATH {
            return Err(SocketError::TooLong(path.to_owned()));
        }
    }
    // Two that find the same dead socket at once would else take each other's away.
    let _lock = path.parent().and_then(lock);
    match take(path, group)? {
        Ok(socket) => Ok(socket),
        Err(first) if u32::try_from(first) == Ok(std::process::id()) => match take(second, group)? {
            Ok(socket) => Ok(Socket { next_path: Some(path.to_owned()), ..socket }),
            Err(_) => Err(SocketError::Bind(second.to_owned(), Errno::EADDRINUSE)),
        },
        Err(first) => match take(second, group)? {
            Ok(socket) => Ok(Socket { first: Some(first), ..socket }),
            Err(_) => Err(SocketError::Bind(second.to_owned(), Errno::EADDRINUSE)),
        },
    }
}

/// Makes it, in place of a dead one; or the process number of who has it.
fn take(path: &Path, group: Option<u32>) -> Result<Result<Socket, i32>, SocketError> {
    let failed = |errno: Errno| SocketError::Bind(path.to_owned(), errno);
    match make(path, group) {
        Err(SocketError::Bind(_, Errno::EADDRINUSE)) => {}
        made => return made.map(Ok),
    }
    let found = fs::symlink_metadata(path).map_err(|error| failed(errno_of(&error)))?;
    // A link to the socket of a master whose `control.socket` is elsewhere.
    let is_link = found.file_type().is_symlink();
    if !found.file_type().is_socket() && !is_link {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    match probe(path) {
        Ok(pid) => Ok(Err(pid)),
        Err(_) if is_link => Err(SocketError::NotASocket(path.to_owned())),
        Err(Errno::ECONNREFUSED) => {
            fs::remove_file(path).map_err(|error| failed(errno_of(&error)))?;
            make(path, group).map(Ok)
        }
        Err(errno) => Err(failed(errno)),
    }
}

fn make(path: &Path, group: Option<u32>) -> Result<Socket, SocketError> {
    let failed = |errno: Errno| SocketError::Bind(path.to_owned(), errno);
    let bound = new_socket().map_err(failed)?;
    let address = UnixAddr::new(path).map_err(failed)?;
    bind(bound.as_raw_fd(), &address).map_err(failed)?;
    let found = fs::symlink_metadata(path).map_err(|error| failed(errno_of(&error)))?;
    let made = Socket {
        listener: UnixListener::from(bound),
        path: path.to_owned(),
        device: found.dev(),
        inode: found.ino(),
        first: None,
        next_path: None,
    };
    let open = || {
        give_access(path, group)?;
        listen(&made.listener, Backlog::new(BACKLOG).map_err(failed)?).map_err(failed)
    };
    match open() {
        Ok(()) => Ok(made),
        Err(error) => {
            made.remove();
            Err(error)
        }
    }
}

/// Opens it for its user, and for this group.
fn give_access(path: &Path, group: Option<u32>) -> Result<(), SocketError> {
    if let Some(group) = group {
        let refused = |error| SocketError::Group(path.to_owned(), group, error);
        lchown(path, None, Some(group)).map_err(refused)?;
    }
    let mode = if group.is_some() { 0o660 } else { 0o600 };
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|error| SocketError::Bind(path.to_owned(), errno_of(&error)))
}

/// The process that listens there.
fn probe(path: &Path) -> Result<i32, Errno> {
    let socket = new_socket()?;
    match connect(socket.as_raw_fd(), &UnixAddr::new(path)?) {
        Ok(()) => Ok(getsockopt(&socket, sockopt::PeerCredentials)?.pid()),
        // So many wait that nobody else can: somebody is there, or hangs.
        Err(Errno::EAGAIN) => Ok(0),
        Err(errno) => Err(errno),
    }
}

fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

/// The path a second master has beside this one.
fn beside(path: &Path) -> PathBuf {
    let pid = std::process::id();
    let mut name = OsString::from(path.file_stem().unwrap_or_default());
    name.push(format!(".{pid}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Takes away what second masters of this identity have left that were killed.
fn sweep(folder: &Path, identity: &Identity) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_second = matches!(parse_file_name(&entry.file_name()), Some((of, Some(_))) if of == *identity);
        let path = entry.path();
        if is_second
            && path.as_os_str().as_bytes().len() <= LONGEST_PATH
            && probe(&path) == Err(Errno::ECONNREFUSED)
        {
            drop(fs::remove_file(&path));
        }
        if is_second {
            remove_dead_link(&path);
        }
    }
}

/// Takes away a link that leads to nobody.
pub(super) fn remove_dead_link(path: &Path) {
    let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_symlink());
    if is_link && matches!(probe(path), Err(Errno::ECONNREFUSED | Errno::ENOENT)) {
        drop(fs::remove_file(path));
    }
}

/// Locks a folder against other masters. Whoever may read it can hold that for ever, so it is not insisted on.
pub(super) fn lock(folder: &Path) -> Option<Flock<File>> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    let mut file = File::open(folder).ok()?;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Some(lock),
            Err((back, Errno::EAGAIN)) if Instant::now() < deadline => file = back,
            Err(_) => return None,
        }
        std::thread::sleep(Duration::from_millis(2)); // nothing tells of a lock's end
    }
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(nix::libc::EIO))
}
