//! Carries out the supervisor's orders.

use tracing::{info, warn};

use std::os::fd::OwnedFd;

use crate::core::{
    Effect, Event, ExitStatus, Generation, HostEvent, HostInstanceId, InstanceId, Moment, Notice, Signal,
    Spawn,
};
use crate::node::cluster::Cluster;
use crate::process::{self, Delivery, Forked, Sealed};

use super::demand::Demand;
use super::exec_results::{Begun, Mended};
use super::launch::{LaunchError, Launched, Runs};
use super::log_lines;
use super::programs;
use super::reader::{InForce, Reading};
use super::state::{DirectChannel, DirectChannelUse, Driver, Engaged, Process, Relayed, WorkerKind};
use super::streams::{self, Streams};

impl Driver {
    /// Performs orders, and those that follow from what comes of them. Called while that is going on it does nothing: what
    /// it was called for is in line.
    pub(super) fn carry_out(&mut self, now: Moment, mut orders: Vec<Effect>) {
        if std::mem::replace(&mut self.engaged, Engaged::Yes) == Engaged::Yes {
            debug_assert!(orders.is_empty(), "the supervisor is told and woken from the loop only");
            return;
        }
        loop {
            for order in orders {
                self.perform(now, order);
            }
            let Some(event) = self.events.pop_front() else { break };
            orders = self.decide(now, event);
        }
        self.engaged = Engaged::No;
    }

    fn perform(&mut self, now: Moment, order: Effect) {
        match order {
            Effect::Spawn(spawn) => {
                if let Err(error) = self.spawn(now, &spawn) {
                    let (instance, reason) = (spawn.instance, error.to_string());
                    if let LaunchError::Refused(refusal) = error {
                        self.events.push_back(Event::Refused(instance, refusal));
                    }
                    self.events.push_back(Event::NotStarted { instance, reason });
                }
            }
            Effect::Suspend(instance, haste) => self.suspend(now, instance, haste),
            Effect::Drain(instance) => self.drain(now, instance),
            Effect::Disconnect(instance) => self.disconnect(now, instance),
            Effect::Signal(instance, signal) => self.signal(instance, signal),
            Effect::ReleaseStaleListeners(instance) => self.cluster.instance_ready(instance),
            Effect::ReleaseSlotListeners(worker) => self.cluster.slot_abandoned(worker),
            Effect::ReleaseAllListeners => self.cluster.close_all(),
            Effect::ReadConfiguration(generation) => self.demands.push(Demand::Read(generation)),
            Effect::AdoptConfiguration(generation) => self.adopt_configuration(generation),
            Effect::ForgetConfiguration(generation) => {
                self.readings.remove(&generation);
                self.launcher.configured.remove(&generation);
                self.demands.push(Demand::Forgotten);
            }
            Effect::StartHost(instance) => self.start_host(instance),
            Effect::Introduce(instance) => self.introduce(now, instance),
            Effect::DismissHost(_, outcome) => self.tell_end(now, &outcome),
            Effect::KillHost(instance) => self.host.kill(instance),
            Effect::Notify(notice) => {
                self.rest.put_off(now);
                match &notice {
                    // Told when it is known who was in the way.
                    Notice::Refused(_, instance, refusal)
                        if self.port_holders.is_open(*instance, &refusal.endpoint) => {}
                    notice => log_lines::tell(notice, |instance| self.pid(instance)),
                }
                self.endpoints.tell(&notice, || self.cluster.endpoints());
                self.publish(now, &notice);
            }
            Effect::Reply(request, reply) => self.replied(request, reply),
            Effect::Completed(request, completion) => self.completed(now, request, completion),
            Effect::Finish(outcome) => self.outcome = Some(outcome),
        }
    }

    /// Starts a worker's process, and tells of it. Whether it runs is known later.
    pub(super) fn spawn(&mut self, now: Moment, spawn: &Spawn) -> Result<(), LaunchError> {
        let Spawn { worker, instance, generation, .. } = *spawn;
        let serialization = self.launcher.serialization(generation);
        let (launched, ours, kind) = self.launch(now, spawn)?;
        let Launched { forked: Forked { child, exec }, argv } = launched;
        let process = Process {
            spawn: spawn.clone(),
            child,
            argv,
            kind,
            serialization,
            streams: ours,
            direct: DirectChannel::No,
            direct_channel_use: DirectChannelUse::None,
            relayed: Relayed::No,
            begun: Begun::Unknown(exec),
            mended: Mended::No,
        };
        let pid = process.child.pid().as_raw();
        self.children.insert(instance, process);
        info!(event = "fork", wid = worker.0, pid, "worker {worker} (pid {pid}) started");
        self.endpoints.begins(instance);
        self.tell_streams(now, instance);
        self.tell_fork(now, instance);
        Ok(())
    }

