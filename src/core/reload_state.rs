//! Where the reading of the configuration stands. What it leads to is in `reload`.
//!
//! Invariant: at most one reading is under way.

use super::ids::Generation;

/// Where the reading stands.
#[derive(Debug, Default)]
pub(super) struct Reload {
    /// The newest reading that was asked for.
    pub(super) newest: Generation,
    pub(super) reading: Reading,
}

/// Whether a reading is under way. What it is for is among the requests that wait.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    #[default]
    None,
    UnderWay,
}
