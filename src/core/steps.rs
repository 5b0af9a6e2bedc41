//! How the rollout moves on: whose turn it is, what a step begins with, and what the readiness or end of an instance
//! means for it.
//!
//! Invariants: a start-first replacement that fails never costs the old worker: [`Supervisor::abort`] is the only way
//! out. A stop-first one that fails costs no other worker: the rollout waits until that worker is ready, and stays so;
//! one that is to go on past crashes only until it is dead.

use std::time::Duration;

use super::answers::{AfterAbort, Completion};
use super::effect::Effect::{self, Notify};
use super::effect::{Haste, Notice, Scope, StopReason};
use super::event::{ExitStatus, OnDeath};
use super::failure::AbortReason;
use super::fleet::Supervisor;
use super::ids::{InstanceId, Moment, WorkerId};
use super::instance::{Instance, ReadinessRule, Stage};
use super::pending::Awaited;
use super::policy::RestartOrder;
use super::rollout::{PendingReplacement, Rollout, Step, StepResult};
use super::slot::{DesiredState, Role, Slot, SlotState, Trial};

/// How long a replacement has to live on after one that died, where `control.exitThreshold` says nothing.
const PROOF: Duration = Duration::from_secs(1);
/// The longest such time, whatever it says.
const LONGEST_PROOF: Duration = Duration::from_secs(10);

impl Supervisor {
    /// Queues a worker or all, in a rollout of its own or in the one under way.
    pub(super) fn rollout(
        &mut self,
        now: Moment,
        order: RestartOrder,
        width: usize,
        scope: Scope,
        on_death: OnDeath,
        effects: &mut Vec<Effect>,
    ) -> Awaited {
        let extended = self.rollout.is_some();
        let newest = self.newest();
        let rollout = self.rollout.get_or_insert_with(|| Rollout::new(now, order, width, scope, on_death));
        rollout.join(order, width, on_death);
        match scope {
            Scope::All => {
                rollout.scope = scope;
                self.slots
                    .iter()
                    .for_each(|slot| rollout.queue(PendingReplacement { worker: slot.worker, newest }));
            }
            Scope::One(worker) => rollout.queue(PendingReplacement { worker, newest }),
        }
        effects.push(Notify(match extended {
            true => Notice::RolloutExtended(rollout.still_waiting()),
            false => Notice::RolloutBegan(rollout.still_waiting(), order),
        }));
        self.retry_now(now, effects);
        Awaited::Rollout
    }

    /// Who asks again expects another outcome: what has failed is tried at once.
    fn retry_now(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let give_up = self.policy.ready_timeout.map(|wait| now.after(wait));
        for worker in self.rollout.as_ref().map(Rollout::retrying).unwrap_or_default() {
            let Some(rollout) = &mut self.rollout else { return };
            if let Some(Step::Retrying { failed, .. }) = rollout.step(worker) {
                rollout.set(worker, Step::Retrying { failed, give_up });
            }
            self.slot(worker).crashes.forget();
            self.spawn(now, worker, effects);
        }
    }

    /// Whose turn it is in the rollout. A slot that still has a retiring instance waits, so that is alive which
    /// drain for long never pile up.
    pub(super) fn next_pending(&mut self) -> Option<PendingReplacement> {
        let slots = &self.slots;
        self.rollout.as_mut()?.next_pending(|worker| slots.of(worker).retiring.is_empty())
    }

