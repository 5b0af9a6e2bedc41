//! How the rollout moves on: whose turn it is, what a step begins with, and what the readiness or end of an instance
//! means for it.
//!
//! Invariants: a start-first replacement that fails never costs the old worker: [`Supervisor::abort`] is the only way
//! out. A stop-first one that fails costs no other worker: the rollout waits until that worker is ready, and stays so;
//! one that is to go on past crashes only until it is dead.

use std::sync::Arc;
use std::time::Duration;

use super::effect::Effect::{self, Notify};
use super::effect::{Haste, Notice, Scope, StopReason};
use super::event::{ExitStatus, OnDeath};
use super::failure::Culprit;
use super::fleet::Supervisor;
use super::ids::{Generation, InstanceId, Moment, WorkerId};
use super::instance::{Instance, ReadinessRule, Stage};
use super::pending::Awaited;
use super::policy::{HostKind, RestartOrder};
use super::rollout::{Onto, PendingReplacement, Queued, Rollout, Step, StepResult, Wanted};
use super::slot::{DesiredState, PortFrom, Role, Slot, SlotState, Trial};

/// How long a replacement has to live on after one that died, where `control.exitThreshold` says nothing.
const PROOF: Duration = Duration::from_secs(1);
/// So many failures of one replacement are no accident: the version is bad.
const KEEPS_FAILING: u32 = 3;
/// The longest such time, whatever it says.
const LONGEST_PROOF: Duration = Duration::from_secs(10);

impl Supervisor {
    /// Queues workers, in a rollout of their own or in the one under way.
    pub(super) fn rollout(&mut self, now: Moment, wanted: &Wanted, effects: &mut Vec<Effect>) -> Awaited {
        let extended = self.rollout.is_some();
        let newest = match (wanted.onto, self.policy.host_kind) {
            // Who has come with it is new already.
            (Onto::InForce, HostKind::None | HostKind::ExtensionHost { .. }) => self.reload.before,
            (Onto::InForce, HostKind::CustomMaster) | (Onto::Same, _) => self.newest(),
        };
        let rollout = self.rollout.get_or_insert_with(|| Rollout::new(now, wanted));
        rollout.join(wanted);
        if wanted.scope == Scope::All {
            rollout.scope = wanted.scope;
        }
        let onto = wanted.onto;
        let queue = |worker: &&WorkerId| {
            rollout.queue(PendingReplacement { worker: **worker, newest, onto }) == Queued::IsNext
        };
        let next: Vec<_> = wanted.workers.iter().filter(queue).copied().collect();
        effects.push(Notify(match extended {
            true => Notice::RolloutExtended(rollout.still_waiting()),
            false => Notice::RolloutBegan(rollout.still_waiting(), wanted.order),
        }));
        for worker in next {
            self.aim(worker, onto);
        }
        self.retry_now(now, effects);
        Awaited::Rollout
    }

    /// What is started next in the slot of this worker runs on this configuration.
    pub(super) fn aim(&mut self, worker: WorkerId, onto: Onto) {
        let (generation, port) = self.target(worker, onto);
        let slot = self.slots.of_mut(worker);
        slot.generation = generation;
        slot.port = port;
    }

    /// The configuration that a replacement runs on, and what it is told to listen on.
    fn target(&self, worker: WorkerId, onto: Onto) -> (Generation, Arc<str>) {
        let slot = self.slots.of(worker);
        let port = match slot.port_from {
            PortFrom::Configuration => self.ports.of(worker),
            PortFrom::Host => Arc::clone(&slot.port),
        };
        match onto {
            Onto::Same => (slot.generation, port),
            Onto::InForce => (self.generation, port),
        }
    }

    /// Who asks again expects another outcome: what has failed is tried at once.
    fn retry_now(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let give_up = self.policy.ready_timeout.map(|wait| now.after(wait));
        for worker in self.rollout.as_ref().map(Rollout::retrying).unwrap_or_default() {
            let Some(rollout) = &mut self.rollout else { return };
            if let Some(Step::Retrying { failed, .. }) = rollout.step(worker) {
                rollout.set(worker, Step::Retrying { failed, give_up });
            }
            self.slots.of_mut(worker).crashes.forget();
            self.spawn(now, worker, effects);
        }
    }

