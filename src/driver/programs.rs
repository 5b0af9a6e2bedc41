//! The end of a worker and what comes before it, for both kinds: a Node is asked by its channel, a program by a signal. And
//! what becomes of programs.
//!
//! Invariant: both kinds perform the same effects and are told of by the same events.

use tracing::info;

use crate::core::{Audience, Event, Haste, InstanceId, Moment, Spawn};
use crate::node::cluster::{Cluster, NotPassed, PassAddress, PassedSocket};
use crate::process;
use crate::program::{News, Pass};

use super::launch::{LaunchError, Launcher};
use super::state::{Driver, PassHint, WorkerKind};
use super::translate;
use super::worker_messages;

impl Driver {
    /// The first step of its end. A program has no functions to run before it.
    pub(super) fn suspend(&mut self, now: Moment, instance: InstanceId, haste: Haste) {
        self.cluster.suspend(instance);
        match self.kind(instance) {
            Some(WorkerKind::Node) => self.say(now, instance, &worker_messages::suspend(haste)),
            Some(WorkerKind::Program { .. }) => self.events.push_back(Event::Suspended(instance)),
            None => {}
        }
    }

    pub(super) fn drain(&mut self, now: Moment, instance: InstanceId) {
        match self.kind(instance) {
            Some(WorkerKind::Node) => self.say(now, instance, &worker_messages::drain()),
            Some(WorkerKind::Program { .. }) | None => {}
        }
    }

    /// Tells it to finish what it has begun, and to end.
    pub(super) fn disconnect(&mut self, now: Moment, instance: InstanceId) {
        self.cluster.disconnect(instance, now);
        if let Some(process) = self.children.get(&instance)
            && let WorkerKind::Program { stop_signal, .. } = process.kind
        {
            let signal = process::Signal::Other(stop_signal);
            self.send_signal(process, signal, &process::signal_name(stop_signal));
        }
    }

    fn kind(&self, instance: InstanceId) -> Option<&WorkerKind> {
        self.children.get(&instance).map(|process| &process.kind)
    }

    /// A program that fails at its start may have tried to bind what it was given: says so, once.
    pub(super) fn hint_at_pass(&mut self, instance: InstanceId, status: process::ExitStatus) {
        let Some(WorkerKind::Program { listens: Some((endpoint, _)), .. }) = self.kind(instance) else {
            return;
        };
        let has_failed = status.code().is_some_and(|code| code != 0) && !self.programs.is_ready(instance);
        if !has_failed || self.pass_hint == PassHint::Told {
            return;
        }
        let ((wid, pid), on) = (self.name(instance), endpoint.to_string());
        info!(
            event = "pass_hint",
            wid,
            pid,
            on,
            "worker {wid} (pid {pid}) had its listening socket, {on}, as descriptor 3 (LISTEN_FDS); a program that binds its port \
             itself needs server.pass: false"
        );
        self.pass_hint = PassHint::Told;
    }

    /// Hears what has become of programs.
    pub(super) fn hear_programs(&mut self, now: Moment) {
        loop {
            let mut news = Vec::new();
            self.programs.process(&mut news);
            if news.is_empty() {
                return;
            }
            self.take_in_programs(now, news);
        }
    }

    /// Lets the room act on what is due.
    pub(super) fn wake_programs(&mut self, now: Moment) {
        if self.programs.next_wake().is_some_and(|at| at <= now) {
            let mut news = Vec::new();
            self.programs.wake(now, &mut news);
            self.take_in_programs(now, news);
        }
    }

    fn take_in_programs(&mut self, now: Moment, news: Vec<News>) {
        for item in news {
            match item {
                News::Begun(instance) => self.program_begun(now, instance),
                News::Ready(instance) => self.handle(now, Event::SaidReady(instance, Audience::Luster)),
            }
        }
    }

    /// It runs, unless its end says that it could not.
    fn program_begun(&mut self, now: Moment, instance: InstanceId) {
        let Some(process) = self.children.get_mut(&instance) else { return };
        if process.begun.settle().is_none() {
            self.programs.runs(instance, now);
            let _ = self.reserve.refill();
            self.handle(now, Event::Online(instance));
            if let Some(WorkerKind::Program { listens: Some((endpoint, address)), .. }) =
                self.kind(instance).cloned()
            {
                self.handle(now, Event::Listening(instance, endpoint, address));
            }
        }
    }
}

/// The socket that a program is started with, if it is to have one.
pub(super) fn sockets(
    cluster: &mut Cluster,
    launcher: &Launcher,
    (spawn, pass): (&Spawn, Pass),
    now: Moment,
) -> Result<Option<PassedSocket>, LaunchError> {
    let Spawn { worker, instance, generation, port } = spawn;
    let folder = match launcher.folder(*generation) {
        Some(folder) => folder.to_owned(),
        None => std::env::current_dir().unwrap_or_default(),
    };
    let address = match pass {
        Pass::Socket => PassAddress::of(port, &folder),
        Pass::Nothing => None,
    };
    let Some(address) = address else {
        // What an app before it has listened on: it binds that itself.
        cluster.slot_abandoned(*worker);
        return Ok(None);
    };
    cluster.attach_program(*worker, *instance)?;
    let passed = cluster.pass(*instance, &address, now);
    let passed = passed.map_err(|NotPassed { endpoint, error, obstacle }| {
        cluster.detach(*instance);
        LaunchError::Refused(translate::refusal(endpoint, &error, &obstacle))
    });
    passed.map(Some)
}
