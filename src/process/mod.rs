//! Processes and signals: starting workers, signalling and reaping them, and what the master itself receives.
//!
//! Owns every fork, exec, wait and kill of luster; knows nothing of why a worker is started or stopped.
//! Invariants: a worker is signalled only through its pidfd, so never a stranger that got its number; every
//! other number that is signalled belongs to a child not reaped yet; a worker leads a group of
//! its own and inherits descriptors 0 to 2 and what it is given from 3 on (a channel, its configuration as [`Sealed`] bytes); one
//! registry knows every child, and only it reaps: for [`reap()`], [`wait_or_kill()`] and [`end_orphans`].

mod activated;
mod authbind;
mod channel;
mod child;
mod inherited;
mod limits;
mod memory;
mod orphans;
mod other;
mod pid;
mod program;
mod reap;
mod registry;
mod reserve;
mod sealed;
mod signals;
mod socket_owner;
mod spawn;
mod status;
mod sys;
mod terminal;
mod wait_or_kill;

pub use activated::{Activated, FOR_LUSTER_ALONE, activated_sockets};
pub use authbind::{authbind_advice, is_under_authbind};
pub use channel::{inherited, inherited_channel};
pub use child::{Child, Delivery, Signal, SignalError};
pub use inherited::{StartError, die_with_parent, leave_group, sanitize_inherited};
pub use limits::DescriptorLimit;
pub use memory::give_back;
pub use orphans::{StopTimeouts, adopt_orphans, end_orphans};
pub use other::watch_end;
pub use pid::Pid;
pub use program::{ProgramError, find_program};
pub use reap::{Exited, Reaped, Remaining, reap};
pub use reserve::{Fill, Reserve};
pub use sealed::Sealed;
pub use signals::{Asked, Passed, ReceivedSignal, Signals, stop_at_once};
pub use socket_owner::{Bound, Owner, State, owner_of};
pub use spawn::{Change, Exec, FURTHER, Forked, Identity, Needed, SpawnError, Start, StartStep, Stream};
pub use status::{CoreDump, ExitStatus, signal_name};
pub use terminal::Terminal;
pub use wait_or_kill::wait_or_kill;
