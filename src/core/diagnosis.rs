//! Why a replacement has failed, as far as it can be seen.
//!
//! Invariant: it looks and changes nothing.

use super::event::ExitStatus;
use super::failure::{AbortReason, Unready};
use super::ids::{InstanceId, Moment};
use super::instance::{Instance, Stage};
use super::policy::Readiness;
use super::slot::Slot;

impl Instance {
    /// Why the rollout is aborted that this instance was to be a part of, now that it has ended.
    pub(super) fn failure(&self, now: Moment, status: ExitStatus) -> AbortReason {
        let served = self.ready_since.map(|ready| now.since(ready));
        AbortReason::Died { status, served, words: self.last_words.clone() }
    }
}

impl Slot {
    /// What this instance lacks to be ready.
    pub(super) fn lack(&self, id: InstanceId, readiness: Readiness) -> Unready {
        let Some(instance) = self.instances().find(|instance| instance.id == id) else {
            return match &self.last_death {
                Some((_, death)) => Unready::Died(death.clone()),
                None => Unready::Loading,
            };
        };
        if let Some(refusal) = instance.refusal() {
            return Unready::Refused(refusal.clone());
        }
        match (&instance.stage, readiness) {
            (Stage::Loading { said_ready: Some(_), .. }, _) => {
                Unready::Lacks(instance.missing(&self.expected.at(&instance.port)))
            }
            (Stage::Loading { said_ready: None, .. }, Readiness::Manual) => Unready::Wordless,
            (Stage::Loading { said_ready: None, .. }, Readiness::Checked) => Unready::Unproven,
            (Stage::Loading { said_ready: None, .. }, Readiness::Automatic)
            | (Stage::Launching { .. } | Stage::Ready { .. } | Stage::Stopping { .. }, _) => Unready::Loading,
        }
    }
}
