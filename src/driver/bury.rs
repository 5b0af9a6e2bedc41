//! Takes leave of processes that have ended: hears the last they said, then tells of their end.
//!
//! Invariant: nothing is handed to others that a dead worker had taken and said so, however many die at once.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use tracing::{debug, warn};

use super::begun::{Mended, Unstarted};
use super::hands::Hands;
use super::translate;
use crate::host::{ExitThen, Tell};
use crate::process::{self, ExitStatus, Left, Pid};
use crate::supervisor::{Ending, Event, HostEvent, HostLife, Life, Moment};

/// The exit code of a process that could not run its program, as shells have it.
const NOT_RUN: i32 = 127;

/// One of our processes.
#[derive(Debug, Clone, Copy)]
enum Whose {
    Worker(Life),
    Host(HostLife),
}

impl Hands {
    /// Collects the dead.
    pub(super) fn reap(&mut self, now: Moment) -> Left {
        // Made only when one of ours is dead, and then once for all of them.
        let ours = OnceCell::new();
        let harvest = process::reap(|pid| ours.get_or_init(|| self.pids()).get(&pid).copied());
        if !harvest.exits.is_empty() {
            // What the living asked for before is done before.
            let _ = self.listen(now);
        }
        for (pid, status) in harvest.strangers {
            let pid = pid.as_raw();
            debug!(event = "orphan", pid, "process {pid}, which had come to luster as an orphan, {status}");
        }
        for exit in harvest.exits {
            match exit.who {
                Whose::Worker(life) => self.bury_worker(now, life, exit.status),
                Whose::Host(life) => self.bury_host(now, life, exit.status),
            }
            // It held descriptors of ours in its table; some may be free now.
            let _ = self.reserve.refill();
        }
        harvest.left
    }

    fn pids(&self) -> BTreeMap<Pid, Whose> {
        let workers = self.children.iter().map(|(life, process)| (process.child.pid(), Whose::Worker(*life)));
        workers.chain(self.attendant.process().map(|(life, pid)| (pid, Whose::Host(life)))).collect()
    }

    fn bury_worker(&mut self, now: Moment, life: Life, status: ExitStatus) {
        let mut news = std::mem::take(&mut self.news);
        self.cluster.hear_out(life, now, &mut news);
        self.take_in(now, news);
        self.cluster.detach(life);
        let unstarted = self.children.get_mut(&life).and_then(|process| process.begun.settle().cloned());
        let not_started = match unstarted {
            Some(Unstarted::Lacking(reason)) => match self.start_anew(now, life, reason) {
                Ok(()) => return,
                Err(reason) => Some(reason),
            },
            Some(Unstarted::Failed(reason)) => Some(reason),
            None => None,
        };
        if let Some(reason) = not_started {
            self.handle(now, Event::NotStarted { life, reason });
            self.children.remove(&life);
            return;
        }
        // Of one that was refused an address it may not be known yet who has that.
        if let Some(ending) = self.inquiries.hold_back(now, life, translate::ending(status)) {
            self.exited(now, life, ending);
        }
    }

    /// The script was gone, so nothing has run in this life: puts the script back, once, and starts the process anew. That
    /// waits for a file system which has just answered to another process.
    fn start_anew(&mut self, now: Moment, life: Life, reason: String) -> Result<(), String> {
        let Some(process) = self.children.get(&life).filter(|process| process.mended == Mended::No) else {
            return Err(reason);
        };
        let worker = process.worker;
        let (wid, pid) = self.name(life);
        warn!(
            event = "script_gone",
            wid,
            pid,
            "worker {wid} (pid {pid}) did not run: {reason}; the script is put back and the worker started anew"
        );
        self.tell(
            now,
            &Tell::Exit { life: life.0, code: Some(NOT_RUN), signal: None, then: ExitThen::Again },
        );
        self.launcher.preload.ensure().map_err(|error| error.to_string())?;
        self.spawn(now, worker, life).map_err(|error| error.to_string())?;
        if let Some(process) = self.children.get_mut(&life) {
            process.mended = Mended::Once;
        }
        Ok(())
    }

    fn bury_host(&mut self, now: Moment, life: HostLife, status: ExitStatus) {
        // What it wrote last says why it died.
        let news = self.attendant.hear_out(now);
        self.take_in_beside(now, news);
        let failure = self.attendant.unstarted();
        self.attendant.ended(life);
        let ending = match failure {
            Some(Unstarted::Lacking(_)) if self.attendant.mend(life) => {
                self.start_host(life);
                return self.carry_out(now, Vec::new());
            }
            Some(Unstarted::Lacking(reason) | Unstarted::Failed(reason)) => Ending::NotStarted(reason),
            None => translate::ending(status),
        };
        self.relay_all();
        self.handle(now, Event::Host(life, HostEvent::Exited(ending)));
    }
}
