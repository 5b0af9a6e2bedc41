//! Node's cluster protocol, spoken as the parent: unmodified Node workers believe a Node primary started them.
//!
//! One [`Cluster`] owns every worker's channel and every listening socket. It is driven: it does I/O only inside
//! the calls its owner makes, never waits, reads no clock, starts no thread and logs nothing; what happened comes
//! out as [`News`]. Reading goes `room` (what may be asked), `io` (what is ready), `protocol` (what was said),
//! `listen_requests` (who listens), `passing` (with which sockets programs are started), `listener_lifetime` (how long),
//! `kept_listeners` (what outlives luster), `balancer` (who gets a connection); the sockets are in the
//! room `listen`, the wire in the room `node/ipc`, `message`, `query` and `reply`.
//!
//! Invariants: nothing a worker writes can stop, crash or starve the others; every queue here has a bound; a
//! connection that was accepted is closed by us only once a worker has taken it, or has ended without saying whether it
//! did, or its listener is gone.

mod balancer;
mod bind_request;
mod heir;
mod io;
mod kept_listeners;
mod listen_requests;
mod listener;
mod listener_id;
mod listener_key;
mod listener_lifetime;
mod manner;
mod message;
mod news;
mod passing;
mod protocol;
mod query;
mod reply;
mod room;
mod standing;
mod store;
mod token;
mod wake_timer;
mod worker;
mod worker_bind;

#[cfg(test)]
mod tests;

pub use bind_request::BindRequest;
pub use news::{Balance, News, Obstacle};
pub use passing::{NotPassed, PassAddress, PassedSocket};
pub use room::Cluster;
pub use store::{SocketStore, StoreChange};

// They are part of the news and of what a cluster is asked.
pub use crate::listen::{Site, SocketAccess};
