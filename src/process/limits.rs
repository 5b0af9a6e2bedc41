//! How many descriptors the master may hold, and what its workers get instead.
//!
//! The master keeps a channel, a pidfd and listening sockets per worker plus connections on their way, so it
//! takes all it may have. Workers get back the limit luster was started with: programs that use `select` or walk
//! all possible descriptors rely on the low one, and the operator's choice is theirs to see.

use std::io;

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// A limit on open descriptors (`RLIMIT_NOFILE`), in descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescriptorLimit {
    pub(super) soft: rlim_t,
    pub(super) hard: rlim_t,
}

impl DescriptorLimit {
    /// The limit this process has now.
    ///
    /// # Errors
    /// Only if the kernel does not know the limit at all.
    pub fn current() -> io::Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        Ok(Self { soft, hard })
    }

    /// Raises this process's soft limit to the hard one; answers with the limit from before, for the workers.
    ///
    /// # Errors
    /// As [`Self::current`]; raising a soft limit to the hard one is always allowed.
    pub fn raise() -> io::Result<Self> {
        let original = Self::current()?;
        setrlimit(Resource::RLIMIT_NOFILE, original.hard, original.hard)?;
        Ok(original)
    }

    /// How many descriptors may be open at once.
    #[must_use]
    pub fn soft(self) -> u64 {
        self.soft
    }
}
