//! The supervisor itself: every slot, the roll-out, and the goal they serve.
//!
//! Order of precedence where deciders disagree: kill, stop, roll-out, back-off. Once a stop is asked for,
//! nothing is started any more.

use std::collections::HashMap;

use super::deaths::Verdict;
use super::event::{Ending, Event, Request};
use super::ids::{Life, Moment, WorkerId};
use super::life::{Leaves, Occupant, Settled};
use super::order::{AbortReason, Death, Notice, Order, Outcome, StopReason, Then};
use super::policy::{Policy, RestartOrder};
use super::rollout::RollOut;
use super::slot::{Place, Seat, Slot};
use Order::Say;

/// Decides what happens to each worker. See the module's head for what it never does.
#[derive(Debug)]
pub struct Supervisor {
    pub(super) policy: Policy,
    pub(super) slots: Vec<Slot>,
    /// Which slot each living life is in.
    homes: HashMap<Life, WorkerId>,
    pub(super) roll_out: Option<RollOut>,
    goal: Goal,
    last_life: u32,
    jitter: u32,
}

/// What it is all for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Serve,
    Stop,
    Finished,
}

impl Supervisor {
    /// A fleet that is not started. `seed` spreads the back-off pauses of several masters.
    #[must_use]
    pub fn new(policy: Policy, seed: u32) -> Self {
        let slots = (1..=policy.workers).map(|wid| Slot::new(WorkerId(wid))).collect();
        Self {
            policy,
            slots,
            homes: HashMap::new(),
            roll_out: None,
            goal: Goal::Serve,
            last_life: 0,
            jitter: seed,
        }
    }

    /// Takes news and answers with orders, to be performed in their order. News of lives that have ended
    /// changes nothing.
    #[must_use]
    pub fn handle(&mut self, now: Moment, event: Event) -> Vec<Order> {
        let mut orders = Vec::new();
        match event {
            Event::Asked(request) => self.asked(now, request, &mut orders),
            Event::NotStarted { life, reason } => {
                self.ended(now, life, Ending::NotStarted(reason), &mut orders);
            }
            Event::Exited(life, ending) => self.ended(now, life, ending, &mut orders),
            Event::Online(life) => self.with(life, |occupant, _| occupant.comes_online(now, &mut orders)),
            Event::SaidReady(life) => self.with(life, |occupant, _| occupant.says_ready(now)),
            Event::Listening(life, endpoint) => self.with(life, |occupant, _| {
                orders.push(Say(Notice::Listening(occupant.worker, life, endpoint.clone())));
                occupant.listens(endpoint);
            }),
            Event::Closed(life, endpoint) => self.with(life, |occupant, _| occupant.closes(now, endpoint)),
            Event::Refused(life, refusal) => self.with(life, |occupant, _| {
                orders.push(Say(Notice::Refused(occupant.worker, life, refusal.clone())));
                occupant.refusal = Some(refusal);
            }),
            Event::Suspended(life) => self.with(life, |occupant, _| occupant.suspended(&mut orders)),
            Event::Leaving(life) => {
                self.with(life, |occupant, policy| occupant.leaves(now, Leaves::Drains, policy));
            }
            Event::Left(life) => {
                self.with(life, |occupant, policy| occupant.leaves(now, Leaves::Channel, policy));
            }
            Event::Broken(life, how) => self.with(life, |occupant, policy| {
                occupant.fail(now, StopReason::Broken(how), policy, &mut orders);
            }),
        }
        self.advance(now, &mut orders);
        orders
    }

    /// Acts on every deadline that has passed. Calling it early is harmless.
    #[must_use]
    pub fn wake(&mut self, now: Moment) -> Vec<Order> {
        let mut orders = Vec::new();
        for slot in &mut self.slots {
            for occupant in slot.lives_mut() {
                occupant.wake(now, &self.policy, &mut orders);
            }
        }
        let due = |slot: &Slot| matches!(slot.seat, Seat::Waiting { until } if until <= now);
        let due: Vec<_> = self.slots.iter().filter(|slot| due(slot)).map(|slot| slot.worker).collect();
        for worker in due {
            self.spawn(now, worker, &mut orders);
        }
        while let Some((worker, life)) = self.roll_out.as_ref().and_then(|roll_out| roll_out.overdue(now)) {
            let limit = self.policy.ready_timeout.unwrap_or_default();
            self.abort(now, worker, life, AbortReason::NotReady(limit), &mut orders);
        }
        self.advance(now, &mut orders);
        orders
    }

