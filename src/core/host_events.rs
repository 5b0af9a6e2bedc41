//! What news of the extension host means: for its next start, and for everything.
//!
//! Invariant: its end changes nothing for the workers.

use std::time::Duration;

use super::backoff::{Blame, RestartDecision, next_random};
use super::effect::Effect::{self, Notify};
use super::effect::{Haste, HostThen, Notice, Outcome};
use super::event::{ExitStatus, HostEvent};
use super::fleet::Supervisor;
use super::goal::Goal;
use super::host::{Attempt, CONCLUSION, ORPHANED, Phase};
use super::ids::{HostInstanceId, Moment};
use super::policy::LifecycleLimits;
use super::reload_state::HostTrial;
use super::slot::{Slot, SlotState};

impl Supervisor {
    /// News of the host; of an earlier one it changes nothing.
    pub(super) fn host_did(
        &mut self,
        now: Moment,
        id: HostInstanceId,
        event: HostEvent,
        effects: &mut Vec<Effect>,
    ) {
        if id != self.host.last_instance {
            return;
        }
        match event {
            HostEvent::Initialized => {
                if let Phase::Starting { since, .. } = self.host.phase {
                    self.host.phase = Phase::Serving { since: now, conclude: None };
                    self.reload.host_trial = HostTrial::None;
                    effects.push(Effect::Introduce(id));
                    effects.push(Notify(Notice::HostReady(id, now.since(since))));
                }
            }
            HostEvent::Left if matches!(self.host.phase, Phase::Attached) => {
                self.lose_custom_master(now, effects);
            }
            HostEvent::Left => self.host.leaves(now),
            HostEvent::CrashReason(words) => self.host.says(words),
            HostEvent::Unfit(why) => self.host.give_up(why, effects),
            HostEvent::AllDeadAcknowledged => {
                if let Phase::Serving { conclude: Some(at), .. } = &mut self.host.phase {
                    *at = now;
                }
            }
            HostEvent::Exited(status) => self.host_ended(now, id, status, effects),
        }
    }

    pub(super) fn wake_host(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        match self.host.phase {
            Phase::Starting { give_up: Some(at), since, .. } if at <= now => {
                let limit = at.since(since).as_millis();
                let words = self.host.fault.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
                self.host.give_up(format!("it was not initialized within {limit} ms{words}"), effects);
            }
            Phase::Leaving { give_up, .. } if give_up <= now => {
                self.host.give_up("it closed its channel and did not end".to_owned(), effects);
            }
            Phase::Pausing { until } if until <= now => self.start_host(now, effects),
            Phase::Ending { kill: Some(at) } if at <= now => self.host.kill(effects),
            Phase::Replaced { kill: Some(at) } if at <= now => {
                effects.push(Effect::KillHost(self.host.last_instance));
                self.host.phase = Phase::Replaced { kill: None };
            }
            Phase::None
            | Phase::Attached
            | Phase::Starting { .. }
            // Concluding is `end_with_host`'s.
            | Phase::Serving { .. }
            | Phase::Leaving { .. }
            | Phase::Doomed { .. }
            | Phase::Pausing { .. }
            | Phase::Replaced { .. }
            | Phase::Ending { .. }
            | Phase::Gone => {}
        }
    }

    /// How it ends, if there is nobody left to go on for.
    pub(super) fn end_with_host(&mut self, now: Moment) -> Option<Outcome> {
        let crashes = self.deaths_of_all();
        match (&mut self.host.phase, crashes) {
            (Phase::Serving { conclude, .. }, None) => {
                *conclude = None;
                None
            }
            (Phase::Serving { conclude, .. }, Some(crashes)) => {
                let at = *conclude.get_or_insert(now.after(CONCLUSION));
                (at <= now).then_some(Outcome::AllDead(crashes))
            }
            (
                Phase::None
                | Phase::Attached
                | Phase::Starting { .. }
                | Phase::Leaving { .. }
                | Phase::Doomed { .. }
                | Phase::Pausing { .. }
                | Phase::Replaced { .. }
                | Phase::Ending { .. }
                | Phase::Gone,
                crashes,
            ) => crashes.map(Outcome::AllDead),
        }
    }

    /// The script that started us is gone. It may be started again at once, and is to find its ports free.
    fn lose_custom_master(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.host.phase = Phase::Gone;
        self.stop_within(now, ORPHANED, effects);
        effects.push(Effect::ReleaseAllListeners);
    }

    pub(super) fn start_host(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.host.last_instance.0 += 1;
        self.host.fault = None;
        self.host.runs.clone_from(&self.spec.host);
        self.host.phase = self.host.starting(now, Attempt::Again);
        effects.push(Effect::StartHost(self.host.last_instance));
    }

