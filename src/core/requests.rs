//! What is asked of the supervisor, by an operator or by the host, and whether it may be asked now.
//!
//! Invariants: every request is answered, and one that is refused changes nothing; a stop wins over whatever is asked after
//! it, and asked twice it is one stop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::answers::{Completion, Refusal};
use super::effect::Effect::{self, Notify};
use super::effect::{Haste, Notice, Outcome, Scope, StopReason};
use super::event::{OnDeath, OneRequest, Request, StopCause};
use super::fleet::{Started, Supervisor};
use super::goal::Goal;
use super::ids::{InstanceId, Moment, RequestId, WorkerId};
use super::pending::Awaited;
use super::policy::{HostKind, LifecycleLimits, RestartOrder};
use super::reload_state::HostTrial;
use super::rollout::{Onto, Rollout, Wanted};
use super::slot::{AddedBy, DesiredState, PortFrom, Slot, SlotState};

impl Supervisor {
    /// Answers a request, and does what it asks for.
    pub(super) fn asked(&mut self, now: Moment, id: RequestId, request: Request, effects: &mut Vec<Effect>) {
        if let Err(refusal) = self.may(&request) {
            effects.push(Effect::Reply(id, Err(refusal)));
            return;
        }
        effects.push(Effect::Reply(id, Ok(())));
        let awaited = self.act(now, request, effects);
        self.pending.open(id, awaited, effects);
    }

    /// Completes what the slots touched since were waited for.
    pub(super) fn complete_pending(&mut self, effects: &mut Vec<Effect>) {
        if self.pending.is_empty() {
            return;
        }
        for worker in self.slots.touched() {
            self.pending.look_at(worker, self.slots.find(worker), effects);
        }
    }

    /// Whether this may be asked now.
    fn may(&self, request: &Request) -> Result<(), Refusal> {
        match (&self.goal, request) {
            (
                Goal::Serve | Goal::Stop { .. },
                Request::Stop | Request::StopBy(_) | Request::Kill | Request::Disconnect(_),
            ) => Ok(()),
            (Goal::Stop { .. } | Goal::Finished, _) => Err(Refusal::Stopping),
            (Goal::Serve, _) if self.pending.is_full() => Err(Refusal::Busy),
            (Goal::Serve, Request::One(worker, _)) if !self.is_there(*worker) => {
                let workers = self.staying().map(|slot| slot.worker).collect();
                Err(Refusal::NoSuchWorker { worker: *worker, workers })
            }
            (Goal::Serve, Request::Scale(_)) if self.policy.host_kind == HostKind::CustomMaster => {
                Err(Refusal::ScriptDecides)
            }
            (
                Goal::Serve,
                Request::Start
                | Request::Reload(_)
                | Request::Replace
                | Request::RestartAll
                | Request::One(..)
                | Request::Scale(_)
                | Request::Add(..),
            ) => Ok(()),
        }
    }

