//! Collects dead children: those the loop has started with their news, the others for whoever waits for them, strangers
//! to be told of.
//!
//! Invariants: what is left of a group of the loop's is killed while its leader is still a zombie, because until it is
//! reaped no other process or group can get its number; each end of one of ours is reported exactly once. Processes
//! that left the group (`setsid`, as `detached: true` does it) live on, until [`end_orphans`](super::end_orphans).
//! Strangers are orphans that came to us as the nearest subreaper or as PID 1.

use super::registry::{self, Group, Origin};
use super::sys::Which;
use super::{ExitStatus, Pid};

/// So that a storm of orphans cannot keep the master from its other work.
const AT_ONCE: usize = 1024;

/// What one call to [`reap`] found.
#[derive(Debug)]
#[must_use]
pub struct Reaped<Name> {
    /// Those of ours that ended.
    pub exits: Vec<Exited<Name>>,
    /// Orphans that had come to us, and how they ended.
    pub strangers: Vec<(Pid, ExitStatus)>,
    /// Whether to call again.
    pub left: Remaining,
}

/// A process of ours that ended. Its number may be given to another process from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exited<Name> {
    /// Who it was, as `known` said.
    pub who: Name,
    /// The number it had.
    pub pid: Pid,
    /// How it ended.
    pub status: ExitStatus,
}

/// Whether there may be more dead children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remaining {
    /// All were reaped; the next SIGCHLD tells of more.
    Nothing,
    /// The bound of one call was reached: call again, soon, without waiting for SIGCHLD.
    More,
}

/// Reaps every dead child, at most 1024 per call, without blocking. To be called on each
/// [`ReceivedSignal::ChildChanged`](super::ReceivedSignal::ChildChanged).
///
/// `known` tells the caller's name for the process with this pid, if it is one of the caller's. It is asked only about
/// processes that were started here; the end of one that somebody else has started is kept for [`wait_or_kill`](super::wait_or_kill()).
pub fn reap<Name>(known: impl Fn(Pid) -> Option<Name>) -> Reaped<Name> {
    let mut reaped = Reaped { exits: Vec::new(), strangers: Vec::new(), left: Remaining::More };
    for _ in 0..AT_ONCE {
        let mut registry = registry::lock();
        let Ok(Some(dead)) = registry.find(Which::Any) else {
            reaped.left = Remaining::Nothing;
            break;
        };
        let (pid, status) = (dead.pid, dead.status);
        let who = match dead.origin {
            Origin::Ours => known(pid),
            Origin::Stranger => {
                reaped.strangers.push((pid, status));
                None
            }
        };
        registry.reap(&dead, if who.is_some() { Group::Dies } else { Group::Stays });
        reaped.exits.extend(who.map(|who| Exited { who, pid, status }));
    }
    reaped
}
