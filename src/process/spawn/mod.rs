//! Starting a worker: what to start, the new process between fork and exec, and how it can fail.

mod error;
mod exec;
mod identity;
mod needed;
mod start;
mod sys;

pub use error::{SpawnError, StartStep};
pub use exec::{Exec, Forked};
pub use identity::Identity;
pub use needed::Needed;
pub use start::{Change, FURTHER, Start, Stream};
