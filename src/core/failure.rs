//! What goes wrong with an instance, and why a rollout is given up.
//!
//! Invariant: each carries what a sentence for the operator needs.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{ExitStatus, ListenRefusal};
use super::ids::{Endpoint, HostInstanceId, InstanceId, Moment, WorkerId};
use super::instance::{Instance, Stage};
use super::policy::Readiness;
use super::slot::Slot;

/// The most bytes that are kept of what a process says it dies of.
const LONGEST_WORDS: usize = 2048;

/// What a process died of by its own account: the error that nobody caught.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWords {
    /// Its kind and message: `SyntaxError: Unexpected end of input`.
    pub error: String,
    /// Where it was thrown, if that is known: `/srv/app.js:12:5`.
    pub place: Option<String>,
}

impl LastWords {
    /// What was said, whatever that is, as one line within bounds.
    #[must_use]
    pub fn new(error: &str, place: Option<&str>) -> Self {
        Self { error: one_line(error), place: place.map(one_line).filter(|place| !place.is_empty()) }
    }
}

fn one_line(text: &str) -> String {
    let mut end = text.len().min(LONGEST_WORDS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let words = text[..end].split(|letter: char| letter.is_control() || letter.is_whitespace());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The end of an instance that nobody asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// Whose slot.
    pub worker: WorkerId,
    /// Which instance.
    pub instance: InstanceId,
    /// How it ended.
    pub status: ExitStatus,
    /// The last listen it was refused, which is likely why.
    pub refusal: Option<ListenRefusal>,
    /// What it said it died of.
    pub words: Option<LastWords>,
}

/// Whose failure aborted a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Culprit {
    /// The replacement of a worker.
    Worker(WorkerId, InstanceId),
    /// The extension host that was started anew.
    Host(HostInstanceId),
}

/// Why a rollout was aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AbortReason {
    /// It was not ready within this time.
    NotReady(Duration, Unready),
    /// The replacement, which was being tried, was refused a listen.
    Refused(ListenRefusal),
    /// It ended before it was ready, or while it was being tried.
    Died {
        /// How.
        status: ExitStatus,
        /// How long it had been ready, if it ever was.
        served: Option<Duration>,
        /// What it said it died of.
        words: Option<LastWords>,
    },
}

/// What a replacement lacked that was not ready in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unready {
    /// Its app has not loaded.
    Loading,
    /// Its app has not called `ready()`.
    Wordless,
    /// It does not listen on these, which its predecessor did.
    Lacks(BTreeSet<Endpoint>),
    /// It was refused this listen.
    Refused(ListenRefusal),
    /// It has died of this, and the next one has not been started yet.
    Died(Death),
}

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
            (Stage::Loading { said_ready: None, .. }, Readiness::Automatic)
            | (Stage::Launching { .. } | Stage::Ready { .. } | Stage::Stopping { .. }, _) => Unready::Loading,
        }
    }
}
