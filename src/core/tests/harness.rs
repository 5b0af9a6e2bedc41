//! A world in virtual time: workers that behave as a story says, and a clock that jumps to the next event.
//!
//! Invariant: after every step the supervisor's promises are checked, see [`World::check`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::handover::{Handed, Original};
use super::witness::{Witness, instance_of};
use crate::core::{
    Audience, Completion, Effect, Endpoint, Event, ExitStatus, ExitTimeout, FleetGoal, Generation, Haste,
    HostEvent, HostInstanceId, HostKind, InstanceId, Layout, LifecycleLimits, ListenAddress, Moment, Notice,
    Outcome, Policy, PoolSpec, Port, Readiness, Refusal, Request, RequestId, RestartOrder, Signal, Snapshot,
    Spawn, Supervisor, WorkerId,
};

/// A policy without any timer, as an empty configuration gives.
pub(in crate::core) fn policy(workers: u32) -> Policy {
    Policy {
        workers,
        limits: LifecycleLimits::default(),
        readiness: Readiness::Automatic,
        restart: RestartOrder::StopFirst,
        parallel: 1,
        ready_timeout: None,
        start_timeout: None,
        canary: None,
        exit_timeout: ExitTimeout::Default,
        host_kind: HostKind::None,
    }
}

/// A configuration of the same.
pub(in crate::core) fn spec(workers: u32) -> PoolSpec {
    spec_of(policy(workers))
}

pub(super) fn spec_of(policy: Policy) -> PoolSpec {
    let layout =
        Layout { port: Some(Port::Tcp(80)), workers: policy.workers.into(), groups: 1.0, ports_per_group: 1 };
    PoolSpec { policy, layout, run: "app.js".into(), listen: String::new(), host: String::new() }
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
    pub(super) dies: Option<(u64, ExitStatus)>,
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
        Self { dies: Some((after, ExitStatus::Code(1))), ..Self::default() }
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
    /// What it was told to listen on.
    port: Arc<str>,
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
    pub(super) id: HostInstanceId,
    pub(super) dismissed: bool,
    /// How long after being dismissed it ends; `None` is never.
    pub(super) leaves: Option<u64>,
}

/// What workers listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listened {
    /// What their behaviour says.
    Always,
    /// The same where they are told to, `80` being that.
    AsTold,
}

/// Reads a configuration.
pub(super) type Reader = dyn FnMut() -> (u64, Result<PoolSpec, String>);

/// The fleet and its world.
pub(super) struct World {
    pub(super) supervisor: Supervisor,
    /// The supervisor from the start, if the other one is handed over.
    original: Option<Original>,
    pub(super) policy: Policy,
    pub(super) now: Moment,
    pub(super) script: Box<dyn FnMut(WorkerId, u32) -> Behaviour>,
    pub(super) outcome: Option<Outcome>,
    pub(super) notices: Vec<Notice>,
    pub(super) spawned: Vec<(Moment, WorkerId, InstanceId)>,
    /// The extension host's process, and what it was told.
    pub(super) host: Option<HostProcess>,
    /// What each host was told of what there was.
    pub(super) introductions: Vec<(HostInstanceId, Snapshot)>,
    witness: Witness,
    /// How it ended, as a custom master was told.
    pub(super) script_told: Option<Outcome>,
    /// How often all listeners were closed.
    pub(super) closings: u32,
    /// When each host process was started.
    pub(super) hosts_started: Vec<Moment>,
    pub(super) hosts_killed: u32,
    /// What comes of reading the configuration, at once; nothing if the story tells it later.
    pub(super) configuration: Option<Result<PoolSpec, String>>,
    /// What comes of it instead, each time, and after how many milliseconds.
    pub(super) reader: Option<Box<Reader>>,
    /// What was to be read.
    pub(super) readings: Vec<Generation>,
    /// What was read and taken.
    pub(super) adopted: Vec<Generation>,
    /// What is not kept any more.
    pub(super) forgotten: BTreeSet<Generation>,
    /// What each instance runs on.
    pub(super) generations: BTreeMap<InstanceId, Generation>,
    pub(super) ports: Listened,
    /// How much has happened.
    pub(super) steps: u64,
    /// Start-first from when a configuration that was read said so.
    restart: RestartOrder,
    processes: BTreeMap<InstanceId, Process>,
    starts: BTreeMap<WorkerId, u32>,
    agenda: BTreeMap<(Moment, u64), Event>,
    tickets: u64,
    stop_asked: bool,
    requests: u64,
    /// Those answered and not complete.
    open: BTreeSet<RequestId>,
    /// What came of each request that was accepted.
    pub(super) completed: BTreeMap<RequestId, Completion>,
    /// How much had been told when a request was complete.
    pub(super) told_before: BTreeMap<RequestId, usize>,
    pub(super) refused: BTreeMap<RequestId, Refusal>,
    /// How each instance was told to stop.
    pub(super) hastes: Vec<(InstanceId, Haste)>,
}

