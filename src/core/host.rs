//! The extension host's instance: one process beside the fleet, whose end changes nothing for the workers.
//!
//! ```text
//!             initialized            ends          pause over
//!  Starting ──────────────▶ Serving ──────▶ Pausing ────────▶ Starting
//!     │ ends, the first time    │ over                            (ends again: Pausing)
//!     ▼                         ▼
//!  everything ends           Ending ──▶ Gone
//! ```
//!
//! - A host that fails before it was ever initialized is like a wrong configuration: luster ends. Later ones are
//!   started again, with the pauses of a worker that dies young.
//! - When the last worker is dead the host is given a moment to revive one.
//! - A host that ends when no worker is left and none is wanted ends luster: that is how extensions stop it.
//!
//! Invariant: at most one host process is alive.

use std::time::Duration;

use super::backoff::{Blame, CrashCounter, RestartDecision};
use super::effect::Effect::{self, Notify};
use super::effect::{Haste, HostThen, Notice, Outcome};
use super::event::{ExitStatus, HostEvent};
use super::exits::next_random;
use super::fleet::{Goal, Supervisor};
use super::ids::{HostInstanceId, Moment};
use super::policy::LifecycleLimits;
use super::slot::{Slot, SlotState};

/// How long extensions may take to say goodbye once all workers are gone.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long its process may go on without a channel.
const DEPARTURE: Duration = Duration::from_secs(2);
/// How long they may take to revive a worker once all are dead.
const CONCLUSION: Duration = Duration::from_secs(2);

/// The host, if there is one.
#[derive(Debug)]
pub(super) struct Host {
    phase: Phase,
    last_instance: HostInstanceId,
    limit: Option<Duration>,
    crashes: CrashCounter,
    /// Why it is about to end.
    fault: Option<String>,
}

#[derive(Debug)]
enum Phase {
    /// None is needed.
    None,
    /// Its process runs; its extensions are not configured.
    Starting { since: Moment, give_up: Option<Moment>, attempt: Attempt },
    /// Its extensions are configured. `conclude` is when the death of all workers becomes final.
    Serving { since: Moment, conclude: Option<Moment> },
    /// Its channel is closed: it is given up then, if it is still there.
    Leaving { since: Option<Moment>, attempt: Attempt, give_up: Moment },
    /// It was given up and killed; its end is near, for nobody survives SIGKILL.
    Doomed { attempt: Attempt },
    /// It ended and is started again then.
    Pausing { until: Moment },
    /// It was told that all is over; killed then.
    ExitStatus { kill: Option<Moment> },
    /// There was one.
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    Again,
}

impl Host {
    pub(super) const fn none() -> Self {
        Self {
            phase: Phase::None,
            last_instance: HostInstanceId(0),
            limit: None,
            crashes: CrashCounter::NONE,
            fault: None,
        }
    }

    /// The first one, whose process runs already: it has read the configuration.
    pub(super) fn started(now: Moment, limit: Option<Duration>) -> Self {
        let mut host = Self { limit, last_instance: HostInstanceId(1), ..Self::none() };
        host.phase = host.starting(now, Attempt::First);
        host
    }

    fn starting(&self, now: Moment, attempt: Attempt) -> Phase {
        Phase::Starting { since: now, give_up: self.limit.map(|limit| now.after(limit)), attempt }
    }

    pub(super) fn next_wake(&self) -> Option<Moment> {
        match self.phase {
            Phase::Starting { give_up, .. } => give_up,
            Phase::Serving { conclude, .. } => conclude,
            Phase::Leaving { give_up, .. } => Some(give_up),
            Phase::Pausing { until } => Some(until),
            Phase::ExitStatus { kill } => kill,
            Phase::None | Phase::Doomed { .. } | Phase::Gone => None,
        }
    }

