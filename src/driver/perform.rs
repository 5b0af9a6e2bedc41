//! Carries out the supervisor's orders.

use std::collections::VecDeque;

use tracing::{info, warn};

use crate::cluster::Cluster;
use crate::host::Tell;
use crate::process::{self, Delivery};
use crate::supervisor::{Ending, Event, HostEvent, HostLife, Life, Moment, Notice, Order, Signal, WorkerId};

use super::hands::{Direct, Hands, LineUse, Past, Process, Relayed, Voluntary};
use super::launch::LaunchError;
use super::narrate;
use super::said;
use super::streams::{self, Streams};

impl Hands {
    /// Performs orders, and those that follow from what comes of them.
    pub(super) fn carry_out(&mut self, now: Moment, mut orders: Vec<Order>) {
        let mut events = VecDeque::new();
        loop {
            for order in orders {
                self.perform(now, order, &mut events);
            }
            let Some(event) = events.pop_front() else { return };
            orders = self.inform(now, event);
        }
    }

    fn perform(&mut self, now: Moment, order: Order, events: &mut VecDeque<Event>) {
        match order {
            Order::Spawn(worker, life) => match self.spawn(worker, life) {
                Ok(()) => {
                    let pid = self.pid(life);
                    info!(event = "fork", wid = worker.0, pid, "worker {worker} (pid {pid}) started");
                    self.endpoints.begins(life);
                    self.tell_streams(now, life);
                    self.tell_fork(now, life);
                }
                Err(error) => events.push_back(Event::NotStarted { life, reason: error.to_string() }),
            },
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
            Order::StartHost(life) => self.start_host(life, events),
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

    /// Starts a worker's process.
    fn spawn(&mut self, worker: WorkerId, life: Life) -> Result<(), LaunchError> {
        let Self { reserve, cluster, launcher, children, twins, .. } = self;
        let (launched, ours) = reserve.lend(|| {
            let (channel, theirs) = Cluster::channel_pair()?;
            let Streams { ours, theirs: stdio } =
                streams::make(launcher.wishes.streams, twins, worker, life).map_err(LaunchError::Streams)?;
            let launched = launcher.launch(worker, life, theirs, stdio)?;
            match cluster.attach(worker, life, channel) {
                Ok(()) => Ok((launched, ours)),
                Err(error) => {
                    // Its channel is closed with `channel`; it ends by itself, and this makes sure.
                    let _ = launched.child.signal(process::Signal::Kill);
                    Err(LaunchError::Channel(error))
                }
            }
        })?;
        let process = Process {
            worker,
            child: launched.child,
            line: launched.line,
            serialization: launched.serialization,
            streams: ours,
            past: Past::default(),
            direct: Direct::No,
            line_use: LineUse::None,
            relayed: Relayed::No,
        };
        children.insert(life, process);
        Ok(())
    }

    fn start_host(&mut self, life: HostLife, events: &mut VecDeque<Event>) {
        let Self { reserve, attendant, .. } = self;
        match reserve.lend(|| attendant.start(life)) {
            Ok(pid) => info!(event = "host_fork", pid, "the extension host (pid {pid}) started"),
            Err(reason) => {
                attendant.ended(life);
                events.push_back(Event::Host(life, HostEvent::Exited(Ending::NotStarted(reason))));
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
