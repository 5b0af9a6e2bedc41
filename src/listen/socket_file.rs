//! The file of a unix socket of ours.
//!
//! Invariant: a file is removed only if it is the very one we made.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The file of a socket we bound.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// Removes the file, if it is still the one we made: someone may have put another in its place.
    pub(crate) fn remove(self) {
        if let Ok(found) = fs::symlink_metadata(&self.path)
            && found.dev() == self.device
            && found.ino() == self.inode
        {
            // Nothing more can be done about it, and the next bind clears stale files away.
            drop(fs::remove_file(&self.path));
        }
    }

    /// Whether this path leads to it.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        fs::symlink_metadata(path).is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode)
    }

    pub(super) fn of(path: &str, found: &Metadata) -> Self {
        Self { path: PathBuf::from(path), device: found.dev(), inode: found.ino() }
    }
}
