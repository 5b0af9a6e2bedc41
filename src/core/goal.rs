//! What the supervisor is about: to serve, to end, or nothing any more.
//!
//! Invariant: it only ever moves on, from serving to the end.

use super::effect::Outcome;
use super::ids::Moment;

/// What it is all for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    Serve,
    /// The end, which is this one; whoever is left at that moment is killed.
    Stop {
        outcome: Outcome,
        kill: Option<Moment>,
        /// When a signal first asked for it.
        signalled: Option<Moment>,
    },
    Finished,
}
