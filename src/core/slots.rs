//! Every worker's slot, and which of them have something to be done, so that an event costs the same whatever their number.
//!
//! Invariants: worker `n` has place `n`, which is empty where it was removed and one with a higher number is there; whoever may
//! have changed a slot has touched it; once it is settled, its next deadline is in line.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::ids::{Moment, WorkerId};
use super::slot::Slot;

/// All slots, from worker 1 on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Slots {
    /// The last one is not empty.
    places: Vec<Option<Slot>>,
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
        let places = slots.into_iter().map(Some).collect();
        Self { places, touched: BTreeSet::new(), deadlines: BTreeSet::new(), deadline_of }
    }

    /// How many there are at most.
    pub(super) const fn len(&self) -> usize {
        self.places.len()
    }

    /// The number after the last one's.
    pub(super) fn next_worker(&self) -> WorkerId {
        WorkerId(u32::try_from(self.places.len()).unwrap_or(u32::MAX).saturating_add(1))
    }

    /// One more, in an empty place or behind the last one; nowhere else.
    pub(super) fn put(&mut self, slot: Slot) {
        let worker = slot.worker;
        let Some(index) = index(worker) else { return };
        if index == self.places.len() {
            self.places.push(None);
            self.deadline_of.push(None);
        }
        if let Some(place @ None) = self.places.get_mut(index) {
            *place = Some(slot);
            self.touched.insert(worker);
        }
    }

    /// Removes the slot of a worker.
    pub(super) fn remove(&mut self, worker: WorkerId) {
        let Some(place) = index(worker).and_then(|index| self.places.get_mut(index)) else { return };
        *place = None;
        if let Some(at) = self.deadline_of[worker.0 as usize - 1].take() {
            self.deadlines.remove(&(at, worker));
        }
        self.touched.remove(&worker);
        while self.places.pop_if(|place| place.is_none()).is_some() {
            self.deadline_of.pop();
        }
    }

    pub(super) fn find(&self, worker: WorkerId) -> Option<&Slot> {
        self.places.get(index(worker)?)?.as_ref()
    }

    /// The slot of a worker that there is.
    pub(super) fn of(&self, worker: WorkerId) -> &Slot {
        self.places[worker.0 as usize - 1].as_ref().expect("there is this worker")
    }

    /// The same, to be changed.
    pub(super) fn of_mut(&mut self, worker: WorkerId) -> &mut Slot {
        self.touched.insert(worker);
        self.places[worker.0 as usize - 1].as_mut().expect("there is this worker")
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> + Clone {
        self.places.iter().flatten()
    }

    /// All of them, to be changed: what concerns everybody.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.touched.extend(self.places.iter().flatten().map(|slot| slot.worker));
        self.places.iter_mut().flatten()
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
            let at = self.places[index].as_ref().and_then(Slot::next_wake);
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
