//! What happens when a rollout has failed, and when it is done: workers go back to what they ran before, or stay.
//!
//! Invariants: a start-first replacement that fails never costs the old worker; workers go back only if what they ran
//! before is something else; whoever asked is answered when it is true.

use std::collections::BTreeSet;
use std::time::Duration;

use super::answers::{AfterAbort, Completion};
use super::effect::Effect::{self, Notify};
use super::effect::{Haste, Notice, Scope, StopReason};
use super::event::{ListenRefusal, OnDeath};
use super::failed_rollout::{FailedRollout, RolloutFailure};
use super::failure::{AbortReason, Culprit};
use super::fleet::Supervisor;
use super::goal::Goal;
use super::ids::{Generation, InstanceId, Moment, WorkerId};
use super::instance::{Instance, Intent, ReadinessRule};
use super::policy::{HostKind, RestartOrder};
use super::reload_state::{HostTrial, Previous};
use super::rollout::{Onto, Rollout, Step, StepResult, Wanted};
use super::slot::{DesiredState, SlotState, Trial};
use super::spec::{Change, diff};

impl Supervisor {
    /// A replacement has failed: the rollout ends here. Old workers not yet replaced stay; replacements that
    /// are not ready go. If workers ran something else before, those that were replaced go back to it.
    pub(super) fn abort(
        &mut self,
        now: Moment,
        culprit: Culprit,
        reason: AbortReason,
        effects: &mut Vec<Effect>,
    ) {
        self.reload.host_trial = HostTrial::None;
        let Some(rollout) = self.rollout.take() else { return };
        for slot in self.slots.all_mut() {
            let limits = slot.limits;
            if let Some(late) = slot.sitting_mut() {
                late.readiness_rule = ReadinessRule::Lenient;
                // The rollout waits for it no more. What is over is over at the next wake-up: this one leaves nothing due.
                let soonest = now.after(Duration::from_millis(1));
                late.ready_by = self.policy.start_timeout.map(|wait| late.forked.after(wait).max(soonest));
            }
            if let Some(mut failed) = slot.successor.take() {
                failed.is_given_up(now, StopReason::GivenUp, (Intent::Ours, Haste::None), &limits, effects);
                slot.retiring.push(failed);
            }
        }
        let goes_back = self.previous_differs();
        let step = match culprit {
            Culprit::Worker(worker, _) => rollout.step(worker),
            Culprit::Host(_) => None,
        };
        let in_seat = match (rollout.order, step) {
            (RestartOrder::StopFirst, Some(_)) | (RestartOrder::StartFirst, Some(Step::Proving { .. })) => {
                true
            }
            (RestartOrder::StopFirst, None) | (RestartOrder::StartFirst, _) => false,
        };
        let then = match (goes_back, in_seat) {
            (true, _) => AfterAbort::TakenBack,
            (false, true) => AfterAbort::TriedOn,
            (false, false) => AfterAbort::Untouched,
        };
        let replaced = rollout.replaced();
        effects.push(Notify(Notice::RolloutAborted { culprit, reason: reason.clone(), replaced, then }));
        let failed = match self.reload.failure.take() {
            Some(first) => self.stays_half_done(first),
            None => self.fails(now, rollout.scope, (culprit, reason), (replaced, then)),
        };
        match self.reload.previous.take() {
            Some(previous) if goes_back => {
                self.reload.failure = Some(failed);
                self.go_back(now, previous, &rollout, effects);
            }
            Some(_) | None => self.pending.rollout_over(&failed, effects),
        }
        self.forget_unused(effects);
    }

    /// A replacement was not ready in time. If it is of a version that is out of date, and the one in force waits for its turn,
    /// that is tried: the failure says nothing of it. Says whether it is so.
    pub(super) fn makes_way(
        &mut self,
        now: Moment,
        worker: WorkerId,
        late: InstanceId,
        why: StopReason,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let in_force = self.generation;
        let Some(rollout) = self.rollout.as_mut().filter(|rollout| rollout.is_replaced_again(worker, late))
        else {
            return false;
        };
        let slot = self.slots.of_mut(worker);
        let limits = slot.limits;
        let Some(instance) = slot.instance_mut(late).filter(|late| late.generation != in_force) else {
            return false;
        };
        instance.is_given_up(now, why, (Intent::Ours, Haste::Some), &limits, effects);
        match slot.successor.take_if(|successor| successor.id == late) {
            Some(successor) => {
                slot.retiring.push(successor);
                rollout.pass_over(worker);
                rollout.finish(worker, StepResult::LeftQueue);
            }
            // Nobody serves there: it is not for others to go first.
            None => {
                rollout.begins_anew(worker, late);
                self.aim(worker, Onto::InForce);
            }
        }
        true
    }

