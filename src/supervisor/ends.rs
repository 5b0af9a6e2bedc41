//! What the end of a process means: for its slot, for the roll-out, and for everything.
//!
//! Invariant: whatever follows an end is decided here once, and said together with it.

use super::deaths::{Blame, Verdict};
use super::event::Ending;
use super::fleet::{Goal, Supervisor, slot_index};
use super::ids::{Life, Moment};
use super::life::Occupant;
use super::order::Order::{self, Say};
use super::order::{Death, ExitCause, Notice, Outcome, Then};
use super::policy::{Attendance, Persistence};
use super::rollout::RollOut;
use super::slot::{Place, Seat, Trial, Wish};

impl Supervisor {
    /// A process has ended, or never began.
    pub(super) fn ended(&mut self, now: Moment, life: Life, ending: Ending, orders: &mut Vec<Order>) {
        let Some(worker) = self.homes.remove(&life) else { return };
        let Some((occupant, place)) = self.slot(worker).remove(life) else { return };
        if place == Place::Seat && occupant.ready_since.is_some() {
            self.slot(worker).expected = occupant.leaves_behind(now);
        }
        let then = match (&self.goal, place) {
            (Goal::Stop { .. } | Goal::Finished, _) | (_, Place::Departing | Place::Successor) => {
                Then::Nothing
            }
            (Goal::Serve, Place::Seat) => self.after_the_end(now, &occupant, &ending),
        };
        let lived = occupant.lived(now);
        let cause = if occupant.is_unwanted() { ExitCause::Asked } else { ExitCause::ItsOwn };
        orders.push(Say(Notice::Exited { worker, life, ending: ending.clone(), lived, cause, then }));
        match then {
            Then::StartAtOnce => self.spawn(now, worker, orders),
            Then::Dead(_) | Then::NeverServed(_) | Then::Rest => orders.push(Order::Abandon(worker)),
            Then::Nothing | Then::StartAfter(_) => {}
        }
        self.step_after_end(now, &occupant, place, ending, orders);
        self.notice_all_dead(orders);
    }

    /// What follows when the life in the seat has ended while we serve.
    fn after_the_end(&mut self, now: Moment, occupant: &Occupant, ending: &Ending) -> Then {
        let (worker, life, lived) = (occupant.worker, occupant.life, occupant.lived(now));
        self.jitter = next_random(self.jitter);
        let jitter = self.jitter;
        let blame = self.blame(now, occupant);
        let slot = &mut self.slots[slot_index(worker)];
        if slot.successor.is_some() {
            slot.promote();
            return Then::Nothing;
        }
        if occupant.is_unwanted() {
            return match slot.wish {
                Wish::Run => Then::StartAtOnce,
                Wish::Rest => slot.rest(),
            };
        }
        let refusal = occupant.refusal().cloned();
        slot.last_death = Some(Death { worker, life, ending: ending.clone(), refusal });
        match (slot.deaths.count(lived, blame, &slot.limits, jitter), slot.limits.persistence) {
            (Verdict::GiveUp(deaths), _) => {
                slot.seat = Seat::Dead;
                Then::Dead(deaths)
            }
            (Verdict::NeverServed(deaths), _) => {
                slot.seat = Seat::Dead;
                Then::NeverServed(deaths)
            }
            (Verdict::Again | Verdict::AgainAfter(_), Persistence::OneLife) => {
                slot.wish = Wish::Rest;
                slot.rest()
            }
            (Verdict::Again, Persistence::Persistent) => Then::StartAtOnce,
            (Verdict::AgainAfter(pause), Persistence::Persistent) => {
                slot.seat = Seat::Waiting { until: now.after(pause) };
                Then::StartAfter(pause)
            }
        }
    }

    /// What the end of this life, which nobody asked for, is put down to.
    fn blame(&self, now: Moment, occupant: &Occupant) -> Blame {
        let holds = |roll_out: &RollOut| roll_out.holds_for(occupant.worker);
        let on_trial = self.slots[slot_index(occupant.worker)].trial == Trial::Version;
        if occupant.was_late() {
            Blame::Slowness
        } else if !self.has_served && occupant.dies_of_refusal(now) {
            Blame::Refusal
        } else if on_trial || self.roll_out.as_ref().is_some_and(holds) {
            Blame::Version
        } else {
            Blame::Worker
        }
    }

    /// What all workers died of, if they are dead.
    pub(super) fn deaths_of_all(&self) -> Option<Vec<Death>> {
        let all = self.homes.is_empty() && self.slots.iter().all(|slot| matches!(slot.seat, Seat::Dead));
        all.then(|| self.slots.iter().filter_map(|slot| slot.last_death.clone()).collect())
    }

    /// The last worker has just died: whoever watches may still bring one back.
    fn notice_all_dead(&mut self, orders: &mut Vec<Order>) {
        if self.goal == Goal::Serve
            && let Some(deaths) = self.deaths_of_all()
        {
            orders.push(Say(Notice::AllDead(deaths)));
        }
    }

    pub(super) fn finish_when_over(&mut self, now: Moment, orders: &mut Vec<Order>) {
        if self.goal == Goal::Serve
            && let Some(outcome) = self.natural_end(now)
        {
            self.goal = Goal::Stop { outcome, kill: None, signalled: None };
        }
        let Goal::Stop { outcome, .. } = &self.goal else { return };
        let outcome = outcome.clone();
        if self.homes.is_empty() && self.host.is_gone_or_told(now, orders) {
            self.goal = Goal::Finished;
            orders.push(Order::Finish(outcome));
        }
    }

    /// How it ends although nobody asked for that.
    fn natural_end(&mut self, now: Moment) -> Option<Outcome> {
        match self.policy.attendance {
            Attendance::Alone => self.deaths_of_all().map(Outcome::AllDead),
            Attendance::Host { .. } => self.end_with_host(now),
            // The script decides; its end is ours.
            Attendance::Script => None,
        }
    }
}

/// Knuth's linear congruential step: good enough to spread pauses, and reproducible.
pub(super) const fn next_random(seed: u32) -> u32 {
    seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223).rotate_left(16)
}
