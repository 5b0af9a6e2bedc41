//! Carries out the supervisor's orders.

use tracing::{info, warn};

use crate::cluster::Cluster;
use crate::host::Tell;
use crate::process::{self, Delivery, Forked};
use crate::supervisor::{Ending, Event, HostEvent, HostLife, Life, Moment, Notice, Order, Signal, WorkerId};

use super::begun::{Begun, Mended};
use super::hands::{Direct, Engaged, Hands, LineUse, Past, Process, Relayed, Voluntary};
use super::launch::{LaunchError, Launched};
use super::narrate;
use super::said;
use super::streams::{self, Streams};

impl Hands {
    /// Performs orders, and those that follow from what comes of them. Called while that is going on it does nothing: what
    /// it was called for is in line.
    pub(super) fn carry_out(&mut self, now: Moment, mut orders: Vec<Order>) {
        if std::mem::replace(&mut self.engaged, Engaged::Yes) == Engaged::Yes {
            debug_assert!(orders.is_empty(), "the supervisor is told and woken from the loop only");
            return;
        }
        loop {
            for order in orders {
                self.perform(now, order);
            }
            let Some(event) = self.events.pop_front() else { break };
            orders = self.inform(now, event);
        }
        self.engaged = Engaged::No;
    }

    fn perform(&mut self, now: Moment, order: Order) {
        match order {
            Order::Spawn(worker, life) => {
                if let Err(error) = self.spawn(now, worker, life) {
                    self.events.push_back(Event::NotStarted { life, reason: error.to_string() });
                }
            }
            Order::Suspend(life, haste) => {
                self.cluster.suspend(life);
                self.say(now, life, &said::suspend(haste));
            }
            Order::Disconnect(life) => {
                self.leaves_on_request(life);
                self.cluster.disconnect(life, now);
            }
            Order::Signal(life, signal) => self.signal(life, signal),
            Order::Settle(life) => self.cluster.life_ready(life),
            Order::Abandon(worker) => self.cluster.slot_abandoned(worker),
            Order::StartHost(life) => self.start_host(life),
            Order::DismissHost(_) => self.tell(now, &Tell::End { exit: None }),
            Order::KillHost(life) => self.attendant.kill(life),
            Order::Say(notice) => {
                match &notice {
                    // Told when it is known who was in the way.
                    Notice::Refused(_, life, refusal) if self.inquiries.is_open(*life, &refusal.endpoint) => {
                    }
                    notice => narrate::tell(notice, |life| self.pid(life)),
                }
                self.tell_endpoints(&notice);
                self.publish(now, &notice);
            }
            Order::Finish(outcome) => {
                self.tell_end(now, &outcome);
                self.outcome = Some(outcome);
            }
        }
    }

    /// Starts a worker's process, and tells of it. Whether it runs Node is known later.
    pub(super) fn spawn(&mut self, now: Moment, worker: WorkerId, life: Life) -> Result<(), LaunchError> {
        let Self { reserve, cluster, launcher, children, twins, .. } = self;
        let (launched, ours) = reserve.lend(|| {
            let (channel, theirs) = Cluster::channel_pair()?;
            let Streams { ours, theirs: stdio } =
                streams::make(launcher.wishes.streams, twins, worker, life).map_err(LaunchError::Streams)?;
            let launched = launcher.launch(worker, life, theirs, stdio)?;
            match cluster.attach(worker, life, channel) {
                Ok(()) => Ok((launched, ours)),
                Err(error) => {
                    launched.forked.child.discard();
                    Err(LaunchError::Channel(error))
                }
            }
        })?;
        let Launched { forked: Forked { child, exec }, line, serialization } = launched;
        let process = Process {
            worker,
            child,
            line,
            serialization,
            streams: ours,
            past: Past::default(),
            direct: Direct::No,
            line_use: LineUse::None,
            relayed: Relayed::No,
            begun: Begun::Unknown(exec),
            mended: Mended::No,
        };
        let pid = process.child.pid().as_raw();
        children.insert(life, process);
        info!(event = "fork", wid = worker.0, pid, "worker {worker} (pid {pid}) started");
        self.endpoints.begins(life);
        self.tell_streams(now, life);
        self.tell_fork(now, life);
        Ok(())
    }

    pub(super) fn start_host(&mut self, life: HostLife) {
        let Self { reserve, attendant, .. } = self;
        match reserve.lend(|| attendant.start(life)) {
            Ok(pid) => info!(event = "host_fork", pid, "the extension host (pid {pid}) started"),
            Err(reason) => {
                attendant.ended(life);
                self.events.push_back(Event::Host(life, HostEvent::Exited(Ending::NotStarted(reason))));
            }
        }
    }

    fn signal(&self, life: Life, signal: Signal) {
        let Some(process) = self.children.get(&life) else { return };
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
                let (wid, pid) = (process.worker, process.child.pid().as_raw());
                warn!(
                    event = "signal_failed",
                    wid = wid.0,
                    pid,
                    "worker {wid} (pid {pid}) cannot get {name}: {error}"
                );
            }
        }
    }

    /// What it does from now on, it was told to.
    pub(super) fn leaves_on_request(&mut self, life: Life) {
        if let Some(process) = self.children.get_mut(&life) {
            process.past.left.get_or_insert(Voluntary::Yes);
        }
    }
}
