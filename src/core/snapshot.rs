//! The whole state at one moment, for whoever asks: status, metrics, what a host is told again.
//!
//! Invariant: it is a projection of what the core decides by, made when somebody asks; nothing is kept for it but counters.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::counters::Counters;
use super::failed_rollout::FailedRollout;
use super::failure::Death;
use super::fleet::Supervisor;
use super::goal::Goal;
use super::host::Phase;
use super::ids::{Endpoint, Generation, HostInstanceId, InstanceId, ListenAddress, Moment, WorkerId};
use super::instance::{Instance, Stage, StopPhase};
use super::observed::{ChannelState, Startup};
use super::policy::LifecycleLimits;
use super::reload_state::Reading;
use super::slot::{AddedBy, DesiredState, Slot, SlotState};

/// Everything there is to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Grows with each change; equal revisions are equal snapshots.
    pub revision: u64,
    /// When it was made.
    pub at: Moment,
    /// What luster is about.
    pub goal: FleetGoal,
    /// The configuration that was read last and is in force.
    pub generation: Generation,
    /// Whether the configuration is being read.
    pub is_reading: bool,
    /// The rollout under way.
    pub rollout: Option<RolloutProgress>,
    /// The last rollout that failed and that none has made up for since.
    pub failed_rollout: Option<FailedRollout>,
    /// How many workers there are to be.
    pub wanted: u32,
    /// Every worker, by its number; more than are wanted while some are on their way out.
    pub workers: Vec<WorkerSnapshot>,
    /// The extension host, or the custom master's script.
    pub host: Option<HostSnapshot>,
}

/// What luster is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetGoal {
    /// To serve.
    Serve,
    /// To end.
    Stop,
}

/// How far a rollout has got.
#[expect(clippy::struct_excessive_bools, reason = "each is true by itself")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutProgress {
    /// When it began.
    pub began: Moment,
    /// How many workers have been replaced.
    pub replaced: usize,
    /// How many are being replaced.
    pub under_way: usize,
    /// How many wait for their turn.
    pub waiting: usize,
    /// Whether it waits for a replacement that has failed.
    pub is_held: bool,
    /// Whether it takes back one that has failed.
    pub takes_back: bool,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerSnapshot {
    /// Which.
    pub worker: WorkerId,
    /// Whether there are to be fewer: it goes with its last process.
    pub is_removed: bool,
    /// Its limits.
    pub limits: LifecycleLimits,
    /// What it is told to listen on.
    pub port: String,
    /// Where it stands.
    pub state: WorkerState,
    /// When its next instance starts, if it backs off.
    pub starts_at: Option<Moment>,
    /// What has become of its instances.
    pub counters: Counters,
    /// The last end that nobody asked for, and when that was.
    pub last_death: Option<(Moment, Death)>,
    /// Its instances: the one in its seat first, then the one that is to follow, then those on their way out.
    pub instances: Vec<InstanceSnapshot>,
}

/// Where a worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// It has not been started.
    Idle,
    /// Its instance is coming up.
    Starting,
    /// It serves.
    Ready,
    /// Its instance is on its way out.
    Draining,
    /// Its instance has been told to end at once.
    Stopping,
    /// It was stopped on request.
    Stopped,
    /// It keeps dying young; its next instance starts after a pause.
    BackingOff,
    /// It died too often and is not started again by itself.
    Dead,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSnapshot {
    /// Which.
    pub instance: InstanceId,
    /// The configuration it runs on.
    pub generation: Generation,
    /// Where it stands.
    pub state: WorkerState,
    /// When it was started.
    pub forked: Moment,
    /// How long after that it was ready, if it ever was.
    pub ready_after: Option<Duration>,
    /// What it listens on, and its own words for it.
    pub endpoints: Vec<(Endpoint, ListenAddress)>,
    /// How far it has come by its own account.
    pub startup: Startup,
    /// Whether it can be spoken to.
    pub channel: ChannelState,
}

/// The extension host, or the custom master's script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSnapshot {
    /// Which process.
    pub instance: HostInstanceId,
    /// Where it stands.
    pub state: WorkerState,
}

impl Supervisor {
    /// Grows with everything that may have changed something.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Everything there is to know at this moment.
    #[must_use]
    pub fn snapshot(&self, now: Moment) -> Snapshot {
        Snapshot {
            revision: self.revision,
            at: now,
            goal: self.fleet_goal(),
            generation: self.generation,
            is_reading: self.is_reading(),
            rollout: self.rollout_progress(),
            failed_rollout: self.failed_rollout.clone(),
            wanted: self.wanted_workers(),
            workers: self.slots.iter().map(Slot::snapshot).collect(),
            host: self.host.snapshot(),
        }
    }

