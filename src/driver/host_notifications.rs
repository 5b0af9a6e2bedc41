//! Tells the host what happens to workers.
//!
//! Invariants: everything about an instance is told in the order it happened; where there is nobody, nothing is made up to be
//! told. What a host that comes later is told is in `introduction`.

use std::os::fd::OwnedFd;

use crate::core::{
    Culprit, Departure, ExitStatus, HostEvent, InstanceId, ListenAddress, Moment, NextAction, Notice,
    Outcome, Scope, StopReason, WorkerId,
};
use crate::node::cluster::Cluster;
use crate::node::host::{ExitThen, HostNotification};
use crate::node::ipc::UserHandle;

use super::clauses;
use super::ending;
use super::host_handle::HostHealth;
use super::spawn_overrides::Serialization;
use super::state::{DirectChannel, Driver, Process};
use super::worker_messages;

impl Driver {
    /// Tells what a notice means to code that watches workers.
    pub(super) fn publish(&mut self, now: Moment, notice: &Notice) {
        match notice {
            Notice::Online(_, instance) => self.tell(now, &HostNotification::Online { instance: instance.0 }),
            Notice::Stopping(_, instance, reason) => self.tell_stopping(now, *instance, reason),
            Notice::Exited { worker, instance, status, then, .. } => {
                self.tell_exit(now, *worker, *instance, status, *then);
            }
            Notice::RolloutFinished { scope, .. } => {
                self.tell(now, &HostNotification::RolledOut { all: *scope == Scope::All });
            }
            Notice::RolloutAborted { culprit, reason, .. } => {
                let (wid, reason) = match culprit {
                    Culprit::Worker(worker, _) => (Some(worker.0), clauses::abort_reason(reason)),
                    Culprit::Host(_) => {
                        (None, format!("the new extension host {}", clauses::abort_reason(reason)))
                    }
                };
                self.tell(now, &HostNotification::RolloutAborted { wid, reason: &reason });
            }
            Notice::Settings(worker, limits, port) => {
                self.tell(now, &HostNotification::Worker { wid: worker.0, port, limits: (*limits).into() });
            }
            Notice::Removed(worker) => self.tell(now, &HostNotification::Removed { wid: worker.0 }),
            Notice::ConfigurationRefused(reason) => {
                self.tell(now, &HostNotification::RolloutAborted { wid: None, reason });
            }
            Notice::AllDead(deaths) => {
                self.tell(now, &HostNotification::AllDead { exit: ending::common_cause(deaths).code() });
            }
            Notice::ShuttingDown(_) | Notice::Killing(_) => self.tell(now, &HostNotification::Ending),
            Notice::Listening(_, instance, _, address) => self.tell_listening(now, *instance, address),
            Notice::SaidReady(_, instance) => self.tell_ready(now, *instance),
            Notice::Disconnected(_, instance, departure) => self.tell_disconnect(now, *instance, *departure),
            // Node knows no such events.
            Notice::Refused(..)
            | Notice::Ready(..)
            | Notice::ReadyWithout(..)
            | Notice::Unready(..)
            | Notice::SuspendUnanswered(..)
            | Notice::StillBusy(..)
            | Notice::Signalled(..)
            | Notice::RolloutBegan(..)
            | Notice::RolloutExtended(_)
            | Notice::RolloutHeld { .. }
            | Notice::RolloutCancelled
            | Notice::TakenBack { .. }
            | Notice::HostReady(..)
            | Notice::HostGivenUp(..)
            | Notice::HostExited { .. } => {}
        }
    }

    /// Tells something. Who does not even read what is told of workers cannot be helped but by a new start.
    pub(super) fn tell(&mut self, now: Moment, tell: &HostNotification<'_>) {
        let health = self.host.tell(tell, None, now);
        self.check_host_health(now, health);
    }

    pub(super) fn check_host_health(&mut self, now: Moment, health: HostHealth) {
        match health {
            HostHealth::Unresponsive => {
                let why = "it does not read what it is told of workers".to_owned();
                self.host_did(now, HostEvent::Unfit(why));
            }
            HostHealth::Healthy => {}
        }
    }

    /// Driver our ends of its streams to whoever reads them.
    pub(super) fn tell_streams(&mut self, now: Moment, instance: InstanceId) {
        let Self { children, host, .. } = self;
        let Some(process) = children.get_mut(&instance) else { return };
        if !host.attends() {
            self.relay_of(instance);
            return;
        }
        let mut health = HostHealth::Healthy;
        let stays = host.is_host();
        for (fd, place) in process.streams.iter_mut().enumerate() {
            // Nobody comes after a script.
            let stream = if stays { duplicate(place.as_ref()) } else { place.take() };
            if let Some(stream) = stream.and_then(|stream| UserHandle::new(stream).ok())
                && host.tell(&HostNotification::Stream { instance: instance.0, fd }, Some(stream), now)
                    == HostHealth::Unresponsive
            {
                health = HostHealth::Unresponsive;
            }
        }
        self.check_host_health(now, health);
    }

