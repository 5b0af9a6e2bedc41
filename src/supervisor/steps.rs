//! How the roll-out moves on: whose turn it is, what a step begins with, and what the readiness or end of a life
//! means for it.
//!
//! Invariants: a start-first replacement that fails never costs the old worker: [`Supervisor::abort`] is the only way
//! out. A stop-first one that fails costs no other worker: the roll-out waits until that worker is ready, and stays so;
//! one that is to go on past deaths only until it is dead.

use std::time::Duration;

use super::event::{Ending, OnDeath};
use super::fleet::{Supervisor, slot_index};
use super::ids::{Life, Moment, WorkerId};
use super::life::{Occupant, Stage};
use super::order::Order::{self, Say};
use super::order::{AbortReason, Extent, Haste, Notice, StopReason};
use super::policy::RestartOrder;
use super::readiness::Settling;
use super::rollout::{RollOut, Step, StepResult, Turn};
use super::slot::{Place, Seat, Slot, Trial, Wish};

/// How long a replacement has to live on after one that died, where `control.exitThreshold` says nothing.
const PROOF: Duration = Duration::from_secs(1);
/// The longest such time, whatever it says.
const LONGEST_PROOF: Duration = Duration::from_secs(10);

impl Supervisor {
    /// Queues a worker or all, in a roll-out of its own or in the one under way.
    pub(super) fn roll_out(
        &mut self,
        now: Moment,
        order: RestartOrder,
        width: usize,
        extent: Extent,
        on_death: OnDeath,
        orders: &mut Vec<Order>,
    ) {
        let extended = self.roll_out.is_some();
        let newest = self.newest();
        let roll_out = self.roll_out.get_or_insert_with(|| RollOut::new(now, order, width, extent, on_death));
        roll_out.join(order, width, on_death);
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
        self.retry_now(now, orders);
    }

    /// Who asks again expects another outcome: what has failed is tried at once.
    fn retry_now(&mut self, now: Moment, orders: &mut Vec<Order>) {
        let give_up = self.policy.ready_timeout.map(|wait| now.after(wait));
        for worker in self.roll_out.as_ref().map(RollOut::retrying).unwrap_or_default() {
            let Some(roll_out) = &mut self.roll_out else { return };
            if let Some(Step::Retrying { failed, .. }) = roll_out.step(worker) {
                roll_out.set(worker, Step::Retrying { failed, give_up });
            }
            self.slot(worker).deaths.forget();
            self.spawn(now, worker, orders);
        }
    }

    /// Whose turn it is in the roll-out. A slot that still has a departing life waits, so that lives which
    /// drain for long never pile up.
    pub(super) fn next_turn(&mut self) -> Option<Turn> {
        let slots = &self.slots;
        self.roll_out.as_mut()?.next_turn(|worker| slots[slot_index(worker)].departing.is_empty())
    }