    /// How far the rollout under way has got.
    pub(super) fn rollout_progress(&self) -> Option<RolloutProgress> {
        self.rollout.as_ref().map(|rollout| RolloutProgress {
            began: rollout.began,
            replaced: rollout.replaced(),
            under_way: rollout.under_way(),
            waiting: rollout.still_waiting(),
            is_held: rollout.is_held(),
            takes_back: self.reload.failure.is_some(),
        })
    }

    /// What the workers are told to listen on that a host begins with: those that no host has added.
    #[must_use]
    pub fn initial_ports(&self) -> Vec<String> {
        let initial = (1..).zip(self.slots.iter()).take_while(|(number, slot)| {
            slot.worker == WorkerId(*number) && slot.added_by == AddedBy::Configuration
        });
        initial.map(|(_, slot)| slot.port.as_ref().to_owned()).collect()
    }

    /// How many workers there are to be.
    fn wanted_workers(&self) -> u32 {
        u32::try_from(self.staying().count()).unwrap_or(u32::MAX)
    }

    pub(super) const fn fleet_goal(&self) -> FleetGoal {
        match self.goal {
            Goal::Serve => FleetGoal::Serve,
            Goal::Stop { .. } | Goal::Finished => FleetGoal::Stop,
        }
    }

    pub(super) fn is_reading(&self) -> bool {
        self.reload.reading == Reading::UnderWay
    }
}

impl Slot {
    fn snapshot(&self) -> WorkerSnapshot {
        let starts_at = match self.state {
            SlotState::BackingOff { until } => Some(until),
            SlotState::Empty | SlotState::Occupied(_) | SlotState::Dead => None,
        };
        WorkerSnapshot {
            worker: self.worker,
            is_removed: self.desired == DesiredState::Removed,
            limits: self.limits,
            port: self.port.as_ref().to_owned(),
            state: self.worker_state(),
            starts_at,
            counters: self.counters,
            last_death: self.last_death.clone(),
            instances: self.instances().map(Instance::snapshot).collect(),
        }
    }

    /// Where its worker stands.
    pub(super) fn worker_state(&self) -> WorkerState {
        match (&self.state, self.desired) {
            (SlotState::Occupied(instance), _) => instance.worker_state(),
            (SlotState::Dead, _) => WorkerState::Dead,
            (SlotState::BackingOff { .. }, _) => WorkerState::BackingOff,
            (SlotState::Empty, DesiredState::Running) => WorkerState::Idle,
            (SlotState::Empty, DesiredState::Stopped | DesiredState::Removed) => WorkerState::Stopped,
        }
    }
}

impl Instance {
    fn snapshot(&self) -> InstanceSnapshot {
        InstanceSnapshot {
            instance: self.id,
            generation: self.generation,
            state: self.worker_state(),
            forked: self.forked,
            ready_after: self.ready_since.map(|ready| ready.since(self.forked)),
            endpoints: self.endpoints.iter().map(|(on, as_said)| (on.clone(), as_said.clone())).collect(),
            startup: self.observed.startup,
            channel: self.observed.channel,
        }
    }

    const fn worker_state(&self) -> WorkerState {
        match &self.stage {
            Stage::Launching { .. } | Stage::Loading { .. } => WorkerState::Starting,
            Stage::Ready { .. } => WorkerState::Ready,
            Stage::Stopping { phase: StopPhase::Suspending { .. } | StopPhase::Draining, .. } => {
                WorkerState::Draining
            }
            Stage::Stopping { phase: StopPhase::Silent, .. } => WorkerState::Stopping,
        }
    }
}

impl super::host::Host {
    fn snapshot(&self) -> Option<HostSnapshot> {
        let state = match self.phase {
            Phase::None | Phase::Gone => return None,
            Phase::Starting { .. } => WorkerState::Starting,
            Phase::Serving { .. } | Phase::Attached => WorkerState::Ready,
            Phase::Replaced { .. } | Phase::Leaving { .. } | Phase::Doomed { .. } | Phase::Ending { .. } => {
                WorkerState::Stopping
            }
            Phase::Pausing { .. } => WorkerState::BackingOff,
        };
        Some(HostSnapshot { instance: self.last_instance, state })
    }
}
