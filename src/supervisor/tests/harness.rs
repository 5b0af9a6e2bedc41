//! A world in virtual time: workers that behave as a story says, and a clock that jumps to the next event.
//!
//! Invariant: after every step the supervisor's promises are checked, see [`World::check`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::supervisor::{
    Attendance, Ending, Endpoint, Event, ExitTimeout, Haste, HostEvent, HostLife, Life, Limits, Moment,
    Notice, Order, Outcome, Policy, Readiness, Request, RestartOrder, Signal, Supervisor, WorkerId,
};

/// A policy without any timer, as an empty configuration gives.
pub(in crate::supervisor) fn policy(workers: u32) -> Policy {
    Policy {
        workers,
        limits: Limits::default(),
        readiness: Readiness::Automatic,
        restart: RestartOrder::StopFirst,
        parallel: 1,
        ready_timeout: None,
        exit_timeout: ExitTimeout::Default,
        attendance: Attendance::Alone,
    }
}

pub(super) fn ms(n: u64) -> Option<Duration> {
    Some(Duration::from_millis(n))
}

/// How one process behaves; times in milliseconds after what causes them, `None` is never.
#[derive(Debug, Clone)]
pub(super) struct Behaviour {
    pub(super) online: Option<u64>,
    pub(super) ready: Option<u64>,
    pub(super) listens: Vec<&'static str>,
    pub(super) dies: Option<(u64, Ending)>,
    pub(super) leaves_by_itself: Option<u64>,
    pub(super) answers_suspend: Option<u64>,
    pub(super) drains: Option<u64>,
    pub(super) exits_after_leaving: Option<u64>,
    pub(super) heeds_sigterm: Option<u64>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            online: Some(10),
            ready: Some(40),
            listens: vec!["tcp *:80"],
            dies: None,
            leaves_by_itself: None,
            answers_suspend: Some(1),
            drains: Some(20),
            exits_after_leaving: Some(2),
            heeds_sigterm: Some(1),
        }
    }
}

impl Behaviour {
    pub(super) fn dying_at(after: u64) -> Self {
        Self { dies: Some((after, Ending::Code(1))), ..Self::default() }
    }

    /// Boots, never gets ready.
    pub(super) fn never_ready() -> Self {
        Self { ready: None, listens: vec![], ..Self::default() }
    }
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a fake process: what happened to it so far")]
struct Process {
    worker: WorkerId,
    behaviour: Behaviour,
    online: bool,
    ready: bool,
    told_to_go: bool,
    told_to_disconnect: bool,
    signals: Vec<Signal>,
}

/// An extension host's process.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HostProcess {
    pub(super) life: HostLife,
    pub(super) dismissed: bool,
    /// How long after being dismissed it ends; `None` is never.
    pub(super) leaves: Option<u64>,
}

/// The fleet and its world.
pub(super) struct World {
    pub(super) supervisor: Supervisor,
    pub(super) policy: Policy,
    pub(super) now: Moment,
    pub(super) script: Box<dyn FnMut(WorkerId, u32) -> Behaviour>,
    pub(super) outcome: Option<Outcome>,
    pub(super) notices: Vec<Notice>,
    pub(super) spawned: Vec<(Moment, WorkerId, Life)>,
    /// The extension host's process, and what it was told.
    pub(super) host: Option<HostProcess>,
    /// When each host process was started.
    pub(super) hosts_started: Vec<Moment>,
    pub(super) hosts_killed: u32,
    slots: u32,
    processes: BTreeMap<Life, Process>,
    starts: BTreeMap<WorkerId, u32>,
    agenda: BTreeMap<(Moment, u64), Event>,
    tickets: u64,
    stop_asked: bool,
    /// How each life was told to stop.
    pub(super) hastes: Vec<(Life, Haste)>,
}

