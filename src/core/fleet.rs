//! The supervisor itself: every slot, the rollout, the host, and the goal they serve.
//!
//! What is asked of it is in `requests`, what the end of a process means in `exits`, how a rollout moves on in `steps`.
//! Order of precedence where deciders disagree: kill, stop, rollout, back-off. Once a stop is asked for,
//! nothing is started any more.
//!
//! All of it can be written down and read again, so that another process goes on with it: every type of it derives serde's two
//! traits and leaves no field out, and one that could not be written would not compile. Moments are of a clock that all processes
//! share. Maps and sets are ordered, so that equal states are equal texts; keys that are numbers or endpoints become JSON's
//! strings. Texts that are shared (`Arc`) are written wherever they are and shared no more afterwards, which nothing rests on.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::effect::{Effect, Haste, Spawn, StopReason};
use super::event::{Closing, Event, ExitStatus};
use super::failed_rollout::FailedRollout;
use super::failure::{AbortReason, Culprit};
use super::goal::Goal;
use super::host::Host;
use super::ids::{Endpoint, Generation, InstanceId, Moment, WorkerId};
use super::instance::{Instance, Intent, Leaves};
use super::layout::Ports;
use super::pending::Pending;
use super::policy::{HostKind, LifecycleLimits, Policy, Readiness};
use super::readiness::Readied;
use super::reload_state::Reload;
use super::rollout::Rollout;
use super::slot::{Slot, SlotState};
use super::slots::Slots;
use super::spec::PoolSpec;

/// Whether somebody has asked for workers to be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Started {
    No,
    Yes,
}

/// Decides what happens to each worker. See the module's head for what it never does.
#[derive(Debug, Serialize, Deserialize)]
pub struct Supervisor {
    /// What is wanted, and the configuration it was read from.
    pub(super) spec: PoolSpec,
    /// How it is kept: as the spec says, but for the number of workers that was asked for since.
    pub(super) policy: Policy,
    /// What each worker is told to listen on.
    pub(super) ports: Ports,
    /// Whether somebody has asked for workers to be started.
    pub(super) started: Started,
    pub(super) slots: Slots,
    /// Which slot each living instance is in.
    pub(super) homes: BTreeMap<InstanceId, WorkerId>,
    pub(super) rollout: Option<Rollout>,
    pub(super) reload: Reload,
    /// For whoever asks later; nothing is decided by it.
    pub(super) failed_rollout: Option<FailedRollout>,
    pub(super) pending: Pending,
    pub(super) host: Host,
    pub(super) goal: Goal,
    /// Whether an instance has ever been ready that had been refused nothing.
    pub(super) has_served: bool,
    last_instance: u32,
    /// The configuration in force.
    pub(super) generation: Generation,
    pub(super) revision: u64,
    pub(super) jitter: u32,
}

impl Supervisor {
    /// A fleet that is not started. `seed` spreads the back-off pauses of several masters.
    #[must_use]
    pub fn new(now: Moment, spec: PoolSpec, seed: u32) -> Self {
        let policy = spec.policy.clone();
        let ports = match policy.host_kind {
            // Its script says what each worker is told.
            HostKind::CustomMaster => Ports::default(),
            HostKind::None | HostKind::ExtensionHost { .. } => spec.layout.ports(policy.workers),
        };
        let slots = (1..=policy.workers)
            .map(|wid| {
                let worker = WorkerId(wid);
                Slot::new(worker, policy.limits, Generation(0), ports.of(worker))
            })
            .collect();
        let host = match policy.host_kind {
            HostKind::ExtensionHost { limit } => Host::started(now, limit, spec.host.clone()),
            HostKind::CustomMaster => Host::attached(),
            HostKind::None => Host::none(),
        };
        Self {
            spec,
            policy,
            ports,
            started: Started::No,
            slots: Slots::new(slots),
            homes: BTreeMap::new(),
            rollout: None,
            reload: Reload::default(),
            failed_rollout: None,
            pending: Pending::default(),
            host,
            goal: Goal::Serve,
            has_served: false,
            last_instance: 0,
            generation: Generation(0),
            revision: 0,
            jitter: seed,
        }
    }

