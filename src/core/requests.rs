//! What is asked of the supervisor, by an operator or by the host, and whether it may be asked now.
//!
//! Invariants: a request that makes no sense now changes nothing (who asks sees the state it would have meant); a stop
//! wins over whatever is asked after it, and asked twice it is one stop.

use std::time::Duration;

use super::effect::Effect::{self, Notify};
use super::effect::{Haste, Notice, Outcome, Scope, StopReason};
use super::event::{OnDeath, OneRequest, Request, StopCause};
use super::fleet::Supervisor;
use super::goal::Goal;
use super::ids::{Moment, WorkerId};
use super::policy::{LifecycleLimits, RestartOrder};
use super::slot::{DesiredState, Slot, SlotState};

/// One request to stop may come twice: a Ctrl-C from the terminal and from a parent that passes it on, as npm does; a
/// SIGTERM from `timeout`, to its child and to the group.
const ECHO: Duration = Duration::from_millis(500);

impl Supervisor {
    pub(super) fn asked(&mut self, now: Moment, request: Request, effects: &mut Vec<Effect>) {
        match (&self.goal, request) {
            (Goal::Serve, Request::Start) => self.start_idle(now, effects),
            (
                Goal::Serve,
                request @ (Request::Rollout(_)
                | Request::RestartAll
                | Request::One(_, OneRequest::Restart | OneRequest::Rollout)),
            ) => self.reload(now, request, effects),
            (Goal::Serve, Request::One(worker, request)) => self.asked_of_one(now, worker, request, effects),
            (Goal::Serve, Request::Add(worker, limits)) => self.add(worker, limits),
            (Goal::Serve, Request::Stop) => self.stop_all(now, Outcome::Stopped, Haste::None, effects),
            (Goal::Serve | Goal::Stop { .. }, Request::StopBy(cause)) => self.stop_by(now, cause, effects),
            (Goal::Serve | Goal::Stop { .. }, Request::Kill) => self.kill_all(effects),
            (
                Goal::Stop { .. },
                Request::Start
                | Request::Rollout(_)
                | Request::RestartAll
                | Request::Stop
                | Request::One(..)
                | Request::Add(..),
            )
            | (Goal::Finished, _) => {}
        }
    }

    /// Everything is stopped; whoever is left after so long is killed.
    pub(super) fn stop_within(&mut self, now: Moment, patience: Duration, effects: &mut Vec<Effect>) {
        if self.goal == Goal::Serve {
            self.stop_all(now, Outcome::Stopped, Haste::Some, effects);
        }
        if let Goal::Stop { kill, .. } = &mut self.goal {
            let at = now.after(patience);
            *kill = Some(kill.map_or(at, |set| set.min(at)));
        }
    }

