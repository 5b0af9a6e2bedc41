//! What the room's epoll instance is told to say of each descriptor it watches.
//!
//! Invariant: every token fits the kernel's 64 bits, and comes back as it was given.

use crate::core::InstanceId;
use crate::node::cluster::listener_id::ListenerId;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Channel(InstanceId),
    /// A socket of a listener's, by its index.
    AcceptSource(ListenerId, usize),
    CloseNotify,
}

const ACCEPT_SOURCE: u64 = 1 << 63;
const CLOSE_NOTIFY: u64 = 1 << 62;

impl From<Token> for u64 {
    fn from(token: Token) -> Self {
        match token {
            Token::Channel(instance) => Self::from(instance.0),
            Token::AcceptSource(id, index) => ACCEPT_SOURCE | ((index as Self) << 32) | Self::from(id.0),
            Token::CloseNotify => CLOSE_NOTIFY,
        }
    }
}

impl From<u64> for Token {
    fn from(data: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the low half is the number")]
        let low = data as u32;
        if data & ACCEPT_SOURCE != 0 {
            Self::AcceptSource(ListenerId(low), ((data & !ACCEPT_SOURCE) >> 32) as usize)
        } else if data & CLOSE_NOTIFY != 0 {
            Self::CloseNotify
        } else {
            Self::Channel(InstanceId(low))
        }
    }
}
