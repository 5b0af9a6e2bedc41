//! How many workers there are, when that changes while they run.
//!
//! Invariants: a worker keeps its number; who goes is the last, drained like one that is replaced; a slot that is to go is
//! there until its last instance has ended.

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
        self.policy.workers = count;
        self.ports = self.spec.layout.ports(count);
        let newest = self.newest();
        let grown = self.grow(now, count, effects);
        let going = self.beyond(count, |_| true);
        let gone = self.remove(now, going, effects);
        let is_moved = |slot: &&Slot| {
            let is_told = slot.port_from == PortFrom::Configuration && slot.sitting().is_some();
            slot.worker.0 <= count && is_told && slot.port != self.ports.of(slot.worker)
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

    /// At least so many workers; answers with those that are started now.
    pub(super) fn grow(&mut self, now: Moment, count: u32, effects: &mut Vec<Effect>) -> Vec<WorkerId> {
        let mut started = Vec::new();
        for worker in (1..=count).map(WorkerId) {
            match self.slots.find(worker).map(|slot| slot.desired) {
                Some(DesiredState::Running | DesiredState::Stopped) => continue,
                Some(DesiredState::Removed) => self.slots.of_mut(worker).desired = DesiredState::Running,
                None => {
                    let port = self.ports.of(worker);
                    effects.push(Notify(Notice::Settings(worker, self.policy.limits, port.clone())));
                    self.slots.push(Slot::new(worker, self.policy.limits, self.generation, port));
                }
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
        let going = self.beyond(count, |slot| slot.added_by == AddedBy::Configuration);
        self.remove(now, going, effects);
    }

    /// Those beyond so many, as far as they are meant.
    fn beyond(&self, count: u32, is_meant: impl Fn(&Slot) -> bool) -> BTreeSet<WorkerId> {
        let slots = self.slots.iter().filter(|slot| slot.worker.0 > count && is_meant(slot));
        slots.map(|slot| slot.worker).collect()
    }

    /// These go, if they do not already.
    fn remove(
        &mut self,
        now: Moment,
        going: BTreeSet<WorkerId>,
        effects: &mut Vec<Effect>,
    ) -> BTreeSet<WorkerId> {
        for worker in &going {
            if self.slots.of(*worker).desired != DesiredState::Removed {
                self.dismiss(now, *worker, (DesiredState::Removed, StopReason::Removed), effects);
            }
        }
        going
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
            |slot: &&Slot| slot.desired == DesiredState::Removed && slot.instances().next().is_none();
        let emptied: Vec<_> =
            self.slots.iter().rev().take_while(is_emptied).map(|slot| slot.worker).collect();
        for worker in &emptied {
            effects.push(Effect::ReleaseSlotListeners(*worker));
            effects.push(Notify(Notice::Removed(*worker)));
        }
        // Who waits for them is answered when it has been told of all, and before they are no more.
        for worker in emptied {
            self.pending.look_at(worker, None, effects);
            if let Some(rollout) = &mut self.rollout {
                rollout.forget(worker);
            }
            self.slots.pop();
        }
    }
}
