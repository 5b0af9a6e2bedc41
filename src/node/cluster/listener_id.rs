//! The number of a listener.
//!
//! Invariant: none is given twice, so late words about an earlier listener change nothing.

/// A listener's number, never given twice. It is its key on the wire, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ListenerId(pub(super) u32);
