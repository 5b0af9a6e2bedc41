//! The control socket: what a master is asked and told while it runs, as HTTP/1.1 and JSON over a unix socket.
//!
//! `schema` (with `schema_answer` and `schema_rollout`) is the JSON of both sides, `place` where sockets are and what they are
//! called. The server's side reads `socket` (made at the start, and when it moves: `prepared`), `thread` (its life), `server`
//! (connections), `routes` (requests), `status` and `events` (what is told); `call` is what the loop is asked, `handle` what the
//! loop holds.
//!
//! Invariants: nobody who connects makes the loop wait; every connection, head and body has a bound, every wait a deadline.

mod answer;
mod body;
mod call;
mod events;
mod handle;
#[cfg(test)]
mod openapi;
mod paced;
mod peer;
pub mod place;
mod pointer;
mod prepared;
mod routes;
pub mod schema;
mod schema_answer;
mod schema_rollout;
mod server;
mod socket;
mod status;
mod status_apps;
mod sys;
mod thread;
mod usage;

pub use call::{AppLive, Ask, Call, LiveState, Order, Target, Whom};
pub use events::Lines;
pub use handle::{Control, Setup};
pub use peer::Peer;
pub use prepared::Prepared;
pub use socket::{Place, Socket, SocketError, Wanted};
pub use status::{About, Reporter};
