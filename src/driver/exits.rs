//! Takes leave of processes that have ended: hears the last they said, then tells of their end.
//!
//! Invariant: nothing is handed to others that a dead worker had taken and said so, however many die at once.

use tracing::warn;

use super::exec_results::{Mended, Unstarted};
use super::state::Driver;
use super::translate;
use crate::core::{Event, ExitStatus, HostEvent, HostInstanceId, InstanceId, Moment};
use crate::node::host::{ExitThen, HostNotification};
use crate::process::{self, Pid};

/// The exit code of a process that could not run its program, as shells have it.
const NOT_RUN: i32 = 127;

/// One of our processes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose {
    Worker(InstanceId),
    Host(HostInstanceId),
}

impl Driver {
    /// Takes leave of one that is dead; more of the same moment may follow.
    pub(super) fn bury(&mut self, now: Moment, who: Whose, status: process::ExitStatus) {
        match who {
            Whose::Worker(instance) => self.worker_process_exited(now, instance, status),
            Whose::Host(instance) => self.host_process_exited(now, instance, status),
        }
        // It held descriptors of ours in its table; some may be free now.
        let _ = self.reserve.refill();
    }

    /// All processes of this app.
    pub(super) fn pids(&self) -> impl Iterator<Item = (Pid, Whose)> {
        let workers =
            self.children.iter().map(|(instance, process)| (process.child.pid(), Whose::Worker(*instance)));
        workers.chain(self.host.process().map(|(instance, pid)| (pid, Whose::Host(instance))))
    }

    fn worker_process_exited(&mut self, now: Moment, instance: InstanceId, status: process::ExitStatus) {
        let mut news = std::mem::take(&mut self.news);
        self.cluster.hear_out(instance, now, &mut news);
        self.take_in(now, news);
        self.cluster.detach(instance);
        // One that ended at once may not have been heard of yet.
        self.hear_programs(now);
        self.hint_at_pass(instance, status);
        self.programs.detach(instance);
        let unstarted = self.children.get_mut(&instance).and_then(|process| process.begun.settle().cloned());
        let not_started = match unstarted {
            Some(Unstarted::Lacking(reason)) => match self.start_anew(now, instance, reason) {
                Ok(()) => return,
                Err(reason) => Some(reason),
            },
            Some(Unstarted::Failed(reason)) => Some(reason),
            None => None,
        };
        if let Some(reason) = not_started {
            self.handle(now, Event::NotStarted { instance, reason });
            self.children.remove(&instance);
            return;
        }
        // Of one that was refused an address it may not be known yet who has that.
        if let Some(ending) = self.port_holders.hold_back(now, instance, translate::exit_status(status)) {
            self.exited(now, instance, ending);
        }
    }

    /// The script was gone, so nothing has run in this instance: puts the script back, once, and starts the process anew. That
    /// waits for a file system which has just answered to another process.
    fn start_anew(&mut self, now: Moment, instance: InstanceId, reason: String) -> Result<(), String> {
        let Some(process) = self.children.get(&instance).filter(|process| process.mended == Mended::No)
        else {
            return Err(reason);
        };
        let spawn = process.spawn.clone();
        let (wid, pid) = self.name(instance);
        warn!(
            event = "script_gone",
            wid,
            pid,
            "worker {wid} (pid {pid}) did not run: {reason}; the script is put back and the worker started anew"
        );
        self.tell(
            now,
            &HostNotification::Exit {
                instance: instance.0,
                code: Some(NOT_RUN),
                signal: None,
                then: ExitThen::Again,
            },
        );
        self.launcher.preload.ensure().map_err(|error| error.to_string())?;
        self.spawn(now, &spawn).map_err(|error| error.to_string())?;
        if let Some(process) = self.children.get_mut(&instance) {
            process.mended = Mended::Once;
        }
        Ok(())
    }

    fn host_process_exited(&mut self, now: Moment, instance: HostInstanceId, status: process::ExitStatus) {
        // What it wrote last says why it died.
        let news = self.host.hear_out(now);
        self.take_in_beside(now, news);
        let failure = self.host.unstarted();
        self.host.ended(instance);
        let ending = match failure {
            Some(Unstarted::Lacking(_)) if self.host.mend(instance) => {
                self.start_host(instance);
                return self.carry_out(now, Vec::new());
            }
            Some(Unstarted::Lacking(reason) | Unstarted::Failed(reason)) => ExitStatus::NotStarted(reason),
            None => translate::exit_status(status),
        };
        self.relay_all();
        self.handle(now, Event::Host(instance, HostEvent::Exited(ending)));
    }
}