    /// When [`Self::wake`] next has something to do; it may change with every call of the other two.
    #[must_use]
    pub fn next_wake(&self) -> Option<Moment> {
        let slots = self.slots.iter().filter_map(Slot::next_wake);
        slots.chain(self.roll_out.as_ref().and_then(RollOut::next_wake)).min()
    }

    /// How many processes there are.
    #[must_use]
    pub fn lives(&self) -> usize {
        self.homes.len()
    }

    pub(super) fn slot(&mut self, worker: WorkerId) -> &mut Slot {
        &mut self.slots[slot_index(worker)]
    }

    fn with(&mut self, life: Life, act: impl FnOnce(&mut Occupant, &Policy)) {
        let Some(&worker) = self.homes.get(&life) else { return };
        if let Some(occupant) = self.slots[slot_index(worker)].life_mut(life) {
            act(occupant, &self.policy);
        }
    }

    fn asked(&mut self, now: Moment, request: Request, orders: &mut Vec<Order>) {
        match (self.goal, request) {
            (Goal::Serve, Request::Start) => {
                let idle = self.slots.iter().filter(|slot| matches!(slot.seat, Seat::Empty));
                for worker in idle.map(|slot| slot.worker).collect::<Vec<_>>() {
                    self.spawn(now, worker, orders);
                }
            }
            (Goal::Serve, Request::RollOut) => {
                let (order, width) = (self.policy.restart, self.policy.parallel as usize);
                self.roll_out_all(now, order, width, orders);
            }
            (Goal::Serve, Request::RestartAll) => {
                self.roll_out_all(now, RestartOrder::StopFirst, self.slots.len(), orders);
            }
            (Goal::Serve, Request::Stop) => self.stop_all(now, orders),
            (Goal::Serve | Goal::Stop, Request::Kill) => self.kill_all(orders),
            // A stop wins over whatever is asked after it; asked twice it is one stop.
            (Goal::Stop, Request::Start | Request::RollOut | Request::RestartAll | Request::Stop) => {}
            (Goal::Finished, _) => {}
        }
    }

    fn stop_all(&mut self, now: Moment, orders: &mut Vec<Order>) {
        self.give_up_plans(orders);
        orders.push(Say(Notice::ShuttingDown(self.homes.len())));
        for slot in &mut self.slots {
            for occupant in slot.lives_mut() {
                occupant.stop(now, StopReason::Shutdown, &self.policy, orders);
            }
        }
    }

    fn kill_all(&mut self, orders: &mut Vec<Order>) {
        self.give_up_plans(orders);
        orders.push(Say(Notice::Killing(self.homes.len())));
        for slot in &mut self.slots {
            for occupant in slot.lives_mut() {
                occupant.kill(orders);
            }
        }
    }

    /// From now on nothing is started.
    fn give_up_plans(&mut self, orders: &mut Vec<Order>) {
        self.goal = Goal::Stop;
        if self.roll_out.take().is_some() {
            orders.push(Say(Notice::RollOutCancelled));
        }
        for slot in &mut self.slots {
            if matches!(slot.seat, Seat::Waiting { .. }) {
                slot.seat = Seat::Empty;
            }
        }
    }

    /// Starts a process in a slot nobody sits in.
    pub(super) fn spawn(&mut self, now: Moment, worker: WorkerId, orders: &mut Vec<Order>) {
        let life = self.new_life(worker);
        let occupant = Occupant::ordered(now, worker, life, &self.policy);
        self.slot(worker).seat = Seat::Taken(occupant);
        orders.push(Order::Spawn(worker, life));
    }

    pub(super) fn new_life(&mut self, worker: WorkerId) -> Life {
        self.last_life += 1;
        let life = Life(self.last_life);
        self.homes.insert(life, worker);
        life
    }

