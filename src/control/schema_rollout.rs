//! A rollout under way, and one that has failed, in the JSON of the control socket.
//!
//! Invariant: the same as those of `schema`.

use serde::{Deserialize, Serialize};

use super::schema_answer::Outcome;

/// A replacement of workers under way.
#[expect(clippy::struct_excessive_bools, reason = "each is told by itself")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Rollout {
    /// How many workers are to be replaced in all, those that have been included.
    pub total: u32,
    /// How many have been.
    pub replaced: u32,
    /// How many are being replaced at this moment.
    pub under_way: u32,
    /// How many wait for their turn.
    pub waiting: u32,
    /// Whether it waits for a replacement that has failed and is tried on.
    pub held: bool,
    /// Whether it takes back one that has failed: workers go back to what they ran before.
    #[serde(default)]
    pub taking_back: bool,
    /// Milliseconds since it began.
    pub elapsed_ms: u64,
}

/// A rollout that has failed: a reload, or a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct FailedRollout {
    /// How it ended: `taken_back` (also while it is being taken back), `aborted`, or `refused` where the configuration cannot be
    /// used.
    pub outcome: Outcome,
    /// What has failed.
    pub culprit: Culprit,
    /// The worker whose replacement has failed, if one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wid: Option<u32>,
    /// The generation that was to be rolled out. The one in force is that of the status.
    pub generation: u32,
    /// The exit code of what has failed, if it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// How many workers had been replaced before.
    pub replaced: u32,
    /// What has failed and why, a clause for people; with what it died of by its own account.
    pub reason: String,
    /// What runs instead, a clause for people.
    pub serving: String,
    /// How many milliseconds ago.
    pub ago_ms: u64,
}

/// What has failed in a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Culprit {
    /// The replacement of a worker.
    Worker,
    /// The extension host that was started anew.
    ExtensionHost,
    /// The configuration that was read anew.
    Configuration,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}
