//! The file of a unix socket of ours.
//!
//! Invariant: a file is removed only if it is the very one we made.

use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::PathBuf;

use nix::errno::Errno;

use crate::listen::options::SocketAccess;

/// The file of a socket we bound.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// What it was made with: the umask's bits, and our group or the folder's.
    mode: u32,
    group: u32,
}

impl SocketFile {
    /// Removes the file, if it is still the one we made: someone may have put another in its place.
    pub(crate) fn remove(self) {
        if let Ok(found) = fs::symlink_metadata(&self.path)
            && self.is(&found)
        {
            // Nothing more can be done about it, and the next bind clears stale files away.
            drop(fs::remove_file(&self.path));
        }
    }

    /// Who may connect from now on; what is not said is as it was made. `more` are bits to add.
    pub(crate) fn give_access(&self, access: SocketAccess, more: u32) -> Result<(), Errno> {
        let Some(found) = fs::symlink_metadata(&self.path).ok().filter(|found| self.is(found)) else {
            return Ok(());
        };
        let group = access.group.unwrap_or(self.group);
        if found.gid() != group {
            lchown(&self.path, None, Some(group)).map_err(|error| errno_of(&error))?;
        }
        let mode = access.mode.unwrap_or(self.mode & 0o777) | more;
        if found.mode() & 0o777 == mode {
            return Ok(());
        }
        fs::set_permissions(&self.path, Permissions::from_mode(mode)).map_err(|error| errno_of(&error))
    }

    /// Whether this path leads to it.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        fs::symlink_metadata(path).is_ok_and(|found| self.is(&found))
    }

    fn is(&self, found: &Metadata) -> bool {
        found.dev() == self.device && found.ino() == self.inode
    }

    pub(super) fn of(path: &str, found: &Metadata) -> Self {
        Self {
            path: PathBuf::from(path),
            device: found.dev(),
            inode: found.ino(),
            mode: found.mode(),
            group: found.gid(),
        }
    }
}

/// The number of an error of the file system's.
pub(super) fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(nix::libc::EIO))
}
