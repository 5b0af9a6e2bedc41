//! The supervisor itself: every slot, the roll-out, the host, and the goal they serve.
//!
//! What is asked of it is in `requests`, what the end of a process means in `ends`, how a roll-out moves on in `steps`.
//! Order of precedence where deciders disagree: kill, stop, roll-out, back-off. Once a stop is asked for,
//! nothing is started any more.

use std::collections::HashMap;

use super::event::{Closing, Ending, Event};
use super::host::Host;
use super::ids::{Endpoint, Life, Moment, WorkerId};
use super::life::{Leaves, Occupant};
use super::order::Order::Say;
use super::order::{AbortReason, Notice, Order, Outcome, StopReason, Vacancy};
use super::policy::{Attendance, Limits, Policy, Readiness};
use super::readiness::Settled;
use super::rollout::RollOut;
use super::slot::{Seat, Slot, Wish};

/// Decides what happens to each worker. See the module's head for what it never does.
#[derive(Debug)]
pub struct Supervisor {
    pub(super) policy: Policy,
    pub(super) slots: Vec<Slot>,
    /// Which slot each living life is in.
    pub(super) homes: HashMap<Life, WorkerId>,
    pub(super) roll_out: Option<RollOut>,
    pub(super) host: Host,
    pub(super) goal: Goal,
    /// Whether a life has ever been ready that had been refused nothing.
    pub(super) has_served: bool,
    last_life: u32,
    pub(super) jitter: u32,
}

/// What it is all for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    Serve,
    /// The end, which is this one; whoever is left at that moment is killed.
    Stop {
        outcome: Outcome,
        kill: Option<Moment>,
        /// When a signal first asked for it.
        signalled: Option<Moment>,
    },
    Finished,
}

