//! What the passing deadlines of an instance mean.
//!
//! Invariant: each deadline is acted on once, and what is due is never left due.

use std::time::Duration;

use super::effect::Effect::{self, Notify};
use super::effect::{Notice, StopReason};
use super::ids::Moment;
use super::instance::{Instance, Stage, StopPhase};
use super::policy::LifecycleLimits;

impl Instance {
    /// Acts on every deadline that has passed.
    pub(super) fn wake(&mut self, now: Moment, limits: &LifecycleLimits, effects: &mut Vec<Effect>) {
        match &mut self.stage {
            Stage::Launching { give_up: Some(at) } if *at <= now => {
                let limit = at.since(self.forked);
                self.fail(now, StopReason::LaunchTimedOut(limit), limits, effects);
            }
            Stage::Stopping { phase, deadlines, .. } => {
                if matches!(phase, StopPhase::Suspending { until } if *until <= now) {
                    *phase = StopPhase::Draining;
                    deadlines.without_an_answer(now, limits);
                    effects.push(Notify(Notice::SuspendUnanswered(self.worker, self.id)));
                    effects.push(Effect::Disconnect(self.id));
                    self.observed.leaves();
                }
                deadlines.expire(now, self.worker, self.id, effects);
            }
            Stage::Loading { .. } => self.wake_loading(now, effects),
            // The limit of a launch not reached.
            Stage::Launching { .. } | Stage::Ready { .. } => {}
        }
    }

    /// The time it had to become ready, if that is over and it is not.
    pub(super) fn overdue(&self, now: Moment) -> Option<Duration> {
        let by = self.ready_by.filter(|at| self.is_coming_up() && *at <= now)?;
        Some(by.since(self.forked))
    }

    /// When [`Self::wake`], [`Self::becomes_ready`] or [`Self::overdue`] next has something to do.
    pub(super) fn next_wake(&self) -> Option<Moment> {
        match &self.stage {
            Stage::Launching { give_up } => give_up.iter().copied().chain(self.ready_by).min(),
            Stage::Loading { .. } => self.next_wake_loading().into_iter().chain(self.ready_by).min(),
            Stage::Ready { .. } => None,
            Stage::Stopping { phase, deadlines, .. } => {
                let suspend = match phase {
                    StopPhase::Suspending { until } => Some(*until),
                    StopPhase::Draining | StopPhase::Silent => None,
                };
                [suspend, deadlines.next()].into_iter().flatten().min()
            }
        }
    }
}
