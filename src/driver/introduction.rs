//! Tells a host that has just come what there is, as if that happened now.
//!
//! Invariant: what there is, the core says; here is only added how each process was started.

use std::collections::BTreeSet;

use crate::core::{
    ChannelState, Departure, HostInstanceId, InstanceSnapshot, Moment, Startup, WorkerId, WorkerState,
};
use crate::node::host::{ExitThen, HostNotification};

use super::state::{DirectChannel, DirectChannelUse, Driver};

impl Driver {
    pub(super) fn introduce(&mut self, now: Moment, host: HostInstanceId) {
        if self.host.instance() != Some(host) {
            return;
        }
        self.host.meets_workers();
        self.stop_relaying();
        let workers = self.supervisor.snapshot(now).workers;
        let mut instances: Vec<_> = workers.iter().flat_map(|worker| &worker.instances).collect();
        instances.sort_by_key(|snapshot| snapshot.instance);
        for worker in &workers {
            let (port, limits) = (worker.port.as_str(), worker.limits.into());
            self.tell(now, &HostNotification::Worker { wid: worker.worker.0, port, limits });
        }
        for snapshot in &instances {
            self.tell_streams(now, snapshot.instance);
        }
        for snapshot in instances {
            self.introduce_instance(now, snapshot);
        }
        for worker in &workers {
            self.introduce_idle(now, worker.worker, worker.state);
        }
        let last = workers.last().map_or(0, |worker| worker.worker.0);
        let known: BTreeSet<_> = workers.iter().map(|worker| worker.worker.0).collect();
        // It may begin with one that was removed while it started, and that has left a gap.
        for wid in (1..=last).filter(|wid| !known.contains(wid)) {
            self.tell(now, &HostNotification::Removed { wid });
        }
        self.tell(now, &HostNotification::Present { workers: last });
    }

    /// A worker that has no process in its slot's seat.
    fn introduce_idle(&mut self, now: Moment, worker: WorkerId, state: WorkerState) {
        let then = match state {
            WorkerState::Stopped => ExitThen::Rest,
            WorkerState::BackingOff => ExitThen::Again,
            WorkerState::Dead => ExitThen::Dead,
            // It is about to be asked for, or has a process.
            WorkerState::Idle
            | WorkerState::Starting
            | WorkerState::Ready
            | WorkerState::Draining
            | WorkerState::Stopping => return,
        };
        self.tell(now, &HostNotification::Vacant { wid: worker.0, then });
    }

    fn introduce_instance(&mut self, now: Moment, snapshot: &InstanceSnapshot) {
        let instance = snapshot.instance;
        // One that could not be started has no process, as is told next.
        let Some(process) = self.children.get_mut(&instance) else { return };
        (process.direct, process.direct_channel_use) = (DirectChannel::No, DirectChannelUse::None);
        self.tell_fork(now, instance);
        if snapshot.startup >= Startup::Online {
            self.tell(now, &HostNotification::Online { instance: instance.0 });
        }
        for (_, address) in &snapshot.endpoints {
            self.tell_listening(now, instance, address);
        }
        if snapshot.startup == Startup::SaidReady {
            self.tell_ready(now, instance);
        }
        match snapshot.channel {
            ChannelState::Open => {}
            // It serves no more, and must not be spoken to.
            ChannelState::Leaving => self.tell_disconnect(now, instance, Departure::Announced),
            ChannelState::Closed(departure) => self.tell_disconnect(now, instance, departure),
        }
    }
}