    /// Does what is asked for and may be; answers with what it waits for.
    fn act(&mut self, now: Moment, request: Request, effects: &mut Vec<Effect>) -> Awaited {
        match request {
            Request::Start => self.start_idle(now, effects),
            Request::Reload(_)
            | Request::RestartAll
            | Request::One(_, OneRequest::Restart | OneRequest::Rollout) => {
                self.reload(now, request, effects)
            }
            Request::Replace => self.restart(now, request, effects),
            Request::One(worker, request) => self.asked_of_one(now, worker, request, effects),
            Request::Scale(count) => self.scale(now, count, effects),
            Request::Add(worker, limits, port) => {
                self.add(worker, limits, port);
                Awaited::Nothing
            }
            Request::Stop => {
                if self.goal == Goal::Serve {
                    self.stop_all(now, Outcome::Stopped, Haste::None, effects);
                }
                Awaited::End
            }
            Request::StopBy(cause) => {
                self.stop_by(now, cause, effects);
                Awaited::End
            }
            Request::Kill => {
                self.kill_all(effects);
                Awaited::End
            }
            Request::Disconnect(id) => {
                let exit = self.policy.exit_timeout;
                self.with(id, |instance, limits| instance.is_sent_away(now, limits, exit, effects));
                Awaited::Nothing
            }
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
        let Goal::Stop { next_signal, outcome, .. } = &mut self.goal else { return };
        if next_signal.take(now) {
            // How it ended otherwise says more.
            if *outcome == Outcome::Stopped {
                *outcome = Outcome::Killed(cause);
            }
            self.kill_all(effects);
        }
    }

    /// Restarts workers, on the configuration that was read last; answers with what that waits for.
    pub(super) fn restart(&mut self, now: Moment, request: Request, effects: &mut Vec<Effect>) -> Awaited {
        match request {
            Request::Reload(on_death) => self.replace_all(now, Onto::InForce, on_death, effects),
            Request::Replace => self.replace_all(now, Onto::Same, OnDeath::Hold, effects),
            Request::RestartAll => {
                let wanted = self.wanted(Scope::All, Onto::InForce, OnDeath::Continue);
                let (order, width) = (RestartOrder::StopFirst, self.slots.len());
                self.rollout(now, &Wanted { order, width, ..wanted }, effects)
            }
            Request::One(worker, request) => self.asked_of_one(now, worker, request, effects),
            Request::Start
            | Request::Stop
            | Request::StopBy(_)
            | Request::Kill
            | Request::Scale(_)
            | Request::Add(..)
            | Request::Disconnect(_) => Awaited::Nothing,
        }
    }

    /// What is wanted of a rollout, as the settings in force say.
    pub(super) fn wanted(&self, scope: Scope, onto: Onto, on_death: OnDeath) -> Wanted {
        let is_staying = |slot: &&Slot| {
            slot.desired != DesiredState::Removed
                && (slot.worker.0 <= self.policy.workers || slot.added_by == AddedBy::Host)
        };
        let workers = match scope {
            // Those that a reload takes away are not replaced first, nor those that go already.
            Scope::All => self.slots.iter().filter(is_staying).map(|slot| slot.worker).collect(),
            Scope::One(worker) => vec![worker],
        };
        let (order, width) = (self.policy.restart, self.policy.parallel as usize);
        Wanted { order, width, scope, workers, onto, on_death }
    }

    fn replace_all(
        &mut self,
        now: Moment,
        onto: Onto,
        on_death: OnDeath,
        effects: &mut Vec<Effect>,
    ) -> Awaited {
        let wanted = self.wanted(Scope::All, onto, on_death);
        let canaries = match (onto, on_death, self.policy.canary) {
            (Onto::InForce, OnDeath::Hold, Some(canary)) => canary.workers,
            (Onto::InForce | Onto::Same, OnDeath::Hold | OnDeath::Continue, _) => 0,
        };
        let awaited = self.rollout(now, &wanted, effects);
        if let Some(rollout) = &mut self.rollout {
            rollout.try_with(canaries);
        }
        awaited
    }

    fn add(&mut self, worker: WorkerId, limits: LifecycleLimits, port: Arc<str>) {
        if self.slots.find(worker).is_some() {
            self.limit(worker, limits, port);
        } else if worker <= self.slots.next_worker() {
            let slot = Slot::new(worker, limits, self.generation, port);
            self.slots.put(slot.of_host());
        }
    }

    fn limit(&mut self, worker: WorkerId, limits: LifecycleLimits, port: Arc<str>) {
        let slot = self.slots.of_mut(worker);
        slot.limits = limits;
        if slot.port != port {
            (slot.port, slot.port_from) = (port, PortFrom::Host);
        }
    }

    pub(super) fn start_idle(&mut self, now: Moment, effects: &mut Vec<Effect>) -> Awaited {
        let idle =
            |slot: &&Slot| matches!(slot.state, SlotState::Empty) && slot.desired == DesiredState::Running;
        let workers: Vec<_> = self.slots.iter().filter(idle).map(|slot| slot.worker).collect();
        let newest = self.newest();
        self.started = Started::Yes;
        for worker in &workers {
            self.aim(*worker, Onto::InForce);
            self.spawn(now, *worker, effects);
        }
        Awaited::ready(workers.into_iter().map(|worker| (worker, newest)))
    }

    fn asked_of_one(
        &mut self,
        now: Moment,
        worker: WorkerId,
        request: OneRequest,
        effects: &mut Vec<Effect>,
    ) -> Awaited {
        match request {
            OneRequest::Start => self.start_one(now, worker, effects),
            OneRequest::Stop => {
                self.dismiss(now, worker, (DesiredState::Stopped, StopReason::Asked), effects);
                Awaited::Workers { ready: BTreeMap::new(), gone: BTreeSet::from([worker]) }
            }
            OneRequest::Restart => self.restart_one(now, worker, effects),
            OneRequest::Rollout => {
                let wanted = self.wanted(Scope::One(worker), Onto::InForce, OnDeath::Continue);
                self.rollout(now, &wanted, effects)
            }
            OneRequest::Replace => {
                let wanted = self.wanted(Scope::One(worker), Onto::Same, OnDeath::Hold);
                self.rollout(now, &wanted, effects)
            }
            OneRequest::Revive => {
                let slot = self.slots.of_mut(worker);
                if matches!(slot.state, SlotState::Dead) {
                    slot.state = SlotState::Empty;
                    slot.desired = DesiredState::Stopped;
                    slot.crashes.forget();
                }
                Awaited::Nothing
            }
            OneRequest::Limit(limits, port) => {
                self.limit(worker, limits, port);
                Awaited::Nothing
            }
        }
    }

    fn start_one(&mut self, now: Moment, worker: WorkerId, effects: &mut Vec<Effect>) -> Awaited {
        let newest = self.newest();
        self.started = Started::Yes;
        if self.slots.of(worker).sitting().is_none() {
            self.aim(worker, Onto::InForce);
        }
        let slot = self.slots.of_mut(worker);
        slot.desired = DesiredState::Running;
        let newest = match &slot.state {
            SlotState::Dead => {
                slot.crashes.forget();
                self.spawn(now, worker, effects);
                newest
            }
            SlotState::Empty | SlotState::BackingOff { .. } => {
                self.spawn(now, worker, effects);
                newest
            }
            // If it is being stopped, it is started again when it is gone.
            SlotState::Occupied(instance) if instance.is_stopping() => instance.id,
            SlotState::Occupied(_) => InstanceId(0),
        };
        Awaited::ready([(worker, newest)])
    }

    /// The worker is no part of what is under way any more.
    pub(super) fn leave_plans(&mut self, worker: WorkerId, effects: &mut Vec<Effect>) {
        self.forget_restart(worker, effects);
        if let Some(rollout) = &mut self.rollout {
            rollout.forget(worker);
        }
        // What ends because its last worker is stopped has not succeeded.
        let came_to_nothing = |rollout: &mut Rollout| rollout.is_complete() && rollout.replaced() == 0;
        if self.rollout.take_if(came_to_nothing).is_some() {
            effects.push(Notify(Notice::RolloutCancelled));
            let completion = self.reload.failure.take().unwrap_or(Completion::Overruled);
            self.pending.rollout_over(&completion, effects);
        }
    }

    fn restart_one(&mut self, now: Moment, worker: WorkerId, effects: &mut Vec<Effect>) -> Awaited {
        let haste = self.haste_of_replacing(worker, 1);
        let newest = self.newest();
        if self.slots.of(worker).desired == DesiredState::Running {
            self.aim(worker, Onto::InForce);
        }
        let slot = self.slots.of_mut(worker);
        let limits = slot.limits;
        match &mut slot.state {
            SlotState::Occupied(instance) => {
                slot.desired = DesiredState::Running;
                instance.stop(now, StopReason::Asked, haste, &limits, effects);
            }
            SlotState::BackingOff { .. } => self.spawn(now, worker, effects),
            SlotState::Empty | SlotState::Dead => return Awaited::Nothing,
        }
        Awaited::ready([(worker, newest)])
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
        for slot in self.slots.all_mut() {
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
        for slot in self.slots.all_mut() {
            for instance in slot.instances_mut() {
                instance.kill(effects);
            }
        }
        self.host.kill(effects);
    }

    /// Whoever is left when the time for a stop is over is killed.
    pub(super) fn end_patience(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let Goal::Stop { kill, next_signal, .. } = &mut self.goal else { return };
        next_signal.wake(now);
        if kill.is_some_and(|at| at <= now) {
            self.kill_all(effects);
        }
    }

    /// From now on nothing is started.
    fn give_up_plans(&mut self, outcome: Outcome, effects: &mut Vec<Effect>) {
        self.goal = Goal::stop(outcome);
        if self.rollout.take().is_some() {
            effects.push(Notify(Notice::RolloutCancelled));
        }
        self.reload.failure = None;
        self.reload.host_trial = HostTrial::None;
        self.pending.overrule(effects);
        self.host.give_up_pause();
        self.give_up_reload();
        for slot in self.slots.all_mut() {
            if matches!(slot.state, SlotState::BackingOff { .. }) {
                slot.state = SlotState::Empty;
            }
        }
    }
}