    /// A replacement keeps failing in the seat. It is tried on for as long as there is nothing else to run.
    pub(super) fn give_up_step(
        &mut self,
        now: Moment,
        failed: &Instance,
        reason: AbortReason,
        effects: &mut Vec<Effect>,
    ) {
        let culprit = Culprit::Worker(failed.worker, failed.id);
        if self.previous_differs() {
            self.abort(now, culprit, reason, effects);
            return;
        }
        let Some(rollout) = &self.rollout else { return };
        let (scope, replaced) = (rollout.scope, rollout.replaced());
        let failed = self.fails(now, scope, (culprit, reason), (replaced, AfterAbort::TriedOn));
        self.pending.rollout_over(&failed, effects);
    }

    /// Keeps why a rollout has failed; answers with what those who asked for it are told.
    fn fails(
        &mut self,
        at: Moment,
        scope: Scope,
        (culprit, reason): (Culprit, AbortReason),
        (replaced, now): (usize, AfterAbort),
    ) -> Completion {
        let failure = RolloutFailure::Aborted { culprit, reason, replaced, now };
        let completion = failure.completion();
        self.rollout_failed(at, scope, self.generation, failure);
        completion
    }

    /// A replacement that is being tried was refused a listen.
    pub(super) fn canary_refused(
        &mut self,
        now: Moment,
        id: InstanceId,
        refusal: ListenRefusal,
        effects: &mut Vec<Effect>,
    ) {
        let (Some(&worker), Some(rollout)) = (self.homes.get(&id), &self.rollout) else { return };
        if rollout.is_canary(worker)
            && matches!(rollout.step(worker), Some(Step::Proving { new, .. }) if new == id)
        {
            self.abort(now, Culprit::Worker(worker, id), AbortReason::Refused(refusal), effects);
        }
    }

    /// What becomes of replacements that do not listen where they should, where they have a time for it. A start-first one takes
    /// the old worker's place, so it is not ready. A stop-first one that listens nowhere where its predecessor did is not, either,
    /// if there is something to go back to; an app whose files were overwritten may have moved to another port.
    pub(super) fn readiness_rule(&self) -> ReadinessRule {
        let Some(rollout) = &self.rollout else { return ReadinessRule::Lenient };
        match (rollout.order, rollout.on_death, self.policy.ready_timeout) {
            (_, _, None) | (RestartOrder::StopFirst, OnDeath::Continue, Some(_)) => ReadinessRule::Lenient,
            (RestartOrder::StartFirst, _, Some(_)) => ReadinessRule::Strict,
            (RestartOrder::StopFirst, OnDeath::Hold, Some(_)) if self.previous_differs() => {
                ReadinessRule::Overlap
            }
            (RestartOrder::StopFirst, OnDeath::Hold, Some(_)) => ReadinessRule::Lenient,
        }
    }

    /// Whether workers ran something else before the rollout.
    fn previous_differs(&self) -> bool {
        let runs_other = |change: &Change| match change {
            Change::Ports | Change::Run | Change::Listen | Change::Host => true,
            Change::Live | Change::Count => false,
        };
        let previous = self.reload.previous.as_ref();
        previous.is_some_and(|previous| diff(&previous.spec, &self.spec).iter().any(runs_other))
    }

    /// What workers ran before is in force again; those that run anything else are replaced, one by one.
    fn go_back(&mut self, now: Moment, previous: Previous, failed: &Rollout, effects: &mut Vec<Effect>) {
        let Previous { generation, spec, workers } = previous;
        // Who has asked for another number since means that one.
        let asked = Some(self.policy.workers).filter(|count| *count != self.spec.policy.workers);
        self.put_in_force(now, generation, spec, effects);
        let count = asked.unwrap_or(workers);
        self.policy.workers = count;
        if self.policy.host_kind != HostKind::CustomMaster {
            self.ports = self.spec.layout.ports(count);
        }
        self.shrink(now, count, effects);
        self.grow(now, count, effects);
        let runs_other = |generation: Generation| generation != self.generation;
        let others = self.slots.iter().filter(|slot| {
            slot.desired != DesiredState::Removed
                && slot.sitting().is_some_and(|it| runs_other(it.generation))
        });
        let workers: Vec<_> = others.map(|slot| slot.worker).collect();
        let pausing = |state: &SlotState| matches!(state, SlotState::BackingOff { .. } | SlotState::Dead);
        let paused = self.slots.iter().filter(|slot| pausing(&slot.state) && runs_other(slot.generation));
        let paused: Vec<_> = paused.map(|slot| slot.worker).collect();
        let wanted = Wanted {
            order: failed.order,
            width: failed.width,
            scope: Scope::All,
            workers: [workers, paused].concat(),
            onto: Onto::InForce,
            on_death: OnDeath::Continue,
        };
        let mut rollout = Rollout::new(now, &wanted);
        self.restart_failed(now, failed, &mut rollout, effects);
        self.rollout = Some(rollout);
        if !wanted.workers.is_empty() {
            self.rollout(now, &wanted, effects);
        }
    }

