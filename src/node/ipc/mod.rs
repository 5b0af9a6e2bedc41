//! Node's IPC channel, as both of its ends speak it: lines of JSON over a unix stream, descriptors riding on wrappers,
//! each acknowledged once. The cluster's workers and the extension host are at the other ends.
//!
//! A [`Peer`] is our end of one: workers and the host each have one. Reading goes `channel` (bytes in), `frame` (lines),
//! `message` (what a line is); writing `send_queue` (order, descriptors, patience) and `reply` (the lines themselves);
//! `handle` is what travels along, `rate_limiter` how much may come.
//!
//! Invariants: nothing here waits, reads a clock or logs; whatever the other end writes costs at most that end; every
//! queue has a bound, and every descriptor an owner.

mod channel;
mod frame;
mod handle;
mod message;
mod outcome;
mod peer;
mod rate_limiter;
mod reply;
mod send_queue;
mod sys;

pub use frame::MAX_FRAME;
pub(crate) use frame::MAX_HOST_FRAME;
pub use handle::{HandleKind, UnsupportedHandle, UserHandle};
pub use outcome::{Progress, ProtocolError, SendOutcome};

pub(crate) use channel::pair;
pub(crate) use message::text;
pub(crate) use peer::{Peer, PeerMessage, ReadStep, ReadTurn};
pub(crate) use rate_limiter::Flow;
pub(crate) use send_queue::{Attachment, Descriptor, SEND_QUEUE_LIMIT, Sent};
pub(crate) use sys::{receive, send};