impl Supervisor {
    /// A fleet that is not started. `seed` spreads the back-off pauses of several masters.
    #[must_use]
    pub fn new(now: Moment, policy: Policy, seed: u32) -> Self {
        let slots = (1..=policy.workers).map(|wid| Slot::new(WorkerId(wid), policy.limits)).collect();
        let host = match policy.attendance {
            Attendance::Host { limit } => Host::started(now, limit),
            Attendance::Alone | Attendance::Script => Host::none(),
        };
        Self {
            policy,
            slots,
            homes: HashMap::new(),
            roll_out: None,
            host,
            goal: Goal::Serve,
            has_served: false,
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
            Event::Host(life, event) => self.host_did(now, life, event, &mut orders),
            Event::Online(life) => {
                let readiness = self.policy.readiness;
                self.with(life, |occupant, _| {
                    occupant.comes_online(now, &mut orders);
                    match readiness {
                        Readiness::Manual => occupant.owes_a_word(now),
                        Readiness::Automatic => {}
                    }
                });
            }
            Event::SaidReady(life) => self.with(life, |occupant, _| occupant.says_ready(now)),
            Event::Listening(life, endpoint) => self.with(life, |occupant, _| {
                orders.push(Say(Notice::Listening(occupant.worker, life, endpoint.clone())));
                occupant.listens(endpoint);
            }),
            Event::Closed(life, endpoint, closing) => self.closed(now, life, endpoint, closing),
            Event::AsksToListen(life, endpoint) => {
                self.with(life, |occupant, _| occupant.asks_to_listen(endpoint));
            }
            Event::LivesOn(life) => self.with(life, |occupant, _| occupant.lives_on()),
            Event::Refused(life, refusal) => self.with(life, |occupant, _| {
                orders.push(Say(Notice::Refused(occupant.worker, life, refusal.clone())));
                occupant.is_refused(now, refusal);
            }),
            Event::Suspended(life) => self.with(life, |occupant, _| occupant.suspended(&mut orders)),
            Event::Leaving(life) => self.leaves(now, life, Leaves::Drains),
            Event::Drained(life) => self.with(life, |occupant, _| occupant.is_drained()),
            Event::Left(life) => self.leaves(now, life, Leaves::Channel),
            Event::Broken(life, how) => self.with(life, |occupant, limits| {
                occupant.fail(now, StopReason::Broken(how), limits, &mut orders);
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
            let limits = slot.limits;
            for occupant in slot.lives_mut() {
                occupant.wake(now, &limits, &mut orders);
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
        self.wake_host(now, &mut orders);
        self.end_patience(now, &mut orders);
        self.advance(now, &mut orders);
        orders
    }

    /// When [`Self::wake`] next has something to do; it may change with every call of the other two.
    #[must_use]
    pub fn next_wake(&self) -> Option<Moment> {
        let slots = self.slots.iter().filter_map(Slot::next_wake);
        let kill = match self.goal {
            Goal::Stop { kill, .. } => kill,
            Goal::Serve | Goal::Finished => None,
        };
        let roll_out = self.roll_out.as_ref().and_then(RollOut::next_wake);
        slots.chain(roll_out).chain(kill).chain(self.host.next_wake()).min()
    }

    /// What there is to say of every slot that has no process in its seat.
    #[must_use]
    pub fn vacancies(&self) -> Vec<(WorkerId, Vacancy)> {
        let vacancy = |slot: &Slot| match (&slot.seat, slot.wish) {
            (Seat::Taken(_), _) => None,
            (Seat::Dead, _) => Some(Vacancy::Dead),
            (Seat::Waiting { .. }, _) => Some(Vacancy::Expecting),
            (Seat::Empty, Wish::Run) => Some(Vacancy::Idle),
            (Seat::Empty, Wish::Rest) => Some(Vacancy::Resting),
        };
        self.slots.iter().filter_map(|slot| Some((slot.worker, vacancy(slot)?))).collect()
    }

    /// How many processes there are.
    #[must_use]
    pub fn lives(&self) -> usize {
        self.homes.len()
    }

    pub(super) fn slot(&mut self, worker: WorkerId) -> &mut Slot {
        &mut self.slots[slot_index(worker)]
    }

    fn with(&mut self, life: Life, act: impl FnOnce(&mut Occupant, &Limits)) {
        let Some(&worker) = self.homes.get(&life) else { return };
        let slot = self.slot(worker);
        let limits = slot.limits;
        if let Some(occupant) = slot.life_mut(life) {
            act(occupant, &limits);
        }
    }

    /// A life has closed an endpoint. If it is still coming up it had only tried that out, as its predecessor may have
    /// done: it is not waited for any more.
    fn closed(&mut self, now: Moment, life: Life, endpoint: Endpoint, closing: Closing) {
        let Some(&worker) = self.homes.get(&life) else { return };
        let slot = self.slot(worker);
        let Some(occupant) = slot.life_mut(life) else { return };
        let was_tried_out = occupant.is_coming_up();
        occupant.closes(now, endpoint.clone(), closing);
        if was_tried_out {
            slot.expected.remove(&endpoint);
        }
    }

    fn leaves(&mut self, now: Moment, life: Life, how: Leaves) {
        let exit = self.policy.exit_timeout;
        self.with(life, |occupant, limits| occupant.leaves(now, how, limits, exit));
    }

    /// Starts a process in a slot nobody sits in.
    pub(super) fn spawn(&mut self, now: Moment, worker: WorkerId, orders: &mut Vec<Order>) {
        let life = self.new_life(worker);
        let slot = self.slot(worker);
        slot.seat = Seat::Taken(Occupant::ordered(now, worker, life, &slot.limits));
        orders.push(Order::Spawn(worker, life));
        self.step_after_spawn(worker);
    }

    pub(super) fn new_life(&mut self, worker: WorkerId) -> Life {
        self.last_life += 1;
        let life = Life(self.last_life);
        self.homes.insert(life, worker);
        life
    }

    /// The life started last.
    pub(super) const fn newest(&self) -> Life {
        Life(self.last_life)
    }

    /// Moves everything on as far as it goes: readiness, turns of the roll-out, the end.
    fn advance(&mut self, now: Moment, orders: &mut Vec<Order>) {
        if self.goal == Goal::Serve {
            self.settle_all(now, orders);
            self.end_proofs(now);
            while let Some(turn) = self.next_turn() {
                self.begin_step(now, turn, orders);
            }
            if let Some(done) = self.roll_out.take_if(|roll_out| roll_out.is_complete()) {
                let (extent, replaced, took) = (done.extent, done.replaced(), now.since(done.began));
                orders.push(Say(Notice::RollOutFinished { extent, replaced, took }));
            }
        }
        self.finish_when_over(now, orders);
    }

    fn settle_all(&mut self, now: Moment, orders: &mut Vec<Order>) {
        let readiness = self.policy.readiness;
        for index in 0..self.slots.len() {
            let mut ready = Vec::new();
            let slot = &mut self.slots[index];
            if let Seat::Taken(sitting) = &mut slot.seat {
                if sitting.settles(now, &slot.expected, readiness, orders) == Settled::JustNow {
                    self.has_served |= sitting.refusal().is_none();
                    ready.push(sitting.life);
                }
                // A successor has to take over what its elder holds right now.
                if slot.successor.is_some() && sitting.ready_since.is_some() && !sitting.is_stopping() {
                    slot.expected.clone_from(&sitting.endpoints);
                }
            }
            if let Some(successor) = &mut slot.successor
                && successor.settles(now, &slot.expected, readiness, orders) == Settled::JustNow
            {
                ready.push(successor.life);
            }
            let worker = slot.worker;
            for life in ready {
                self.step_after_ready(now, worker, life, orders);
            }
        }
    }
}

pub(super) const fn slot_index(worker: WorkerId) -> usize {
    worker.0 as usize - 1
}
