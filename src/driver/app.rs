//! One app in the loop: what it consists of, how it begins, and what wakes the loop for it.
//!
//! Invariants: an app that waits for its turn has no process and takes no request; whatever it has left to do is asked for without
//! being told of it.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;

use anyhow::Context;
use tokio::io::unix::AsyncFd;
use tracing::{Span, error_span};

use super::builtin_extensions::BuiltinExtensions;
use super::clock;
use super::host_handle::HostHandle;
use super::host_status::Report;
use super::launch::Launcher;
use super::port_holder::Answer;
use super::reader::{InForce, Read, Reading};
use super::state::Driver;
use super::sys;
use crate::control::{self, Reporter};
use crate::core::{
    FleetPlan, Generation, HostInstanceId, HostKind, LifecycleLimits, Moment, Policy, PoolName, PoolSpec,
    Request, Supervisor, WorkerId,
};
use crate::node::cluster::{Cluster, SocketStore};
use crate::node::host::{HostChannel, HostLauncher, HostNews};
use crate::node::ipc::Progress;
use crate::process::{Activated, Child, Terminal};
use crate::program::Programs;
use crate::systemd::ManagerEnvironment;

/// What is to be run.
pub struct RunSpec {
    /// Every app. One without a name is the only one.
    pub apps: BTreeMap<PoolName, AppSpec>,
    /// In which order they come and go.
    pub plan: FleetPlan,
    /// Sockets they may listen on: luster was started with them.
    pub sockets: Activated,
    /// How the configuration is read anew, if there is one to be read.
    pub read: Option<Read>,
    /// What SIGHUP means.
    pub terminal: Terminal,
    /// The control socket.
    pub control: control::Setup,
    /// The service manager that is to be told.
    pub manager_environment: ManagerEnvironment,
    /// Writes what has been logged: called when there is no more to come, before log files are closed.
    pub last_words: fn(),
}

/// What is to be run of one app.
pub struct AppSpec {
    /// What is wanted of its workers.
    pub spec: PoolSpec,
    /// Limits of single workers that differ from the policy's, and what they are told to listen on.
    pub limits: Vec<(WorkerId, LifecycleLimits, String)>,
    /// What the configuration means to all but workers.
    pub in_force: InForce,
    /// How they are started.
    pub launcher: Launcher,
    /// The host.
    pub host_setup: HostSetup,
    /// What is done in place of extensions.
    pub builtins: BuiltinExtensions,
}

/// The host, by how it came to be there.
#[derive(Debug)]
pub enum HostSetup {
    /// There is none.
    None,
    /// An extension host, which is started when the app begins.
    ToBeStarted(Box<HostLauncher>),
    /// An extension host, which has been started.
    ExtensionHost {
        /// How it is started again.
        launcher: Box<HostLauncher>,
        /// Its process.
        child: Child,
        /// Our end of its socket, through which its channel comes.
        socket: OwnedFd,
    },
    /// A custom master, which has started us.
    CustomMaster(Box<CustomMaster>),
}

/// A custom master that has said who it is.
#[derive(Debug)]
pub struct CustomMaster {
    /// Its channel.
    pub link: HostChannel,
    /// What it has said since.
    pub backlog: Vec<HostNews>,
}

/// One app in the loop.
pub(super) struct App {
    pub(super) driver: Driver,
    /// What its log lines are told within.
    pub(super) span: Span,
    channels: AsyncFd<OwnedFd>,
    programs: AsyncFd<OwnedFd>,
    link: AsyncFd<OwnedFd>,
    pub(super) undone: Undone,
    /// What it begins with, until it does.
    waiting: Option<Beginning>,
}

/// What an app begins with.
struct Beginning {
    spec: PoolSpec,
    limits: Vec<(WorkerId, LifecycleLimits, String)>,
    backlog: Vec<HostNews>,
    starts_host: bool,
}

/// What is left to do without being told of it.
pub(super) struct Undone {
    pub(super) cluster: Progress,
    pub(super) link: Progress,
}

/// What has happened.
pub(super) enum Happened {
    /// Something at the workers' channels and listeners, or there is more of it.
    Cluster,
    /// Something at programs that are not Node's.
    Programs,
    PortHolder(Answer),
    Status(Report),
    Files,
    /// The host has said something, or there is more of it.
    Link,
}

impl App {
    /// In its place, and not begun.
    pub(super) fn new(
        name: &PoolName,
        job: AppSpec,
        (sockets, store): (BTreeMap<RawFd, OwnedFd>, SocketStore),
        reporter: Arc<Reporter>,
    ) -> anyhow::Result<Self> {
        let AppSpec { spec, limits, in_force, launcher, host_setup, builtins } = job;
        let programs = Programs::new().context("programs cannot be watched")?;
        let mut cluster = Cluster::new(in_force.balance).context("workers' channels cannot be watched")?;
        // Nobody listens yet.
        let _ = cluster.give_access(in_force.access);
        cluster.lend(sockets);
        cluster.use_store(store);
        let (mut backlog, mut starts_host) = (Vec::new(), false);
        let host = match host_setup {
            HostSetup::None => HostHandle::none(),
            HostSetup::ToBeStarted(launcher) => {
                starts_host = true;
                HostHandle::to_be_started(*launcher)
            }
            HostSetup::ExtensionHost { launcher, child, socket } => {
                HostHandle::host(*launcher, child, socket)
            }
            HostSetup::CustomMaster(script) => {
                backlog = script.backlog;
                Ok(HostHandle::script(script.link))
            }
        };
        let host = host.context("the extension host cannot be watched")?;
        // Nothing is decided by it before the app begins.
        let policy = Policy { host_kind: HostKind::None, ..spec.policy.clone() };
        let idle = supervisor(PoolSpec { policy, ..spec.clone() });
        let mut driver = Driver::new(idle, (cluster, programs), launcher, host, builtins, reporter);
        driver.readings.insert(Generation(0), in_force);
        // Duplicates, so that the watch and what is watched each own what they use.
        let channels = sys::watch(driver.cluster.as_fd().try_clone_to_owned()?)?;
        let programs = sys::watch(driver.programs.as_fd().try_clone_to_owned()?)?;
        let link = sys::watch(driver.host.link().as_fd().try_clone_to_owned()?)?;
        let span = match name.is_nameless() {
            true => Span::none(),
            false => error_span!("app", app = name.as_str()),
        };
        // What came before anything was watched: lines behind an introduction, the end of a host.
        let undone = Undone { cluster: Progress::Idle, link: Progress::More };
        let waiting = Some(Beginning { spec, limits, backlog, starts_host });
        Ok(Self { driver, span, channels, programs, link, undone, waiting })
    }

