//! Everything the loop owns, and what every part of it needs: who is who, and speaking to workers.
//!
//! `perform` carries out orders, `hear` takes in what workers say, `beside` what the JavaScript beside the fleet says, and
//! `publish` tells that what happens.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use serde_json::value::RawValue;
use tracing::{trace, warn};

use crate::cluster::{Cluster, News};
use crate::ipc::{Progress, SendOutcome};
use crate::output::Relay;
use crate::process::{self, Child, Pid, Reserve};
use crate::supervisor::{
    Endpoint, Event, HostEvent, HostLife, Life, Moment, Order, Outcome, Supervisor, WorkerId,
};

use super::attendant::Attendant;
use super::clauses;
use super::endpoints::Endpoints;
use super::inquiry::Inquiries;
use super::launch::Launcher;
use super::translate;
use super::twins::Twins;
use super::wishes::Serialization;

/// How often the channels are read for the last words of the dead; enough to empty a full socket buffer.
const LAST_READS: usize = 64;

/// Everything the loop owns.
pub(super) struct Hands {
    pub(super) supervisor: Supervisor,
    pub(super) cluster: Cluster,
    pub(super) launcher: Launcher,
    pub(super) attendant: Attendant,
    pub(super) twins: Twins,
    pub(super) relay: Relay,
    pub(super) reserve: Reserve,
    pub(super) inquiries: Inquiries,
    pub(super) endpoints: Endpoints,
    pub(super) children: BTreeMap<Life, Process>,
    /// Kept from call to call, so that the hot path does not allocate.
    pub(super) news: Vec<News>,
    /// How it ended, once it has.
    pub(super) outcome: Option<Outcome>,
}

/// A living worker process, and what the JavaScript beside the fleet has to know of it.
pub(super) struct Process {
    pub(super) worker: WorkerId,
    pub(super) child: Child,
    pub(super) line: Vec<String>,
    pub(super) serialization: Serialization,
    /// Our ends of what an extension host reads: another host may have to.
    pub(super) streams: [Option<OwnedFd>; 3],
    pub(super) past: Past,
    pub(super) direct: Direct,
    pub(super) line_use: LineUse,
    pub(super) relayed: Relayed,
}

/// What has happened to a process, to be told again to a host that comes later.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) online: Option<Online>,
    /// What it listens on, as it said.
    pub(super) listening: BTreeMap<Endpoint, Box<RawValue>>,
    pub(super) left: Option<Voluntary>,
}

/// How far a process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Online {
    Loading,
    /// It says it is ready.
    Ready,
}

/// Whether a process leaves because somebody wants it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voluntary {
    Yes,
    No,
}

/// Whether there is a direct line between the worker and the JavaScript beside the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direct {
    No,
    Made,
    /// The JavaScript has said that it uses it.
    Opened,
}

/// Whether the worker has said that it uses the direct line made last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineUse {
    None,
    Begun,
}

/// Whether what a process prints for an extension host goes to our own streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relayed {
    No,
    Yes,
}

/// One of our processes.
#[derive(Debug, Clone, Copy)]
enum Whose {
    Worker(Life),
    Host(HostLife),
}

impl Hands {
    pub(super) fn new(
        supervisor: Supervisor,
        cluster: Cluster,
        launcher: Launcher,
        attendant: Attendant,
        twins: Twins,
    ) -> Self {
        Self {
            supervisor,
            cluster,
            launcher,
            attendant,
            twins,
            relay: Relay::default(),
            reserve: Reserve::take(),
            inquiries: Inquiries::new(),
            endpoints: Endpoints::default(),
            children: BTreeMap::new(),
            news: Vec::new(),
            outcome: None,
        }
    }

    /// Tells the supervisor and does what it orders, until nothing follows.
    pub(super) fn handle(&mut self, now: Moment, event: Event) {
        let orders = self.inform(now, event);
        self.carry_out(now, orders);
    }

    pub(super) fn inform(&mut self, now: Moment, event: Event) -> Vec<Order> {
        trace!(event = "core_event", "the core hears: {event:?}");
        self.supervisor.handle(now, event)
    }