    /// A signal asks for a stop; the second one, unless it is the first one's echo, asks for it now.
    fn stop_by(&mut self, now: Moment, cause: StopCause, effects: &mut Vec<Effect>) {
        if self.goal == Goal::Serve {
            let haste = match cause {
                StopCause::Terminate => Haste::None,
                // Somebody sits at the terminal.
                StopCause::Interrupt | StopCause::Quit | StopCause::TerminalLost => Haste::Some,
            };
            self.stop_all(now, Outcome::Stopped, haste, effects);
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
                self.kill_all(effects);
            }
        }
    }

    /// Restarts workers, on the configuration that was read last.
    pub(super) fn restart(&mut self, now: Moment, request: Request, effects: &mut Vec<Effect>) {
        match request {
            Request::Rollout(on_death) => {
                let (order, width) = (self.policy.restart, self.policy.parallel as usize);
                self.rollout(now, order, width, Scope::All, on_death, effects);
            }
            Request::RestartAll => {
                let width = self.slots.len();
                self.rollout(now, RestartOrder::StopFirst, width, Scope::All, OnDeath::Continue, effects);
            }
            Request::One(worker, request) => self.asked_of_one(now, worker, request, effects),
            Request::Start | Request::Stop | Request::StopBy(_) | Request::Kill | Request::Add(..) => {}
        }
    }

    fn add(&mut self, worker: WorkerId, limits: LifecycleLimits) {
        let next = self.next_worker();
        match self.slots.iter_mut().find(|slot| slot.worker == worker) {
            Some(slot) => slot.limits = limits,
            None if worker == next => {
                self.slots.push(Slot { desired: DesiredState::Stopped, ..Slot::new(worker, limits) });
            }
            None => {}
        }
    }

    /// The number that the next worker gets.
    fn next_worker(&self) -> WorkerId {
        self.slots.last().map_or(WorkerId(1), |last| WorkerId(last.worker.0.saturating_add(1)))
    }

    fn start_idle(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let idle =
            |slot: &&Slot| matches!(slot.state, SlotState::Empty) && slot.desired == DesiredState::Running;
        for worker in self.slots.iter().filter(idle).map(|slot| slot.worker).collect::<Vec<_>>() {
            self.spawn(now, worker, effects);
        }
    }

    fn asked_of_one(
        &mut self,
        now: Moment,
        worker: WorkerId,
        request: OneRequest,
        effects: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.worker == worker) else { return };
        match request {
            OneRequest::Start => self.start_one(now, worker, effects),
            OneRequest::Stop => self.stop_one(now, worker, effects),
            OneRequest::Restart => self.restart_one(now, worker, effects),
            OneRequest::Rollout => {
                let (order, width) = (self.policy.restart, self.policy.parallel as usize);
                self.rollout(now, order, width, Scope::One(worker), OnDeath::Continue, effects);
            }
            OneRequest::Revive => {
                if matches!(slot.state, SlotState::Dead) {
                    slot.state = SlotState::Empty;
                    slot.desired = DesiredState::Stopped;
                    slot.crashes.forget();
                }
            }
            OneRequest::Limit(limits) => slot.limits = limits,
        }
    }

    fn start_one(&mut self, now: Moment, worker: WorkerId, effects: &mut Vec<Effect>) {
        let slot = self.slot(worker);
        slot.desired = DesiredState::Running;
        match slot.state {
            SlotState::Dead => {
                slot.crashes.forget();
                self.spawn(now, worker, effects);
            }
            SlotState::Empty | SlotState::BackingOff { .. } => self.spawn(now, worker, effects),
            // If it is being stopped, it is started again when it is gone.
            SlotState::Occupied(_) => {}
        }
    }

    fn stop_one(&mut self, now: Moment, worker: WorkerId, effects: &mut Vec<Effect>) {
        self.forget_restart(worker);
        if let Some(rollout) = &mut self.rollout {
            rollout.forget(worker);
        }
        // What ends because its last worker is stopped has not succeeded.
        if self.rollout.take_if(|rollout| rollout.is_complete()).is_some() {
            effects.push(Notify(Notice::RolloutCancelled));
        }
        let slot = self.slot(worker);
        slot.desired = DesiredState::Stopped;
        if let Some(successor) = slot.successor.take() {
            slot.retiring.push(successor);
        }
        match slot.state {
            SlotState::BackingOff { .. } => slot.state = SlotState::Empty,
            SlotState::Empty | SlotState::Occupied(_) | SlotState::Dead => {}
        }
        let limits = slot.limits;
        for instance in slot.instances_mut() {
            instance.stop(now, StopReason::Asked, Haste::None, &limits, effects);
        }
    }

    fn restart_one(&mut self, now: Moment, worker: WorkerId, effects: &mut Vec<Effect>) {
        let haste = self.haste_of_replacing(worker, 1);
        let slot = self.slot(worker);
        let limits = slot.limits;
        match &mut slot.state {
            SlotState::Occupied(instance) => {
                slot.desired = DesiredState::Running;
                instance.stop(now, StopReason::Asked, haste, &limits, effects);
            }
            SlotState::BackingOff { .. } => self.spawn(now, worker, effects),
            SlotState::Empty | SlotState::Dead => {}
        }
    }

    /// The beginning of the end, which will be `outcome`.
    pub(super) fn stop_all(
        &mut self,
        now: Moment,
        outcome: Outcome,
        haste: Haste,
        effects: &mut Vec<Effect>,
    ) {
        self.give_up_plans(outcome, effects);
        effects.push(Notify(Notice::ShuttingDown(self.homes.len())));
        for slot in &mut self.slots {
            let limits = slot.limits;
            for instance in slot.instances_mut() {
                instance.stop(now, StopReason::Shutdown, haste, &limits, effects);
            }
        }
    }

    pub(super) fn kill_all(&mut self, effects: &mut Vec<Effect>) {
        if self.goal == Goal::Serve {
            self.give_up_plans(Outcome::Stopped, effects);
        }
        if let Goal::Stop { kill, .. } = &mut self.goal {
            *kill = None;
        }
        effects.push(Notify(Notice::Killing(self.homes.len())));
        for slot in &mut self.slots {
            for instance in slot.instances_mut() {
                instance.kill(effects);
            }
        }
        self.host.kill(effects);
    }

    /// Whoever is left when the time for a stop is over is killed.
    pub(super) fn end_patience(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if matches!(self.goal, Goal::Stop { kill: Some(at), .. } if at <= now) {
            self.kill_all(effects);
        }
    }

    /// From now on nothing is started.
    fn give_up_plans(&mut self, outcome: Outcome, effects: &mut Vec<Effect>) {
        self.goal = Goal::Stop { outcome, kill: None, signalled: None };
        if self.rollout.take().is_some() {
            effects.push(Notify(Notice::RolloutCancelled));
        }
        self.host.give_up_pause();
        self.give_up_reload();
        for slot in &mut self.slots {
            if matches!(slot.state, SlotState::BackingOff { .. }) {
                slot.state = SlotState::Empty;
            }
        }
    }
}
