//! One worker's slot: who sits in it, who is to follow, and who is on the way out.
//!
//! Invariants: at most one life sits in the seat, at most one successor waits beside it, and a successor exists
//! only while a start-first roll-out replaces this slot.

use std::collections::BTreeSet;

use super::deaths::Deaths;
use super::ids::{Endpoint, Life, Moment, WorkerId};
use super::life::Occupant;
use super::order::{Death, Then};
use super::policy::Limits;

/// A worker's slot.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) worker: WorkerId,
    pub(super) limits: Limits,
    pub(super) wish: Wish,
    pub(super) seat: Seat,
    /// Started to take the seat once it is ready (start-first).
    pub(super) successor: Option<Occupant>,
    /// Lives that no longer count: replaced ones that drain, failed successors.
    pub(super) departing: Vec<Occupant>,
    /// What the last life that was ready listened on: its replacement is ready when it does, too.
    pub(super) expected: BTreeSet<Endpoint>,
    pub(super) deaths: Deaths,
    pub(super) trial: Trial,
    /// What it last died of.
    pub(super) last_death: Option<Death>,
}

/// Whether a version is on trial in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trial {
    /// No: its deaths are the worker's own.
    None,
    /// A roll-out has put it there that holds, and it has not stood its test since: it is tried on, however often it dies.
    Version,
}

/// What is wanted of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// A worker in its seat, for ever.
    Run,
    /// None, until it is asked for.
    Rest,
}

/// Who sits in a slot.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every seat is taken nearly all the time")]
pub(super) enum Seat {
    /// Nobody: not started, or stopped.
    Empty,
    /// Nobody until then, because the worker keeps dying young.
    Waiting { until: Moment },
    /// This life.
    Taken(Occupant),
    /// Nobody: died too often. Only an operator brings it back.
    Dead,
}

impl Slot {
    pub(super) const fn new(worker: WorkerId, limits: Limits) -> Self {
        Self {
            worker,
            limits,
            wish: Wish::Run,
            seat: Seat::Empty,
            successor: None,
            departing: Vec::new(),
            expected: BTreeSet::new(),
            deaths: Deaths::NONE,
            trial: Trial::None,
            last_death: None,
        }
    }

    /// The life in the seat.
    pub(super) const fn sitting(&self) -> Option<&Occupant> {
        match &self.seat {
            Seat::Taken(occupant) => Some(occupant),
            Seat::Empty | Seat::Waiting { .. } | Seat::Dead => None,
        }
    }

    pub(super) const fn sitting_mut(&mut self) -> Option<&mut Occupant> {
        match &mut self.seat {
            Seat::Taken(occupant) => Some(occupant),
            Seat::Empty | Seat::Waiting { .. } | Seat::Dead => None,
        }
    }

    /// Every life of the slot.
    pub(super) fn lives(&self) -> impl Iterator<Item = &Occupant> {
        self.sitting().into_iter().chain(&self.successor).chain(&self.departing)
    }

    /// Every life of the slot.
    pub(super) fn lives_mut(&mut self) -> impl Iterator<Item = &mut Occupant> {
        let sitting = match &mut self.seat {
            Seat::Taken(occupant) => Some(occupant),
            Seat::Empty | Seat::Waiting { .. } | Seat::Dead => None,
        };
        sitting.into_iter().chain(&mut self.successor).chain(&mut self.departing)
    }

    pub(super) fn life_mut(&mut self, life: Life) -> Option<&mut Occupant> {
        self.lives_mut().find(|occupant| occupant.life == life)
    }

    /// Takes a life that has ended out of the slot and says where it was.
    pub(super) fn remove(&mut self, life: Life) -> Option<(Occupant, Place)> {
        if self.sitting().is_some_and(|sitting| sitting.life == life)
            && let Seat::Taken(occupant) = std::mem::replace(&mut self.seat, Seat::Empty)
        {
            return Some((occupant, Place::Seat));
        }
        if let Some(occupant) = self.successor.take_if(|successor| successor.life == life) {
            return Some((occupant, Place::Successor));
        }
        let index = self.departing.iter().position(|occupant| occupant.life == life)?;
        Some((self.departing.swap_remove(index), Place::Departing))
    }

    /// The successor takes the seat. The life that sat there, if any, becomes a departing one.
    pub(super) fn promote(&mut self) -> Option<&mut Occupant> {
        let successor = self.successor.take()?;
        let Seat::Taken(old) = std::mem::replace(&mut self.seat, Seat::Taken(successor)) else {
            return None;
        };
        self.departing.push(old);
        self.departing.last_mut()
    }

    /// Nobody is to follow.
    pub(super) fn rest(&mut self) -> Then {
        self.seat = Seat::Empty;
        // What it listened on was closed with it.
        self.expected.clear();
        Then::Rest
    }

    /// When something in the slot is next due.
    pub(super) fn next_wake(&self) -> Option<Moment> {
        let waiting = match self.seat {
            Seat::Waiting { until } => Some(until),
            Seat::Empty | Seat::Taken(_) | Seat::Dead => None,
        };
        self.lives().filter_map(Occupant::next_wake).chain(waiting).min()
    }
}

/// Where in its slot a life was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Seat,
    Successor,
    Departing,
}
