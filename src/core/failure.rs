//! What goes wrong with an instance, and why a rollout is given up.
//!
//! Invariant: each carries what a sentence for the operator needs.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{ExitStatus, ListenRefusal};
use super::ids::{Endpoint, HostInstanceId, InstanceId, WorkerId};
use super::last_words::LastWords;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Culprit {
    /// The replacement of a worker.
    Worker(WorkerId, InstanceId),
    /// The extension host that was started anew.
    Host(HostInstanceId),
}

/// Why a rollout was aborted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unready {
    /// Its app has not loaded.
    Loading,
    /// Its app has not called `ready()`.
    Wordless,
    /// It has not shown what its configuration waits for.
    Unproven,
    /// It does not listen on these, which its predecessor did.
    Lacks(BTreeSet<Endpoint>),
    /// It was refused this listen.
    Refused(ListenRefusal),
    /// It has died of this, and the next one has not been started yet.
    Died(Death),
}
