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

impl FleetSummary {
    /// How several pools stand together, whose fleet is about this.
    #[must_use]
    pub fn of_all(pools: impl Iterator<Item = Self>, goal: FleetGoal) -> Self {
        let together = pools.reduce(Self::and);
        together.map_or_else(
            || Self::none(goal),
            |together| match goal {
                // An extension may stop a pool that is the only one.
                FleetGoal::Serve => together,
                FleetGoal::Stop => Self { goal, ..together },
            },
        )
    }

    /// No worker and no process.
    const fn none(goal: FleetGoal) -> Self {
        Self {
            goal,
            is_changing: false,
            rollout: None,
            wanted: 0,
            ready: 0,
            starting: 0,
            draining: 0,
            backing_off: 0,
            stopped: 0,
            dead: 0,
            instances: 0,
            longest_stop: Some(Duration::ZERO),
            longest_start: Some(Duration::ZERO),
        }
    }

    fn and(self, other: Self) -> Self {
        let longer =
            |one: Option<Duration>, other| one.zip(other).map(|(one, other): (_, Duration)| one.max(other));
        Self {
            goal: match (self.goal, other.goal) {
                (FleetGoal::Stop, FleetGoal::Stop) => FleetGoal::Stop,
                (FleetGoal::Serve, _) | (_, FleetGoal::Serve) => FleetGoal::Serve,
            },
            is_changing: self.is_changing || other.is_changing,
            rollout: RolloutProgress::of_both(self.rollout, other.rollout),
            wanted: self.wanted + other.wanted,
            ready: self.ready + other.ready,
            starting: self.starting + other.starting,
            draining: self.draining + other.draining,
            backing_off: self.backing_off + other.backing_off,
            stopped: self.stopped + other.stopped,
            dead: self.dead + other.dead,
            instances: self.instances + other.instances,
            longest_stop: longer(self.longest_stop, other.longest_stop),
            longest_start: longer(self.longest_start, other.longest_start),
        }
    }
}

impl RolloutProgress {
    /// Two rollouts as one.
    fn of_both(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let (Some(one), Some(other)) = (one, other) else { return one.or(other) };
        Some(Self {
            began: one.began.min(other.began),
            replaced: one.replaced + other.replaced,
            under_way: one.under_way + other.under_way,
            waiting: one.waiting + other.waiting,
            is_held: one.is_held && other.is_held,
            takes_back: one.takes_back || other.takes_back,
        })
    }
}

impl Supervisor {
    /// How the fleet stands.
    #[must_use]
    pub fn summary(&self) -> FleetSummary {
        let rollout = self.rollout_progress();
        let is_rolling_out = rollout.is_some_and(|rollout| !rollout.is_held);
        let mut summary = FleetSummary {
            is_changing: is_rolling_out || self.is_reading(),
            rollout,
            instances: self.instances(),
            longest_start: self.policy.ready_timeout,
            ..FleetSummary::none(self.fleet_goal())
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
