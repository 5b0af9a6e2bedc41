//! What goes in and out of the room besides bytes: the ways to balance, the news, and the outcomes.
//!
//! Invariant: every item of news names the life it is about, and none about a life follows its detachment.

use std::io;

use serde_json::value::RawValue;
use thiserror::Error;

use crate::cluster::UserHandle;
use crate::supervisor::{Endpoint, Life};

/// How new connections find a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// We accept, and hand each connection to the worker that has been free the longest.
    RoundRobin,
    /// All workers accept from one socket.
    Shared,
    /// Each slot has a socket of its own on the port; the kernel picks one at random. TCP only: the rest is shared.
    Reuseport,
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

/// What a worker did.
#[derive(Debug)]
pub enum News {
    /// Its Node has started.
    Online {
        /// Whose.
        life: Life,
    },
    /// It listens.
    Listening {
        /// Who.
        life: Life,
        /// On what.
        endpoint: Endpoint,
    },
    /// It closed a server while its channel stayed open.
    Closed {
        /// Who.
        life: Life,
        /// Which.
        endpoint: Endpoint,
    },
    /// What it asked for cannot be listened on; it has been told.
    BindFailed {
        /// Who asked.
        life: Life,
        /// For what.
        endpoint: Endpoint,
        /// Why not.
        error: io::Error,
    },
    /// It sent a message of the application's.
    Said {
        /// Who.
        life: Life,
        /// What, as it was written.
        message: Box<RawValue>,
        /// The socket sent along. Dropping it closes it.
        handle: Option<UserHandle>,
    },
    /// It announced that it leaves on its own will. It has been acknowledged where the protocol allows that.
    Leaving {
        /// Who.
        life: Life,
    },
    /// It closed its channel. All it had written before was reported first.
    Left {
        /// Who.
        life: Life,
    },
    /// It broke the protocol. Nothing more is heard from it.
    Broken {
        /// Who.
        life: Life,
        /// How.
        reason: Violation,
    },
    /// It cannot receive descriptors (its limit, or a jammed queue): it keeps losing the connections it is offered.
    Refusing {
        /// Who.
        life: Life,
    },
    /// It writes more than is read from one worker; it is slowed down. At most once a minute.
    Flooding {
        /// Who.
        life: Life,
    },
}

/// How a worker broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Violation {
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

/// What became of a message to a worker.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendOutcome {
    /// Written, or queued to be.
    Taken,
    /// The worker does not read; its queue is full. The message and its handle are dropped.
    Full,
    /// Its `cmd` begins with `NODE_`: Node would take it for one of its own.
    Reserved,
    /// It is longer than any message may be.
    TooLong,
    /// It cannot be written as JSON.
    Unserializable,
    /// That life has no channel any more.
    Unreachable,
}