impl World {
    pub(super) fn new(policy: Policy) -> Self {
        Self::of(spec_of(policy))
    }

    /// A fleet of this configuration.
    pub(super) fn of(spec: PoolSpec) -> Self {
        let policy = spec.policy.clone();
        let now = Moment(1000);
        let host = matches!(policy.host_kind, HostKind::ExtensionHost { .. });
        let host = host.then_some(HostProcess { id: HostInstanceId(1), dismissed: false, leaves: Some(3) });
        Self {
            supervisor: Supervisor::new(now, spec, 1),
            original: None,
            hosts_started: host.iter().map(|_| now).collect(),
            hosts_killed: 0,
            introductions: Vec::new(),
            witness: Witness::default(),
            script_told: None,
            closings: 0,
            host,
            configuration: Some(Ok(spec_of(policy.clone()))),
            reader: None,
            ports: Listened::Always,
            steps: 0,
            restart: RestartOrder::StopFirst,
            readings: Vec::new(),
            adopted: Vec::new(),
            forgotten: BTreeSet::new(),
            generations: BTreeMap::new(),
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
            requests: 0,
            open: BTreeSet::new(),
            completed: BTreeMap::new(),
            told_before: BTreeMap::new(),
            refused: BTreeMap::new(),
            hastes: Vec::new(),
        }
    }

    /// Another policy from now on, also in the configuration that is read next.
    pub(super) fn set(&mut self, change: impl Fn(&mut Policy)) {
        assert!(self.original.is_none(), "there is one supervisor");
        change(&mut self.policy);
        change(&mut self.supervisor.policy);
        change(&mut self.supervisor.spec.policy);
        self.configuration = Some(Ok(self.supervisor.spec.clone()));
    }

    pub(super) fn scripted(mut self, script: impl FnMut(WorkerId, u32) -> Behaviour + 'static) -> Self {
        self.script = Box::new(script);
        self
    }

    /// Its supervisor is handed over as often as that; nothing has happened yet.
    pub(super) fn handed_over(mut self, handed: Handed) -> Self {
        self.original = match handed {
            Handed::Never => None,
            Handed::Every(steps) => Some(Original::of(&mut self.supervisor, steps)),
        };
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
        self.stop_asked |= matches!(request, Request::Stop | Request::StopBy(_) | Request::Kill);
        self.requests += 1;
        self.news(Event::Asked(RequestId(self.requests), request));
    }

    /// How many requests there have been.
    pub(super) const fn asked(&self) -> u64 {
        self.requests
    }

    /// Asks for something; the name of the request, for [`Self::completed`].
    pub(super) fn request(&mut self, request: Request) -> RequestId {
        self.ask(request);
        RequestId(self.requests)
    }

    pub(super) fn news(&mut self, event: Event) {
        self.steps += 1;
        if let Event::ConfigurationRead(_, Ok(spec)) = &event
            && spec.policy.restart == RestartOrder::StartFirst
        {
            self.restart = RestartOrder::StartFirst;
        }
        if let Event::Exited(id, _) = &event {
            self.processes.remove(id);
        }
        if let Event::Host(id, HostEvent::Exited(_)) = &event {
            self.host.take_if(|host| host.id == *id);
        }
        self.witness.sees(&event);
        self.decide(Some(event));
    }

    /// What this leads to, or a wake-up.
    fn decide(&mut self, event: Option<Event>) {
        let again = self.original.as_ref().map(|_| event.clone());
        let effects = match event {
            Some(event) => self.supervisor.handle(self.now, event),
            None => self.supervisor.wake(self.now),
        };
        if let (Some(original), Some(event)) = (&mut self.original, again) {
            original.goes_along(self.now, event, &effects, &mut self.supervisor);
        }
        self.perform(effects);
    }

