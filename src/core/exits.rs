//! What the end of a process means: for its slot, for the rollout, and for everything.
//!
//! Invariant: whatever follows an end is decided here once, and said together with it.

use std::sync::Arc;

use super::backoff::{Blame, RestartDecision, next_random};
use super::effect::Effect::{self, Notify};
use super::effect::{ExitCause, NextAction, Notice, Outcome};
use super::event::ExitStatus;
use super::failure::Death;
use super::fleet::Supervisor;
use super::goal::Goal;
use super::ids::{InstanceId, Moment};
use super::instance::Instance;
use super::policy::{HostKind, Persistence};
use super::rollout::Rollout;
use super::slot::{DesiredState, Expected, Role, SlotState, Trial};

impl Supervisor {
    /// A process has ended, or never began.
    pub(super) fn ended(
        &mut self,
        now: Moment,
        id: InstanceId,
        status: ExitStatus,
        effects: &mut Vec<Effect>,
    ) {
        let Some(worker) = self.homes.remove(&id) else { return };
        let Some((instance, role)) = self.slots.of_mut(worker).remove(id) else { return };
        self.slots.of_mut(worker).counters.count_end(&instance);
        if role == Role::Seat && instance.ready_since.is_some() {
            self.slots.of_mut(worker).expected =
                Expected { endpoints: instance.leaves_behind(now), port: Some(Arc::clone(&instance.port)) };
        }
        let then = match (&self.goal, role) {
            (Goal::Stop { .. } | Goal::Finished, _) | (_, Role::Retiring | Role::Successor) => {
                NextAction::Nothing
            }
            (Goal::Serve, Role::Seat) => self.after_the_end(now, &instance, &status),
        };
        let uptime = instance.uptime(now);
        let cause = if instance.is_unwanted() { ExitCause::Asked } else { ExitCause::ItsOwn };
        effects.push(Notify(Notice::Exited {
            worker,
            instance: id,
            status: status.clone(),
            uptime,
            cause,
            then,
        }));
        match then {
            NextAction::StartAtOnce => self.spawn(now, worker, effects),
            NextAction::Dead(_) | NextAction::NeverServed(_) | NextAction::Stop => {
                effects.push(Effect::ReleaseSlotListeners(worker))
            }
            NextAction::Nothing | NextAction::StartAfter(_) => {}
        }
        self.step_after_end(now, &instance, role, status, effects);
        self.notice_all_dead(effects);
    }

    /// What follows when the instance in the seat has ended while we serve.
    fn after_the_end(&mut self, now: Moment, instance: &Instance, status: &ExitStatus) -> NextAction {
        let (worker, id, uptime) = (instance.worker, instance.id, instance.uptime(now));
        self.jitter = next_random(self.jitter);
        let jitter = self.jitter;
        let blame = self.blame(now, instance);
        let slot = self.slots.of_mut(worker);
        if slot.successor.is_some() {
            slot.promote();
            return NextAction::Nothing;
        }
        if instance.is_unwanted() {
            return match slot.desired {
                DesiredState::Running => NextAction::StartAtOnce,
                DesiredState::Stopped | DesiredState::Removed => slot.rest(),
            };
        }
        let refusal = instance.refusal().cloned();
        let (status, words) = (status.clone(), instance.last_words.clone());
        slot.last_death = Some((now, Death { worker, instance: id, status, refusal, words }));
        match (slot.crashes.count(uptime, blame, &slot.limits, jitter), slot.limits.persistence) {
            (RestartDecision::GiveUp(deaths), _) => {
                slot.state = SlotState::Dead;
                NextAction::Dead(deaths)
            }
            (RestartDecision::NeverServed(deaths), _) => {
                slot.state = SlotState::Dead;
                NextAction::NeverServed(deaths)
            }
            (RestartDecision::Again | RestartDecision::AgainAfter(_), Persistence::OneLife) => {
                slot.desired = DesiredState::Stopped;
                slot.rest()
            }
            (RestartDecision::Again, Persistence::Persistent) => NextAction::StartAtOnce,
            (RestartDecision::AgainAfter(pause), Persistence::Persistent) => {
                slot.state = SlotState::BackingOff { until: now.after(pause) };
                NextAction::StartAfter(pause)
            }
        }
    }

    /// What the end of this instance, which nobody asked for, is put down to.
    fn blame(&self, now: Moment, instance: &Instance) -> Blame {
        let holds = |rollout: &Rollout| rollout.holds_for(instance.worker);
        let on_trial = self.slots.of(instance.worker).trial == Trial::Version;
        if instance.was_late() {
            Blame::Slowness
        } else if !self.has_served && instance.dies_of_refusal(now) {
            Blame::ListenRefusal
        } else if on_trial || self.rollout.as_ref().is_some_and(holds) {
            Blame::Version
        } else {
            Blame::Worker
        }
    }

    /// What all workers died of, if they are dead.
    pub(super) fn deaths_of_all(&self) -> Option<Vec<Death>> {
        let all =
            self.homes.is_empty() && self.slots.iter().all(|slot| matches!(slot.state, SlotState::Dead));
        all.then(|| self.slots.iter().filter_map(|slot| Some(slot.last_death.as_ref()?.1.clone())).collect())
    }

    /// The last worker has just died: whoever watches may still bring one back.
    fn notice_all_dead(&mut self, effects: &mut Vec<Effect>) {
        if self.goal == Goal::Serve
            && let Some(deaths) = self.deaths_of_all()
        {
            effects.push(Notify(Notice::AllDead(deaths)));
        }
    }

    pub(super) fn finish_when_over(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.goal == Goal::Serve
            && let Some(outcome) = self.natural_end(now)
        {
            self.goal = Goal::stop(outcome);
            self.pending.overrule(effects);
        }
        let Goal::Stop { outcome, .. } = &self.goal else { return };
        let outcome = outcome.clone();
        if self.homes.is_empty() && self.host.is_gone_or_told(now, &outcome, effects) {
            self.goal = Goal::Finished;
            self.pending.end(effects);
            effects.push(Effect::Finish(outcome));
        }
    }

    /// How it ends although nobody asked for that.
    fn natural_end(&mut self, now: Moment) -> Option<Outcome> {
        match self.policy.host_kind {
            HostKind::None => self.deaths_of_all().map(Outcome::AllDead),
            HostKind::ExtensionHost { .. } => self.end_with_host(now),
            // The script decides; its end is ours.
            HostKind::CustomMaster => None,
        }
    }
}
