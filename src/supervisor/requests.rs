//! What is asked of the supervisor, by an operator or by the JavaScript beside the fleet, and whether it may be asked now.
//!
//! Invariants: a request that makes no sense now changes nothing (who asks sees the state it would have meant); a stop
//! wins over whatever is asked after it, and asked twice it is one stop.

use std::time::Duration;

use super::event::{OnDeath, OneRequest, Request, StopCause};
use super::fleet::{Goal, Supervisor};
use super::ids::{Moment, WorkerId};
use super::order::Order::{self, Say};
use super::order::{Extent, Haste, Notice, Outcome, StopReason};
use super::policy::RestartOrder;
use super::slot::{Seat, Slot, Wish};

/// One request to stop may come twice: a Ctrl-C from the terminal and from a parent that passes it on, as npm does; a
/// SIGTERM from `timeout`, to its child and to the group.
const ECHO: Duration = Duration::from_millis(500);

impl Supervisor {
    pub(super) fn asked(&mut self, now: Moment, request: Request, orders: &mut Vec<Order>) {
        match (&self.goal, request) {
            (Goal::Serve, Request::Start) => self.start_idle(now, orders),
            (Goal::Serve, Request::RollOut(on_death)) => {
                let (order, width) = (self.policy.restart, self.policy.parallel as usize);
                self.roll_out(now, order, width, Extent::All, on_death, orders);
            }
            (Goal::Serve, Request::RestartAll) => {
                let width = self.slots.len();
                self.roll_out(now, RestartOrder::StopFirst, width, Extent::All, OnDeath::Continue, orders);
            }
            (Goal::Serve, Request::One(worker, request)) => self.asked_of_one(now, worker, request, orders),
            (Goal::Serve, Request::Add(limits)) => {
                let worker = WorkerId(u32::try_from(self.slots.len()).unwrap_or(u32::MAX).saturating_add(1));
                self.slots.push(Slot { wish: Wish::Rest, ..Slot::new(worker, limits) });
            }
            (Goal::Serve, Request::Stop) => self.stop_all(now, Outcome::Stopped, Haste::None, orders),
            (Goal::Serve | Goal::Stop { .. }, Request::StopBy(cause)) => self.stop_by(now, cause, orders),
            (Goal::Serve | Goal::Stop { .. }, Request::StopWithin(patience)) => {
                if self.goal == Goal::Serve {
                    self.stop_all(now, Outcome::Stopped, Haste::Some, orders);
                }
                if let Goal::Stop { kill, .. } = &mut self.goal {
                    let at = now.after(patience);
                    *kill = Some(kill.map_or(at, |set| set.min(at)));
                }
            }
            (Goal::Serve | Goal::Stop { .. }, Request::Kill) => self.kill_all(orders),
            (
                Goal::Stop { .. },
                Request::Start
                | Request::RollOut(_)
                | Request::RestartAll
                | Request::Stop
                | Request::One(..)
                | Request::Add(_),
            )
            | (Goal::Finished, _) => {}
        }
    }

    /// A signal asks for a stop; the second one, unless it is the first one's echo, asks for it now.
    fn stop_by(&mut self, now: Moment, cause: StopCause, orders: &mut Vec<Order>) {
        if self.goal == Goal::Serve {
            let haste = match cause {
                StopCause::Terminate => Haste::None,
                // Somebody sits at the terminal.
                StopCause::Interrupt | StopCause::Quit | StopCause::TerminalLost => Haste::Some,
            };
            self.stop_all(now, Outcome::Stopped, haste, orders);
        }
        let Goal::Stop { signalled, outcome, .. } = &mut self.goal else { return };
        match *signalled {
            None => *signalled = Some(now),
            Some(at) if now.since(at) < ECHO => {}
            Some(_) => {
                // How it ended otherwise says more.
                if *outcome == Outcome::Stopped {
                    *outcome = Outcome::Killed(cause);
                }
                self.kill_all(orders);
            }
        }
    }

    fn start_idle(&mut self, now: Moment, orders: &mut Vec<Order>) {
        let idle = |slot: &&Slot| matches!(slot.seat, Seat::Empty) && slot.wish == Wish::Run;
        for worker in self.slots.iter().filter(idle).map(|slot| slot.worker).collect::<Vec<_>>() {
            self.spawn(now, worker, orders);
        }
    }

