//! How the roll-out moves on: whose turn it is, what a step begins with, and what the readiness or end of a life
//! means for it.
//!
//! Invariants: a start-first replacement that fails never costs the old worker: [`Supervisor::abort`] is the only way
//! out. A stop-first one that fails costs no other worker: the roll-out waits until that worker is ready, or dead.

use super::event::Ending;
use super::fleet::{Supervisor, slot_index};
use super::ids::{Life, Moment, WorkerId};
use super::life::{Occupant, Settling};
use super::order::Order::{self, Say};
use super::order::{AbortReason, Extent, Notice, StopReason};
use super::policy::RestartOrder;
use super::rollout::{RollOut, Step, StepResult, Turn};
use super::slot::{Place, Seat, Wish};

impl Supervisor {
    /// Queues a worker or all, in a roll-out of its own or in the one under way.
    pub(super) fn roll_out(
        &mut self,
        now: Moment,
        order: RestartOrder,
        width: usize,
        extent: Extent,
        orders: &mut Vec<Order>,
    ) {
        let extended = self.roll_out.is_some();
        let newest = self.newest();
        let roll_out = self.roll_out.get_or_insert_with(|| RollOut::new(now, order, width, extent));
        roll_out.hurry(order, width);
        match extent {
            Extent::All => {
                roll_out.extent = extent;
                self.slots.iter().for_each(|slot| roll_out.queue(Turn { worker: slot.worker, newest }));
            }
            Extent::One(worker) => roll_out.queue(Turn { worker, newest }),
        }
        orders.push(Say(match extended {
            true => Notice::RollOutExtended(roll_out.still_waiting()),
            false => Notice::RollOutBegan(roll_out.still_waiting(), order),
        }));
    }

    /// Whose turn it is in the roll-out. A slot that still has a departing life waits, so that lives which
    /// drain for long never pile up.
    pub(super) fn next_turn(&mut self) -> Option<Turn> {
        let slots = &self.slots;
        self.roll_out.as_mut()?.next_turn(|worker| slots[slot_index(worker)].departing.is_empty())
    }

    /// It is this worker's turn in the roll-out.
    pub(super) fn begin_step(&mut self, now: Moment, turn: Turn, orders: &mut Vec<Order>) {
        let Some(order) = self.roll_out.as_ref().map(|roll_out| roll_out.order) else { return };
        let worker = turn.worker;
        let slot = &mut self.slots[slot_index(worker)];
        if slot.wish == Wish::Rest && !matches!(slot.seat, Seat::Dead) {
            return; // Stopped on request: there is nothing to replace.
        }
        // An operator's restart is a new beginning; it also brings a dead worker back and ends a pause.
        slot.deaths.forget();
        let limits = slot.limits;
        let give_up = self.policy.ready_timeout.map(|wait| now.after(wait));
        let step = match (&mut slot.seat, order) {
            (Seat::Taken(old), _) if old.is_stopping() => Step::Ending { old: old.life },
            // Started after the replacement was asked for, and not ready, or it would not wait any more.
            (Seat::Taken(new), _) if new.life > turn.newest => starting(new, give_up),
            (Seat::Taken(old), RestartOrder::StopFirst) => {
                old.stop(now, StopReason::Replaced, &limits, orders);
                Step::Ending { old: old.life }
            }
            (Seat::Taken(_), RestartOrder::StartFirst) => {
                let life = self.new_life(worker);
                let mut successor = Occupant::ordered(now, worker, life, &limits);
                let step = starting(&mut successor, give_up);
                self.slot(worker).successor = Some(successor);
                orders.push(Order::Spawn(worker, life));
                step
            }
            // Not started yet: who says when has not said so, and there is nothing to replace.
            (Seat::Empty, _) => return,
            (Seat::Waiting { .. } | Seat::Dead, _) => {
                slot.wish = Wish::Run;
                self.spawn(now, worker, orders);
                match self.slots[slot_index(worker)].sitting_mut() {
                    Some(new) => starting(new, give_up),
                    None => return,
                }
            }
        };
        if let Some(roll_out) = &mut self.roll_out {
            roll_out.set(worker, step);
        }
    }

    /// A replacement has failed: the roll-out ends here. Old workers not yet replaced stay; replacements that
    /// are not ready go. A stop-first replacement that is late stays, for there is nothing to go back to.
    pub(super) fn abort(
        &mut self,
        now: Moment,
        worker: WorkerId,
        life: Life,
        reason: AbortReason,
        orders: &mut Vec<Order>,
    ) {
        let Some(roll_out) = self.roll_out.take() else { return };
        let replaced = roll_out.replaced;
        orders.push(Say(Notice::RollOutAborted { worker, life, reason, replaced }));
        for slot in &mut self.slots {
            let limits = slot.limits;
            if let Some(late) = slot.sitting_mut() {
                late.settling = Settling::Lenient;
            }
            if let Some(mut failed) = slot.successor.take() {
                failed.stop(now, StopReason::GivenUp, &limits, orders);
                slot.departing.push(failed);
            }
        }
    }

