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
    /// When it was made: a file that others have made since may have got the same number.
    made: (i64, i64),
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

    /// Whether this path leads to it, and it is not another one of the same number.
    pub(super) fn is_unchanged_at(&self, path: &str) -> bool {
        let is_same = |found: Metadata| self.is(&found) && self.made == (found.mtime(), found.mtime_nsec());
        fs::symlink_metadata(path).is_ok_and(is_same)
    }

    /// The same where it was made.
    pub(super) fn is_unchanged(&self) -> bool {
        self.path.to_str().is_some_and(|path| self.is_unchanged_at(path))
    }

    /// All there is to know of it but its path, for whoever goes on with it.
    pub(super) fn to_text(&self) -> String {
        let Self { path: _, device, inode, made: (seconds, nanoseconds), mode, group } = self;
        format!("{device:x}.{inode:x}.{seconds:x}.{nanoseconds:x}.{mode:o}.{group:x}")
    }

    /// What was said of the file at this path.
    pub(super) fn from_text(path: &str, text: &str) -> Option<Self> {
        let mut numbers = text.split('.');
        let mut next = |base| i64::from_str_radix(numbers.next()?, base).ok();
        Some(Self {
            path: PathBuf::from(path),
            device: next(16)?.try_into().ok()?,
            inode: next(16)?.try_into().ok()?,
            made: (next(16)?, next(16)?),
            mode: next(8)?.try_into().ok()?,
            group: next(16)?.try_into().ok()?,
        })
    }

    fn is(&self, found: &Metadata) -> bool {
        found.dev() == self.device && found.ino() == self.inode
    }

    pub(super) fn of(path: &str, found: &Metadata) -> Self {
        Self {
            path: PathBuf::from(path),
            device: found.dev(),
            inode: found.ino(),
            made: (found.mtime(), found.mtime_nsec()),
            mode: found.mode(),
            group: found.gid(),
        }
    }
}

/// The number of an error of the file system's.
pub(super) fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(nix::libc::EIO))
}
