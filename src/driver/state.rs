//! Everything the loop owns of one app, and what every part of it needs: who is who, and speaking to workers.
//!
//! Invariant: what comes of performing an effect is queued, and the core hears of it when all effects of its cause are performed.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::{trace, warn};

use crate::control::Reporter;
use crate::core::{
    Effect, Endpoint, Event, Generation, InstanceId, ListenAddress, Moment, Outcome, RequestId, Snapshot,
    Spawn, Supervisor,
};
use crate::node::cluster::{Cluster, News};
use crate::node::host::HostNews;
use crate::node::ipc::{Progress, SendOutcome};
use crate::output::Relay;
use crate::process::{Child, Reserve};
use crate::program::Programs;

use super::builtin_extensions::BuiltinExtensions;
use super::clauses;
use super::control_desk::Asks;
use super::demand::Demand;
use super::endpoints::Endpoints;
use super::exec_results::{Begun, Mended};
use super::host_handle::HostHandle;
use super::host_status::HostStatus;
use super::launch::Launcher;
use super::port_holder::Inquiries;
use super::reader::{InForce, Reading};
use super::rest::Rest;
use super::spawn_overrides::Serialization;

/// Everything the loop owns of one app.
pub(super) struct Driver {
    pub(super) supervisor: Supervisor,
    pub(super) cluster: Cluster,
    pub(super) programs: Programs,
    pub(super) launcher: Launcher,
    pub(super) host: HostHandle,
    pub(super) builtins: BuiltinExtensions,
    /// What has been read and is not in force yet.
    pub(super) read: Option<(Generation, Reading)>,
    /// What the readings of the configuration that may come into force again mean.
    pub(super) readings: BTreeMap<Generation, InForce>,
    pub(super) relay: Relay,
    pub(super) reserve: Reserve,
    pub(super) port_holders: Inquiries,
    pub(super) asks: Asks,
    /// How everything stood when somebody last asked.
    pub(super) snapshot: Option<Arc<Snapshot>>,
    /// The control socket; empty if there is none.
    pub(super) socket: PathBuf,
    pub(super) host_status: HostStatus,
    pub(super) rest: Rest,
    pub(super) endpoints: Endpoints,
    pub(super) children: BTreeMap<InstanceId, Process>,
    /// Kept from call to call, so that the hot path does not allocate.
    pub(super) news: Vec<News>,
    /// What has happened and the supervisor has not been told of yet.
    pub(super) events: VecDeque<Event>,
    /// What the loop is to do for it.
    pub(super) demands: Vec<Demand>,
    /// Whether the supervisor has been told something since the loop last looked.
    pub(super) stirred: Stirred,
    pub(super) engaged: Engaged,
    /// Whether it was told that the workers' Node is too old.
    pub(super) is_node_warned_of: bool,
    /// Whether it was told what a program gets that is not ready before it ends.
    pub(super) pass_hint: PassHint,
    /// The request made last.
    pub(super) last_request: RequestId,
    /// How it ended, once it has.
    pub(super) outcome: Option<Outcome>,
}

/// Whether the supervisor has been told something since the loop last looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stirred {
    No,
    Yes,
}

/// Whether the service manager's store goes on to wait for the app's clients, because luster itself ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientsWait {
    No,
    Yes,
}

/// Whether it was told what a program has that fails at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PassHint {
    Due,
    Told,
}

/// Whether orders are being carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engaged {
    No,
    Yes,
}

/// A living worker process, and what the host has to know of it that the core does not.
pub(super) struct Process {
    /// What it was started as.
    pub(super) spawn: Spawn,
    pub(super) child: Child,
    pub(super) argv: Vec<String>,
    pub(super) serialization: Serialization,
    /// Our ends of what an extension host reads: another host may have to.
    pub(super) streams: [Option<OwnedFd>; 3],
    pub(super) direct: DirectChannel,
    pub(super) direct_channel_use: DirectChannelUse,
    pub(super) relayed: Relayed,
    pub(super) kind: WorkerKind,
    pub(super) begun: Begun,
    pub(super) mended: Mended,
}

/// Who performs what is to be done with a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WorkerKind {
    /// It has a channel of Node's.
    Node,
    /// It is asked to end by the signal with this number, and was started with this socket.
    Program { stop_signal: i32, listens: Option<(Endpoint, ListenAddress)> },
}

/// Whether there is a direct channel between the worker and the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DirectChannel {
    No,
    Made,
    /// The JavaScript has said that it uses it.
    Opened,
}

/// Whether the worker has said that it uses the direct channel made last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DirectChannelUse {
    None,
    Begun,
}

/// Whether what a process prints for an extension host goes to our own streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relayed {
    No,
    Yes,
}