    /// Kills it, if it is alive; it is not started again.
    pub(super) fn kill(&mut self, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Starting { .. }
            | Phase::Serving { .. }
            | Phase::Leaving { .. }
            | Phase::ExitStatus { .. } => {
                effects.push(Effect::KillHost(self.last_instance));
                self.phase = Phase::ExitStatus { kill: None };
            }
            Phase::Doomed { .. } => self.phase = Phase::ExitStatus { kill: None },
            Phase::None | Phase::Pausing { .. } | Phase::Gone => {}
        }
    }

    /// It is not started again.
    pub(super) fn give_up_pause(&mut self) {
        if matches!(self.phase, Phase::Pausing { .. }) {
            self.phase = Phase::Gone;
        }
    }

    /// Whether it is gone; if not, it is told to go.
    pub(super) fn is_gone_or_told(&mut self, now: Moment, effects: &mut Vec<Effect>) -> bool {
        match self.phase {
            Phase::None | Phase::Gone => true,
            Phase::Pausing { .. } => {
                self.give_up_pause();
                true
            }
            // It has nothing to say goodbye to, or does not hear of it.
            Phase::Starting { .. } | Phase::Leaving { .. } => {
                self.kill(effects);
                false
            }
            Phase::Serving { .. } => {
                effects.push(Effect::DismissHost(self.last_instance));
                self.phase = Phase::ExitStatus { kill: Some(now.after(FAREWELL)) };
                false
            }
            Phase::Doomed { .. } | Phase::ExitStatus { .. } => false,
        }
    }

    fn leaves(&mut self, now: Moment) {
        let (since, attempt) = match self.phase {
            Phase::Starting { attempt, .. } => (None, attempt),
            Phase::Serving { since, .. } => (Some(since), Attempt::Again),
            Phase::None
            | Phase::Leaving { .. }
            | Phase::Doomed { .. }
            | Phase::Pausing { .. }
            | Phase::ExitStatus { .. }
            | Phase::Gone => return,
        };
        self.phase = Phase::Leaving { since, attempt, give_up: now.after(DEPARTURE) };
    }

    /// What it would die of; nothing if there are no words. Of one that is being killed we know better.
    fn says(&mut self, words: String) {
        if !matches!(self.phase, Phase::Doomed { .. }) {
            self.fault = Some(words).filter(|words| !words.is_empty());
        }
    }

    /// Kills it, and says why, once: it may be found unfit many times before it is gone.
    fn give_up(&mut self, why: String, effects: &mut Vec<Effect>) {
        self.phase = match self.phase {
            Phase::Starting { attempt, .. } | Phase::Leaving { attempt, .. } => Phase::Doomed { attempt },
            Phase::Serving { .. } => Phase::Doomed { attempt: Attempt::Again },
            Phase::ExitStatus { kill: Some(_) } => Phase::ExitStatus { kill: None },
            // It is killed already, or there is none.
            Phase::ExitStatus { kill: None }
            | Phase::None
            | Phase::Doomed { .. }
            | Phase::Pausing { .. }
            | Phase::Gone => return,
        };
        effects.push(Notify(Notice::HostGivenUp(self.last_instance, why.clone())));
        effects.push(Effect::KillHost(self.last_instance));
        self.fault = Some(why);
    }
}

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
                    effects.push(Notify(Notice::HostReady(id, now.since(since))));
                }
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
            Phase::ExitStatus { kill: Some(at) } if at <= now => self.host.kill(effects),
            Phase::None
            | Phase::Starting { .. }
            // Concluding is `end_with_host`'s.
            | Phase::Serving { .. }
            | Phase::Leaving { .. }
            | Phase::Doomed { .. }
            | Phase::Pausing { .. }
            | Phase::ExitStatus { .. }
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
                | Phase::Starting { .. }
                | Phase::Leaving { .. }
                | Phase::Doomed { .. }
                | Phase::Pausing { .. }
                | Phase::ExitStatus { .. }
                | Phase::Gone,
                crashes,
            ) => crashes.map(Outcome::AllDead),
        }
    }

    fn start_host(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.host.last_instance.0 += 1;
        self.host.fault = None;
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
            Phase::None | Phase::Pausing { .. } | Phase::ExitStatus { .. } | Phase::Gone => {
                self.host.phase = Phase::Gone;
                return;
            }
        };
        self.host.phase = Phase::Gone;
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

    /// Whether no worker instances and none will by itself.
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
