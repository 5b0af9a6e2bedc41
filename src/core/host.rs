//! The host's instance: the extension host, a process of its own, whose end changes nothing for the workers; or the custom
//! master, whose end is ours.
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
//! - A reload may bring the first one, or take the last one away (`host_change`).
//! - When the last worker is dead the host is given a moment to revive one.
//! - A custom master is *Attached* until it closes its channel. It is not ours to start, judge or kill; without it everything
//!   is stopped, in a limited time, and its addresses are free at once.
//! - A host that ends when no worker is left and none is wanted ends luster: that is how extensions stop it.
//!
//! Invariant: at most one host process is alive.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backoff::CrashCounter;
use super::effect::Effect::{self, Notify};
use super::effect::{Notice, Outcome};
use super::ids::{Generation, HostInstanceId, Moment};

/// How long extensions may take to say goodbye once all workers are gone.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);
/// How long its process may go on without a channel.
pub(super) const DEPARTURE: Duration = Duration::from_secs(2);
/// How long they may take to revive a worker once all are dead.
pub(super) const CONCLUSION: Duration = Duration::from_secs(2);
/// How long workers may take to end when the script that started us is gone.
pub(super) const ORPHANED: Duration = Duration::from_secs(5);

/// The host, if there is one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Host {
    pub(super) phase: Phase,
    pub(super) last_instance: HostInstanceId,
    pub(super) limit: Option<Duration>,
    pub(super) crashes: CrashCounter,
    /// Why it is about to end.
    pub(super) fault: Option<String>,
    /// What it runs, as the spec's text, or what the last one did.
    pub(super) runs: String,
    /// The configurations whose workers count on it.
    pub(super) needed_by: BTreeSet<Generation>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Phase {
    /// None is needed.
    None,
    /// A custom master, which started us.
    Attached,
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
    /// It was told to go, or killed; another one is started when it is gone. Killed then.
    Replaced { kill: Option<Moment> },
    /// It was told that it is over, and nobody follows; killed then.
    Ending { kill: Option<Moment> },
    /// There was one.
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Attempt {
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
            runs: String::new(),
            needed_by: BTreeSet::new(),
        }
    }

    /// The first one, whose process runs already: it has read the configuration.
    pub(super) fn started(now: Moment, limit: Option<Duration>, runs: String) -> Self {
        let needed_by = BTreeSet::from([Generation(0)]);
        let mut host = Self { limit, last_instance: HostInstanceId::FIRST, runs, needed_by, ..Self::none() };
        host.phase = host.starting(now, Attempt::First);
        host
    }

    /// A custom master, which started us.
    pub(super) fn attached() -> Self {
        Self { phase: Phase::Attached, last_instance: HostInstanceId::FIRST, ..Self::none() }
    }

    pub(super) fn starting(&self, now: Moment, attempt: Attempt) -> Phase {
        Phase::Starting { since: now, give_up: self.limit.map(|limit| now.after(limit)), attempt }
    }

    pub(super) fn next_wake(&self) -> Option<Moment> {
        match self.phase {
            Phase::Starting { give_up, .. } => give_up,
            Phase::Serving { conclude, .. } => conclude,
            Phase::Leaving { give_up, .. } => Some(give_up),
            Phase::Pausing { until } => Some(until),
            Phase::Ending { kill } | Phase::Replaced { kill } => kill,
            Phase::None | Phase::Attached | Phase::Doomed { .. } | Phase::Gone => None,
        }
    }

    /// Kills it, if it is alive; it is not started again.
    pub(super) fn kill(&mut self, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Starting { .. }
            | Phase::Serving { .. }
            | Phase::Leaving { .. }
            | Phase::Replaced { .. }
            | Phase::Ending { .. } => {
                effects.push(Effect::KillHost(self.last_instance));
                self.phase = Phase::Ending { kill: None };
            }
            Phase::Doomed { .. } => self.phase = Phase::Ending { kill: None },
            Phase::None | Phase::Attached | Phase::Pausing { .. } | Phase::Gone => {}
        }
    }

    /// It is not started again.
    pub(super) fn give_up_pause(&mut self) {
        if matches!(self.phase, Phase::Pausing { .. }) {
            self.phase = Phase::Gone;
        }
    }

    /// Whether it is gone; if not, it is told to go, for all ends in this way. A custom master is not waited for.
    pub(super) fn is_gone_or_told(
        &mut self,
        now: Moment,
        outcome: &Outcome,
        effects: &mut Vec<Effect>,
    ) -> bool {
        match self.phase {
            Phase::None | Phase::Gone => true,
            Phase::Attached => {
                effects.push(Effect::DismissHost(self.last_instance, outcome.clone()));
                self.phase = Phase::Gone;
                true
            }
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
                effects.push(Effect::DismissHost(self.last_instance, outcome.clone()));
                self.phase = Phase::Ending { kill: Some(now.after(FAREWELL)) };
                false
            }
            Phase::Replaced { kill } => {
                self.phase = Phase::Ending { kill };
                false
            }
            Phase::Doomed { .. } | Phase::Ending { .. } => false,
        }
    }

    /// Whether another one is to be started at once, in place of this one, which is told to go or killed.
    pub(super) fn is_replaced_now(&mut self, now: Moment, effects: &mut Vec<Effect>) -> bool {
        self.phase = match self.phase {
            Phase::Serving { .. } => {
                effects.push(Effect::DismissHost(self.last_instance, Outcome::Stopped));
                Phase::Replaced { kill: Some(now.after(FAREWELL)) }
            }
            Phase::Starting { .. } | Phase::Leaving { .. } => {
                effects.push(Effect::KillHost(self.last_instance));
                Phase::Replaced { kill: None }
            }
            Phase::Doomed { .. } => Phase::Replaced { kill: None },
            // It was not needed for a while.
            Phase::Ending { kill } => Phase::Replaced { kill },
            Phase::Pausing { .. } | Phase::None | Phase::Gone => return true,
            Phase::Attached | Phase::Replaced { .. } => return false,
        };
        false
    }

    /// Whether one that runs this is there, or will be by itself.
    pub(super) fn fits(&self, spec: &str) -> bool {
        match self.phase {
            Phase::Starting { .. }
            | Phase::Serving { .. }
            | Phase::Leaving { .. }
            | Phase::Doomed { .. }
            | Phase::Pausing { .. } => self.runs == spec,
            Phase::None | Phase::Attached | Phase::Replaced { .. } | Phase::Ending { .. } | Phase::Gone => {
                false
            }
        }
    }

    /// None is wanted any more. One that is there stays for those that count on it; nobody follows it.
    pub(super) fn has_no_heir(&mut self) {
        if let Phase::Replaced { kill } = self.phase {
            self.phase = Phase::Ending { kill };
        }
        self.give_up_pause();
    }

    /// Whether there is one that nobody has told to go.
    pub(super) const fn stays(&self) -> bool {
        match self.phase {
            Phase::Starting { .. } | Phase::Serving { .. } | Phase::Leaving { .. } => true,
            Phase::None
            | Phase::Attached
            | Phase::Doomed { .. }
            | Phase::Pausing { .. }
            | Phase::Replaced { .. }
            | Phase::Ending { .. }
            | Phase::Gone => false,
        }
    }

    pub(super) fn leaves(&mut self, now: Moment) {
        let (since, attempt) = match self.phase {
            Phase::Starting { attempt, .. } => (None, attempt),
            Phase::Serving { since, .. } => (Some(since), Attempt::Again),
            Phase::None
            | Phase::Attached
            | Phase::Leaving { .. }
            | Phase::Doomed { .. }
            | Phase::Pausing { .. }
            | Phase::Replaced { .. }
            | Phase::Ending { .. }
            | Phase::Gone => return,
        };
        self.phase = Phase::Leaving { since, attempt, give_up: now.after(DEPARTURE) };
    }

    /// What it would die of; nothing if there are no words. Of one that is being killed we know better.
    pub(super) fn says(&mut self, words: String) {
        if !matches!(self.phase, Phase::Doomed { .. }) {
            self.fault = Some(words).filter(|words| !words.is_empty());
        }
    }

    /// Kills it, and says why, once: it may be found unfit many times before it is gone.
    pub(super) fn give_up(&mut self, why: String, effects: &mut Vec<Effect>) {
        self.phase = match self.phase {
            Phase::Starting { attempt, .. } | Phase::Leaving { attempt, .. } => Phase::Doomed { attempt },
            Phase::Serving { .. } => Phase::Doomed { attempt: Attempt::Again },
            Phase::Ending { kill: Some(_) } => Phase::Ending { kill: None },
            Phase::Replaced { kill: Some(_) } => Phase::Replaced { kill: None },
            // It is killed already, or there is none. A script that does not read is its own loss.
            Phase::Ending { kill: None }
            | Phase::Replaced { kill: None }
            | Phase::None
            | Phase::Attached
            | Phase::Doomed { .. }
            | Phase::Pausing { .. }
            | Phase::Gone => return,
        };
        effects.push(Notify(Notice::HostGivenUp(self.last_instance, why.clone())));
        effects.push(Effect::KillHost(self.last_instance));
        self.fault = Some(why);
    }
}