    /// Takes news and answers with effects, to be performed in their order. News of instances that have ended
    /// changes nothing.
    #[must_use]
    pub fn handle(&mut self, now: Moment, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Asked(id, request) => self.asked(now, id, request, &mut effects),
            Event::NotStarted { instance: id, reason } => {
                self.ended(now, id, ExitStatus::NotStarted(reason), &mut effects);
            }
            Event::Exited(id, status) => self.ended(now, id, status, &mut effects),
            Event::ConfigurationRead(generation, result) => {
                self.configuration_read(now, generation, result, &mut effects);
            }
            Event::LastWords(id, words) => self.with(id, |instance, _| instance.last_words = Some(words)),
            Event::Host(id, event) => self.host_did(now, id, event, &mut effects),
            Event::Online(id) => {
                let readiness = self.policy.readiness;
                self.with(id, |instance, _| {
                    instance.comes_online(now, &mut effects);
                    match readiness {
                        Readiness::Manual => instance.owes_a_word(now),
                        Readiness::Automatic | Readiness::Checked => {}
                    }
                });
            }
            Event::SaidReady(id, audience) => {
                self.with(id, |instance, _| instance.says_ready(now, audience, &mut effects));
            }
            Event::Listening(id, endpoint, address) => {
                self.with(id, |instance, _| instance.listens(endpoint, address, &mut effects));
            }
            Event::Closed(id, endpoint, closing) => self.closed(now, id, endpoint, closing),
            Event::AsksToListen(id, endpoint) => {
                self.with(id, |instance, _| instance.asks_to_listen(endpoint));
            }
            Event::LivesOn(id) => self.with(id, |instance, _| instance.lives_on()),
            Event::Refused(id, refusal) => {
                let refused = refusal.clone();
                self.with(id, |instance, _| instance.is_refused(now, refused, &mut effects));
                self.canary_refused(now, id, refusal, &mut effects);
            }
            Event::Suspended(id) => self.with(id, |instance, _| instance.suspended(&mut effects)),
            Event::Leaving(id) => self.leaves(now, id, Leaves::Drains, &mut effects),
            Event::Drained(id) => self.with(id, |instance, _| instance.is_drained()),
            Event::Left(id) => self.leaves(now, id, Leaves::Channel, &mut effects),
            Event::Broken(id, how) => self.with(id, |instance, limits| {
                instance.fail(now, StopReason::Broken(how), limits, &mut effects);
            }),
        }
        self.advance(now, &mut effects);
        effects
    }

    /// Acts on every deadline that has passed. Calling it early is harmless.
    #[must_use]
    pub fn wake(&mut self, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        for worker in self.slots.due(now) {
            self.wake_slot(now, worker, &mut effects);
        }
        while let Some((worker, id)) = self.rollout.as_ref().and_then(|rollout| rollout.overdue(now)) {
            let limit = self.policy.ready_timeout.unwrap_or_default();
            let lack = self.slots.of(worker).lack(id, self.policy.readiness);
            if !self.makes_way(now, worker, id, StopReason::NotReady(limit, lack.clone()), &mut effects) {
                let culprit = Culprit::Worker(worker, id);
                self.abort(now, culprit, AbortReason::NotReady(limit, lack), &mut effects);
            }
        }
        self.wake_host(now, &mut effects);
        self.end_patience(now, &mut effects);
        self.advance(now, &mut effects);
        effects
    }

    fn wake_slot(&mut self, now: Moment, worker: WorkerId, effects: &mut Vec<Effect>) {
        let slot = self.slots.of_mut(worker);
        let limits = slot.limits;
        for instance in slot.instances_mut() {
            instance.wake(now, &limits, effects);
        }
        let overdue = slot.sitting().and_then(|sitting| Some((sitting.id, sitting.overdue(now)?)));
        let lack = overdue.map(|(id, limit)| (limit, slot.lack(id, self.policy.readiness)));
        if let (Some((limit, lack)), Some(sitting)) = (lack, slot.sitting_mut()) {
            let why = StopReason::NotReady(limit, lack);
            sitting.is_given_up(now, why, (Intent::Late, Haste::Some), &limits, effects);
        }
        if matches!(slot.state, SlotState::BackingOff { until } if until <= now) {
            self.spawn(now, worker, effects);
        }
    }

    /// When [`Self::wake`] next has something to do; it may change with every call of the other two.
    #[must_use]
    pub fn next_wake(&self) -> Option<Moment> {
        let goal = self.goal.next_wake();
        let rollout = self.rollout.as_ref().and_then(Rollout::next_wake);
        self.slots.next_wake().into_iter().chain(rollout).chain(goal).chain(self.host.next_wake()).min()
    }

    /// Whether there is this worker, with a process or without.
    #[must_use]
    pub fn knows(&self, worker: WorkerId) -> bool {
        self.slots.find(worker).is_some()
    }

    /// Those that are to be there.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerId> {
        self.staying().map(|slot| slot.worker).collect()
    }

    /// How many processes there are.
    #[must_use]
    pub fn instances(&self) -> usize {
        self.homes.len()
    }

    pub(super) fn with(&mut self, id: InstanceId, act: impl FnOnce(&mut Instance, &LifecycleLimits)) {
        let Some(&worker) = self.homes.get(&id) else { return };
        let slot = self.slots.of_mut(worker);
        let limits = slot.limits;
        if let Some(instance) = slot.instance_mut(id) {
            act(instance, &limits);
        }
    }

    /// An instance has closed an endpoint. If it is still coming up it had only tried that out, as its predecessor may have
    /// done: it is not waited for any more.
    fn closed(&mut self, now: Moment, id: InstanceId, endpoint: Endpoint, closing: Closing) {
        let Some(&worker) = self.homes.get(&id) else { return };
        let slot = self.slots.of_mut(worker);
        let Some(instance) = slot.instance_mut(id) else { return };
        let was_tried_out = instance.is_coming_up();
        instance.closes(now, endpoint.clone(), closing);
        if was_tried_out {
            slot.expected.endpoints.remove(&endpoint);
        }
    }

    fn leaves(&mut self, now: Moment, id: InstanceId, how: Leaves, effects: &mut Vec<Effect>) {
        let exit = self.policy.exit_timeout;
        self.with(id, |instance, limits| {
            instance.answers();
            instance.leaves(now, how, limits, exit, effects);
        });
    }

    /// Starts a process in a slot nobody sits in.
    pub(super) fn spawn(&mut self, now: Moment, worker: WorkerId, effects: &mut Vec<Effect>) {
        let slot = self.slots.of(worker);
        let on = (slot.generation, Arc::clone(&slot.port));
        let instance = self.new_instance(now, worker, on, effects);
        self.slots.of_mut(worker).state = SlotState::Occupied(instance);
        self.step_after_spawn(worker);
    }

    /// Orders a process for this slot, on this configuration and told to listen there; whose seat it takes is the caller's to
    /// say.
    pub(super) fn new_instance(
        &mut self,
        now: Moment,
        worker: WorkerId,
        (generation, port): (Generation, Arc<str>),
        effects: &mut Vec<Effect>,
    ) -> Instance {
        self.last_instance += 1;
        let id = InstanceId(self.last_instance);
        self.homes.insert(id, worker);
        let slot = self.slots.of_mut(worker);
        slot.counters.started += 1;
        effects.push(Effect::Spawn(Spawn { worker, instance: id, generation, port: Arc::clone(&port) }));
        let mut instance = Instance::ordered(now, worker, id, (generation, port), &slot.limits);
        instance.ready_by = self.policy.start_timeout.map(|wait| now.after(wait));
        instance
    }

    /// The instance started last.
    pub(super) const fn newest(&self) -> InstanceId {
        InstanceId(self.last_instance)
    }

    /// Moves everything on as far as it goes: readiness, turns of the rollout, the end.
    fn advance(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.goal == Goal::Serve {
            self.update_readiness(now, effects);
            self.end_proofs(now);
            while let Some(pending) = self.next_pending() {
                self.begin_step(now, pending, effects);
            }
            self.remove_emptied(effects);
            let is_over = |rollout: &mut Rollout| rollout.is_complete();
            if !self.waits_for_host()
                && let Some(done) = self.rollout.take_if(is_over)
            {
                self.rollout_done(now, &done, effects);
            }
        }
        self.complete_pending(effects);
        self.dismiss_unneeded_host(now, effects);
        self.finish_when_over(now, effects);
        self.slots.settle();
        self.revision += 1;
    }

    fn update_readiness(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let readiness = self.policy.readiness;
        for worker in self.slots.touched() {
            let mut ready = Vec::new();
            let slot = self.slots.of_mut(worker);
            if let SlotState::Occupied(sitting) = &mut slot.state {
                if sitting.becomes_ready(now, &slot.expected, readiness, effects) == Readied::JustNow {
                    self.has_served |= sitting.refusal().is_none();
                    ready.push(sitting.id);
                }
                // A successor has to take over what its elder holds right now.
                if slot.successor.is_some() && sitting.ready_since.is_some() && !sitting.is_stopping() {
                    slot.expected.endpoints = sitting.endpoints.keys().cloned().collect();
                    slot.expected.port = Some(Arc::clone(&sitting.port));
                }
            }
            if let Some(successor) = &mut slot.successor
                && successor.becomes_ready(now, &slot.expected, readiness, effects) == Readied::JustNow
            {
                ready.push(successor.id);
            }
            for id in ready {
                self.step_after_ready(now, worker, id, effects);
            }
        }
    }
}
