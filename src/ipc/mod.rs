//! Node's IPC channel, as both of its ends speak it: lines of JSON over a unix stream, descriptors riding on wrappers,
//! each acknowledged once. The cluster's workers and the extension host are at the other ends.
//!
//! Reading goes `channel` (bytes in), `frame` (lines), `message` (what a line is); writing `outbox` (order, descriptors,
//! patience) and `reply` (the lines themselves); `handle` is what travels along, `gauge` how much may come.
//!
//! Invariants: nothing here waits, reads a clock or logs; whatever the other end writes costs at most that end; every
//! queue has a bound, and every descriptor an owner.

mod channel;
mod frame;
mod gauge;
mod handle;
mod message;
mod outbox;
mod outcome;
mod reply;
mod sys;

pub use frame::MAX_FRAME;
pub(crate) use frame::MAX_FRAME_BESIDE;
pub use handle::{HandleKind, UnsupportedHandle, UserHandle};
pub use outcome::{Progress, SendOutcome, Violation};

pub(crate) use channel::{Channel, Heard, Readiness, pair, set_nonblocking};
pub(crate) use frame::FrameBuffer;
pub(crate) use gauge::{Flow, Gauge, PAUSE};
pub(crate) use handle::SocketCounts;
pub(crate) use message::{Incoming, Wrapper, text};
pub(crate) use outbox::{Descriptor, Jam, OUTBOX_LIMIT, Outbox, Parcel, Sent};
pub(crate) use reply::{ACK, NACK, socket_count, sockets_closed, user};
pub(crate) use sys::{receive, send};
