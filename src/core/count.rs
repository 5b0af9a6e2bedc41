//! How many workers there are, when that changes while they run.
//!
//! Invariants: a worker keeps its number, also where one with a lower number is removed; who goes is the last, drained like one
//! that is replaced, who comes is the first that is not there; a slot that is to go is there until its last instance has ended.

use std::collections::{BTreeMap, BTreeSet};

use super::effect::Effect::{self, Notify};
use super::effect::{Haste, Notice, Scope, StopReason};
use super::event::OnDeath;
use super::fleet::{Started, Supervisor};
use super::ids::{InstanceId, Moment, WorkerId};
use super::pending::Awaited;
use super::rollout::{Onto, Wanted};
use super::slot::{AddedBy, DesiredState, PortFrom, Slot, SlotState};

impl Supervisor {
    /// So many workers: there are more or fewer of them, and those that listen elsewhere now are replaced.
    pub(super) fn scale(&mut self, now: Moment, count: u32, effects: &mut Vec<Effect>) -> Awaited {
        let there: Vec<_> = self.staying().map(|slot| slot.worker).collect();
        let going: BTreeSet<_> = there.iter().skip(count as usize).copied().collect();
        let missing = (count as usize).saturating_sub(there.len());
        let coming: Vec<_> =
            (1..).map(WorkerId).filter(|worker| !self.is_there(*worker)).take(missing).collect();
        let is_configured =
            |slot: &&Slot| slot.added_by == AddedBy::Configuration && !going.contains(&slot.worker);
        let configured = self.staying().filter(is_configured).map(|slot| slot.worker);
        let last = configured.chain(coming.iter().copied()).max();
        // Those that the host has added are beside these.
        let workers = last.map_or(count, |last| last.0);
        self.policy.workers = workers;
        self.ports = self.spec.layout.ports(workers);
        let newest = self.newest();
        let grown = self.bring(now, coming, effects);
        self.remove(now, going, effects);
        let removed = self.slots.iter().filter(|slot| slot.desired == DesiredState::Removed);
        let gone = removed.map(|slot| slot.worker).collect();
        let is_moved = |slot: &&Slot| {
            let is_told = slot.port_from == PortFrom::Configuration && slot.sitting().is_some();
            slot.worker.0 <= workers && is_told && slot.port != self.ports.of(slot.worker)
        };
        let moved: Vec<_> = self.slots.iter().filter(is_moved).map(|slot| slot.worker).collect();
        let mut ready: BTreeMap<WorkerId, InstanceId> =
            grown.into_iter().map(|worker| (worker, newest)).collect();
        if let Some(first) = moved.first() {
            ready.extend(moved.iter().map(|worker| (*worker, newest)));
            let wanted = self.wanted(Scope::One(*first), Onto::Same, OnDeath::Hold);
            self.rollout(now, &Wanted { workers: moved, ..wanted }, effects);
        }
        Awaited::Workers { ready, gone }
    }

    /// Those that are to be there.
    pub(super) fn staying(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| slot.desired != DesiredState::Removed)
    }

    /// Whether it is one of those.
    pub(super) fn is_there(&self, worker: WorkerId) -> bool {
        self.slots.find(worker).is_some_and(|slot| slot.desired != DesiredState::Removed)
    }

    /// At least the workers up to this number.
    pub(super) fn grow(&mut self, now: Moment, count: u32, effects: &mut Vec<Effect>) {
        let coming = (1..=count).map(WorkerId).filter(|worker| !self.is_there(*worker)).collect();
        self.bring(now, coming, effects);
    }

    /// These come, which are not there; answers with those that are started now.
    fn bring(&mut self, now: Moment, coming: Vec<WorkerId>, effects: &mut Vec<Effect>) -> Vec<WorkerId> {
        let mut started = Vec::new();
        for worker in coming {
            if self.slots.find(worker).is_some() {
                self.slots.of_mut(worker).desired = DesiredState::Running;
            } else {
                let port = self.ports.of(worker);
                effects.push(Notify(Notice::Settings(worker, self.policy.limits, port.clone())));
                self.slots.put(Slot::new(worker, self.policy.limits, self.generation, port));
            }
            match self.started {
                Started::Yes => started.push(worker),
                Started::No => {}
            }
        }
        for worker in &started {
            self.aim(*worker, Onto::InForce);
            if matches!(self.slots.of(*worker).state, SlotState::Empty) {
                self.spawn(now, *worker, effects);
            }
        }
        started
    }

    /// At most so many workers, beside those that the host has added.
    pub(super) fn shrink(&mut self, now: Moment, count: u32, effects: &mut Vec<Effect>) {
        let is_beyond = |slot: &&Slot| slot.worker.0 > count && slot.added_by == AddedBy::Configuration;
        let going = self.staying().filter(is_beyond).map(|slot| slot.worker).collect();
        self.remove(now, going, effects);
    }

    /// These go.
    fn remove(&mut self, now: Moment, going: BTreeSet<WorkerId>, effects: &mut Vec<Effect>) {
        for worker in going {
            self.dismiss(now, worker, (DesiredState::Removed, StopReason::Removed), effects);
        }
    }

    /// Stops a worker, which is not started again by itself.
    pub(super) fn dismiss(
        &mut self,
        now: Moment,
        worker: WorkerId,
        (desired, why): (DesiredState, StopReason),
        effects: &mut Vec<Effect>,
    ) {
        self.leave_plans(worker, effects);
        let slot = self.slots.of_mut(worker);
        slot.desired = desired;
        if let Some(successor) = slot.successor.take() {
            slot.retiring.push(successor);
        }
        match (&slot.state, desired) {
            (SlotState::BackingOff { .. }, _) | (SlotState::Dead, DesiredState::Removed) => {
                slot.state = SlotState::Empty;
            }
            (SlotState::Empty | SlotState::Occupied(_) | SlotState::Dead, _) => {}
        }
        let limits = slot.limits;
        for instance in slot.instances_mut() {
            instance.stop(now, why.clone(), Haste::None, &limits, effects);
        }
    }

    /// Removes the slots that are to go and have no instance any more.
    pub(super) fn remove_emptied(&mut self, effects: &mut Vec<Effect>) {
        let is_emptied =
            |slot: &Slot| slot.desired == DesiredState::Removed && slot.instances().next().is_none();
        // What was not touched is as it was.
        let touched = self.slots.touched().into_iter().rev();
        let emptied: Vec<_> =
            touched.filter(|worker| self.slots.find(*worker).is_some_and(is_emptied)).collect();
        for worker in &emptied {
            effects.push(Effect::ReleaseSlotListeners(*worker));
            effects.push(Notify(Notice::Removed(*worker)));
        }
        // Who waits for them is answered when it has been told of all, and before they are no more.
        for worker in emptied.iter().copied() {
            self.pending.look_at(worker, None, effects);
            if let Some(rollout) = &mut self.rollout {
                rollout.forget(worker);
            }
            self.slots.remove(worker);
        }
        // A rollout does that at its end.
        if !emptied.is_empty() && self.rollout.is_none() {
            self.forget_unused(effects);
        }
    }
}