    /// It is this worker's turn in the rollout.
    pub(super) fn begin_step(&mut self, now: Moment, pending: PendingReplacement, effects: &mut Vec<Effect>) {
        let Some(rollout) = &self.rollout else { return };
        let (order, width, on_death) = (rollout.order, rollout.width, rollout.on_death);
        let worker = pending.worker;
        let haste = self.haste_of_replacing(worker, width);
        let slot = self.slots.of_mut(worker);
        if slot.desired == DesiredState::Stopped && !matches!(slot.state, SlotState::Dead) {
            return; // Stopped on request: there is nothing to replace.
        }
        // An operator's restart is a new beginning; it also brings a dead worker back and ends a pause.
        slot.crashes.forget();
        slot.trial = match on_death {
            OnDeath::Hold => Trial::Version,
            OnDeath::Continue => Trial::None,
        };
        let limits = slot.limits;
        let give_up = self.policy.ready_timeout.map(|wait| now.after(wait));
        let step = match (&mut slot.state, order) {
            (SlotState::Occupied(old), _) if old.is_stopping() => Step::ExitStatus { old: old.id },
            // Started after the replacement was asked for, and not ready, or it would not wait any more.
            (SlotState::Occupied(new), _) if new.id > pending.newest => starting(new, give_up),
            (SlotState::Occupied(old), RestartOrder::StopFirst) => {
                old.stop(now, StopReason::Replaced, haste, &limits, effects);
                Step::ExitStatus { old: old.id }
            }
            (SlotState::Occupied(_), RestartOrder::StartFirst) => {
                let id = self.new_instance(worker);
                let generation = self.generation;
                let mut successor = Instance::ordered(now, worker, id, generation, &limits);
                let step = starting(&mut successor, give_up);
                let slot = self.slot(worker);
                slot.successor = Some(successor);
                slot.counters.started += 1;
                effects.push(Effect::Spawn(worker, id, generation));
                step
            }
            // Not started yet: who says when has not said so, and there is nothing to replace.
            (SlotState::Empty, _) => return,
            (SlotState::BackingOff { .. } | SlotState::Dead, _) => {
                slot.desired = DesiredState::Running;
                self.spawn(now, worker, effects);
                match self.slots.of_mut(worker).sitting_mut() {
                    Some(new) => starting(new, give_up),
                    None => return,
                }
            }
        };
        if let Some(rollout) = &mut self.rollout {
            rollout.set(worker, step);
        }
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

    /// A replacement has failed: the rollout ends here. Old workers not yet replaced stay; replacements that
    /// are not ready go. A stop-first replacement that is late stays, for there is nothing to go back to.
    pub(super) fn abort(
        &mut self,
        now: Moment,
        worker: WorkerId,
        id: InstanceId,
        reason: AbortReason,
        effects: &mut Vec<Effect>,
    ) {
        let Some(rollout) = self.rollout.take() else { return };
        let replaced = rollout.replaced();
        let failed =
            Completion::Aborted { worker, reason: reason.clone(), replaced, now: AfterAbort::Untouched };
        self.pending.rollout_over(&failed, effects);
        effects.push(Notify(Notice::RolloutAborted { worker, instance: id, reason, replaced }));
        for slot in self.slots.all_mut() {
            let limits = slot.limits;
            if let Some(late) = slot.sitting_mut() {
                late.readiness_rule = ReadinessRule::Lenient;
            }
            if let Some(mut failed) = slot.successor.take() {
                failed.stop(now, StopReason::GivenUp, Haste::None, &limits, effects);
                slot.retiring.push(failed);
            }
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
        let slot = self.slots.of_mut(worker);
        let limits = slot.limits;
        let takes_over = slot.successor.as_ref().is_some_and(|successor| successor.id == id);
        let old = if takes_over { slot.promote() } else { None };
        let old = old.map(|old| {
            old.stop(now, StopReason::Replaced, Haste::None, &limits, effects);
            old.id
        });
        let proof = limits.exit_threshold.unwrap_or(PROOF).min(LONGEST_PROOF);
        if let Some(rollout) = &mut self.rollout {
            rollout.is_ready(worker, id);
            if matches!(rollout.step(worker), Some(Step::Starting { new, .. }) if new == id) {
                match (old, rollout.proof_of(worker, proof)) {
                    (Some(old), _) => rollout.set(worker, Step::Draining { old }),
                    (None, Some(proof)) => {
                        rollout.set(worker, Step::Proving { new: id, until: now.after(proof) });
                        return;
                    }
                    (None, None) => rollout.finish(worker, StepResult::Replaced),
                }
            }
        }
        self.slot(worker).trial = Trial::None;
    }

    /// Replacements that have lived on for long enough, after ones that died, have taken over.
    pub(super) fn end_proofs(&mut self, now: Moment) {
        let Some(rollout) = &mut self.rollout else { return };
        for worker in rollout.proven(now) {
            rollout.finish(worker, StepResult::Replaced);
            self.slots.of_mut(worker).trial = Trial::None;
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
            Some(Step::ExitStatus { old }) if old == id => self.await_next(worker, id, ready_timeout),
            Some(Step::Starting { new, give_up }) if new == id => match (rollout.order, role) {
                (RestartOrder::StopFirst, Role::SlotState) => {
                    self.step_failed(ended, status, give_up, effects)
                }
                (RestartOrder::StopFirst, Role::Retiring) => rollout.finish(worker, StepResult::LeftQueue),
                (RestartOrder::StartFirst, _) | (RestartOrder::StopFirst, Role::Successor) => {
                    self.abort(now, worker, id, AbortReason::Died(status), effects);
                }
            },
            Some(Step::Proving { new, .. }) if new == id => {
                self.step_failed(ended, status, ready_timeout, effects);
            }
            Some(Step::Draining { old }) if old == id => rollout.finish(worker, StepResult::Replaced),
            None if role == Role::SlotState
                && rollout.is_put_in_doubt_by(worker)
                && !ended.is_unwanted()
                && ended.uptime(now).is_none_or(|uptime| uptime < LONGEST_PROOF) =>
            {
                self.step_failed(ended, status, ready_timeout, effects);
            }
            // The end of an instance that is no part of the step: an old one beside its successor, a failed one.
            Some(
                Step::ExitStatus { .. }
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
        ended: &Instance,
        status: ExitStatus,
        give_up: Option<Moment>,
        effects: &mut Vec<Effect>,
    ) {
        self.await_next(ended.worker, ended.id, give_up);
        if !ended.is_unwanted() {
            self.say_held(ended, status, effects);
        }
    }

    /// An instance has ended, and the step goes on with whoever follows in the seat, at once or after a pause.
    fn await_next(&mut self, worker: WorkerId, ended: InstanceId, give_up: Option<Moment>) {
        let Some(rollout) = &mut self.rollout else { return };
        match &mut self.slots.of_mut(worker).state {
            SlotState::Occupied(new) => rollout.set(worker, starting(new, give_up)),
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
            effects.push(Notify(Notice::RolloutHeld { worker, instance: id, status, waiting, on_death }));
        }
    }
}

/// The step that waits for this instance to become ready, until then.
fn starting(new: &mut Instance, give_up: Option<Moment>) -> Step {
    if give_up.is_some() {
        new.readiness_rule = ReadinessRule::Strict;
    }
    Step::Starting { new: new.id, give_up }
}
