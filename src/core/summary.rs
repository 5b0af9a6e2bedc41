//! How the fleet stands in a few numbers, for those who ask often.
//!
//! Invariant: it says nothing that the snapshot does not; it is made without allocating.

use std::time::Duration;

use super::fleet::Supervisor;
use super::snapshot::{FleetGoal, RolloutProgress, WorkerState};

/// How many workers stand where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetSummary {
    /// What luster is about.
    pub goal: FleetGoal,
    /// Whether a new configuration is being read or rolled out; not while a rollout waits for a replacement that has failed.
    pub is_changing: bool,
    /// The rollout under way.
    pub rollout: Option<RolloutProgress>,
    /// How many workers there are to be.
    pub wanted: usize,
    /// How many of them serve.
    pub ready: usize,
    /// Their instances are coming up, or they have not been started yet.
    pub starting: usize,
    /// Their instances are on their way out.
    pub draining: usize,
    /// They wait for their next instance.
    pub backing_off: usize,
    /// They were stopped on request.
    pub stopped: usize,
    /// They are given up.
    pub dead: usize,
    /// How many processes there are.
    pub instances: usize,
    /// How long the slowest stop of a worker may take; `None` if one has no limit.
    pub longest_stop: Option<Duration>,
    /// How long a replacement may take to become ready; `None` without a limit.
    pub longest_start: Option<Duration>,
}

impl Supervisor {
    /// How the fleet stands.
    #[must_use]
    pub fn summary(&self) -> FleetSummary {
        let rollout = self.rollout_progress();
        let is_rolling_out = rollout.is_some_and(|rollout| !rollout.is_held);
        let mut summary = FleetSummary {
            goal: self.fleet_goal(),
            is_changing: is_rolling_out || self.is_reading(),
            rollout,
            wanted: 0,
            ready: 0,
            starting: 0,
            draining: 0,
            backing_off: 0,
            stopped: 0,
            dead: 0,
            instances: self.instances(),
            longest_stop: Some(Duration::ZERO),
            longest_start: self.policy.ready_timeout,
        };
        for slot in self.slots.iter() {
            let kill = slot.limits.kill_timeout;
            summary.longest_stop = summary.longest_stop.zip(kill).map(|(longest, kill)| longest.max(kill));
        }
        for slot in self.staying() {
            summary.wanted += 1;
            *match slot.worker_state() {
                WorkerState::Ready => &mut summary.ready,
                WorkerState::Idle | WorkerState::Starting => &mut summary.starting,
                WorkerState::Draining | WorkerState::Stopping => &mut summary.draining,
                WorkerState::BackingOff => &mut summary.backing_off,
                WorkerState::Stopped => &mut summary.stopped,
                WorkerState::Dead => &mut summary.dead,
            } += 1;
        }
        summary
    }
}
