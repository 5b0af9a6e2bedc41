//! One worker's slot: who sits in it, who is to follow, and who is on the way out.
//!
//! Invariants: at most one instance sits in the seat, at most one successor waits beside it, and a successor exists
//! only while a start-first rollout replaces this slot.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::backoff::CrashCounter;
use super::counters::Counters;
use super::effect::NextAction;
use super::failure::Death;
use super::ids::{Endpoint, Generation, InstanceId, Moment, WorkerId};
use super::instance::Instance;
use super::policy::LifecycleLimits;

/// A worker's slot.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Slot {
    pub(super) worker: WorkerId,
    pub(super) limits: LifecycleLimits,
    pub(super) desired: DesiredState,
    pub(super) state: SlotState,
    /// Started to take the seat once it is ready (start-first).
    pub(super) successor: Option<Instance>,
    /// Instances that no longer count: replaced ones that drain, failed successors.
    pub(super) retiring: Vec<Instance>,
    /// What the last instance that was ready listened on: its replacement is ready when it does, too.
    pub(super) expected: Expected,
    pub(super) crashes: CrashCounter,
    pub(super) trial: Trial,
    /// What it last died of.
    pub(super) last_death: Option<(Moment, Death)>,
    pub(super) counters: Counters,
    /// The configuration that what is started in it runs on.
    pub(super) generation: Generation,
    /// What that is told to listen on.
    pub(super) port: Arc<str>,
    /// Who says so.
    pub(super) port_from: PortFrom,
    /// Who wanted it to be there.
    pub(super) added_by: AddedBy,
}

/// What an instance has to listen on to take over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Expected {
    /// What its predecessor listened on.
    pub(super) endpoints: BTreeSet<Endpoint>,
    /// What that was told to listen on.
    pub(super) port: Option<Arc<str>>,
}

impl Expected {
    /// What one that was told to listen on `port` has to listen on. If that is another than its predecessor's, only what can be
    /// told: the same there.
    pub(super) fn at(&self, port: &str) -> BTreeSet<Endpoint> {
        match self.port.as_deref() {
            Some(before) if before != port => {
                self.endpoints.iter().filter_map(|endpoint| endpoint.moved(before, port)).collect()
            }
            Some(_) | None => self.endpoints.clone(),
        }
    }
}

/// Who says what a worker is told to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PortFrom {
    Configuration,
    /// An extension or a script, for this worker.
    Host,
}

/// Who wanted a worker to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum AddedBy {
    /// The configuration, or who has asked for another number since.
    Configuration,
    /// An extension or a script, beside those: a reload does not take it away.
    Host,
}

/// Whether a version is on trial in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Trial {
    /// No: its crashes are the worker's own.
    None,
    /// A rollout has put it there that holds, and it has not stood its test since: it is tried on, however often it dies.
    Version,
}

/// What is wanted of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum DesiredState {
    /// A worker in its seat, for ever.
    Running,
    /// None, until it is asked for.
    Stopped,
    /// None any more: the slot goes with its last instance.
    Removed,
}

/// Who sits in a slot.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "nearly every slot is occupied nearly all the time")]
pub(super) enum SlotState {
    /// Nobody: not started, or stopped.
    Empty,
    /// Nobody until then, because the worker keeps dying young.
    BackingOff { until: Moment },
    /// This instance.
    Occupied(Instance),
    /// Nobody: died too often. Only an operator brings it back.
    Dead,
}

impl Slot {
    pub(super) fn new(
        worker: WorkerId,
        limits: LifecycleLimits,
        generation: Generation,
        port: Arc<str>,
    ) -> Self {
        Self {
            worker,
            limits,
            desired: DesiredState::Running,
            state: SlotState::Empty,
            successor: None,
            retiring: Vec::new(),
            expected: Expected::default(),
            crashes: CrashCounter::NONE,
            trial: Trial::None,
            last_death: None,
            counters: Counters::NONE,
            generation,
            port,
            port_from: PortFrom::Configuration,
            added_by: AddedBy::Configuration,
        }
    }

    /// One that the host adds, says of where it listens, and starts.
    pub(super) fn of_host(self) -> Self {
        Self { desired: DesiredState::Stopped, port_from: PortFrom::Host, added_by: AddedBy::Host, ..self }
    }

    /// The instance in the seat.
    pub(super) const fn sitting(&self) -> Option<&Instance> {
        match &self.state {
            SlotState::Occupied(instance) => Some(instance),
            SlotState::Empty | SlotState::BackingOff { .. } | SlotState::Dead => None,
        }
    }

    pub(super) const fn sitting_mut(&mut self) -> Option<&mut Instance> {
        match &mut self.state {
            SlotState::Occupied(instance) => Some(instance),
            SlotState::Empty | SlotState::BackingOff { .. } | SlotState::Dead => None,
        }
    }

    /// Every instance of the slot.
    pub(super) fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.sitting().into_iter().chain(&self.successor).chain(&self.retiring)
    }

    /// Every instance of the slot.
    pub(super) fn instances_mut(&mut self) -> impl Iterator<Item = &mut Instance> {
        let sitting = match &mut self.state {
            SlotState::Occupied(instance) => Some(instance),
            SlotState::Empty | SlotState::BackingOff { .. } | SlotState::Dead => None,
        };
        sitting.into_iter().chain(&mut self.successor).chain(&mut self.retiring)
    }

    pub(super) fn instance_mut(&mut self, id: InstanceId) -> Option<&mut Instance> {
        self.instances_mut().find(|instance| instance.id == id)
    }

    /// Takes an instance that has ended out of the slot and says where it was.
    pub(super) fn remove(&mut self, id: InstanceId) -> Option<(Instance, Role)> {
        if self.sitting().is_some_and(|sitting| sitting.id == id)
            && let SlotState::Occupied(instance) = std::mem::replace(&mut self.state, SlotState::Empty)
        {
            return Some((instance, Role::Seat));
        }
        if let Some(instance) = self.successor.take_if(|successor| successor.id == id) {
            return Some((instance, Role::Successor));
        }
        let index = self.retiring.iter().position(|instance| instance.id == id)?;
        Some((self.retiring.swap_remove(index), Role::Retiring))
    }

    /// The successor takes the seat. The instance that sat there, if any, becomes a retiring one.
    pub(super) fn promote(&mut self) -> Option<&mut Instance> {
        let successor = self.successor.take()?;
        self.generation = successor.generation;
        self.port = Arc::clone(&successor.port);
        let SlotState::Occupied(old) = std::mem::replace(&mut self.state, SlotState::Occupied(successor))
        else {
            return None;
        };
        self.retiring.push(old);
        self.retiring.last_mut()
    }

    /// Nobody is to follow.
    pub(super) fn rest(&mut self) -> NextAction {
        self.state = SlotState::Empty;
        // What it listened on was closed with it.
        self.expected = Expected::default();
        NextAction::Stop
    }

    /// When something in the slot is next due.
    pub(super) fn next_wake(&self) -> Option<Moment> {
        let waiting = match self.state {
            SlotState::BackingOff { until } => Some(until),
            SlotState::Empty | SlotState::Occupied(_) | SlotState::Dead => None,
        };
        self.instances().filter_map(Instance::next_wake).chain(waiting).min()
    }
}

/// Where in its slot an instance was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Seat,
    Successor,
    Retiring,
}
