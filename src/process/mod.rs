//! Processes and signals: starting workers, signalling and reaping them, and what the master itself receives.
//!
//! Owns every fork, exec, wait and kill of luster; knows nothing of why a worker is started or stopped.
//! Invariants: a worker is signalled only through its pidfd, so never a stranger that got its number; every
//! other number that is signalled belongs to a child not reaped yet; a worker leads a group of
//! its own and inherits descriptors 0 to 3 only; nothing but [`reap`], [`end_remains`] and a failed
//! [`Start::spawn`] waits for children.

mod child;
mod inherited;
mod limits;
mod pid;
mod program;
mod reap;
mod remains;
mod reserve;
mod signals;
mod spawn;
mod status;
mod sys;
mod terminal;

pub use child::{Child, Delivery, Signal, SignalError};
pub use inherited::{StartError, take_over};
pub use limits::DescriptorLimit;
pub use pid::Pid;
pub use program::{ProgramError, find_program};
pub use reap::{Exited, Harvest, Left, reap};
pub use remains::{Patience, adopt_orphans, end_remains};
pub use reserve::{Fill, Reserve};
pub use signals::{Asked, Received, Signals, StopCause};
pub use spawn::{Change, SpawnError, Start, Step};
pub use status::{CoreDump, ExitStatus};
