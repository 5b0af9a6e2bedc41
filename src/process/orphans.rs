//! The end of everything below the master: what detached itself from workers, and what was ours before we began.
//!
//! Invariants: orphans come to us and not to PID 1, from [`adopt_orphans`] on; only our own children that are not
//! reaped yet are signalled, so never a stranger with a dead one's number. A child's own children become ours when
//! it dies, so repeating "signal all children, reap the dead" reaches the whole tree, from the top.
//! Blocks: it runs when the workers are gone and the master has nothing else to do.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use super::Pid;
use super::registry::{self, Group};
use super::sys::Which;

/// Between two looks at what still runs.
const NAP: Duration = Duration::from_millis(5);

/// How long [`end_orphans`] waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopTimeouts {
    /// From SIGTERM to SIGKILL.
    pub terminate: Duration,
    /// From SIGKILL to giving up.
    pub kill: Duration,
}

impl Default for StopTimeouts {
    /// One second to end by themselves, two for the kernel to end them.
    fn default() -> Self {
        Self { terminate: Duration::from_secs(1), kill: Duration::from_secs(2) }
    }
}

/// Has orphans below this process come to it instead of to PID 1.
///
/// # Errors
/// Never, on a kernel that luster runs on.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Ends and reaps all children, whoever started them: SIGTERM, then SIGKILL. Blocks for at most the sum of
/// `patience`, and not at all if there are none.
///
/// Answers with the children that outlived even that: processes stuck in the kernel (state D), or running with
/// rights we do not have.
#[must_use]
pub fn end_orphans(patience: StopTimeouts) -> Vec<Pid> {
    if end_by(Signal::SIGTERM, patience.terminate) == OrphanOutcome::Survivors {
        let _ = end_by(Signal::SIGKILL, patience.kill);
    }
    match reap_all() {
        OrphanOutcome::Nobody => Vec::new(),
        OrphanOutcome::Survivors => children(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OrphanOutcome {
    Nobody,
    Survivors,
}

/// Signals each child once, those that turn up meanwhile too, until there is none or the time is over.
fn end_by(signal: Signal, patience: Duration) -> OrphanOutcome {
    let start = Instant::now();
    let mut told = Vec::new();
    while reap_all() == OrphanOutcome::Survivors {
        let living = children();
        // A number not listed any more may come back as another process.
        told.retain(|pid| living.contains(pid));
        for pid in living {
            if !told.contains(&pid) {
                tell(pid, signal);
                told.push(pid);
            }
        }
        if start.elapsed() >= patience {
            return OrphanOutcome::Survivors;
        }
        std::thread::sleep(NAP);
    }
    OrphanOutcome::Nobody
}

fn tell(pid: Pid, signal: Signal) {
    // Refused only to those that run with rights we do not have; they are reported at the end.
    let _ = kill(pid.for_nix(), signal);
    // A stopped process would not see SIGTERM before it goes on.
    let _ = kill(pid.for_nix(), Signal::SIGCONT);
}

fn reap_all() -> OrphanOutcome {
    loop {
        let mut registry = registry::lock();
        match registry.find(Which::Any) {
            Ok(Some(dead)) => registry.reap(&dead, Group::Stays),
            Ok(None) => return OrphanOutcome::Survivors,
            Err(_) => return OrphanOutcome::Nobody,
        }
    }
}

/// Our children, dead ones not reaped yet included. Empty if `/proc` is missing or shows another pid namespace,
/// whose numbers would mean other processes to us.
///
/// Asks every process who its parent is. The kernel's own list (`/proc/self/task/*/children`) is not built into
/// every kernel, and one way that always works is enough for the last seconds of a master.
fn children() -> Vec<Pid> {
    let ours = std::process::id();
    let shows_us =
        fs::read_link("/proc/self").is_ok_and(|link| link.as_os_str() == ours.to_string().as_str());
    let Some(all) = shows_us.then(|| fs::read_dir("/proc").ok()).flatten() else { return Vec::new() };
    all.filter_map(|entry| Pid::new(entry.ok()?.file_name().to_str()?.parse().ok()?))
        .filter(|pid| {
            // Gone meanwhile: not a child of ours, those stay until reaped.
            fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| parent_in(&stat) == Some(ours))
        })
        .collect()
}

/// The fourth field of a stat line. The second, the name in parentheses, may hold anything, so it is skipped from
/// the right.
fn parent_in(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Pid, children, parent_in};

    #[test]
    fn a_name_full_of_parentheses_does_not_hide_the_parent() {
        assert_eq!(parent_in("12 (a) S 1 (b)) R 345 12 12 0"), Some(345));
        assert_eq!(parent_in("12 (sleep) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in("nonsense"), None);
    }

    #[test]
    fn our_children_are_found_among_all_processes() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let pid = Pid::new(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(children().contains(&pid));
        assert!(!children().contains(&Pid::new(1).unwrap()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