    /// Begins, as far as nobody else is to say when.
    pub(super) fn begin(&mut self, now: Moment) {
        let Some(Beginning { spec, limits, backlog, starts_host }) = self.waiting.take() else { return };
        let driver = &mut self.driver;
        let host_kind = spec.policy.host_kind;
        driver.supervisor = supervisor(spec);
        if starts_host {
            driver.start_host(HostInstanceId::FIRST);
            driver.carry_out(now, Vec::new());
        }
        for (worker, limits, port) in limits {
            // A script may have added some to those of its configuration.
            driver.request(now, Request::Add(worker, limits, port.into()));
        }
        for news in backlog {
            driver.host_news(now, news);
        }
        match host_kind {
            HostKind::None => driver.request(now, Request::Start),
            // They ask for it.
            HostKind::ExtensionHost { .. } | HostKind::CustomMaster => {}
        }
    }

    /// Whether it has begun.
    pub(super) const fn has_begun(&self) -> bool {
        self.waiting.is_none()
    }

    /// What a reading says of an app that does not run becomes what is to be run.
    pub(super) fn spec_of(name: &PoolName, model: &Launcher, reading: Reading) -> (AppSpec, Vec<String>) {
        let Reading { configured, in_force, spec, host_launcher, builtins, warnings, .. } = reading;
        let launcher = model.of_another(name.clone(), configured);
        let host_setup = host_launcher.map_or(HostSetup::None, |mut launcher| {
            let (about, data) = &in_force.host;
            // Where it cannot be handed over, its host says so.
            launcher.configure(about, data.as_ref().and_then(|data| data.again().ok()));
            launcher.parent = None;
            HostSetup::ToBeStarted(launcher)
        });
        let builtins = builtins.unwrap_or_default();
        (AppSpec { spec, limits: Vec::new(), in_force, launcher, host_setup, builtins }, warnings)
    }

    /// Whether it has begun and is not over.
    pub(super) fn runs(&self) -> bool {
        self.has_begun() && self.driver.outcome.is_none()
    }

    /// Waits for something that concerns only this app. Cancel-safe.
    pub(super) async fn next(&mut self) -> io::Result<Happened> {
        let Driver { port_holders, host_status, builtins, .. } = &mut self.driver;
        tokio::select! {
            // The workers' before the extensions'.
            biased;
            () = ready_now(self.undone.cluster == Progress::More) => Ok(Happened::Cluster),
            guard = self.channels.readable() => {
                // Cleared first: an event that comes while we work sets it again.
                guard?.clear_ready();
                Ok(Happened::Cluster)
            }
            guard = self.programs.readable() => {
                guard?.clear_ready();
                Ok(Happened::Programs)
            }
            answer = port_holders.next() => Ok(Happened::PortHolder(answer)),
            status = host_status.next() => Ok(Happened::Status(status)),
            () = builtins.changed() => Ok(Happened::Files),
            () = ready_now(self.undone.link == Progress::More) => Ok(Happened::Link),
            guard = self.link.readable() => {
                guard?.clear_ready();
                Ok(Happened::Link)
            }
        }
    }

    /// Does what follows from it.
    pub(super) fn take_up(&mut self, now: Moment, happened: Happened) {
        let driver = &mut self.driver;
        match happened {
            Happened::Cluster => self.undone.cluster = driver.process(now),
            Happened::Programs => driver.hear_programs(now),
            Happened::PortHolder(answer) => driver.hear_of_owner(now, answer),
            Happened::Status(status) => driver.hear_status(now, status),
            Happened::Files => driver.files_changed(now),
            Happened::Link => self.undone.link = driver.listen(now),
        }
    }

    /// Acts on what is due.
    pub(super) fn wake(&mut self, now: Moment) {
        if self.driver.next_wake().is_some_and(|at| at <= now) && self.driver.wake(now) == Progress::More {
            // Whose it is does not matter: asking in vain costs little.
            (self.undone.cluster, self.undone.link) = (Progress::More, Progress::More);
        }
    }
}

fn supervisor(spec: PoolSpec) -> Supervisor {
    Supervisor::new(clock::now(), spec, std::process::id())
}

/// Ready at once, or never. Yields once, so that the other branches are looked at.
pub(super) async fn ready_now(now: bool) {
    if now {
        tokio::task::yield_now().await;
    } else {
        pending().await
    }
}
