//! The files luster itself writes: its log files, and what its own stdout and stderr are. A change of theirs is no reason to
//! restart anything, least of all a line that tells of a change.
//!
//! Invariant: a file is known by what it is, so also when it has been renamed and is still written to.

use std::collections::VecDeque;
use std::fs::{self, Metadata};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How many files are remembered: log files are opened anew, and the old ones go.
const REMEMBERED: usize = 16;

/// Files luster writes.
#[derive(Debug, Clone, Default)]
pub struct OwnFiles {
    paths: Vec<PathBuf>,
    files: VecDeque<FileKey>,
}

impl OwnFiles {
    /// The files with these paths, and what luster's stdout and stderr are now.
    #[must_use]
    pub fn new(paths: &[PathBuf]) -> Self {
        let mut own = Self::default();
        for path in paths {
            own.paths.push(path.clone());
            // Its folder may be reached by another name.
            if let (Some(folder), Some(name)) = (path.parent(), path.file_name())
                && let Ok(folder) = folder.canonicalize()
            {
                own.paths.push(folder.join(name));
            }
        }
        for stream in [std::io::stdout().as_fd(), std::io::stderr().as_fd()] {
            if let Ok(metadata) = metadata_of(stream) {
                own.remember(&metadata);
            }
        }
        own
    }

    /// Whether this is one of them.
    pub(super) fn include(&mut self, path: &Path) -> bool {
        let metadata = fs::metadata(path).ok();
        if self.paths.iter().any(|own| own == path) {
            // Under another name it is still the same.
            metadata.inspect(|metadata| self.remember(metadata));
            return true;
        }
        metadata.is_some_and(|metadata| self.files.contains(&key(&metadata)))
    }

    fn remember(&mut self, metadata: &Metadata) {
        if metadata.is_file() && !self.files.contains(&key(metadata)) {
            if self.files.len() >= REMEMBERED {
                self.files.pop_front();
            }
            self.files.push_back(key(metadata));
        }
    }
}

/// What a file is, whatever its name: an inode's number is used again, but not with the same time of birth.
type FileKey = (u64, u64, Option<SystemTime>);

fn key(metadata: &Metadata) -> FileKey {
    (metadata.dev(), metadata.ino(), metadata.created().ok())
}

fn metadata_of(stream: BorrowedFd<'_>) -> std::io::Result<Metadata> {
    fs::File::from(stream.try_clone_to_owned()?).metadata()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_file_is_known_by_any_name_it_has() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", folder.path().join("link")).unwrap();
        let [log, real, rotated, other] = ["link/out.log", "real/out.log", "real/out.log.1", "real/other"]
            .map(|name| folder.path().join(name));
        let mut own = OwnFiles::new(std::slice::from_ref(&log));
        fs::write(&real, "").unwrap();
        fs::write(&other, "").unwrap();
        assert!(own.include(&log) && own.include(&real) && !own.include(&other));
        fs::rename(&real, &rotated).unwrap();
        assert!(own.include(&rotated));
        fs::write(&real, "").unwrap();
        assert!(own.include(&real) && own.include(&rotated) && !own.include(&other));
        fs::remove_file(&real).unwrap();
        assert!(own.include(&real), "its end is no change either");
    }
}