    /// Something happens to the extension host that is alive.
    pub(super) fn host_news(&mut self, event: HostEvent) {
        let id = self.host.as_ref().expect("the host lives").id;
        self.news(Event::Host(id, event));
    }

    /// The custom master is gone.
    pub(super) fn script_leaves(&mut self) {
        self.stop_asked = true;
        self.news(Event::Host(HostInstanceId::FIRST, HostEvent::Left));
    }

    /// The instance of this worker that was started last.
    pub(super) fn id(&self, worker: u32) -> InstanceId {
        let mine = |(_, owner, _): &&(Moment, WorkerId, InstanceId)| *owner == WorkerId(worker);
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

    pub(super) fn signals(&self, id: InstanceId) -> &[Signal] {
        self.processes.get(&id).map_or(&[], |process| &process.signals)
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

    /// Lets `milliseconds` pass in which nothing runs.
    pub(super) fn stall(&mut self, milliseconds: u64) {
        self.now = self.now.after(Duration::from_millis(milliseconds));
    }

    /// Wakes the supervisor, whether something is due or not.
    pub(super) fn wake(&mut self) {
        self.decide(None);
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
                self.steps += 1;
                self.wake();
                let again = self.supervisor.next_wake();
                assert!(again.is_none_or(|at| at > self.now), "a wake-up left something due: {again:?}");
            }
        }
        true
    }

    /// A scheduled event comes true, unless its process is gone.
    fn happens(&mut self, event: Event) {
        if let Event::Host(id, HostEvent::Exited(_)) = &event {
            // Of one that has not ended already.
            if self.host.as_ref().is_some_and(|host| host.id == *id) {
                self.news(event);
            }
            return;
        }
        if matches!(event, Event::ConfigurationRead(..)) {
            self.news(event);
            return;
        }
        let id = instance_of(&event);
        let Some(process) = id.and_then(|id| self.processes.get_mut(&id)) else { return };
        match &event {
            Event::Online(id) => {
                process.online = true;
                let (id, port, behaviour) = (*id, Arc::clone(&process.port), process.behaviour.clone());
                self.news(event);
                self.listens(id, &behaviour, &port);
                if let Some(after) = behaviour.ready {
                    self.later(after, Event::SaidReady(id, Audience::Luster));
                }
                return;
            }
            Event::SaidReady(..) => {
                process.ready = true;
                // Whatever a worker says it may say again.
                self.news(event.clone());
            }
            Event::Left(id) => {
                if let Some(after) = process.behaviour.exits_after_leaving {
                    let exited = Event::Exited(*id, ExitStatus::Code(0));
                    self.later(after, exited);
                }
            }
            Event::Leaving(id) => {
                if let Some(after) = process.behaviour.drains {
                    let left = Event::Left(*id);
                    self.later(after, left);
                }
            }
            Event::Asked(..)
            | Event::NotStarted { .. }
            | Event::Listening(..)
            | Event::Closed(..)
            | Event::LivesOn(_)
            | Event::AsksToListen(..)
            | Event::Refused(..)
            | Event::Suspended(_)
            | Event::Drained(_)
            | Event::Broken(..)
            | Event::LastWords(..)
            | Event::ConfigurationRead(..)
            | Event::Host(..)
            | Event::Exited(..) => {}
        }
        self.news(event);
    }

    /// A worker listens, as it is made for.
    fn listens(&mut self, id: InstanceId, behaviour: &Behaviour, port: &str) {
        for endpoint in &behaviour.listens {
            match self.ports {
                Listened::Always => self.news(listening(id, endpoint)),
                Listened::AsTold if port == "0" => {}
                Listened::AsTold if port.starts_with('/') => {
                    self.news(listening(id, &format!("unix {port}")));
                }
                Listened::AsTold => self.news(listening(id, &endpoint.replace("80", port))),
            }
        }
    }