impl Driver {
    pub(super) fn new(
        supervisor: Supervisor,
        (cluster, programs): (Cluster, Programs),
        launcher: Launcher,
        host: HostHandle,
        builtins: BuiltinExtensions,
        reporter: Arc<Reporter>,
    ) -> Self {
        Self {
            supervisor,
            cluster,
            programs,
            launcher,
            host,
            builtins,
            read: None,
            readings: BTreeMap::new(),
            relay: Relay::default(),
            reserve: Reserve::take(),
            port_holders: Inquiries::new(),
            asks: Asks::default(),
            snapshot: None,
            socket: PathBuf::new(),
            host_status: HostStatus::new(reporter),
            rest: Rest::default(),
            endpoints: Endpoints::default(),
            children: BTreeMap::new(),
            news: Vec::new(),
            events: VecDeque::new(),
            demands: Vec::new(),
            stirred: Stirred::No,
            engaged: Engaged::No,
            is_node_warned_of: false,
            pass_hint: PassHint::Due,
            last_request: RequestId(0),
            outcome: None,
        }
    }

    /// Tells the supervisor and does what it orders, until nothing follows. What comes of carrying out orders waits until
    /// those of its cause are carried out, all of them and in their order.
    pub(super) fn handle(&mut self, now: Moment, event: Event) {
        self.events.push_back(event);
        self.carry_out(now, Vec::new());
    }

    pub(super) fn decide(&mut self, now: Moment, event: Event) -> Vec<Effect> {
        trace!(event = "core_event", "the core hears: {event:?}");
        self.stirred = Stirred::Yes;
        self.supervisor.handle(now, event)
    }

    /// Lets the supervisor, the cluster and the link act on what is due.
    pub(super) fn wake(&mut self, now: Moment) -> Progress {
        let mut progress = Progress::Idle;
        if self.cluster.next_wake().is_some_and(|at| at <= now) {
            let mut news = std::mem::take(&mut self.news);
            progress = self.cluster.wake(now, &mut news);
            self.take_in(now, news);
        }
        self.tell_overdue_ends(now);
        self.wake_programs(now);
        self.rest.wake(now);
        if self.supervisor.next_wake().is_some_and(|at| at <= now) {
            self.stirred = Stirred::Yes;
            let orders = self.supervisor.wake(now);
            self.carry_out(now, orders);
        }
        if self.host.next_wake().is_some_and(|at| at <= now) && self.listen(now) == Progress::More {
            progress = Progress::More;
        }
        progress
    }

    pub(super) fn next_wake(&self) -> Option<Moment> {
        let wakes = [
            self.supervisor.next_wake(),
            self.cluster.next_wake(),
            self.programs.next_wake(),
            self.host.next_wake(),
            self.port_holders.next_wake(),
            self.rest.next_wake(),
        ];
        wakes.into_iter().flatten().min()
    }

    /// Does the work of channels and listeners that is ready.
    pub(super) fn process(&mut self, now: Moment) -> Progress {
        let mut news = std::mem::take(&mut self.news);
        let progress = self.cluster.process(now, &mut news);
        self.take_in(now, news);
        progress
    }

    pub(super) fn take_in(&mut self, now: Moment, mut news: Vec<News>) {
        for item in news.drain(..) {
            self.worker_news(now, item);
        }
        self.news = news;
    }

    /// Hears what the host has said.
    pub(super) fn listen(&mut self, now: Moment) -> Progress {
        let (news, progress) = self.host.listen(now);
        self.take_in_beside(now, news);
        progress
    }

    pub(super) fn take_in_beside(&mut self, now: Moment, mut news: Vec<HostNews>) {
        for item in news.drain(..) {
            self.host_news(now, item);
        }
        self.host.heard(news);
    }

    /// Sends a worker a message; what cannot be sent is told.
    pub(super) fn say(&mut self, now: Moment, instance: InstanceId, message: &impl serde::Serialize) {
        let outcome = self.cluster.send(instance, message, None, now);
        self.complain_of(instance, outcome);
    }

    pub(super) fn complain_of(&self, instance: InstanceId, outcome: SendOutcome) {
        // The deadlines that wait for the answer take care of the rest.
        if let Some(reason) = clauses::why_unsent(outcome) {
            let (wid, pid) = self.name(instance);
            warn!(
                event = "unsent",
                wid, pid, reason, "a message to worker {wid} (pid {pid}) was dropped: {reason}"
            );
        }
    }

    pub(super) fn pid(&self, instance: InstanceId) -> i32 {
        self.children.get(&instance).map_or(0, |process| process.child.pid().as_raw())
    }

    pub(super) fn name(&self, instance: InstanceId) -> (u32, i32) {
        let wid = self.children.get(&instance).map_or(0, |process| process.spawn.worker.0);
        (wid, self.pid(instance))
    }

    /// Ends what is left when all workers are gone: listeners, and what they have printed.
    pub(super) fn clean_up(&mut self, kept: ClientsWait) {
        match kept {
            ClientsWait::No => self.cluster.close_all(),
            ClientsWait::Yes => self.tell_kept(),
        }
        self.relay.finish();
    }
}
