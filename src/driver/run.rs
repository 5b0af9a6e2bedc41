//! The loop itself, from the first fork to the exit code.

use std::future::pending;
use std::time::Instant;

use anyhow::Context;
use tracing::{error, info};

use super::launch::Launcher;
use super::narrate;
use super::perform::Hands;
use super::sys;
use super::translate::{self, Stops};
use crate::Exit;
use crate::cluster::{Balance, Cluster, Progress};
use crate::process::{Asked, Left, Received, Signals};
use crate::supervisor::{Death, Ending, Event, Moment, Outcome, Policy, RefusalCause, Request, Supervisor};

/// What is to be run.
#[derive(Debug)]
pub struct Job {
    /// How workers are kept.
    pub policy: Policy,
    /// How connections find them.
    pub balance: Balance,
    /// How they are started.
    pub launcher: Launcher,
}

/// Runs the workers until they are stopped or all dead. Blocks.
///
/// # Errors
/// The kernel refuses what the loop itself needs: an epoll instance, the signals' pipe.
pub fn run(job: Job) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the event loop cannot be made")?.block_on(drive(job))
}

async fn drive(job: Job) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen().context("signals cannot be received")?;
    let cluster = Cluster::new(job.balance).context("workers' channels cannot be watched")?;
    // A duplicate, so that the watch and the cluster each own what they use.
    let readiness = sys::watch(cluster.as_fd().try_clone_to_owned()?)?;
    let clock = Clock(Instant::now());
    let supervisor = Supervisor::new(clock.now(), job.policy, std::process::id());
    let mut hands = Hands::new(supervisor, cluster, job.launcher);
    let mut stops = Stops::None;
    let mut progress = Progress::Idle;
    let mut dead = Left::Nothing;
    hands.handle(clock.now(), Event::Asked(Request::Start));
    while hands.outcome.is_none() {
        let due = hands.next_wake();
        tokio::select! {
            // Requests first: no load may keep a stop from being heard. The dead next, because their
            // connections wait for others. Deadlines before traffic, which never ends.
            biased;
            received = signals.next() => match received {
                Received::Asked(asked) => {
                    announce(asked);
                    hands.handle(clock.now(), Event::Asked(translate::request(asked, &mut stops)));
                }
                Received::ChildChanged => dead = hands.reap(clock.now()),
            },
            () = ready_now(dead == Left::More) => dead = hands.reap(clock.now()),
            () = clock.reaches(due) => match hands.wake(clock.now()) {
                Progress::More => progress = Progress::More,
                // What was left to do before is still left.
                Progress::Idle => {}
            },
            () = ready_now(progress == Progress::More) => progress = hands.process(clock.now()),
            guard = readiness.readable() => {
                // Cleared first: an event that comes while we work sets it again.
                guard?.clear_ready();
                progress = hands.process(clock.now());
            }
        }
    }
    hands.clean_up();
    Ok(hands.outcome.as_ref().map_or(Exit::Internal, conclude))
}

/// Ready at once, or never. Yields once, so that the other branches are looked at.
async fn ready_now(now: bool) {
    if now {
        tokio::task::yield_now().await;
    } else {
        pending().await
    }
}

/// The monotonic clock as the supervisor counts it.
struct Clock(Instant);

impl Clock {
    fn now(&self) -> Moment {
        Moment(0).after(self.0.elapsed())
    }

    /// Waits until then; for ever without a moment.
    async fn reaches(&self, moment: Option<Moment>) {
        match moment {
            Some(moment) => {
                let at = self.0 + moment.since(Moment(0));
                tokio::time::sleep_until(at.into()).await;
            }
            None => pending().await,
        }
    }
}

fn announce(asked: Asked) {
    match asked {
        Asked::Stop(cause) => info!(event = "asked", "got {cause}"),
        Asked::Restart => info!(event = "asked", "got SIGHUP"),
    }
}

/// Says how it ended, and with which code.
fn conclude(outcome: &Outcome) -> Exit {
    match outcome {
        Outcome::Stopped => {
            info!(event = "stopped", "stopped");
            Exit::Stopped
        }
        // Why has been said when the last one died.
        Outcome::AllDead(deaths) => common_cause(deaths),
        Outcome::HostFailed(ending, fault) => {
            let how = narrate::how(ending);
            let why = fault.as_deref().unwrap_or(&how);
            error!(event = "extension_failed", why, "luster ends because of an extension: {why}");
            Exit::AllWorkersDead
        }
    }
}

/// The exit code for what all workers died of, if it is the same for all.
fn common_cause(deaths: &[Death]) -> Exit {
    let not_started = |death: &Death| matches!(death.ending, Ending::NotStarted(_));
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
