//! Every child that was started here, and how it ended: the one place that waits for children.
//!
//! The kernel keeps one table of children for the process, whoever started them, so there is one registry. A wait for
//! "any child" may find somebody else's; its status is then kept here until that one asks.
//!
//! Invariants: nothing else in luster reaps; a child is entered before it can be reaped, for both need the lock; each
//! end is known exactly once, and to whoever holds the [`Child`](super::Child).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};

use super::sys::{self, Then, WaitOutcome, Which};
use super::{ExitStatus, Pid};

/// How a child ended, once it has been reaped.
pub(super) type Fate = Arc<OnceLock<ExitStatus>>;

static STARTED: Mutex<BTreeMap<Pid, Entry>> = Mutex::new(BTreeMap::new());

/// The registry, locked: nobody else starts or reaps a child meanwhile.
pub(super) struct Registry(MutexGuard<'static, BTreeMap<Pid, Entry>>);

/// A child that is alive, or is a zombie.
struct Entry {
    fate: Fate,
    group: Group,
}

/// A dead child.
pub(super) struct Dead {
    pub(super) pid: Pid,
    pub(super) status: ExitStatus,
    pub(super) origin: Origin,
}

/// Where a child comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was started here.
    Ours,
    /// It came to us as an orphan.
    Stranger,
}

/// Whether a dead child's group is killed before its number can be anybody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Dies,
    Stays,
}

/// Locks the registry.
pub(super) fn lock() -> Registry {
    // Every change of the map is whole, so a panic elsewhere leaves it right.
    Registry(STARTED.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Registry {
    /// Enters a child that has just been started.
    pub(super) fn enter(&mut self, pid: Pid) -> Fate {
        let fate = Fate::default();
        self.0.insert(pid, Entry { fate: Arc::clone(&fate), group: Group::Stays });
        fate
    }

    /// Has a child's group die with it.
    pub(super) fn condemn(&mut self, pid: Pid) {
        if let Some(entry) = self.0.get_mut(&pid) {
            entry.group = Group::Dies;
        }
    }

    /// Finds a dead child; it stays a zombie, so that its number and its group's stay taken.
    pub(super) fn find(&self, which: Which) -> Result<Option<Dead>, Errno> {
        match sys::wait(which, Then::Leave)? {
            WaitOutcome::Dead(pid, status) => {
                let origin = if self.0.contains_key(&pid) { Origin::Ours } else { Origin::Stranger };
                Ok(Some(Dead { pid, status, origin }))
            }
            WaitOutcome::Living => Ok(None),
            WaitOutcome::Nobody => Err(Errno::ECHILD),
        }
    }

    /// Reaps a dead child that was found.
    pub(super) fn reap(&mut self, dead: &Dead, group: Group) {
        let condemned = self.0.get(&dead.pid).is_some_and(|entry| entry.group == Group::Dies);
        if condemned || group == Group::Dies {
            // Nothing left, or left with rights we do not have: either way there is nothing more to do about it.
            let _ = killpg(dead.pid.for_nix(), Signal::SIGKILL);
        }
        // It was there a moment ago and only we reap, so this finds it.
        let _ = sys::wait(Which::Only(dead.pid), Then::Reap);
        if let Some(entry) = self.0.remove(&dead.pid) {
            let _ = entry.fate.set(dead.status);
        }
    }
}
