//! Where the output of workers and of luster itself goes when it does not go where it always did: into log files, each
//! line stamped and marked, or, while there is no extension host to read what workers print, to luster's own streams.
//!
//! `files` is what `luster-log-file` does, `relay` stands in for an absent host. Both give what they read to a `copier`: a
//! thread with one destination (`sink`), whose lines are made by `lines`.
//!
//! Invariants: a destination that is slow or fails makes only its own thread wait, and at last those who print; nothing
//! is kept beyond one line for each of them; what cannot be written is counted, and said where it can be.

mod copier;
mod files;
mod lines;
mod relay;
mod sink;

pub use files::{Destination, LogFiles, OpenError, OutputStream};
pub use lines::Objects;
pub use relay::Relay;