    /// Whose turn it is in the rollout. A slot that still has a retiring instance waits, so that is alive which
    /// drain for long never pile up.
    pub(super) fn next_pending(&mut self) -> Option<PendingReplacement> {
        if self.waits_for_host() {
            return None;
        }
        let slots = &self.slots;
        self.rollout.as_mut()?.next_pending(|worker| slots.of(worker).retiring.is_empty())
    }

    /// It is this worker's turn in the rollout.
    pub(super) fn begin_step(&mut self, now: Moment, pending: PendingReplacement, effects: &mut Vec<Effect>) {
        let worker = pending.worker;
        let step = self.first_step(now, pending, effects);
        let Some(rollout) = &mut self.rollout else { return };
        match step {
            Some(step) => rollout.set(worker, step),
            None => rollout.pass_over(worker),
        }
    }

    /// Does what the replacement of this worker begins with; nothing if there is nothing to replace.
    fn first_step(
        &mut self,
        now: Moment,
        pending: PendingReplacement,
        effects: &mut Vec<Effect>,
    ) -> Option<Step> {
        let rollout = self.rollout.as_ref()?;
        let (order, width, on_death) = (rollout.order, rollout.width, rollout.on_death);
        let rule = self.readiness_rule();
        let worker = pending.worker;
        let haste = self.haste_of_replacing(worker, width);
        let target = self.target(worker, pending.onto);
        let slot = self.slots.of_mut(worker);
        let is_wanted = slot.desired == DesiredState::Running || matches!(slot.state, SlotState::Dead);
        if !is_wanted || slot.desired == DesiredState::Removed {
            return None; // Stopped on request, or about to go.
        }
        // An operator's restart is a new beginning; it also brings a dead worker back and ends a pause.
        slot.crashes.forget();
        slot.trial = match on_death {
            OnDeath::Hold => Trial::Version,
            OnDeath::Continue => Trial::None,
        };
        let limits = slot.limits;
        let give_up = self.policy.ready_timeout.map(|wait| now.after(wait));
        let is_target = |instance: &Instance| instance.generation == target.0 && instance.port == target.1;
        let step = match (&mut slot.state, order) {
            (SlotState::Occupied(old), _) if old.is_stopping() => {
                let old = old.id;
                self.aim(worker, pending.onto);
                Step::Stopping { old }
            }
            // Started after the replacement was asked for, and not ready, or it would not wait any more.
            (SlotState::Occupied(new), _) if new.id > pending.newest && is_target(new) => {
                starting(new, rule, give_up)
            }
            (SlotState::Occupied(old), RestartOrder::StopFirst) => {
                old.stop(now, StopReason::Replaced, haste, &limits, effects);
                let old = old.id;
                self.aim(worker, pending.onto);
                Step::Stopping { old }
            }
            (SlotState::Occupied(_), RestartOrder::StartFirst) => {
                let mut successor = self.new_instance(now, worker, target, effects);
                let step = starting(&mut successor, rule, give_up);
                self.slots.of_mut(worker).successor = Some(successor);
                step
            }
            // Not started yet: who says when has not said so.
            (SlotState::Empty, _) => return None,
            (SlotState::BackingOff { .. } | SlotState::Dead, _) => {
                slot.desired = DesiredState::Running;
                self.aim(worker, pending.onto);
                self.spawn(now, worker, effects);
                starting(self.slots.of_mut(worker).sitting_mut()?, rule, give_up)
            }
        };
        Some(step)
    }

