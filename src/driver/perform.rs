//! Performs orders and takes in news: the hands and ears of the loop.

use std::collections::{BTreeMap, VecDeque};

use nix::errno::Errno;
use tracing::{debug, info, warn};

use super::launch::{LaunchError, Launcher};
use super::narrate;
use super::said::{self, Said};
use super::translate;
use crate::cluster::{Cluster, News, Progress};
use crate::ipc::SendOutcome;
use crate::process::{self, Child, Delivery, Pid, Reserve};
use crate::supervisor::{
    Ending, Event, HostEvent, Life, Moment, Order, Outcome, Signal, Supervisor, WorkerId,
};

/// How often the channels are read for the last words of the dead; enough to empty a full socket buffer.
const LAST_READS: usize = 64;

/// Everything the loop owns.
pub(super) struct Hands {
    pub(super) supervisor: Supervisor,
    pub(super) cluster: Cluster,
    pub(super) launcher: Launcher,
    pub(super) reserve: Reserve,
    pub(super) children: BTreeMap<Life, Process>,
    /// Kept from call to call, so that the hot path does not allocate.
    news: Vec<News>,
    /// How it ended, once it has.
    pub(super) outcome: Option<Outcome>,
}

/// A living process.
pub(super) struct Process {
    worker: WorkerId,
    child: Child,
}

impl Hands {
    pub(super) fn new(supervisor: Supervisor, cluster: Cluster, launcher: Launcher) -> Self {
        let (children, news) = (BTreeMap::new(), Vec::new());
        Self { supervisor, cluster, launcher, reserve: Reserve::take(), children, news, outcome: None }
    }

    /// Tells the supervisor and does what it orders, until nothing follows.
    pub(super) fn handle(&mut self, now: Moment, event: Event) {
        let orders = self.tell(now, event);
        self.carry_out(now, orders);
    }

    /// Lets the supervisor and the cluster act on what is due.
    pub(super) fn wake(&mut self, now: Moment) -> Progress {
        let mut progress = Progress::Idle;
        if self.cluster.next_wake().is_some_and(|at| at <= now) {
            let mut news = std::mem::take(&mut self.news);
            progress = self.cluster.wake(now, &mut news);
            self.take_in(now, news);
        }
        if self.supervisor.next_wake().is_some_and(|at| at <= now) {
            let orders = self.supervisor.wake(now);
            self.carry_out(now, orders);
        }
        progress
    }

    pub(super) fn next_wake(&self) -> Option<Moment> {
        [self.supervisor.next_wake(), self.cluster.next_wake()].into_iter().flatten().min()
    }

    /// Does the channels' and listeners' work that is ready.
    pub(super) fn process(&mut self, now: Moment) -> Progress {
        let mut news = std::mem::take(&mut self.news);
        let progress = self.cluster.process(now, &mut news);
        self.take_in(now, news);
        progress
    }

    /// Collects the dead.
    pub(super) fn reap(&mut self, now: Moment) -> process::Left {
        let children = &self.children;
        let known =
            |pid: Pid| children.iter().find(|(_, process)| process.child.pid() == pid).map(|(life, _)| *life);
        let harvest = process::reap(known);
        if !harvest.exits.is_empty() {
            // What the dead wrote last says why they died. Bounded, as the living may write for ever.
            let _ = (0..LAST_READS).take_while(|_| self.process(now) == Progress::More).count();
        }
        for exit in harvest.exits {
            self.cluster.detach(exit.life);
            self.handle(now, Event::Exited(exit.life, translate::ending(exit.status)));
            self.children.remove(&exit.life);
            // It held descriptors of ours in its table; some may be free now.
            let _ = self.reserve.refill();
        }
        harvest.left
    }

    fn tell(&mut self, now: Moment, event: Event) -> Vec<Order> {
        debug!(event = "event", "{event:?}");
        self.supervisor.handle(now, event)
    }

    /// Performs orders, and those that follow from what comes of them.
    fn carry_out(&mut self, now: Moment, mut orders: Vec<Order>) {
        let mut events = VecDeque::new();
        loop {
            for order in orders {
                self.perform(now, order, &mut events);
            }
            let Some(event) = events.pop_front() else { return };
            orders = self.tell(now, event);
        }
    }

    fn perform(&mut self, now: Moment, order: Order, events: &mut VecDeque<Event>) {
        match order {
            Order::Spawn(worker, life) => match self.spawn(worker, life) {
                Ok(pid) => {
                    info!(event = "fork", wid = worker.0, pid, "worker {worker} (pid {pid}) is started");
                }
                Err(error) => events.push_back(Event::NotStarted { life, reason: error.to_string() }),
            },
            Order::Suspend(life) => {
                self.cluster.suspend(life);
                self.say(now, life, &said::suspend());
            }
            Order::Disconnect(life) => self.cluster.disconnect(life, now),
            Order::Signal(life, signal) => self.signal(life, signal),
            Order::Settle(life) => self.cluster.life_ready(life),
            Order::Abandon(worker) => self.cluster.slot_abandoned(worker),
            Order::StartHost(life) => {
                let ending = Ending::NotStarted("there is nothing to start".into());
                events.push_back(Event::Host(life, HostEvent::Exited(ending)));
            }
            Order::DismissHost(_) | Order::KillHost(_) => {}
            Order::Say(notice) => narrate::tell(&notice, |life| self.pid(life)),
            Order::Finish(outcome) => self.outcome = Some(outcome),
        }
    }