    fn host_ended(&mut self, now: Moment, id: HostInstanceId, status: ExitStatus, effects: &mut Vec<Effect>) {
        let fault = self.host.fault.take();
        self.heed_exit_code(&status);
        let (uptime, attempt) = match self.host.phase {
            Phase::Starting { attempt, .. } => (None, attempt),
            Phase::Serving { since, .. } => (Some(now.since(since)), Attempt::Again),
            Phase::Leaving { since, attempt, .. } => (since.map(|since| now.since(since)), attempt),
            Phase::Doomed { attempt } => (None, attempt),
            Phase::Replaced { .. } if self.goal == Goal::Serve => {
                let then = HostThen::StartAtOnce;
                effects.push(Notify(Notice::HostExited { instance: id, status, fault: None, then }));
                return self.start_host(now, effects);
            }
            Phase::Ending { .. } if self.goal == Goal::Serve => {
                return self.host_gone(id, status, None, effects);
            }
            // A stop came meanwhile: nobody follows it.
            Phase::Replaced { .. }
            | Phase::None
            | Phase::Attached
            | Phase::Pausing { .. }
            | Phase::Ending { .. }
            | Phase::Gone => {
                self.host.phase = Phase::Gone;
                return;
            }
        };
        self.host.phase = Phase::Gone;
        if self.goal == Goal::Serve && !self.policy.host_kind.is_ours() {
            return self.host_gone(id, status, fault, effects);
        }
        if self.waits_for_host() && self.goal == Goal::Serve {
            return self.host_trial_failed(now, id, status, fault, effects);
        }
        let then = match (&self.goal, attempt) {
            (Goal::Stop { .. } | Goal::Finished, _) => HostThen::Nothing,
            (Goal::Serve, Attempt::First) => {
                let outcome = Outcome::HostFailed(status.clone(), fault.clone());
                self.stop_all(now, outcome, Haste::None, effects);
                HostThen::Nothing
            }
            (Goal::Serve, Attempt::Again) if self.is_deserted() => {
                let outcome = match (&status, self.deaths_of_all()) {
                    (_, Some(crashes)) => Outcome::AllDead(crashes),
                    (ExitStatus::Code(0), None) => Outcome::Stopped,
                    (ExitStatus::Code(code), None) if fault.is_none() => chosen(*code),
                    (ExitStatus::Code(_) | ExitStatus::Signal(_) | ExitStatus::NotStarted(_), None) => {
                        Outcome::HostFailed(status.clone(), fault.clone())
                    }
                };
                self.stop_all(now, outcome, Haste::None, effects);
                HostThen::Nothing
            }
            (Goal::Serve, Attempt::Again) => self.start_host_again(now, uptime),
        };
        effects.push(Notify(Notice::HostExited { instance: id, status, fault, then }));
        if then == HostThen::StartAtOnce {
            self.start_host(now, effects);
        }
    }

    /// What JavaScript ends its process with while everything is being stopped is luster's exit code, too.
    fn heed_exit_code(&mut self, status: &ExitStatus) {
        if let (Goal::Stop { outcome, .. }, ExitStatus::Code(code)) = (&mut self.goal, status)
            && *outcome == Outcome::Stopped
        {
            *outcome = chosen(*code);
        }
    }

    fn start_host_again(&mut self, now: Moment, uptime: Option<Duration>) -> HostThen {
        self.jitter = next_random(self.jitter);
        match self.host.crashes.count(uptime, Blame::Worker, &LifecycleLimits::default(), self.jitter) {
            // Without a threshold nothing is ever given up, and it listens on nothing.
            RestartDecision::Again | RestartDecision::GiveUp(_) | RestartDecision::NeverServed(_) => {
                HostThen::StartAtOnce
            }
            RestartDecision::AgainAfter(pause) => {
                self.host.phase = Phase::Pausing { until: now.after(pause) };
                HostThen::StartAfter(pause)
            }
        }
    }

    /// Whether no worker is alive and none will be by itself.
    fn is_deserted(&self) -> bool {
        let is_idle = |slot: &Slot| matches!(slot.state, SlotState::Empty | SlotState::Dead);
        self.homes.is_empty() && self.slots.iter().all(is_idle)
    }
}

/// The end that an exit code of the host stands for. (The kernel keeps its lowest eight bits.)
fn chosen(code: i32) -> Outcome {
    match u8::try_from(code) {
        Ok(0) | Err(_) => Outcome::Stopped,
        Ok(code) => Outcome::Chosen(code),
    }
}