    /// Whether clients wait while this worker is replaced by one that starts after its end: unless at least as many others
    /// listen where it does as are replaced at a time.
    pub(super) fn haste_of_replacing(&self, worker: WorkerId, width: usize) -> Haste {
        let is_ready = |it: &&Instance| matches!(it.stage, Stage::Ready { .. });
        let others = self.slots.iter().filter(|slot| slot.worker != worker);
        let others = others.filter_map(Slot::sitting).filter(is_ready);
        let Some(own) = self.slots.of(worker).sitting() else { return Haste::None };
        let listens = |endpoint| move |other: &&Instance| other.endpoints.contains_key(endpoint);
        let stand_ins = |endpoint| others.clone().filter(listens(endpoint)).take(width).count();
        match own.endpoints.keys().all(|endpoint| stand_ins(endpoint) >= width) {
            true => Haste::None,
            false => Haste::Some,
        }
    }

    /// An instance has just become ready: a successor takes the seat, and its elder is told to go.
    pub(super) fn step_after_ready(
        &mut self,
        now: Moment,
        worker: WorkerId,
        id: InstanceId,
        effects: &mut Vec<Effect>,
    ) {
        let in_force = self.generation;
        let slot = self.slots.of_mut(worker);
        let is_in_force = slot.instance_mut(id).is_some_and(|instance| instance.generation == in_force);
        let limits = slot.limits;
        let takes_over = slot.successor.as_ref().is_some_and(|successor| successor.id == id);
        let old = if takes_over { slot.promote() } else { None };
        let old = old.map(|old| {
            old.stop(now, StopReason::Replaced, Haste::None, &limits, effects);
            old.id
        });
        let proof = limits.exit_threshold.unwrap_or(PROOF).min(LONGEST_PROOF);
        if let Some(rollout) = &mut self.rollout {
            if is_in_force {
                rollout.is_ready(worker, id);
            }
            if matches!(rollout.step(worker), Some(Step::Starting { new, .. }) if new == id) {
                let watch =
                    self.policy.canary.filter(|_| rollout.is_canary(worker)).map(|canary| canary.watch);
                match (old, watch.or_else(|| rollout.proof_of(worker, proof))) {
                    (_, Some(proof)) => {
                        rollout.set(worker, Step::Proving { new: id, until: now.after(proof) });
                        return;
                    }
                    (Some(old), None) => rollout.set(worker, Step::Draining { old }),
                    (None, None) => rollout.finish(worker, StepResult::Replaced),
                }
            }
        }
        self.slots.of_mut(worker).trial = Trial::None;
    }

    /// Replacements that have lived on for long enough, after ones that died, have taken over.
    pub(super) fn end_proofs(&mut self, now: Moment) {
        let Some(rollout) = &mut self.rollout else { return };
        for worker in rollout.proven(now) {
            let slot = self.slots.of_mut(worker);
            slot.trial = Trial::None;
            match slot.retiring.last() {
                Some(old) if rollout.order == RestartOrder::StartFirst => {
                    rollout.proved(worker);
                    rollout.set(worker, Step::Draining { old: old.id });
                }
                Some(_) | None => rollout.finish(worker, StepResult::Replaced),
            }
        }
    }