impl World {
    pub(super) fn new(policy: Policy) -> Self {
        let now = Moment(1000);
        let host = matches!(policy.attendance, Attendance::Host { .. });
        let host = host.then_some(HostProcess { life: HostLife(1), dismissed: false, leaves: Some(3) });
        Self {
            supervisor: Supervisor::new(now, policy.clone(), 1),
            hosts_started: host.iter().map(|_| now).collect(),
            hosts_killed: 0,
            host,
            slots: policy.workers,
            policy,
            now,
            script: Box::new(|_, _| Behaviour::default()),
            outcome: None,
            notices: Vec::new(),
            spawned: Vec::new(),
            processes: BTreeMap::new(),
            starts: BTreeMap::new(),
            agenda: BTreeMap::new(),
            tickets: 0,
            stop_asked: false,
            hastes: Vec::new(),
        }
    }

    pub(super) fn scripted(mut self, script: impl FnMut(WorkerId, u32) -> Behaviour + 'static) -> Self {
        self.script = Box::new(script);
        self
    }

    /// Started, and every worker ready.
    pub(super) fn serving(policy: Policy) -> Self {
        let mut world = Self::new(policy);
        world.ask(Request::Start);
        world.run_until("everyone is ready", |world| world.ready() == world.policy.workers as usize);
        world
    }

    pub(super) fn ask(&mut self, request: Request) {
        self.stop_asked |=
            matches!(request, Request::Stop | Request::StopBy(_) | Request::StopWithin(_) | Request::Kill);
        self.slots += u32::from(matches!(request, Request::Add(_)));
        self.news(Event::Asked(request));
    }

    pub(super) fn news(&mut self, event: Event) {
        if let Event::Exited(life, _) = &event {
            self.processes.remove(life);
        }
        if let Event::Host(life, HostEvent::Exited(_)) = &event {
            self.host.take_if(|host| host.life == *life);
        }
        let orders = self.supervisor.handle(self.now, event);
        self.perform(orders);
    }

    /// Something happens to the extension host that lives.
    pub(super) fn host_news(&mut self, event: HostEvent) {
        let life = self.host.as_ref().expect("the host lives").life;
        self.news(Event::Host(life, event));
    }

    /// The life of this worker that was started last.
    pub(super) fn life(&self, worker: u32) -> Life {
        let mine = |(_, owner, _): &&(Moment, WorkerId, Life)| *owner == WorkerId(worker);
        self.spawned.iter().rfind(mine).expect("the worker was started").2
    }

    pub(super) fn starts(&self, worker: u32) -> u32 {
        self.starts.get(&WorkerId(worker)).copied().unwrap_or(0)
    }

    /// How many processes are ready and not on their way out.
    pub(super) fn ready(&self) -> usize {
        let serving =
            |process: &&Process| process.ready && !process.told_to_disconnect && process.signals.is_empty();
        self.processes.values().filter(serving).count()
    }

    pub(super) fn processes(&self) -> usize {
        self.processes.len()
    }

    pub(super) fn signals(&self, life: Life) -> &[Signal] {
        self.processes.get(&life).map_or(&[], |process| &process.signals)
    }

    pub(super) fn said(&self, wanted: impl Fn(&Notice) -> bool) -> bool {
        self.notices.iter().any(wanted)
    }

    /// Lets `milliseconds` pass.
    pub(super) fn pass(&mut self, milliseconds: u64) {
        let end = self.now.after(Duration::from_millis(milliseconds));
        while self.step(Some(end)) {}
        self.now = end;
    }

