//! The loop itself, from the first fork to the exit code.

use std::collections::BTreeMap;
use std::future::pending;
use std::os::fd::{OwnedFd, RawFd};

use anyhow::Context;
use tracing::{error, info, warn};

use super::builtin_extensions::BuiltinExtensions;
use super::clauses;
use super::clock;
use super::control_desk::ControlDesk;
use super::host_handle::HostHandle;
use super::launch::Launcher;
use super::reader::{InForce, Read, Reader};
use super::service::Service;
use super::state::Driver;
use super::sys;
use super::translate;
use crate::control;
use crate::core::{
    Death, ExitStatus, Generation, HostKind, LifecycleLimits, Outcome, PoolSpec, RefusalCause, Request,
    StopCause, Supervisor, WorkerId,
};
use crate::exit::Exit;
use crate::node::cluster::Cluster;
use crate::node::host::{HostChannel, HostLauncher, HostNews};
use crate::node::ipc::Progress;
use crate::process::{Asked, Child, ReceivedSignal, Remaining, Signals, Terminal};
use crate::systemd::ManagerEnvironment;

/// What is to be run.
pub struct RunSpec {
    /// What is wanted of them.
    pub spec: PoolSpec,
    /// Limits of single workers that differ from the policy's, and what they are told to listen on.
    pub limits: Vec<(WorkerId, LifecycleLimits, String)>,
    /// What the configuration means to all but workers.
    pub in_force: InForce,
    /// Sockets they may listen on by their numbers: luster was started with them.
    pub sockets: BTreeMap<RawFd, OwnedFd>,
    /// How they are started.
    pub launcher: Launcher,
    /// The host.
    pub host_setup: HostSetup,
    /// How the configuration is read anew, if there is one to be read.
    pub read: Option<Read>,
    /// What is done in place of extensions.
    pub builtins: BuiltinExtensions,
    /// What SIGHUP means.
    pub terminal: Terminal,
    /// The control socket.
    pub control: control::Setup,
    /// The service manager that is to be told.
    pub manager_environment: ManagerEnvironment,
    /// Writes what has been logged: called when there is no more to come, before log files are closed.
    pub last_words: fn(),
}

/// The host, by how it came to be there.
#[derive(Debug)]
pub enum HostSetup {
    /// There is none.
    None,
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

/// Runs the workers until they are stopped or all dead. Blocks.
///
/// # Errors
/// The kernel refuses what the loop itself needs: an epoll instance, the signals' pipe.
pub fn run(job: RunSpec) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the event loop cannot be made")?.block_on(drive(job))
}

/// What is left to do without being told of it.
struct Undone {
    cluster: Progress,
    link: Progress,
    dead: Remaining,
    /// Somebody was answered over the control socket last: now it is others' turn.
    asked: Progress,
}

impl Undone {
    /// What came before anything was watched: lines behind an introduction, the end of a host.
    const fn at_start() -> Self {
        Self { cluster: Progress::Idle, link: Progress::More, dead: Remaining::More, asked: Progress::Idle }
    }
}

async fn drive(job: RunSpec) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen(job.terminal).context("signals cannot be received")?;
    let last_words = job.last_words;
    let mut driver = prepare(job)?;
    // Duplicates, so that the watch and what is watched each own what they use.
    let channels = sys::watch(driver.cluster.as_fd().try_clone_to_owned()?)?;
    let link = sys::watch(driver.host.link().as_fd().try_clone_to_owned()?)?;
    let mut undone = Undone::at_start();
    while driver.outcome.is_none() {
        if let Some(names) = driver.host.signals_wanted() {
            signals.pass_on(&names);
        }
        let due = driver.next_wake();
        let asked = std::mem::replace(&mut undone.asked, Progress::Idle);
        tokio::select! {
            // Requests first: no load may keep a stop from being heard. The dead next, because their
            // connections wait for others. Deadlines before traffic, which never ends; the workers' before the
            // extensions'. Whoever asks how things stand comes between, every other time at most.
            biased;
            received = signals.next() => match received {
                ReceivedSignal::Asked(asked, passed) => {
                    announce(asked);
                    // The host hears of it before its consequences.
                    passed.inspect(|passed| driver.pass_on_signal(clock::now(), *passed));
                    driver.asked_by_signal(clock::now(), asked);
                }
                ReceivedSignal::Passed(passed) => driver.pass_on_signal(clock::now(), passed),
                ReceivedSignal::ChildChanged => undone.dead = driver.reap(clock::now()),
            },
            () = ready_now(undone.dead == Remaining::More) => undone.dead = driver.reap(clock::now()),
            () = clock::reaches(due) => if driver.wake(clock::now()) == Progress::More {
                // Whose it is does not matter: asking in vain costs little.
                (undone.cluster, undone.link) = (Progress::More, Progress::More);
            },
            call = driver.desk.control.next(), if asked == Progress::Idle => {
                driver.control_call(clock::now(), call);
                undone.asked = Progress::More;
            }
            () = ready_now(undone.cluster == Progress::More) => undone.cluster = driver.process(clock::now()),
            guard = channels.readable() => {
                // Cleared first: an event that comes while we work sets it again.
                guard?.clear_ready();
                undone.cluster = driver.process(clock::now());
            }
            answer = driver.port_holders.next() => driver.hear_of_owner(clock::now(), answer),
            (generation, word) = driver.reader.next() => driver.hear_reader(clock::now(), generation, word),
            status = driver.host_status.next() => driver.hear_status(clock::now(), status),
            () = driver.builtins.changed() => driver.files_changed(clock::now()),
            () = ready_now(undone.link == Progress::More) => undone.link = driver.listen(clock::now()),
            guard = link.readable() => {
                guard?.clear_ready();
                undone.link = driver.listen(clock::now());
            }
            () = ready_now(asked == Progress::More) => {}
        }
    }
    driver.clean_up();
    let exit = driver.outcome.as_ref().map_or(Exit::Internal, conclude);
    driver.desk.control.end();
    // The log files that it may go to are closed with the hands.
    last_words();
    Ok(exit)
}