    /// It is this worker's turn in the roll-out.
    pub(super) fn begin_step(&mut self, now: Moment, turn: Turn, orders: &mut Vec<Order>) {
        let Some(roll_out) = &self.roll_out else { return };
        let (order, width, on_death) = (roll_out.order, roll_out.width, roll_out.on_death);
        let worker = turn.worker;
        let haste = self.haste_of_replacing(worker, width);
        let slot = &mut self.slots[slot_index(worker)];
        if slot.wish == Wish::Rest && !matches!(slot.seat, Seat::Dead) {
            return; // Stopped on request: there is nothing to replace.
        }
        // An operator's restart is a new beginning; it also brings a dead worker back and ends a pause.
        slot.deaths.forget();
        slot.trial = match on_death {
            OnDeath::Hold => Trial::Version,
            OnDeath::Continue => Trial::None,
        };
        let limits = slot.limits;
        let give_up = self.policy.ready_timeout.map(|wait| now.after(wait));
        let step = match (&mut slot.seat, order) {
            (Seat::Taken(old), _) if old.is_stopping() => Step::Ending { old: old.life },
            // Started after the replacement was asked for, and not ready, or it would not wait any more.
            (Seat::Taken(new), _) if new.life > turn.newest => starting(new, give_up),
            (Seat::Taken(old), RestartOrder::StopFirst) => {
                old.stop(now, StopReason::Replaced, haste, &limits, orders);
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

    /// Whether clients wait while this worker is replaced by one that starts after its end: unless at least as many others
    /// listen where it does as are replaced at a time.
    pub(super) fn haste_of_replacing(&self, worker: WorkerId, width: usize) -> Haste {
        let is_ready = |it: &&Occupant| matches!(it.stage, Stage::Ready { .. });
        let others = self.slots.iter().filter(|slot| slot.worker != worker);
        let others: Vec<_> = others.filter_map(Slot::sitting).filter(is_ready).collect();
        let Some(own) = self.slots[slot_index(worker)].sitting() else { return Haste::None };
        let stand_ins = |endpoint| others.iter().filter(|other| other.endpoints.contains(endpoint)).count();
        match own.endpoints.iter().all(|endpoint| stand_ins(endpoint) >= width) {
            true => Haste::None,
            false => Haste::Some,
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
        let replaced = roll_out.replaced();
        orders.push(Say(Notice::RollOutAborted { worker, life, reason, replaced }));
        for slot in &mut self.slots {
            let limits = slot.limits;
            if let Some(late) = slot.sitting_mut() {
                late.settling = Settling::Lenient;
            }
            if let Some(mut failed) = slot.successor.take() {
                failed.stop(now, StopReason::GivenUp, Haste::None, &limits, orders);
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
            old.stop(now, StopReason::Replaced, Haste::None, &limits, orders);
            old.life
        });
        let proof = limits.exit_threshold.unwrap_or(PROOF).min(LONGEST_PROOF);
        if let Some(roll_out) = &mut self.roll_out {
            roll_out.is_ready(worker, life);
            if matches!(roll_out.step(worker), Some(Step::Starting { new, .. }) if new == life) {
                match (old, roll_out.proof_of(worker, proof)) {
                    (Some(old), _) => roll_out.set(worker, Step::Draining { old }),
                    (None, Some(proof)) => {
                        roll_out.set(worker, Step::Proving { new: life, until: now.after(proof) });
                        return;
                    }
                    (None, None) => roll_out.finish(worker, StepResult::Replaced),
                }
            }
        }
        self.slot(worker).trial = Trial::None;
    }

    /// Replacements that have lived on for long enough, after ones that died, have taken over.
    pub(super) fn end_proofs(&mut self, now: Moment) {
        let Some(roll_out) = &mut self.roll_out else { return };
        for worker in roll_out.proven(now) {
            roll_out.finish(worker, StepResult::Replaced);
            self.slots[slot_index(worker)].trial = Trial::None;
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
        let ready_timeout = self.policy.ready_timeout.map(|wait| now.after(wait));
        let Some(roll_out) = &mut self.roll_out else { return };
        match roll_out.step(worker) {
            Some(Step::Ending { old }) if old == life => self.await_next(worker, life, ready_timeout),
            Some(Step::Starting { new, give_up }) if new == life => match (roll_out.order, place) {
                (RestartOrder::StopFirst, Place::Seat) => self.step_failed(ended, ending, give_up, orders),
                (RestartOrder::StopFirst, Place::Departing) => roll_out.finish(worker, StepResult::LeftQueue),
                (RestartOrder::StartFirst, _) | (RestartOrder::StopFirst, Place::Successor) => {
                    self.abort(now, worker, life, AbortReason::Died(ending), orders);
                }
            },
            Some(Step::Proving { new, .. }) if new == life => {
                self.step_failed(ended, ending, ready_timeout, orders);
            }
            Some(Step::Draining { old }) if old == life => roll_out.finish(worker, StepResult::Replaced),
            None if place == Place::Seat
                && roll_out.is_put_in_doubt_by(worker)
                && !ended.is_unwanted()
                && ended.lived(now).is_none_or(|lived| lived < LONGEST_PROOF) =>
            {
                self.step_failed(ended, ending, ready_timeout, orders);
            }
            // The end of a life that is no part of the step: an old one beside its successor, a failed one.
            Some(
                Step::Ending { .. }
                | Step::Starting { .. }
                | Step::Retrying { .. }
                | Step::Draining { .. }
                | Step::Proving { .. },
            )
            | None => {}
        }
    }

    /// A replacement that sat in the seat has ended: its step goes on with the next one, and nobody else's begins.
    fn step_failed(
        &mut self,
        ended: &Occupant,
        ending: Ending,
        give_up: Option<Moment>,
        orders: &mut Vec<Order>,
    ) {
        self.await_next(ended.worker, ended.life, give_up);
        if !ended.is_unwanted() {
            self.say_held(ended, ending, orders);
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
    fn say_held(&mut self, failed: &Occupant, ending: Ending, orders: &mut Vec<Order>) {
        let Some(roll_out) = &mut self.roll_out else { return };
        let (worker, life) = (failed.worker, failed.life);
        if roll_out.step(worker).is_some() && roll_out.hold(worker) {
            let (waiting, on_death) = (roll_out.still_waiting(), roll_out.on_death);
            orders.push(Say(Notice::RollOutHeld { worker, life, ending, waiting, on_death }));
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
