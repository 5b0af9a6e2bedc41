//! A process's number, as our pid namespace sees it.
//!
//! Invariant: positive, so that it can never mean "my group" (0), "everyone" (-1) or a group to `kill`.

use std::fmt;

/// The number of one process (never of a group).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(i32);

impl Pid {
    /// Takes a number from the kernel; `None` unless it is positive.
    #[must_use]
    pub const fn new(raw: i32) -> Option<Self> {
        if raw > 0 { Some(Self(raw)) } else { None }
    }

    /// The number, for messages and the kernel.
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    pub(super) const fn for_nix(self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(self.0)
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