    pub(super) fn later(&mut self, after: u64, event: Event) {
        self.tickets += 1;
        self.agenda.insert((self.now.after(Duration::from_millis(after)), self.tickets), event);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        let mut read = Vec::new();
        for order in effects {
            assert!(self.outcome.is_none(), "ordered after the end: {order:?}");
            self.witness.hears(&order);
            match order {
                Effect::Spawn(spawn) => self.is_kept(&spawn),
                Effect::ForgetConfiguration(generation) => {
                    assert!(self.forgotten.insert(generation), "{generation:?} is forgotten once");
                }
                Effect::Suspend(id, haste) => self.is_suspended(id, haste),
                Effect::Disconnect(id) => {
                    let process = self.processes.get_mut(&id).expect("only the living are disconnected");
                    assert!(!process.told_to_disconnect, "a second disconnect kills a Node worker");
                    process.told_to_disconnect = true;
                    if let Some(after) = process.behaviour.drains {
                        self.later(after, Event::Left(id));
                    }
                }
                Effect::Signal(id, signal) => self.signal(id, signal),
                Effect::ReadConfiguration(generation) => {
                    assert!(!self.stop_asked, "nothing is read after a stop");
                    self.readings.push(generation);
                    read.extend(self.reading(generation));
                }
                Effect::AdoptConfiguration(generation) => self.adopted.push(generation),
                Effect::StartHost(id) => {
                    assert!(self.host.is_none(), "one host at a time");
                    assert!(!self.stop_asked, "nothing is started after a stop");
                    self.hosts_started.push(self.now);
                    self.host = Some(HostProcess { id, dismissed: false, leaves: Some(3) });
                }
                Effect::DismissHost(id, outcome) => self.dismiss(id, outcome),
                Effect::KillHost(id) => {
                    self.hosts_killed += 1;
                    let killed = ExitStatus::Signal("SIGKILL".into());
                    self.later(1, Event::Host(id, HostEvent::Exited(killed)));
                }
                Effect::ReleaseStaleListeners(id) => assert!(self.processes.contains_key(&id)),
                Effect::ReleaseSlotListeners(_) => {}
                Effect::Drain(id) => assert!(self.processes.contains_key(&id), "only the living drain"),
                Effect::Introduce(id) => self.introduce(id),
                Effect::ReleaseAllListeners => self.closings += 1,
                Effect::Notify(notice) => self.notices.push(notice),
                Effect::Reply(id, result) => self.replied(id, result),
                Effect::Completed(id, completion) => {
                    assert!(self.open.remove(&id), "{id:?} was accepted and is completed once");
                    self.completed.insert(id, completion);
                    self.told_before.insert(id, self.notices.len());
                }
                Effect::Finish(outcome) => self.outcome = Some(outcome),
            }
        }
        self.check();
        for (generation, result) in read {
            self.news(Event::ConfigurationRead(generation, result.map(Box::new)));
        }
    }

    /// The configuration is being read: what comes of that at once.
    fn reading(&mut self, generation: Generation) -> Option<(Generation, Result<PoolSpec, String>)> {
        let Some(reader) = &mut self.reader else {
            return self.configuration.clone().map(|result| (generation, result));
        };
        let (after, result) = reader();
        self.later(after, Event::ConfigurationRead(generation, result.map(Box::new)));
        None
    }

    /// A host that has just come is told what there is.
    fn introduce(&mut self, id: HostInstanceId) {
        assert!(self.host.as_ref().is_some_and(|host| host.id == id), "it lives");
        assert!(self.introductions.iter().all(|(earlier, _)| *earlier != id), "once");
        self.introductions.push((id, self.supervisor.snapshot(self.now)));
    }

    /// The host is told that it is over.
    fn dismiss(&mut self, id: HostInstanceId, outcome: Outcome) {
        let is_replaced = self.supervisor.snapshot(self.now).goal == FleetGoal::Serve;
        assert!(
            self.processes.is_empty() || is_replaced,
            "when the workers are gone, or another one follows"
        );
        if self.policy.host_kind == HostKind::CustomMaster {
            assert_eq!((id, &self.script_told), (HostInstanceId::FIRST, &None), "once");
            self.script_told = Some(outcome);
            return;
        }
        let host = self.host.as_mut().filter(|host| host.id == id).expect("it lives");
        assert!(!host.dismissed, "once");
        host.dismissed = true;
        if let Some(after) = host.leaves {
            self.later(after, Event::Host(id, HostEvent::Exited(ExitStatus::Code(0))));
        }
    }

