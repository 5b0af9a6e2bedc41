//! Unix sockets that have a file: binding in a short enough way, and clearing a stale one away.
//!
//! Invariant: a file is cleared away only if it is a socket nobody answers on; a live socket and anything that is not a
//! socket stay.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockType, UnixAddr, connect};

use crate::listen::options::Options;
use crate::listen::socket::{BoundSocket, bind_socket, new_socket};
use crate::listen::socket_file::{SocketFile, errno_of};
use crate::listen::sys;

/// Binds a path and listens; in place of a stale socket, if there is one.
pub(super) fn open(path: &str, options: Options) -> Result<BoundSocket, Errno> {
    match bind_and_listen(path, options) {
        Err(Errno::EADDRINUSE) if is_stale(path) => {
            fs::remove_file(path).map_err(|error| errno_of(&error))?;
            bind_and_listen(path, options)
        }
        outcome => outcome,
    }
}

/// Adds permission bits, as `readableAll` and `writableAll` ask.
pub(crate) fn widen_access(path: &str, mode: u32) -> Result<(), Errno> {
    if mode == 0 {
        return Ok(());
    }
    let now = fs::symlink_metadata(path).map_err(|error| errno_of(&error))?.permissions().mode();
    fs::set_permissions(path, Permissions::from_mode(now | mode)).map_err(|error| errno_of(&error))
}

fn bind_and_listen(path: &str, options: Options) -> Result<BoundSocket, Errno> {
    let socket = new_socket(AddressFamily::Unix, SockType::Stream)?;
    bind_socket(&socket, &address(path)?)?;
    let file = fs::symlink_metadata(path).ok().map(|found| SocketFile::of(path, &found));
    // Nobody can connect yet.
    let accessible = file.as_ref().map_or(Ok(()), |file| file.give_access(options.access, options.mode));
    let listening = accessible.and_then(|()| sys::listen(socket.as_fd(), options.backlog));
    match (listening, file) {
        (Ok(()), file) => Ok(BoundSocket { socket, file, alias: None }),
        (Err(errno), Some(file)) => {
            file.remove();
            Err(errno)
        }
        (Err(errno), None) => Err(errno),
    }
}

/// A unix address holds 107 bytes; like Node, we use the path from our working directory when that is shorter.
fn address(path: &str) -> Result<UnixAddr, Errno> {
    let relative = env::current_dir().ok().map(|cwd| relative_to(&cwd, Path::new(path)));
    match relative {
        Some(short) if short.as_os_str().len() < path.len() => UnixAddr::new(&short),
        Some(_) | None => UnixAddr::new(OsStr::from_bytes(path.as_bytes())),
    }
}

/// `path` as seen from the directory `base`; both absolute.
fn relative_to(base: &Path, path: &Path) -> PathBuf {
    let shared = base.components().zip(path.components()).take_while(|(left, right)| left == right).count();
    let up = base.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(path.components().skip(shared)).collect()
}

/// Whether the path is a socket that refuses connections: its server died without removing it.
fn is_stale(path: &str) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    is_socket && probe(path) == Err(Errno::ECONNREFUSED)
}

fn probe(path: &str) -> Result<(), Errno> {
    let socket = new_socket(AddressFamily::Unix, SockType::Stream)?;
    connect(socket.as_raw_fd(), &address(path)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::listen::options::{Reuse, SocketAccess};

    const PLAIN: Options =
        Options { backlog: 5, reuse: Reuse::No, mode: 0, access: SocketAccess { mode: None, group: None } };

    #[test]
    fn a_stale_socket_is_replaced_and_ours_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s").display().to_string();
        drop(UnixListener::bind(&path).unwrap());
        let bound = open(&path, Options { mode: 0o666, ..PLAIN }).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o666, 0o666);
        bound.file.unwrap().remove();
        assert!(!Path::new(&path).exists());
    }

    #[test]
    fn a_socket_gets_the_mode_and_group_asked_for_and_what_readable_all_adds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s").display().to_string();
        let own = fs::metadata(dir.path()).unwrap().gid();
        let access = SocketAccess { mode: Some(0o620), group: Some(own) };
        let bound = open(&path, Options { mode: 0o444, access, ..PLAIN }).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.permissions().mode() & 0o777, found.gid()), (0o664, own));
        let file = bound.file.unwrap();
        let mode = |access| {
            file.give_access(access, 0o004).unwrap();
            fs::metadata(&path).unwrap().permissions().mode() & 0o777
        };
        assert_eq!(mode(SocketAccess { mode: Some(0o600), group: Some(own) }), 0o604);
        let plain = UnixListener::bind(dir.path().join("plain")).unwrap();
        let made = fs::metadata(dir.path().join("plain")).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(SocketAccess::default()), made | 0o004, "as the umask wants it");
        drop(plain);
        file.remove();
    }

    #[test]
    fn what_is_alive_or_no_socket_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s").display().to_string();
        let live = UnixListener::bind(&path).unwrap();
        assert_eq!(open(&path, PLAIN).err(), Some(Errno::EADDRINUSE));
        drop(live);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert_eq!(open(&path, PLAIN).err(), Some(Errno::EADDRINUSE));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_file_that_replaced_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s").display().to_string();
        let bound = open(&path, PLAIN).unwrap();
        // Kept under another name, so that its inode is not given to the next file.
        fs::rename(&path, dir.path().join("old")).unwrap();
        fs::write(&path, "other").unwrap();
        bound.file.unwrap().remove();
        assert!(Path::new(&path).exists());
    }

    #[test]
    fn a_path_is_shortened_from_where_we_are() {
        let seen =
            |base: &str, path: &str| relative_to(Path::new(base), Path::new(path)).display().to_string();
        assert_eq!(seen("/a/b", "/a/b/c/s"), "c/s");
        assert_eq!(seen("/a/b", "/a/x/s"), "../x/s");
        assert_eq!(open(&format!("/tmp/{}", "x".repeat(120)), PLAIN).err(), Some(Errno::ENAMETOOLONG));
    }
}
