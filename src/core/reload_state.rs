//! Where the reading of the configuration stands. What it leads to is in `reload`.
//!
//! Invariant: at most one reading is under way.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::answers::Completion;
use super::ids::{Generation, InstanceId};
use super::spec::PoolSpec;

/// Where the reading stands.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Reload {
    /// The newest reading that was asked for.
    pub(super) newest: Generation,
    pub(super) reading: Reading,
    /// What there is to go back to, until all workers run on what was read last.
    pub(super) previous: Option<Previous>,
    /// The newest instance when what is in force was read: who was started later runs on it, or ran before its turn.
    pub(super) before: InstanceId,
    /// What came of a rollout that failed, to be answered when workers have been taken back.
    pub(super) failure: Option<Completion>,
    /// Whether workers wait for the host, which is started on what was read last.
    pub(super) host_trial: HostTrial,
    /// Those that may still be started on. Others have been forgotten.
    pub(super) kept: BTreeSet<Generation>,
}

/// A configuration that workers ran on, all of them, and that is no longer in force.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Previous {
    pub(super) generation: Generation,
    pub(super) spec: PoolSpec,
    /// How many there were, which may be another number than it says.
    pub(super) workers: u32,
}

/// Whether a reading is under way. What it is for is among the requests that wait.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reading {
    #[default]
    None,
    UnderWay,
}

/// Whether a rollout waits for the host.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum HostTrial {
    #[default]
    None,
    /// It is started on the configuration that was read last.
    UnderWay,
}