    /// Lets things happen until the condition holds; fails when nothing more would ever happen.
    pub(super) fn run_until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        while !condition(self) {
            assert!(self.step(None), "nothing more happens, but not yet: {what}; said {:#?}", self.notices);
        }
    }

    /// Jumps to the next event or deadline, no later than `end`.
    pub(super) fn step(&mut self, end: Option<Moment>) -> bool {
        let event = self.agenda.keys().next().copied();
        let wake = self.supervisor.next_wake();
        let next = match (event.map(|(at, _)| at), wake) {
            (Some(event), Some(wake)) => event.min(wake),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => return false,
        };
        if end.is_some_and(|end| next > end) {
            return false;
        }
        self.now = self.now.max(next);
        match event.filter(|(at, _)| *at <= self.now).and_then(|key| self.agenda.remove(&key)) {
            Some(event) => self.happens(event),
            None => {
                let orders = self.supervisor.wake(self.now);
                self.perform(orders);
                let again = self.supervisor.next_wake();
                assert!(again.is_none_or(|at| at > self.now), "a wake-up left something due: {again:?}");
            }
        }
        true
    }

    /// A scheduled event comes true, unless its process is gone.
    fn happens(&mut self, event: Event) {
        if let Event::Host(life, HostEvent::Exited(_)) = &event {
            // Of one that has not ended already.
            if self.host.as_ref().is_some_and(|host| host.life == *life) {
                self.news(event);
            }
            return;
        }
        let life = life_of(&event);
        let Some(process) = life.and_then(|life| self.processes.get_mut(&life)) else { return };
        match &event {
            Event::Online(life) => {
                process.online = true;
                let (life, behaviour) = (*life, process.behaviour.clone());
                self.news(event);
                for endpoint in &behaviour.listens {
                    self.news(Event::Listening(life, Endpoint::new(endpoint)));
                }
                if let Some(after) = behaviour.ready {
                    self.later(after, Event::SaidReady(life));
                }
                return;
            }
            Event::SaidReady(_) => process.ready = true,
            Event::Left(life) => {
                if let Some(after) = process.behaviour.exits_after_leaving {
                    let exited = Event::Exited(*life, Ending::Code(0));
                    self.later(after, exited);
                }
            }
            Event::Leaving(life) => {
                if let Some(after) = process.behaviour.drains {
                    let left = Event::Left(*life);
                    self.later(after, left);
                }
            }
            Event::Asked(_)
            | Event::NotStarted { .. }
            | Event::Listening(..)
            | Event::Closed(..)
            | Event::LivesOn(_)
            | Event::AsksToListen(..)
            | Event::Refused(..)
            | Event::Suspended(_)
            | Event::Drained(_)
            | Event::Broken(..)
            | Event::Host(..)
            | Event::Exited(..) => {}
        }
        self.news(event);
    }

    pub(super) fn later(&mut self, after: u64, event: Event) {
        self.tickets += 1;
        self.agenda.insert((self.now.after(Duration::from_millis(after)), self.tickets), event);
    }

    fn perform(&mut self, orders: Vec<Order>) {
        for order in orders {
            assert!(self.outcome.is_none(), "ordered after the end: {order:?}");
            match order {
                Order::Spawn(worker, life) => self.spawn(worker, life),
                Order::Suspend(life, haste) => {
                    self.hastes.push((life, haste));
                    let process = self.processes.get_mut(&life).expect("only the living are suspended");
                    process.told_to_go = true;
                    assert!(process.online, "{life:?} is not online and cannot be spoken to");
                    if let Some(after) = process.behaviour.answers_suspend {
                        self.later(after, Event::Suspended(life));
                    }
                }
                Order::Disconnect(life) => {
                    let process = self.processes.get_mut(&life).expect("only the living are disconnected");
                    assert!(!process.told_to_disconnect, "a second disconnect kills a Node worker");
                    process.told_to_disconnect = true;
                    if let Some(after) = process.behaviour.drains {
                        self.later(after, Event::Left(life));
                    }
                }
                Order::Signal(life, signal) => {
                    let process = self.processes.get_mut(&life).expect("only the living get signals");
                    process.signals.push(signal);
                    let after = match signal {
                        Signal::Terminate => process.behaviour.heeds_sigterm,
                        Signal::Kill => Some(0),
                    };
                    if let Some(after) = after {
                        self.later(after, Event::Exited(life, Ending::Signal(format!("{signal:?}"))));
                    }
                }
                Order::StartHost(life) => {
                    assert!(self.host.is_none(), "one host at a time");
                    assert!(!self.stop_asked, "nothing is started after a stop");
                    self.hosts_started.push(self.now);
                    self.host = Some(HostProcess { life, dismissed: false, leaves: Some(3) });
                }
                Order::DismissHost(life) => {
                    let host = self.host.as_mut().filter(|host| host.life == life).expect("it lives");
                    assert!(!host.dismissed && self.processes.is_empty(), "once, when the workers are gone");
                    host.dismissed = true;
                    if let Some(after) = host.leaves {
                        self.later(after, Event::Host(life, HostEvent::Exited(Ending::Code(0))));
                    }
                }
                Order::KillHost(life) => {
                    self.hosts_killed += 1;
                    let killed = Ending::Signal("SIGKILL".into());
                    self.later(1, Event::Host(life, HostEvent::Exited(killed)));
                }
                Order::Settle(life) => assert!(self.processes.contains_key(&life)),
                Order::Abandon(_) => {}
                Order::Say(notice) => self.notices.push(notice),
                Order::Finish(outcome) => self.outcome = Some(outcome),
            }
        }
        self.check();
    }

    fn spawn(&mut self, worker: WorkerId, life: Life) {
        assert!(!self.stop_asked, "nothing is started after a stop");
        assert!(self.spawned.iter().all(|(_, _, earlier)| *earlier < life), "a life is never given twice");
        let start = self.starts.entry(worker).or_default();
        *start += 1;
        let behaviour = (self.script)(worker, *start);
        self.spawned.push((self.now, worker, life));
        if let Some(after) = behaviour.online {
            self.later(after, Event::Online(life));
        }
        if let Some((after, ending)) = behaviour.dies.clone() {
            self.later(after, Event::Exited(life, ending));
        }
        if let Some(after) = behaviour.leaves_by_itself {
            self.later(after, Event::Leaving(life));
        }
        let process = Process {
            worker,
            behaviour,
            online: false,
            ready: false,
            told_to_go: false,
            told_to_disconnect: false,
            signals: vec![],
        };
        self.processes.insert(life, process);
    }

    /// What must hold at every moment.
    fn check(&self) {
        assert_eq!(self.supervisor.lives(), self.processes.len(), "every process is known, and no other");
        if self.outcome.is_some() {
            assert!(self.processes.is_empty() && self.host.is_none(), "nobody is left at the end");
        }
        for worker in (1..=self.slots).map(WorkerId) {
            let mine: Vec<_> = self.processes.values().filter(|process| process.worker == worker).collect();
            let staying =
                mine.iter().filter(|process| !process.told_to_go && process.signals.is_empty()).count();
            let most = match self.policy.restart {
                RestartOrder::StopFirst => 1,
                RestartOrder::StartFirst => 2,
            };
            assert!(mine.len() <= most + 1 && staying <= most, "too many lives in {worker}: {mine:?}");
        }
    }

    /// Every process that has been started and not ended, oldest first.
    pub(super) fn living(&self) -> BTreeSet<Life> {
        self.processes.keys().copied().collect()
    }

    pub(super) fn dies(&mut self, life: Life, ending: Ending) {
        self.news(Event::Exited(life, ending));
    }
}

fn life_of(event: &Event) -> Option<Life> {
    match event {
        Event::Asked(_) | Event::Host(..) => None,
        Event::NotStarted { life, .. }
        | Event::Online(life)
        | Event::SaidReady(life)
        | Event::Listening(life, _)
        | Event::Closed(life, ..)
        | Event::LivesOn(life)
        | Event::AsksToListen(life, _)
        | Event::Refused(life, _)
        | Event::Suspended(life)
        | Event::Leaving(life)
        | Event::Left(life)
        | Event::Drained(life)
        | Event::Broken(life, _)
        | Event::Exited(life, _) => Some(*life),
    }
}
