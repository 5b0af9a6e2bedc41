//! The file a new process cannot do without.
//!
//! Invariant: only the new process looks at it, because it may wait for a file system.

use std::path::PathBuf;

/// A file, and what it was like when it was seen last. The new process looks at it, because it may wait for a file system,
/// and does not run its program if it is gone or another one.
#[derive(Debug, Clone)]
pub struct Needed {
    /// Where it is.
    pub path: PathBuf,
    /// The device it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// How long it is, in bytes.
    pub size: u64,
    /// When it was changed last, in seconds and nanoseconds.
    pub changed: (i64, i64),
}