    /// A process has ended, or never began.
    fn ended(&mut self, now: Moment, life: Life, ending: Ending, orders: &mut Vec<Order>) {
        let Some(worker) = self.homes.remove(&life) else { return };
        let Some((occupant, place)) = self.slot(worker).remove(life) else { return };
        if place == Place::Seat && occupant.ready_since.is_some() {
            self.slot(worker).expected = occupant.leaves_behind(now);
        }
        let then = match (self.goal, place) {
            (Goal::Stop | Goal::Finished, _) | (_, Place::Departing | Place::Successor) => Then::Nothing,
            (Goal::Serve, Place::Seat) => self.after_the_end(now, &occupant, &ending),
        };
        let lived = occupant.lived(now);
        orders.push(Say(Notice::Exited { worker, life, ending: ending.clone(), lived, then }));
        match then {
            Then::StartAtOnce => self.spawn(now, worker, orders),
            Then::Dead(_) => orders.push(Order::Abandon(worker)),
            Then::Nothing | Then::StartAfter(_) => {}
        }
        self.step_after_end(now, &occupant, place, ending, orders);
    }

    /// What follows when the life in the seat has ended while we serve.
    fn after_the_end(&mut self, now: Moment, occupant: &Occupant, ending: &Ending) -> Then {
        let (worker, life, lived) = (occupant.worker, occupant.life, occupant.lived(now));
        self.jitter = next_random(self.jitter);
        let jitter = self.jitter;
        if self.slot(worker).successor.is_some() {
            self.slot(worker).promote();
            return Then::Nothing;
        }
        if occupant.is_unwanted() {
            return Then::StartAtOnce;
        }
        let death = Death { worker, life, ending: ending.clone(), refusal: occupant.refusal.clone() };
        let verdict = self.slots[slot_index(worker)].deaths.count(lived, &self.policy, jitter);
        let slot = self.slot(worker);
        slot.last_death = Some(death);
        match verdict {
            Verdict::Again => Then::StartAtOnce,
            Verdict::AgainAfter(pause) => {
                slot.seat = Seat::Waiting { until: now.after(pause) };
                Then::StartAfter(pause)
            }
            Verdict::GiveUp(deaths) => {
                slot.seat = Seat::Dead;
                Then::Dead(deaths)
            }
        }
    }

    /// Moves everything on as far as it goes: readiness, turns of the roll-out, the end.
    fn advance(&mut self, now: Moment, orders: &mut Vec<Order>) {
        if self.goal == Goal::Serve {
            self.settle_all(now, orders);
            while let Some(worker) = self.next_turn() {
                self.begin_step(now, worker, orders);
            }
            if let Some(done) = self.roll_out.take_if(|roll_out| roll_out.is_complete()) {
                let (replaced, took) = (done.replaced, now.since(done.began));
                orders.push(Say(Notice::RollOutFinished { replaced, took }));
            }
        }
        self.finish_when_over(orders);
    }

    fn settle_all(&mut self, now: Moment, orders: &mut Vec<Order>) {
        for index in 0..self.slots.len() {
            let mut ready = Vec::new();
            let slot = &mut self.slots[index];
            if let Seat::Taken(sitting) = &mut slot.seat {
                if sitting.settles(now, &slot.expected, &self.policy, orders) == Settled::JustNow {
                    ready.push(sitting.life);
                }
                // A successor has to take over what its elder holds right now.
                if slot.successor.is_some() && sitting.ready_since.is_some() && !sitting.is_stopping() {
                    slot.expected.clone_from(&sitting.endpoints);
                }
            }
            if let Some(successor) = &mut slot.successor
                && successor.settles(now, &slot.expected, &self.policy, orders) == Settled::JustNow
            {
                ready.push(successor.life);
            }
            let worker = slot.worker;
            for life in ready {
                self.step_after_ready(now, worker, life, orders);
            }
        }
    }

    fn finish_when_over(&mut self, orders: &mut Vec<Order>) {
        if !self.homes.is_empty() {
            return;
        }
        let outcome = match self.goal {
            Goal::Stop => Outcome::Stopped,
            Goal::Serve if self.slots.iter().all(|slot| matches!(slot.seat, Seat::Dead)) => {
                Outcome::AllDead(self.slots.iter().filter_map(|slot| slot.last_death.clone()).collect())
            }
            Goal::Serve | Goal::Finished => return,
        };
        self.goal = Goal::Finished;
        orders.push(Order::Finish(outcome));
    }
}

/// Knuth's linear congruential step: good enough to spread pauses, and reproducible.
const fn next_random(seed: u32) -> u32 {
    seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223).rotate_left(16)
}

pub(super) const fn slot_index(worker: WorkerId) -> usize {
    worker.0 as usize - 1
}