/// Everything in its place, and started as far as nobody else is to say when.
fn prepare(job: RunSpec) -> anyhow::Result<Driver> {
    let RunSpec {
        spec,
        limits,
        in_force,
        sockets,
        launcher,
        host_setup,
        read,
        builtins,
        terminal: _,
        control,
        manager_environment,
        last_words: _,
    } = job;
    let mut cluster = Cluster::new(in_force.balance).context("workers' channels cannot be watched")?;
    // Nobody listens yet.
    let _ = cluster.give_access(in_force.access);
    cluster.lend(sockets);
    let host_kind = spec.policy.host_kind;
    let supervisor = Supervisor::new(clock::now(), spec, std::process::id());
    let (host, backlog) = match host_setup {
        HostSetup::None => (HostHandle::none(), Vec::new()),
        HostSetup::ExtensionHost { launcher, child, socket } => {
            (HostHandle::host(*launcher, child, socket), Vec::new())
        }
        HostSetup::CustomMaster(script) => (Ok(HostHandle::script(script.link)), script.backlog),
    };
    let host = host.context("the extension host cannot be watched")?;
    let mut driver = Driver::new(
        supervisor,
        cluster,
        launcher,
        host,
        builtins,
        Reader::new(read),
        ControlDesk::begin(control),
    );
    driver.service = Service::begin(&manager_environment, clock::now());
    driver.readings.insert(Generation(0), in_force);
    for (worker, limits, port) in limits {
        // A script may have added some to those of its configuration.
        driver.request(clock::now(), Request::Add(worker, limits, port.into()));
    }
    for news in backlog {
        driver.host_news(clock::now(), news);
    }
    match host_kind {
        HostKind::None => driver.request(clock::now(), Request::Start),
        // They ask for it.
        HostKind::ExtensionHost { .. } | HostKind::CustomMaster => {}
    }
    Ok(driver)
}

/// Ready at once, or never. Yields once, so that the other branches are looked at.
async fn ready_now(now: bool) {
    if now {
        tokio::task::yield_now().await;
    } else {
        pending().await
    }
}

fn announce(asked: Asked) {
    match asked {
        Asked::Stop(cause) => info!(event = "asked", signal = %cause, "got {cause}"),
        Asked::Restart => info!(event = "asked", signal = "SIGHUP", "got SIGHUP"),
        Asked::ReopenLogs => info!(event = "asked", signal = "SIGUSR1", "got SIGUSR1"),
    }
}

/// Says how it ended, and with which code.
fn conclude(outcome: &Outcome) -> Exit {
    match outcome {
        Outcome::Stopped => {
            info!(event = "stopped", "stopped");
            Exit::Stopped
        }
        Outcome::Killed(cause) => {
            warn!(event = "killed", signal = %cause, "killed by a second stop signal, {cause}");
            killed(*cause)
        }
        Outcome::Chosen(code) => {
            info!(
                event = "stopped",
                code, "stopped; an extension or the configuration chose exit code {code}"
            );
            Exit::Chosen(*code)
        }
        // Why has been said when the last one died.
        Outcome::AllDead(deaths) => common_cause(deaths),
        Outcome::HostFailed(status, fault) => {
            let how = clauses::how(status);
            let is_config = *status == ExitStatus::Code(Exit::Config.code().into());
            let why = match fault {
                // It says all there is to say.
                Some(fault) if is_config => fault.clone(),
                Some(fault) => format!("{fault} ({how})"),
                None => how,
            };
            error!(event = "extension_failed", reason = why, "stopping because an extension failed: {why}");
            if is_config { Exit::Config } else { Exit::AllWorkersDead }
        }
    }
}

/// The exit code for a second stop signal, as a shell tells of a process that it has killed.
pub(super) const fn killed(cause: StopCause) -> Exit {
    Exit::Killed(translate::number(cause))
}

/// The exit code for what all workers died of, if it is the same for all.
pub(super) fn common_cause(deaths: &[Death]) -> Exit {
    let not_started = |death: &Death| matches!(death.status, ExitStatus::NotStarted(_));
    let not_permitted = |death: &Death| {
        death.refusal.as_ref().is_some_and(|refusal| refusal.cause == RefusalCause::NotPermitted)
    };
    if deaths.iter().all(not_started) {
        Exit::ForkOrExec
    } else if deaths.iter().all(not_permitted) {
        Exit::Permission
    } else {
        Exit::AllWorkersDead
    }
}