    /// Those whose replacement sits in the seat and is not ready are not waited for: nobody serves there.
    fn restart_failed(
        &mut self,
        now: Moment,
        failed: &Rollout,
        rollout: &mut Rollout,
        effects: &mut Vec<Effect>,
    ) {
        for worker in failed.unfinished() {
            if self.slots.find(worker).is_none() {
                continue;
            }
            let slot = self.slots.of_mut(worker);
            slot.trial = Trial::None;
            slot.crashes.forget();
            let limits = slot.limits;
            let in_force = self.generation;
            if let SlotState::Occupied(instance) = &mut slot.state
                && instance.generation != in_force
                && instance.ready_since.is_none()
                && slot.desired == DesiredState::Running
            {
                instance.is_given_up(now, StopReason::GivenUp, (Intent::Ours, Haste::Some), &limits, effects);
                let old = instance.id;
                self.aim(worker, Onto::InForce);
                rollout.set(worker, Step::Stopping { old });
            }
        }
    }

    /// A rollout is complete.
    pub(super) fn rollout_done(&mut self, now: Moment, done: &Rollout, effects: &mut Vec<Effect>) {
        let (scope, replaced, took) = (done.scope, done.replaced(), now.since(done.began));
        let (notice, completion) = match self.reload.failure.take() {
            Some(failure) => (Notice::TakenBack { replaced, took }, failure),
            None => {
                self.rollout_succeeded(scope);
                (Notice::RolloutFinished { scope, replaced, took }, Completion::RolledOut { replaced })
            }
        };
        effects.push(Notify(notice));
        if let Scope::All = scope
            && self.reload.previous.take().is_some()
        {
            let count = self.policy.workers;
            self.shrink(now, count, effects);
        }
        self.pending.rollout_over(&completion, effects);
        self.forget_unused(effects);
    }

    /// Forgets the configurations that nothing will be started on any more.
    pub(super) fn forget_unused(&mut self, effects: &mut Vec<Effect>) {
        if self.goal != Goal::Serve {
            return;
        }
        // What is started next in a slot nobody sits in is what is in force.
        let resting = |state: &SlotState| matches!(state, SlotState::Empty | SlotState::Dead);
        let resting = self.slots.iter().filter(|slot| resting(&slot.state)).map(|slot| slot.worker);
        for worker in resting.collect::<Vec<_>>() {
            self.aim(worker, Onto::InForce);
        }
        let previous = self.reload.previous.as_ref().map(|previous| previous.generation);
        let in_slots = self.slots.iter().flat_map(|slot| {
            let successor = slot.successor.as_ref().map(|successor| successor.generation);
            successor.into_iter().chain([slot.generation])
        });
        let used: BTreeSet<_> = in_slots.chain([self.generation]).chain(previous).collect();
        let unused: Vec<_> = self.reload.kept.iter().filter(|kept| !used.contains(kept)).copied().collect();
        for generation in unused {
            self.reload.kept.remove(&generation);
            effects.push(Effect::ForgetConfiguration(generation));
        }
    }

    /// A rollout of these workers has failed.
    pub(super) fn rollout_failed(
        &mut self,
        at: Moment,
        scope: Scope,
        generation: Generation,
        failure: RolloutFailure,
    ) {
        self.failed_rollout = Some(FailedRollout { at, scope, generation, failure });
    }

    /// What has failed could not be taken back, either: some workers run on what was to be rolled out. What was kept is mended.
    pub(super) fn stays_half_done(&mut self, first: Completion) -> Completion {
        let in_force = self.generation;
        let is_new = |generation: Generation| generation != in_force;
        let sitting = self.slots.iter().filter_map(|slot| slot.sitting());
        let left = sitting.filter(|instance| is_new(instance.generation)).count();
        if let Some(FailedRollout { failure: RolloutFailure::Aborted { replaced, now, .. }, .. }) =
            &mut self.failed_rollout
        {
            (*replaced, *now) = (left, AfterAbort::Untouched);
        }
        match first {
            Completion::Aborted { culprit, reason, .. } => {
                Completion::Aborted { culprit, reason, replaced: left, now: AfterAbort::Untouched }
            }
            other @ (Completion::Done
            | Completion::RolledOut { .. }
            | Completion::ConfigurationRefused(_)
            | Completion::Dead(_)
            | Completion::Overruled) => other,
        }
    }

    /// A rollout has succeeded: it may have made up for the one that failed.
    pub(super) fn rollout_succeeded(&mut self, scope: Scope) {
        let in_force = self.generation;
        let is_dead = self.slots.iter().any(|slot| matches!(slot.state, SlotState::Dead));
        self.failed_rollout.take_if(|failed| {
            let covers = match (scope, failed.scope) {
                (Scope::All, _) => true,
                (Scope::One(replaced), Scope::One(failed)) => replaced == failed,
                (Scope::One(_), Scope::All) => false,
            };
            covers && !is_dead && in_force >= failed.generation
        });
    }
}