    fn spawn(&mut self, worker: WorkerId, life: Life) -> Result<i32, LaunchError> {
        let Self { reserve, cluster, launcher, children, .. } = self;
        let child = reserve.lend(|| {
            let (ours, theirs) = Cluster::channel_pair()?;
            let child = launcher.launch(worker, life, theirs)?;
            match cluster.attach(worker, life, ours) {
                Ok(()) => Ok(child),
                Err(error) => {
                    // Its channel is closed with `ours`; it ends by itself, and this makes sure.
                    let _ = child.signal(process::Signal::Kill);
                    Err(LaunchError::Channel(error))
                }
            }
        })?;
        let pid = child.pid().as_raw();
        children.insert(life, Process { worker, child });
        Ok(pid)
    }

    fn signal(&self, life: Life, signal: Signal) {
        let Some(process) = self.children.get(&life) else { return };
        let (signal, name) = match signal {
            Signal::Terminate => (process::Signal::Terminate, "SIGTERM"),
            Signal::Kill => (process::Signal::Kill, "SIGKILL"),
        };
        match process.child.signal(signal) {
            Ok(Delivery::Sent | Delivery::Gone) => {}
            Err(error) => {
                let (wid, pid) = (process.worker, process.child.pid().as_raw());
                warn!(
                    event = "signal_failed",
                    wid = wid.0,
                    pid,
                    "worker {wid} (pid {pid}) cannot get {name}: {error}"
                );
            }
        }
    }

    fn say(&mut self, now: Moment, life: Life, message: &impl serde::Serialize) {
        match self.cluster.send(life, message, None, now) {
            SendOutcome::Taken | SendOutcome::Unreachable => {}
            // The deadlines that wait for the answer take care of the rest.
            outcome @ (SendOutcome::Full
            | SendOutcome::Reserved
            | SendOutcome::TooLong
            | SendOutcome::Unserializable) => {
                let (wid, pid) = self.name(life);
                warn!(
                    event = "unsent",
                    wid, pid, "worker {wid} (pid {pid}) does not take a message: {outcome:?}"
                );
            }
        }
    }

    fn take_in(&mut self, now: Moment, mut news: Vec<News>) {
        for item in news.drain(..) {
            self.hear(now, item);
        }
        self.news = news;
    }

    fn hear(&mut self, now: Moment, news: News) {
        match news {
            News::Online { life } => {
                let pid = self.pid(life);
                self.say(now, life, &said::foreign_properties(pid));
                self.handle(now, Event::Online(life));
            }
            News::Listening { life, endpoint } => self.handle(now, Event::Listening(life, endpoint)),
            News::Closed { life, endpoint } => self.handle(now, Event::Closed(life, endpoint)),
            News::BindFailed { life, endpoint, error } => {
                self.handle(now, Event::Refused(life, translate::refusal(endpoint, &error)));
            }
            // A handle sent along is closed by being dropped: this master has no use for it.
            News::Said { life, message, handle: _ } => self.understand(now, life, said::parse(&message)),
            News::Leaving { life } => self.handle(now, Event::Leaving(life)),
            News::Left { life } => self.handle(now, Event::Left(life)),
            News::Broken { life, reason } => self.handle(now, Event::Broken(life, reason.to_string())),
            News::Refusing { life } => {
                let (wid, pid) = self.name(life);
                warn!(
                    event = "refusing",
                    wid,
                    pid,
                    "worker {wid} (pid {pid}) cannot take connections: it is likely out of descriptors (ulimit -n); \
                     they go to other workers"
                );
            }
            News::Flooding { life } => {
                let (wid, pid) = self.name(life);
                warn!(
                    event = "flooding",
                    wid,
                    pid,
                    "worker {wid} (pid {pid}) floods its channel with messages; it is read more slowly"
                );
            }
        }
    }

    fn understand(&mut self, now: Moment, life: Life, said: Said) {
        match said {
            Said::Ready => self.handle(now, Event::SaidReady(life)),
            Said::Suspended => self.handle(now, Event::Suspended(life)),
            Said::Leaving => {
                // Before it closes its servers, so that its listeners wait for its successor.
                self.cluster.steer_away(life);
                self.handle(now, Event::Leaving(life));
            }
            Said::Event(name) => {
                let (wid, pid) = self.name(life);
                debug!(event = "worker_event", wid, pid, name, "worker {wid} (pid {pid}) reports {name:?}");
            }
            Said::UnknownCommand(name) => {
                let (wid, pid) = self.name(life);
                debug!(
                    event = "unknown_command",
                    wid,
                    pid,
                    name,
                    "worker {wid} (pid {pid}) calls {name:?}, which nothing on the master has registered"
                );
            }
            Said::StrayCallback | Said::Foreign => {}
        }
    }

    fn pid(&self, life: Life) -> i32 {
        self.children.get(&life).map_or(0, |process| process.child.pid().as_raw())
    }

    fn name(&self, life: Life) -> (u32, i32) {
        let wid = self.children.get(&life).map_or(0, |process| process.worker.0);
        (wid, self.pid(life))
    }

    /// Ends what is left when all workers are gone: listeners, and processes that detached themselves.
    pub(super) fn clean_up(&mut self) {
        self.cluster.close_all();
        for pid in process::end_remains(process::Patience::default()) {
            let pid = pid.as_raw();
            warn!(event = "left_behind", pid, error = %Errno::EBUSY, "process {pid} cannot be ended and is left behind");
        }
    }
}