    fn asked_of_one(&mut self, now: Moment, worker: WorkerId, request: OneRequest, orders: &mut Vec<Order>) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.worker == worker) else { return };
        match request {
            OneRequest::Start => self.start_one(now, worker, orders),
            OneRequest::Stop => self.stop_one(now, worker, orders),
            OneRequest::Restart => self.restart_one(now, worker, orders),
            OneRequest::RollOut => {
                let (order, width) = (self.policy.restart, self.policy.parallel as usize);
                self.roll_out(now, order, width, Extent::One(worker), OnDeath::Continue, orders);
            }
            OneRequest::Revive => {
                if matches!(slot.seat, Seat::Dead) {
                    slot.seat = Seat::Empty;
                    slot.wish = Wish::Rest;
                    slot.deaths.forget();
                }
            }
            OneRequest::Limit(limits) => slot.limits = limits,
        }
    }

    fn start_one(&mut self, now: Moment, worker: WorkerId, orders: &mut Vec<Order>) {
        let slot = self.slot(worker);
        slot.wish = Wish::Run;
        match slot.seat {
            Seat::Dead => {
                slot.deaths.forget();
                self.spawn(now, worker, orders);
            }
            Seat::Empty | Seat::Waiting { .. } => self.spawn(now, worker, orders),
            // If it is being stopped, it is started again when it is gone.
            Seat::Taken(_) => {}
        }
    }

    fn stop_one(&mut self, now: Moment, worker: WorkerId, orders: &mut Vec<Order>) {
        if let Some(roll_out) = &mut self.roll_out {
            roll_out.forget(worker);
        }
        // What ends because its last worker is stopped has not succeeded.
        if self.roll_out.take_if(|roll_out| roll_out.is_complete()).is_some() {
            orders.push(Say(Notice::RollOutCancelled));
        }
        let slot = self.slot(worker);
        slot.wish = Wish::Rest;
        if let Some(successor) = slot.successor.take() {
            slot.departing.push(successor);
        }
        match slot.seat {
            Seat::Waiting { .. } => slot.seat = Seat::Empty,
            Seat::Empty | Seat::Taken(_) | Seat::Dead => {}
        }
        let limits = slot.limits;
        for occupant in slot.lives_mut() {
            occupant.stop(now, StopReason::Asked, Haste::None, &limits, orders);
        }
    }

    fn restart_one(&mut self, now: Moment, worker: WorkerId, orders: &mut Vec<Order>) {
        let haste = self.haste_of_replacing(worker, 1);
        let slot = self.slot(worker);
        let limits = slot.limits;
        match &mut slot.seat {
            Seat::Taken(occupant) => {
                slot.wish = Wish::Run;
                occupant.stop(now, StopReason::Asked, haste, &limits, orders);
            }
            Seat::Waiting { .. } => self.spawn(now, worker, orders),
            Seat::Empty | Seat::Dead => {}
        }
    }

    /// The beginning of the end, which will be `outcome`.
    pub(super) fn stop_all(&mut self, now: Moment, outcome: Outcome, haste: Haste, orders: &mut Vec<Order>) {
        self.give_up_plans(outcome, orders);
        orders.push(Say(Notice::ShuttingDown(self.homes.len())));
        for slot in &mut self.slots {
            let limits = slot.limits;
            for occupant in slot.lives_mut() {
                occupant.stop(now, StopReason::Shutdown, haste, &limits, orders);
            }
        }
    }

    pub(super) fn kill_all(&mut self, orders: &mut Vec<Order>) {
        if self.goal == Goal::Serve {
            self.give_up_plans(Outcome::Stopped, orders);
        }
        if let Goal::Stop { kill, .. } = &mut self.goal {
            *kill = None;
        }
        orders.push(Say(Notice::Killing(self.homes.len())));
        for slot in &mut self.slots {
            for occupant in slot.lives_mut() {
                occupant.kill(orders);
            }
        }
        self.host.kill(orders);
    }

    /// Whoever is left when the time for a stop is over is killed.
    pub(super) fn end_patience(&mut self, now: Moment, orders: &mut Vec<Order>) {
        if matches!(self.goal, Goal::Stop { kill: Some(at), .. } if at <= now) {
            self.kill_all(orders);
        }
    }

    /// From now on nothing is started.
    fn give_up_plans(&mut self, outcome: Outcome, orders: &mut Vec<Order>) {
        self.goal = Goal::Stop { outcome, kill: None, signalled: None };
        if self.roll_out.take().is_some() {
            orders.push(Say(Notice::RollOutCancelled));
        }
        self.host.give_up_pause();
        for slot in &mut self.slots {
            if matches!(slot.seat, Seat::Waiting { .. }) {
                slot.seat = Seat::Empty;
            }
        }
    }
}
