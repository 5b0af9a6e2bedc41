//! The last rollout that failed: for whoever asks later whether it worked.
//!
//! Invariant: it is kept until the workers it was about have been replaced by what it was to bring, or by something later.

use serde::{Deserialize, Serialize};

use super::answers::{AfterAbort, Completion};
use super::effect::Scope;
use super::failure::{AbortReason, Culprit};
use super::ids::{Generation, Moment};

/// A rollout that has failed, and that none has made up for since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRollout {
    /// When.
    pub at: Moment,
    /// Whom it was about.
    pub scope: Scope,
    /// What they were to run.
    pub generation: Generation,
    /// Why.
    pub failure: RolloutFailure,
}

/// Why a rollout has failed, and what runs now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RolloutFailure {
    /// The configuration was refused, for this reason, and nothing has changed.
    ConfigurationRefused(String),
    /// A replacement has failed.
    Aborted {
        /// Whose.
        culprit: Culprit,
        /// Why.
        reason: AbortReason,
        /// How many workers had been replaced before.
        replaced: usize,
        /// What runs now, or will when it has been taken back.
        now: AfterAbort,
    },
}

impl RolloutFailure {
    /// What whoever has asked for the rollout is told.
    pub(super) fn completion(&self) -> Completion {
        match self.clone() {
            Self::ConfigurationRefused(reason) => Completion::ConfigurationRefused(reason),
            Self::Aborted { culprit, reason, replaced, now } => {
                Completion::Aborted { culprit, reason, replaced, now }
            }
        }
    }
}
