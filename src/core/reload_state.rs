//! Where the reading of the configuration stands. What it leads to is in `reload`.
//!
//! Invariant: at most one reading is under way.

use super::event::Request;
use super::ids::Generation;

/// Where the reading stands.
#[derive(Debug, Default)]
pub(super) struct Reload {
    /// The newest reading that was asked for.
    pub(super) newest: Generation,
    pub(super) reading: Reading,
}

/// Whether a reading is under way.
#[derive(Debug, Default)]
pub(super) enum Reading {
    #[default]
    None,
    UnderWay {
        /// What is done if the configuration is right.
        then: Vec<Request>,
        /// What was asked for meanwhile, for which it is read once more.
        next: Vec<Request>,
    },
}
