//! Collects dead children: ours (workers, the extension host) with their news, strangers in silence.
//!
//! Invariants: what is left of one of our groups is killed while its leader is still a zombie, because until it is
//! reaped no other process or group can get its number; each end of one of ours is reported exactly once. Processes
//! that left the group (`setsid`, as `detached: true` does it) live on, until [`end_remains`](super::end_remains).
//! Strangers are orphans that came to us as the nearest subreaper or as PID 1.

use nix::sys::signal::{Signal, killpg};

use super::sys::{self, Found, Then, Which};
use super::{ExitStatus, Pid};

/// So that a storm of orphans cannot keep the master from its other work.
const AT_ONCE: usize = 1024;

/// What one call to [`reap`] found.
#[derive(Debug)]
#[must_use]
pub struct Harvest<Name> {
    /// Those of ours that ended.
    pub exits: Vec<Exited<Name>>,
    /// Whether to call again.
    pub left: Left,
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
pub enum Left {
    /// All were reaped; the next SIGCHLD tells of more.
    Nothing,
    /// The bound of one call was reached: call again, soon, without waiting for SIGCHLD.
    More,
}

/// Reaps every dead child, at most 1024 per call, without blocking. To be called on each
/// [`Received::ChildChanged`](super::Received::ChildChanged).
///
/// `known` tells ours from strangers: the owner's name for the process with this pid, if it is one of ours.
pub fn reap<Name>(known: impl Fn(Pid) -> Option<Name>) -> Harvest<Name> {
    let mut exits = Vec::new();
    for _ in 0..AT_ONCE {
        let Ok(Found::Dead(pid, status)) = sys::wait(Which::Any, Then::Leave) else {
            return Harvest { exits, left: Left::Nothing };
        };
        let who = known(pid);
        if who.is_some() {
            // Nothing left, or left with rights we do not have: either way there is nothing more to do about it.
            let _ = killpg(pid.for_nix(), Signal::SIGKILL);
        }
        // It was there a moment ago and only we reap, so this finds it.
        let _ = sys::wait(Which::Only(pid), Then::Reap);
        exits.extend(who.map(|who| Exited { who, pid, status }));
    }
    Harvest { exits, left: Left::More }
}