    /// Lets the supervisor, the cluster and the link act on what is due.
    pub(super) fn wake(&mut self, now: Moment) -> Progress {
        let mut progress = Progress::Idle;
        if self.cluster.next_wake().is_some_and(|at| at <= now) {
            let mut news = std::mem::take(&mut self.news);
            progress = self.cluster.wake(now, &mut news);
            self.take_in(now, news);
        }
        self.tell_overdue_ends(now);
        if self.supervisor.next_wake().is_some_and(|at| at <= now) {
            let orders = self.supervisor.wake(now);
            self.carry_out(now, orders);
        }
        if self.attendant.next_wake().is_some_and(|at| at <= now) && self.listen(now) == Progress::More {
            progress = Progress::More;
        }
        progress
    }

    pub(super) fn next_wake(&self) -> Option<Moment> {
        let wakes = [
            self.supervisor.next_wake(),
            self.cluster.next_wake(),
            self.attendant.next_wake(),
            self.inquiries.next_wake(),
        ];
        wakes.into_iter().flatten().min()
    }

    /// Does the work of channels and listeners that is ready.
    pub(super) fn process(&mut self, now: Moment) -> Progress {
        let mut news = std::mem::take(&mut self.news);
        let progress = self.cluster.process(now, &mut news);
        self.take_in(now, news);
        progress
    }

    fn take_in(&mut self, now: Moment, mut news: Vec<News>) {
        for item in news.drain(..) {
            self.hear(now, item);
        }
        self.news = news;
    }

    /// Hears what the JavaScript beside the fleet has said.
    pub(super) fn listen(&mut self, now: Moment) -> Progress {
        let (mut news, progress) = self.attendant.listen(now);
        for item in news.drain(..) {
            self.hear_beside(now, item);
        }
        self.attendant.heard(news);
        progress
    }

    /// Collects the dead.
    pub(super) fn reap(&mut self, now: Moment) -> process::Left {
        let (children, attendant) = (&self.children, &self.attendant);
        let known = |pid: Pid| {
            let worker = children.iter().find(|(_, process)| process.child.pid() == pid);
            worker.map(|(life, _)| Whose::Worker(*life)).or_else(|| attendant.life_of(pid).map(Whose::Host))
        };
        let harvest = process::reap(known);
        if !harvest.exits.is_empty() {
            // What the dead wrote last says why they died. Bounded, as the living may write for ever.
            let _ = (0..LAST_READS).take_while(|_| self.process(now) == Progress::More).count();
            let _ = (0..LAST_READS).take_while(|_| self.listen(now) == Progress::More).count();
        }
        for exit in harvest.exits {
            let ending = translate::ending(exit.status);
            match exit.who {
                Whose::Worker(life) => {
                    self.cluster.detach(life);
                    if let Some(ending) = self.inquiries.hold_back(now, life, ending) {
                        self.exited(now, life, ending);
                    }
                }
                Whose::Host(life) => {
                    self.attendant.ended(life);
                    self.relay_all();
                    self.handle(now, Event::Host(life, HostEvent::Exited(ending)));
                }
            }
            // It held descriptors of ours in its table; some may be free now.
            let _ = self.reserve.refill();
        }
        harvest.left
    }

    /// Sends a worker a message; what cannot be sent is told.
    pub(super) fn say(&mut self, now: Moment, life: Life, message: &impl serde::Serialize) {
        let outcome = self.cluster.send(life, message, None, now);
        self.complain_of(life, outcome);
    }

    pub(super) fn complain_of(&self, life: Life, outcome: SendOutcome) {
        // The deadlines that wait for the answer take care of the rest.
        if let Some(reason) = clauses::why_unsent(outcome) {
            let (wid, pid) = self.name(life);
            warn!(
                event = "unsent",
                wid, pid, reason, "a message to worker {wid} (pid {pid}) was dropped: {reason}"
            );
        }
    }

    pub(super) fn pid(&self, life: Life) -> i32 {
        self.children.get(&life).map_or(0, |process| process.child.pid().as_raw())
    }

    pub(super) fn name(&self, life: Life) -> (u32, i32) {
        let wid = self.children.get(&life).map_or(0, |process| process.worker.0);
        (wid, self.pid(life))
    }

    /// Ends what is left when all workers are gone: listeners, and processes that detached themselves.
    pub(super) fn clean_up(&mut self) {
        self.cluster.close_all();
        self.relay.finish();
        for pid in process::end_remains(process::Patience::default()) {
            let pid = pid.as_raw();
            warn!(event = "left_behind", pid, error = %Errno::EBUSY, "process {pid} cannot be killed and is left behind");
        }
    }
}