    /// A process is started, on a configuration that is there.
    fn is_kept(&mut self, spawn: &Spawn) {
        assert!(!self.forgotten.contains(&spawn.generation), "{spawn:?} is on a forgotten configuration");
        self.generations.insert(spawn.instance, spawn.generation);
        self.spawn(spawn);
    }

    fn is_suspended(&mut self, id: InstanceId, haste: Haste) {
        self.hastes.push((id, haste));
        let process = self.processes.get_mut(&id).expect("only the living are suspended");
        process.told_to_go = true;
        assert!(process.online, "{id:?} is not online and cannot be spoken to");
        if let Some(after) = process.behaviour.answers_suspend {
            self.later(after, Event::Suspended(id));
        }
    }

    fn replied(&mut self, id: RequestId, result: Result<(), Refusal>) {
        assert!(!self.completed.contains_key(&id), "{id:?} is complete before it is answered");
        let is_first = match result {
            Ok(()) => self.open.insert(id),
            Err(refusal) => self.refused.insert(id, refusal).is_none(),
        };
        assert!(is_first, "{id:?} is answered once");
    }

    fn signal(&mut self, id: InstanceId, signal: Signal) {
        let process = self.processes.get_mut(&id).expect("only the living get signals");
        process.signals.push(signal);
        let after = match signal {
            Signal::Terminate => process.behaviour.heeds_sigterm,
            Signal::Kill => Some(0),
        };
        if let Some(after) = after {
            self.later(after, Event::Exited(id, ExitStatus::Signal(format!("{signal:?}"))));
        }
    }

    fn spawn(&mut self, spawn: &Spawn) {
        let (worker, id) = (spawn.worker, spawn.instance);
        assert!(!self.stop_asked, "nothing is started after a stop");
        assert!(self.spawned.iter().all(|(_, _, earlier)| *earlier < id), "an id is never given twice");
        let start = self.starts.entry(worker).or_default();
        *start += 1;
        let behaviour = (self.script)(worker, *start);
        self.spawned.push((self.now, worker, id));
        if let Some(after) = behaviour.online {
            self.later(after, Event::Online(id));
        }
        if let Some((after, status)) = behaviour.dies.clone() {
            self.later(after, Event::Exited(id, status));
        }
        if let Some(after) = behaviour.leaves_by_itself {
            self.later(after, Event::Leaving(id));
        }
        let process = Process {
            worker,
            port: Arc::clone(&spawn.port),
            behaviour,
            online: false,
            ready: false,
            told_to_go: false,
            told_to_disconnect: false,
            signals: vec![],
        };
        self.processes.insert(id, process);
    }

    /// What must hold at every moment.
    fn check(&self) {
        self.witness.confirms(&self.supervisor.snapshot(self.now));
        assert_eq!(self.supervisor.instances(), self.processes.len(), "every process is known, and no other");
        if self.outcome.is_some() {
            assert!(self.processes.is_empty() && self.host.is_none(), "nobody is left at the end");
            assert_eq!(self.open, BTreeSet::new(), "every request is complete at the end");
        }
        let most = match (self.policy.restart, self.restart) {
            (RestartOrder::StopFirst, RestartOrder::StopFirst) => 1,
            (RestartOrder::StartFirst, _) | (_, RestartOrder::StartFirst) => 2,
        };
        let mut workers: BTreeMap<WorkerId, Vec<&Process>> = BTreeMap::new();
        for process in self.processes.values() {
            workers.entry(process.worker).or_default().push(process);
        }
        for (worker, mine) in workers {
            let staying =
                mine.iter().filter(|process| !process.told_to_go && process.signals.is_empty()).count();
            assert!(mine.len() <= most + 1 && staying <= most, "too many instances in {worker}: {mine:?}");
        }
    }

    /// Every process that has been started and not ended, oldest first.
    pub(super) fn living(&self) -> BTreeSet<InstanceId> {
        self.processes.keys().copied().collect()
    }

    pub(super) fn dies(&mut self, id: InstanceId, status: ExitStatus) {
        self.news(Event::Exited(id, status));
    }
}

/// A worker listens there.
pub(super) fn listening(id: InstanceId, endpoint: &str) -> Event {
    Event::Listening(id, Endpoint::new(endpoint), ListenAddress::new("{}"))
}
