//! When an instance is ready: what it says, what it listens on, and what is made of the two.
//!
//! Invariant: one that was refused a listen and listens on nothing is not ready for as long as that may change.

use std::collections::BTreeSet;
use std::time::Duration;

use super::effect::Effect::{self, Notify};
use super::effect::Notice;
use super::event::Audience;
use super::ids::{Endpoint, Moment};
use super::instance::{Instance, ReadinessRule, Stage};
use super::observed::News;
use super::policy::Readiness;
use super::slot::Expected;

/// How long an instance that says it is ready may take to listen, where its predecessor did or where it was refused, before it
/// counts as ready all the same; without it an app that moved to another port would block a rollout for ever.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);

/// How long an app that is to call `ready()` itself may take before that is told.
const WORD_LIMIT: Duration = Duration::from_secs(10);

/// Whether an instance has just become ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Readied {
    JustNow,
    No,
}

impl Instance {
    /// It is online, and is to say itself when it is ready.
    pub(super) fn owes_a_word(&mut self, now: Moment) {
        if matches!(self.stage, Stage::Loading { said_ready: None, .. }) {
            self.nudge.get_or_insert(now.after(WORD_LIMIT));
        }
    }

    /// Says once that it has not said so.
    pub(super) fn wake_loading(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.next_nudge().is_some_and(|at| at <= now) {
            self.nudge = Some(Moment(u64::MAX));
            effects.push(Notify(Notice::Unready(self.worker, self.id, WORD_LIMIT)));
        }
    }

    pub(super) fn next_wake_loading(&self) -> Option<Moment> {
        let Stage::Loading { said_ready, .. } = self.stage else { return None };
        let becomes_ready = match self.readiness_rule {
            ReadinessRule::Lenient | ReadinessRule::Overlap => said_ready.map(|at| at.after(SETTLE_LIMIT)),
            ReadinessRule::Strict => None,
        };
        becomes_ready.into_iter().chain(self.next_nudge()).min()
    }

    /// When it is told; never twice.
    fn next_nudge(&self) -> Option<Moment> {
        let Stage::Loading { said_ready: None, .. } = self.stage else { return None };
        self.nudge.filter(|at| *at < Moment(u64::MAX))
    }

    /// It calls itself ready. The host is told its own words, which it may have been told before.
    pub(super) fn says_ready(&mut self, now: Moment, audience: Audience, effects: &mut Vec<Effect>) {
        match self.observed.says_ready(audience) {
            News::Yes => effects.push(Notify(Notice::SaidReady(self.worker, self.id))),
            News::No => {}
        }
        match &mut self.stage {
            Stage::Loading { said_ready, .. } if said_ready.is_none() => *said_ready = Some(now),
            // `ready` comes after `online`, once, and means nothing any more to one on its way out.
            Stage::Loading { .. }
            | Stage::Launching { .. }
            | Stage::Ready { .. }
            | Stage::Stopping { .. } => {}
        }
    }

    /// Becomes ready if it says so and listens on what is `expected`; says whether it just did.
    pub(super) fn becomes_ready(
        &mut self,
        now: Moment,
        expected: &Expected,
        readiness: Readiness,
        effects: &mut Vec<Effect>,
    ) -> Readied {
        let Stage::Loading { online, said_ready: Some(said_ready) } = self.stage else {
            return Readied::No;
        };
        let expected = expected.at(&self.port);
        let missing = match readiness {
            Readiness::Automatic => self.missing(&expected),
            Readiness::Manual | Readiness::Checked => BTreeSet::new(),
        };
        let is_late = now >= said_ready.after(SETTLE_LIMIT);
        if is_late && self.readiness_rule == ReadinessRule::Overlap {
            let is_held = |endpoint: &Endpoint| self.endpoints.contains_key(endpoint);
            self.readiness_rule = match expected.is_empty() || expected.iter().any(is_held) {
                true => ReadinessRule::Lenient,
                false => ReadinessRule::Strict,
            };
        }
        let overdue = match self.readiness_rule {
            ReadinessRule::Lenient => is_late,
            ReadinessRule::Overlap | ReadinessRule::Strict => false,
        };
        if !missing.is_empty() && !overdue {
            return Readied::No;
        }
        self.stage = Stage::Ready { online };
        self.ready_since = Some(now);
        if !missing.is_empty() {
            effects.push(Notify(Notice::ReadyWithout(self.worker, self.id, missing)));
        }
        effects.push(Notify(Notice::Ready(self.worker, self.id, now.since(self.forked))));
        effects.push(Effect::ReleaseStaleListeners(self.id));
        Readied::JustNow
    }

    /// What it should listen on and does not: an app that is refused one endpoint may have chosen another.
    pub(super) fn missing(&self, expected: &BTreeSet<Endpoint>) -> BTreeSet<Endpoint> {
        let refused = self.refusal().filter(|_| self.endpoints.is_empty());
        let refused = refused.map(|refusal| refusal.endpoint.clone());
        let unheld = expected.iter().filter(|endpoint| !self.endpoints.contains_key(endpoint));
        let asked = unheld.chain(&self.asking);
        asked.cloned().chain(refused).collect()
    }
}