    fn launch(
        &mut self,
        now: Moment,
        spawn: &Spawn,
    ) -> Result<(Launched, [Option<OwnedFd>; 3], WorkerKind), LaunchError> {
        let Spawn { worker, instance, generation, .. } = *spawn;
        let Self { reserve, cluster, programs, launcher, builtins, .. } = self;
        let runs = launcher.runs(generation).ok_or(LaunchError::Forgotten)?;
        reserve.lend(|| {
            let Streams { ours, theirs: stdio } =
                streams::make(launcher.streams_of(generation), builtins, worker, instance)
                    .map_err(LaunchError::Streams)?;
            let (launched, attached, kind) = match runs {
                Runs::Node(boot) => {
                    let (channel, theirs) = Cluster::channel_pair()?;
                    let launched = launcher.launch_node(spawn, boot, theirs, stdio)?;
                    (launched, cluster.attach(worker, instance, channel), WorkerKind::Node)
                }
                Runs::Program(command) => {
                    let passed = programs::sockets(cluster, launcher, (spawn, command.pass), now)?;
                    let (sockets, listens) =
                        passed.map(|passed| (passed.socket, (passed.endpoint, passed.address))).unzip();
                    let notify = programs.prepare(instance, &command.ready)?;
                    let launched = launcher
                        .launch_program((spawn, notify), command, Vec::from_iter(sockets), stdio)
                        .inspect_err(|_| cluster.detach(instance))?;
                    let attached = programs.attach(instance, &launched.forked, command.ready.clone());
                    (launched, attached, WorkerKind::Program { stop_signal: command.stop_signal, listens })
                }
            };
            match attached {
                Ok(()) => Ok((launched, ours, kind)),
                Err(error) => {
                    launched.forked.child.discard();
                    cluster.detach(instance);
                    Err(LaunchError::Channel(error))
                }
            }
        })
    }

    /// What was read, now or before, is in force from now on.
    fn adopt_configuration(&mut self, generation: Generation) {
        let mut made = None;
        if let Some((_, reading)) = self.read.take().filter(|(of, _)| *of == generation) {
            let Reading { configured, in_force, socket, host_launcher, warnings, unapplied, .. } = reading;
            made = socket;
            self.host.may_be_started_by(host_launcher);
            for warning in warnings {
                warn!(event = "config_warning", "{warning}");
            }
            if !unapplied.is_empty() {
                let keys = unapplied.join(", ");
                warn!(
                    event = "config_unapplied",
                    keys, "changed, but applied only by a full restart of luster: {keys}"
                );
            }
            self.launcher.configured.insert(generation, configured);
            self.readings.insert(generation, in_force);
        }
        let Some(InForce { host: (about, data), access, balance, control }) = self.readings.get(&generation)
        else {
            return;
        };
        self.demands.push(Demand::Socket(control.clone(), made));
        match data.as_ref().map(Sealed::again).transpose() {
            Ok(data) => self.host.configure(about, data),
            Err(error) => warn!(
                event = "config_warning",
                "an extension host that is started later keeps the earlier configuration: {error}"
            ),
        }
        self.cluster.share_as_configured(*balance);
        for (endpoint, error) in self.cluster.give_access(*access) {
            warn!(
                event = "config_warning",
                "{endpoint} cannot be given the permissions of server.socketMode and server.socketGroup: {error}"
            );
        }
    }

    pub(super) fn start_host(&mut self, instance: HostInstanceId) {
        let ports = self.supervisor.initial_ports();
        let Self { reserve, host, launcher, .. } = self;
        launcher.host_starts();
        match reserve.lend(|| host.start(instance, &ports)) {
            Ok(pid) => info!(event = "host_fork", pid, "the extension host (pid {pid}) started"),
            Err(reason) => {
                host.ended(instance);
                self.events
                    .push_back(Event::Host(instance, HostEvent::Exited(ExitStatus::NotStarted(reason))));
            }
        }
    }

    fn signal(&self, instance: InstanceId, signal: Signal) {
        let Some(process) = self.children.get(&instance) else { return };
        let (signal, name) = match signal {
            Signal::Terminate => (process::Signal::Terminate, "SIGTERM"),
            Signal::Kill => (process::Signal::Kill, "SIGKILL"),
        };
        self.send_signal(process, signal, name);
    }

    pub(super) fn send_signal(&self, process: &Process, signal: process::Signal, name: &str) {
        match process.child.signal(signal) {
            Ok(Delivery::Sent | Delivery::Gone) => {}
            Err(error) => {
                let (wid, pid) = (process.spawn.worker, process.child.pid().as_raw());
                warn!(
                    event = "signal_failed",
                    wid = wid.0,
                    pid,
                    "worker {wid} (pid {pid}) cannot get {name}: {error}"
                );
            }
        }
    }
}
