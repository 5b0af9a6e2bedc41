//! The control socket: what a master is asked and told while it runs, as HTTP/1.1 and JSON over a unix socket.
//!
//! `schema` is the JSON of both sides, `place` where sockets are and what they are called.
//!
//! Invariants: nobody who connects makes the loop wait; every connection, head and body has a bound, every wait a deadline.

pub mod place;
pub mod schema;
