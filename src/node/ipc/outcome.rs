//! How the other end of a channel can break the protocol, what can become of a message to it, and whether there is more to
//! do.

use thiserror::Error;

/// How the other end broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// A line that does not end.
    #[error("a message is longer than 16 MiB")]
    FrameTooLong,
    /// Two newlines in a row.
    #[error("a message is empty")]
    EmptyFrame,
    /// A line that does not parse.
    #[error("a message is not JSON")]
    NotJson,
    /// Descriptors that no message announces.
    #[error("descriptors arrive without a message that announces them")]
    StrayDescriptors,
    /// The channel fails.
    #[error("the channel cannot be read: {0}")]
    Unreadable(#[source] nix::errno::Errno),
}

/// What became of a message to the other end.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendOutcome {
    /// Written, or queued to be.
    Taken,
    /// The other end does not read; its queue is full. The message and its handle are dropped.
    Full,
    /// Its `cmd` begins with `NODE_`: Node would take it for one of its own.
    Reserved,
    /// It is longer than any message may be.
    TooLong,
    /// It cannot be written as JSON.
    Unserializable,
    /// There is no channel any more.
    Unreachable,
}

/// Whether a call left something to do.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Call `process` again soon, after giving others their turn.
    More,
    /// Nothing to do until the descriptor is readable or a wake is due.
    Idle,
}