    pub(super) fn tell_fork(&mut self, now: Moment, instance: InstanceId) {
        let Self { children, host, .. } = self;
        let Some(process) = children.get(&instance).filter(|_| host.attends()) else { return };
        let health = host.tell(&fork(instance, process), None, now);
        self.check_host_health(now, health);
    }

    /// Its own words; they are never lost, because they change what the worker is.
    pub(super) fn tell_ready(&mut self, now: Moment, instance: InstanceId) {
        let Ok(ready) = serde_json::from_str(worker_messages::READY) else { return };
        let health = self.host.pass_on_surely(instance, ready, now);
        self.check_host_health(now, health);
    }

    pub(super) fn tell_listening(&mut self, now: Moment, instance: InstanceId, address: &ListenAddress) {
        let Ok(address) = serde_json::from_str(address.as_json()) else { return };
        self.tell(now, &HostNotification::Listening { instance: instance.0, address });
    }

    pub(super) fn tell_disconnect(&mut self, now: Moment, instance: InstanceId, departure: Departure) {
        let voluntary = departure == Departure::Announced;
        self.tell(now, &HostNotification::Disconnect { instance: instance.0, voluntary });
    }

    fn tell_exit(
        &mut self,
        now: Moment,
        worker: WorkerId,
        instance: InstanceId,
        status: &ExitStatus,
        then: NextAction,
    ) {
        let then = match then {
            NextAction::Nothing | NextAction::Stop => ExitThen::Rest,
            NextAction::StartAtOnce | NextAction::StartAfter(_) => ExitThen::Again,
            NextAction::Dead(_) | NextAction::NeverServed(_) => ExitThen::Dead,
        };
        let instance = instance.0;
        match status {
            ExitStatus::Code(code) => {
                self.tell(now, &HostNotification::Exit { instance, code: Some(*code), signal: None, then });
            }
            ExitStatus::Signal(name) => {
                self.tell(now, &HostNotification::Exit { instance, code: None, signal: Some(name), then });
            }
            ExitStatus::NotStarted(reason) => {
                self.tell(now, &HostNotification::Unstarted { wid: worker.0, instance, reason, then })
            }
        }
    }

    fn tell_stopping(&mut self, now: Moment, instance: InstanceId, reason: &StopReason) {
        let replaced = match reason {
            StopReason::Replaced => true,
            StopReason::Shutdown | StopReason::Removed | StopReason::GivenUp | StopReason::Asked => false,
            // As in JS luster, where that is the end of a process and no stop.
            StopReason::LaunchTimedOut(_) | StopReason::NotReady(..) | StopReason::Broken(_) => return,
        };
        self.tell(now, &HostNotification::Stopping { instance: instance.0, replaced });
    }

    /// It is all over.
    pub(super) fn tell_end(&mut self, now: Moment, outcome: &Outcome) {
        let exit = match outcome {
            Outcome::Killed(cause) => Some(ending::killed(*cause).code()),
            Outcome::Stopped | Outcome::Chosen(_) | Outcome::AllDead(_) | Outcome::HostFailed(..) => None,
        };
        self.tell(now, &HostNotification::End { exit });
    }

    /// Makes a direct channel between a worker and the host, unless there is one.
    pub(super) fn open_direct_channel(&mut self, now: Moment, instance: InstanceId) {
        let Some(process) = self.children.get_mut(&instance) else { return };
        if process.direct != DirectChannel::No || !process.begun.is_certain() {
            return;
        }
        process.direct = DirectChannel::Made;
        // Without one, calls go through us.
        let Ok((one, other)) = Cluster::channel_pair() else { return };
        let (Ok(one), Ok(other)) = (UserHandle::new(one), UserHandle::new(other)) else { return };
        let health = self.host.tell(&HostNotification::Line { instance: instance.0 }, Some(one), now);
        let outcome = self.cluster.send(instance, &worker_messages::direct_channel(), Some(other), now);
        self.complain_of(instance, outcome);
        self.check_host_health(now, health);
    }
}

/// What has no duplicate is not told of: the process prints to our end then.
fn duplicate(stream: Option<&OwnedFd>) -> Option<OwnedFd> {
    stream.and_then(|stream| stream.try_clone().ok())
}

fn fork(instance: InstanceId, process: &Process) -> HostNotification<'_> {
    HostNotification::Fork {
        wid: process.spawn.worker.0,
        instance: instance.0,
        port: &process.spawn.port,
        pid: process.child.pid().as_raw(),
        file: process.argv.first().map_or("", String::as_str),
        args: &process.argv,
        advanced: process.serialization == Serialization::Advanced,
    }
}
