//! Every worker's slot, and which of them have something to be done, so that an event costs the same whatever their number.
//!
//! Invariants: worker `n` has slot `n`, without gaps; whoever may have changed a slot has touched it; once it is
//! settled, its next deadline is in line.

use std::collections::BTreeSet;

use super::ids::{Moment, WorkerId};
use super::slot::Slot;

/// All slots, from worker 1 on.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    /// Those that may have changed since they were settled.
    touched: BTreeSet<WorkerId>,
    /// What is due in settled ones, each once.
    deadlines: BTreeSet<(Moment, WorkerId)>,
    /// The same by slot.
    deadline_of: Vec<Option<Moment>>,
}

impl Slots {
    pub(super) fn new(slots: Vec<Slot>) -> Self {
        let deadline_of = vec![None; slots.len()];
        Self { slots, touched: BTreeSet::new(), deadlines: BTreeSet::new(), deadline_of }
    }

    pub(super) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// The number of the next worker.
    pub(super) fn next_worker(&self) -> WorkerId {
        WorkerId(u32::try_from(self.slots.len()).unwrap_or(u32::MAX).saturating_add(1))
    }

    pub(super) fn push(&mut self, slot: Slot) {
        self.touched.insert(slot.worker);
        self.slots.push(slot);
        self.deadline_of.push(None);
    }

    /// Removes the last slot.
    pub(super) fn pop(&mut self) -> Option<Slot> {
        let slot = self.slots.pop()?;
        if let Some(at) = self.deadline_of.pop().flatten() {
            self.deadlines.remove(&(at, slot.worker));
        }
        self.touched.remove(&slot.worker);
        Some(slot)
    }

    pub(super) fn find(&self, worker: WorkerId) -> Option<&Slot> {
        self.slots.get(index(worker)?)
    }

    /// The slot of a worker that there is.
    pub(super) fn of(&self, worker: WorkerId) -> &Slot {
        &self.slots[worker.0 as usize - 1]
    }

    /// The same, to be changed.
    pub(super) fn of_mut(&mut self, worker: WorkerId) -> &mut Slot {
        self.touched.insert(worker);
        &mut self.slots[worker.0 as usize - 1]
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Slot> {
        self.slots.iter()
    }

    /// All of them, to be changed: what concerns everybody.
    pub(super) fn all_mut(&mut self) -> std::slice::IterMut<'_, Slot> {
        self.touched.extend(self.slots.iter().map(|slot| slot.worker));
        self.slots.iter_mut()
    }

    /// Those in which a deadline has passed.
    pub(super) fn due(&self, now: Moment) -> Vec<WorkerId> {
        self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, worker)| *worker).collect()
    }

    /// When something is next due.
    pub(super) fn next_wake(&self) -> Option<Moment> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Those that may have changed.
    pub(super) fn touched(&self) -> Vec<WorkerId> {
        self.touched.iter().copied().collect()
    }

    /// Puts the deadlines of those that may have changed in line.
    pub(super) fn settle(&mut self) {
        for worker in std::mem::take(&mut self.touched) {
            let index = worker.0 as usize - 1;
            let at = self.slots[index].next_wake();
            let before = std::mem::replace(&mut self.deadline_of[index], at);
            if before == at {
                continue;
            }
            if let Some(before) = before {
                self.deadlines.remove(&(before, worker));
            }
            if let Some(at) = at {
                self.deadlines.insert((at, worker));
            }
        }
    }
}

const fn index(worker: WorkerId) -> Option<usize> {
    (worker.0 as usize).checked_sub(1)
}
