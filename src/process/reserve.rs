//! A few descriptors held back, so that a worker can be started when the table is full.
//!
//! Without it, a master whose table clients have filled could not replace the very workers that would serve them.
//! Invariants: outside of [`Reserve::lend`] the reserve holds [`SIZE`] descriptors, or as many as there was room
//! for; what was missing is taken as soon as there is room, at the next `lend` or `refill`. Each is an open file
//! of its own, not a duplicate, so that giving it back helps against the system-wide limit (ENFILE) too.
//! Nothing else opens descriptors while they are lent: the master has one thread.

use std::fs::File;

/// Enough for one start: two ends each of the channel and of three streams, the pidfd, the two ends of the pipe that
/// reports a failed exec, and `/dev/null`; the rest is for what the caller logs or looks up meanwhile.
pub(super) const SIZE: usize = 14;

/// Descriptors held open to be given back when they are needed.
#[derive(Debug)]
pub struct Reserve {
    held: Vec<File>,
}

/// How full a [`Reserve`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Fill {
    /// A start succeeds whatever else is open.
    Full,
    /// The table is so full that part of the reserve could not be taken (back).
    Short,
}

impl Reserve {
    /// Takes the reserve, or what there is room for.
    #[must_use]
    pub fn take() -> Self {
        let mut reserve = Self { held: Vec::with_capacity(SIZE) };
        let _ = reserve.refill();
        reserve
    }

    /// Gives the descriptors back while `work` runs, and takes them again afterwards.
    ///
    /// Everything a start opens belongs inside, the channel's socket pair too. `work` may keep some of what it
    /// opened; if that leaves no room the reserve stays short until descriptors are closed elsewhere.
    pub fn lend<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.held.clear();
        let result = work();
        let _ = self.refill();
        result
    }

    /// Takes what is missing, as far as there is room. Cheap when nothing is.
    pub fn refill(&mut self) -> Fill {
        while self.held.len() < SIZE {
            match File::open("/dev/null") {
                Ok(file) => self.held.push(file),
                Err(_) => return Fill::Short,
            }
        }
        Fill::Full
    }
}