    /// What the end of an instance means for the rollout.
    pub(super) fn step_after_end(
        &mut self,
        now: Moment,
        ended: &Instance,
        role: Role,
        status: ExitStatus,
        effects: &mut Vec<Effect>,
    ) {
        let (worker, id) = (ended.worker, ended.id);
        let ready_timeout = self.policy.ready_timeout.map(|wait| now.after(wait));
        let Some(rollout) = &mut self.rollout else { return };
        match rollout.step(worker) {
            Some(Step::Stopping { old }) if old == id => self.await_next(worker, id, ready_timeout),
            Some(Step::Starting { new, give_up }) if new == id => match (rollout.order, role) {
                (RestartOrder::StopFirst, Role::Seat) => {
                    self.step_failed(now, ended, status, give_up, effects)
                }
                (RestartOrder::StopFirst, Role::Retiring) => rollout.finish(worker, StepResult::LeftQueue),
                (RestartOrder::StartFirst, _) | (RestartOrder::StopFirst, Role::Successor) => {
                    self.abort(now, Culprit::Worker(worker, id), ended.failure(now, status), effects);
                }
            },
            Some(Step::Proving { new, .. })
                if new == id && rollout.is_canary(worker) && !ended.is_unwanted() =>
            {
                self.abort(now, Culprit::Worker(worker, id), ended.failure(now, status), effects);
            }
            Some(Step::Proving { new, .. }) if new == id => {
                self.step_failed(now, ended, status, ready_timeout, effects);
            }
            Some(Step::Draining { old }) if old == id => rollout.finish(worker, StepResult::Replaced),
            None if role == Role::Seat
                && rollout.is_put_in_doubt_by(worker)
                && !ended.is_unwanted()
                && ended.uptime(now).is_none_or(|uptime| uptime < LONGEST_PROOF) =>
            {
                self.step_failed(now, ended, status, ready_timeout, effects);
            }
            // The end of an instance that is no part of the step: an old one beside its successor, a failed one.
            Some(
                Step::Stopping { .. }
                | Step::Starting { .. }
                | Step::Retrying { .. }
                | Step::Draining { .. }
                | Step::Proving { .. },
            )
            | None => {}
        }
    }

    /// A replacement that sat in the seat has ended: its step goes on with the next one, and nobody else's begins.
    fn step_failed(
        &mut self,
        now: Moment,
        ended: &Instance,
        status: ExitStatus,
        give_up: Option<Moment>,
        effects: &mut Vec<Effect>,
    ) {
        self.await_next(ended.worker, ended.id, give_up);
        if ended.is_unwanted() {
            return;
        }
        self.say_held(ended, status.clone(), effects);
        let Some(rollout) = &mut self.rollout else { return };
        if rollout.step(ended.worker).is_some() && rollout.on_death == OnDeath::Hold {
            let failures = rollout.failed(ended.worker);
            if failures >= KEEPS_FAILING {
                self.give_up_step(now, ended, ended.failure(now, status), effects);
            }
        }
    }

    /// An instance has ended, and the step goes on with whoever follows in the seat, at once or after a pause.
    fn await_next(&mut self, worker: WorkerId, ended: InstanceId, give_up: Option<Moment>) {
        let rule = self.readiness_rule();
        let Some(rollout) = &mut self.rollout else { return };
        match &mut self.slots.of_mut(worker).state {
            SlotState::Occupied(new) => {
                let step = starting(new, rule, give_up);
                rollout.set(worker, step);
            }
            SlotState::BackingOff { .. } => rollout.set(worker, Step::Retrying { failed: ended, give_up }),
            // It has died too often, or nobody wants it any more.
            SlotState::Dead | SlotState::Empty => rollout.finish(worker, StepResult::LeftQueue),
        }
    }

    /// The pause after a failed replacement is over: its step goes on with the instance in the seat.
    pub(super) fn step_after_spawn(&mut self, worker: WorkerId) {
        if let Some(Step::Retrying { failed, give_up }) = self.rollout.as_ref().and_then(|it| it.step(worker))
        {
            self.await_next(worker, failed, give_up);
        }
    }

    /// Says once why the rollout stands still.
    fn say_held(&mut self, failed: &Instance, status: ExitStatus, effects: &mut Vec<Effect>) {
        let Some(rollout) = &mut self.rollout else { return };
        let (worker, id) = (failed.worker, failed.id);
        if rollout.step(worker).is_some() && rollout.hold(worker) {
            let (waiting, on_death) = (rollout.still_waiting(), rollout.on_death);
            let words = failed.last_words.clone();
            effects.push(Notify(Notice::RolloutHeld {
                worker,
                instance: id,
                status,
                words,
                waiting,
                on_death,
            }));
        }
    }
}

/// The step that waits for this instance to become ready, until then.
const fn starting(new: &mut Instance, rule: ReadinessRule, give_up: Option<Moment>) -> Step {
    new.readiness_rule = rule;
    new.ready_by = None;
    Step::Starting { new: new.id, give_up }
}
