//! Starting a worker: what to start, the new process between fork and exec, and how it can fail.

mod error;
mod exec;
mod start;
mod sys;

pub use error::{SpawnError, Step};
pub use exec::{Exec, Forked};
pub use start::{Change, FURTHER, Identity, Needed, Start, Stream};
