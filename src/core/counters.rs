//! What has become of a worker's instances, counted.
//!
//! Invariant: every instance that was started is counted once when it is started and once when it ends.

use serde::{Deserialize, Serialize};

use super::instance::{Instance, Intent, Stage};

/// What has become of a worker's instances.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// How many were started.
    pub started: u32,
    /// How many ended although nobody asked for that.
    pub crashed: u32,
    /// How many were given up because they were slow to start.
    pub late: u32,
    /// How many ended as asked: replaced, stopped.
    pub asked: u32,
}

impl Counters {
    pub(super) const NONE: Self = Self { started: 0, crashed: 0, late: 0, asked: 0 };

    /// One instance has ended.
    pub(super) const fn count_end(&mut self, instance: &Instance) {
        match &instance.stage {
            Stage::Stopping { intent: Intent::Ours, .. } => self.asked += 1,
            Stage::Stopping { intent: Intent::Late, .. } => self.late += 1,
            Stage::Stopping { intent: Intent::ItsOwn, .. }
            | Stage::Launching { .. }
            | Stage::Loading { .. }
            | Stage::Ready { .. } => self.crashed += 1,
        }
    }
}
