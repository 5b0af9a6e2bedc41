//! What goes wrong with an instance, and why a rollout is given up.
//!
//! Invariant: each carries what a sentence for the operator needs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{ExitStatus, ListenRefusal};
use super::ids::{InstanceId, WorkerId};

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
}

/// Why a rollout was aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AbortReason {
    /// The replacement was not ready within this time.
    NotReady(Duration),
    /// The replacement, which was being tried, was refused a listen.
    Refused(ListenRefusal),
    /// The replacement ended before it was ready, or while it was being tried.
    Died(ExitStatus),
}