    /// A life has just become ready: a successor takes the seat, and its elder is told to go.
    pub(super) fn step_after_ready(
        &mut self,
        now: Moment,
        worker: WorkerId,
        life: Life,
        orders: &mut Vec<Order>,
    ) {
        let slot = &mut self.slots[slot_index(worker)];
        let limits = slot.limits;
        let takes_over = slot.successor.as_ref().is_some_and(|successor| successor.life == life);
        let old = if takes_over { slot.promote() } else { None };
        let old = old.map(|old| {
            old.stop(now, StopReason::Replaced, &limits, orders);
            old.life
        });
        let Some(roll_out) = &mut self.roll_out else { return };
        roll_out.is_ready(worker, life);
        if matches!(roll_out.step(worker), Some(Step::Starting { new, .. }) if new == life) {
            match old {
                Some(old) => roll_out.set(worker, Step::Draining { old }),
                None => roll_out.finish(worker, StepResult::Replaced),
            }
        }
    }

    /// What the end of a life means for the roll-out.
    pub(super) fn step_after_end(
        &mut self,
        now: Moment,
        ended: &Occupant,
        place: Place,
        ending: Ending,
        orders: &mut Vec<Order>,
    ) {
        let (worker, life) = (ended.worker, ended.life);
        let ready_timeout = self.policy.ready_timeout;
        let Some(roll_out) = &mut self.roll_out else { return };
        match roll_out.step(worker) {
            Some(Step::Ending { old }) if old == life => {
                let give_up = ready_timeout.map(|wait| now.after(wait));
                self.await_next(worker, life, give_up);
            }
            Some(Step::Starting { new, give_up }) if new == life => match (roll_out.order, place) {
                (RestartOrder::StopFirst, Place::Seat) => {
                    self.await_next(worker, life, give_up);
                    if !ended.is_unwanted() {
                        self.say_held(worker, life, orders);
                    }
                }
                (RestartOrder::StopFirst, Place::Departing) => roll_out.finish(worker, StepResult::LeftQueue),
                (RestartOrder::StartFirst, _) | (RestartOrder::StopFirst, Place::Successor) => {
                    self.abort(now, worker, life, AbortReason::Died(ending), orders);
                }
            },
            Some(Step::Draining { old }) if old == life => roll_out.finish(worker, StepResult::Replaced),
            // The end of a life that is no part of the step: an old one beside its successor, a failed one.
            Some(
                Step::Ending { .. } | Step::Starting { .. } | Step::Retrying { .. } | Step::Draining { .. },
            )
            | None => {}
        }
    }

    /// A life has ended, and the step goes on with whoever follows in the seat, at once or after a pause.
    fn await_next(&mut self, worker: WorkerId, ended: Life, give_up: Option<Moment>) {
        let Some(roll_out) = &mut self.roll_out else { return };
        match &mut self.slots[slot_index(worker)].seat {
            Seat::Taken(new) => roll_out.set(worker, starting(new, give_up)),
            Seat::Waiting { .. } => roll_out.set(worker, Step::Retrying { failed: ended, give_up }),
            // It has died too often, or nobody wants it any more.
            Seat::Dead | Seat::Empty => roll_out.finish(worker, StepResult::LeftQueue),
        }
    }

    /// The pause after a failed replacement is over: its step goes on with the life in the seat.
    pub(super) fn step_after_spawn(&mut self, worker: WorkerId) {
        if let Some(Step::Retrying { failed, give_up }) =
            self.roll_out.as_ref().and_then(|it| it.step(worker))
        {
            self.await_next(worker, failed, give_up);
        }
    }

    /// Says once why the roll-out stands still.
    fn say_held(&mut self, worker: WorkerId, failed: Life, orders: &mut Vec<Order>) {
        let Some(roll_out) = &mut self.roll_out else { return };
        if roll_out.step(worker).is_some() && roll_out.hold(worker) {
            orders.push(Say(Notice::RollOutHeld { worker, life: failed, waiting: roll_out.still_waiting() }));
        }
    }
}

/// The step that waits for this life to become ready, until then.
fn starting(new: &mut Occupant, give_up: Option<Moment>) -> Step {
    if give_up.is_some() {
        new.settling = Settling::Strict;
    }
    Step::Starting { new: new.life, give_up }
}
