//! How everything stands: asked of the loop once for all who wait, and put into the words of the schema.
//!
//! Invariant: at most one question is with the loop at a time.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::call::{AppLive, Call, LiveState};
use super::schema::{self, SCHEMA};
use super::usage::Units;
use crate::core::{
    AbortReason, AfterAbort, Culprit, Death, ExitStatus, FailedRollout, FleetGoal, InstanceId,
    InstanceSnapshot, Moment, RolloutFailure, Unready, WorkerSnapshot, WorkerState,
};

/// How long the loop may take; it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who answers, as far as that never changes.
#[derive(Debug, Clone)]
pub struct About {
    /// luster's version.
    pub version: &'static str,
    /// What this master is told apart by.
    pub name: String,
    /// The configuration as it was given, or the script of a custom master.
    pub config: PathBuf,
    /// When it started.
    pub started: Instant,
    /// Why a process ended, a clause.
    pub cause: fn(&Death) -> String,
    /// What has failed in a rollout and why, and what serves instead, two clauses.
    pub failure: fn(&RolloutFailure) -> [String; 2],
}

/// Puts how everything stands into the words of the schema. It reads what each process uses, so it is no work for the loop.
#[derive(Debug)]
pub struct Reporter {
    about: Arc<About>,
    units: Units,
}

/// Asks the loop how everything stands.
#[derive(Debug)]
pub(super) struct StatusDesk {
    calls: mpsc::Sender<Call>,
    reporter: Reporter,
    /// Who waits for the answer to the question that is with the loop.
    waiting: RefCell<Option<Vec<oneshot::Sender<Rc<schema::Status>>>>>,
}

impl StatusDesk {
    pub(super) fn new(calls: mpsc::Sender<Call>, about: Arc<About>) -> Self {
        Self { calls, reporter: Reporter::new(about), waiting: RefCell::new(None) }
    }

    /// How everything stands; nothing if the loop does not answer.
    pub(super) async fn ask(self: Rc<Self>) -> Option<Rc<schema::Status>> {
        let (sender, answer) = oneshot::channel();
        let is_first = match &mut *self.waiting.borrow_mut() {
            Some(waiting) => {
                waiting.push(sender);
                false
            }
            none => {
                *none = Some(vec![sender]);
                true
            }
        };
        if is_first {
            // By itself: whoever asked first may go away.
            spawn_local(self.clone().inquire());
        }
        answer.await.ok()
    }

    async fn inquire(self: Rc<Self>) {
        let (sender, answer) = oneshot::channel();
        let asked = self.calls.try_send(Call::Status(sender)).is_ok();
        let state = if asked { timeout(PATIENCE, answer).await.ok().and_then(Result::ok) } else { None };
        // From now on it is another question.
        let waiting = self.waiting.borrow_mut().take().unwrap_or_default();
        let Some(state) = state else { return };
        let Some(status) = self.reporter.report_all(&state).map(Rc::new) else { return };
        for sender in waiting {
            // Whoever is gone does not miss it.
            let _ = sender.send(status.clone());
        }
    }
}

impl Reporter {
    /// For the master that is told here about.
    #[must_use]
    pub fn new(about: Arc<About>) -> Self {
        Self { about, units: Units::of_system() }
    }

    /// All of it.
    #[must_use]
    pub fn report(&self, state: &LiveState) -> schema::Status {
        let snapshot = &state.snapshot;
        let workers: Vec<_> = snapshot.workers.iter().map(|worker| self.worker(state, worker)).collect();
        let wanted = |worker: &&schema::Worker| !worker.removed && worker.state != schema::State::Stopped;
        let ready = |worker: &&schema::Worker| wanted(worker) && worker.state == schema::State::Ready;
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let sum = |pick: fn(&schema::Counters) -> u64| workers.iter().map(|w| pick(&w.counters)).sum();
        schema::Status {
            schema: SCHEMA,
            master: self.master(state),
            revision: snapshot.revision,
            goal: match snapshot.goal {
                FleetGoal::Serve => schema::Goal::Serving,
                FleetGoal::Stop => schema::Goal::Stopping,
            },
            generation: snapshot.generation.0,
            count: snapshot.wanted,
            wanted: count(workers.iter().filter(wanted).count()),
            ready: count(workers.iter().filter(ready).count()),
            reading: snapshot.is_reading,
            rollout: snapshot.rollout.map(|rollout| schema::Rollout {
                total: count(rollout.replaced + rollout.under_way + rollout.waiting),
                replaced: count(rollout.replaced),
                under_way: count(rollout.under_way),
                waiting: count(rollout.waiting),
                held: rollout.is_held,
                taking_back: rollout.takes_back,
                elapsed_ms: since(state.now, rollout.began),
            }),
            failed_rollout: snapshot.failed_rollout.as_ref().map(|failed| self.failed(state.now, failed)),
            counters: schema::Counters {
                started: sum(|counters| counters.started),
                crashed: sum(|counters| counters.crashed),
                late: sum(|counters| counters.late),
                asked: sum(|counters| counters.asked),
            },
            host: state.host.map(|(kind, pid)| schema::Host {
                kind,
                pid,
                state: snapshot.host.map_or(schema::State::Ready, |host| word(host.state)),
            }),
            workers,
            apps: Vec::new(),
        }
    }

    /// All of all apps: of several each by itself, and then together.
    #[must_use]
    pub fn report_all(&self, apps: &[AppLive]) -> Option<schema::Status> {
        let mut all: Option<schema::Status> = None;
        for live in apps {
            let mut status = self.report(&live.state);
            if live.name.is_nameless() {
                return Some(status);
            }
            let name = live.name.to_string();
            status.workers.iter_mut().for_each(|worker| worker.app = Some(name.clone()));
            status.apps = vec![schema::App::of(live, &status)];
            status.master.app = None;
            // It is the master that is stopping or not, which only an app that is over does not know.
            all = Some(match all {
                None => status,
                Some(all) => all.and(status),
            });
        }
        all
    }

    fn master(&self, state: &LiveState) -> schema::Master {
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        let usage = self.units.usage(pid);
        schema::Master {
            pid,
            version: self.about.version.to_owned(),
            name: self.about.name.clone(),
            socket: text(&state.socket),
            uid: nix::unistd::Uid::effective().as_raw(),
            uptime_ms: millis(self.about.started.elapsed()),
            config: text(&self.about.config),
            config_real: state.config_real.as_deref().map(text),
            app: Some(text(&state.app)),
            cpu_ms: usage.map(|usage| usage.cpu_ms),
            memory_bytes: usage.map(|usage| usage.memory_bytes),
        }
    }

    fn worker(&self, state: &LiveState, worker: &WorkerSnapshot) -> schema::Worker {
        let has_active = match worker.state {
            WorkerState::Starting | WorkerState::Ready | WorkerState::Draining | WorkerState::Stopping => {
                true
            }
            WorkerState::Idle | WorkerState::Stopped | WorkerState::BackingOff | WorkerState::Dead => false,
        };
        let instances = worker.instances.iter().enumerate();
        let instances = instances.map(|(index, instance)| {
            let role = match (index, word(instance.state)) {
                (0, _) if has_active => schema::Role::Active,
                (_, schema::State::Starting | schema::State::Ready) => schema::Role::Successor,
                (_, _) => schema::Role::Retiring,
            };
            self.instance(state, instance, role)
        });
        let counters = &worker.counters;
        schema::Worker {
            app: None,
            wid: worker.worker.0,
            state: word(worker.state),
            removed: worker.is_removed,
            restarts: counters.started.saturating_sub(1).into(),
            counters: schema::Counters {
                started: counters.started.into(),
                crashed: counters.crashed.into(),
                late: counters.late.into(),
                asked: counters.asked.into(),
            },
            backoff_ms: worker.starts_at.map(|at| since(at, state.now)),
            instances: instances.collect(),
            last_failure: worker.last_death.as_ref().map(|(at, death)| self.failure(state.now, *at, death)),
        }
    }

    fn instance(
        &self,
        state: &LiveState,
        instance: &InstanceSnapshot,
        role: schema::Role,
    ) -> schema::Instance {
        let pid = pid_of(&state.pids, instance.instance);
        let usage = pid.and_then(|pid| self.units.usage(pid));
        let uptime = state.now.since(instance.forked);
        schema::Instance {
            id: instance.instance.0,
            role,
            state: word(instance.state),
            pid,
            generation: instance.generation.0,
            uptime_ms: millis(uptime),
            ready_ms: instance.ready_after.map(|after| millis(uptime.saturating_sub(after))),
            endpoints: instance.endpoints.iter().map(|(endpoint, _)| endpoint.to_string()).collect(),
            cpu_ms: usage.map(|usage| usage.cpu_ms),
            memory_bytes: usage.map(|usage| usage.memory_bytes),
        }
    }

    fn failed(&self, now: Moment, failed: &FailedRollout) -> schema::FailedRollout {
        schema::FailedRollout::of(failed, now, (self.about.failure)(&failed.failure))
    }

    fn failure(&self, now: Moment, at: Moment, death: &Death) -> schema::Failure {
        let (code, signal) = code_and_signal(&death.status);
        schema::Failure { code, signal, reason: (self.about.cause)(death), ago_ms: since(now, at) }
    }
}

impl schema::FailedRollout {
    /// Where only why it failed is known; the rest is as for a refused configuration.
    fn of(failed: &FailedRollout, now: Moment, [reason, serving]: [String; 2]) -> Self {
        let kept = Self {
            outcome: schema::Outcome::Refused,
            culprit: schema::Culprit::Configuration,
            wid: None,
            generation: failed.generation.0,
            code: None,
            signal: None,
            replaced: 0,
            reason,
            serving,
            ago_ms: since(now, failed.at),
        };
        let RolloutFailure::Aborted { culprit, reason, replaced, now: then } = &failed.failure else {
            return kept;
        };
        let (culprit, wid) = match culprit {
            Culprit::Worker(worker, _) => (schema::Culprit::Worker, Some(worker.0)),
            Culprit::Host(_) => (schema::Culprit::ExtensionHost, None),
        };
        let (code, signal) = match reason {
            AbortReason::Died { status, .. } => code_and_signal(status),
            AbortReason::NotReady(_, Unready::Died(death)) => code_and_signal(&death.status),
            AbortReason::NotReady(..) | AbortReason::Refused(_) => (None, None),
        };
        let outcome = match then {
            AfterAbort::TakenBack => schema::Outcome::TakenBack,
            AfterAbort::Untouched | AfterAbort::TriedOn => schema::Outcome::Aborted,
        };
        let replaced = u32::try_from(*replaced).unwrap_or(u32::MAX);
        Self { outcome, culprit, wid, code, signal, replaced, ..kept }
    }
}

impl schema::Health {
    /// How this status looks to who only wants to know whether all is well.
    pub(super) fn of(status: &schema::Status) -> Self {
        let is_missed = |worker: &&schema::Worker| match worker.state {
            schema::State::Ready | schema::State::Stopped => false,
            // There are to be fewer, and it leaves.
            schema::State::Draining | schema::State::Stopping => !worker.removed,
            schema::State::Starting
            | schema::State::BackingOff
            | schema::State::Dead
            | schema::State::Idle
            | schema::State::Unknown => true,
        };
        let not_ready = status.workers.iter().filter(is_missed).map(|worker| worker.wid).collect::<Vec<_>>();
        Self {
            schema: SCHEMA,
            healthy: not_ready.is_empty() && status.goal == schema::Goal::Serving,
            wanted: status.wanted,
            ready: status.ready,
            not_ready,
        }
    }
}

fn code_and_signal(status: &ExitStatus) -> (Option<i32>, Option<String>) {
    match status {
        ExitStatus::Code(code) => (Some(*code), None),
        ExitStatus::Signal(signal) => (None, Some(signal.clone())),
        ExitStatus::NotStarted(_) => (None, None),
    }
}

fn pid_of(pids: &[(InstanceId, i32)], instance: InstanceId) -> Option<i32> {
    let index = pids.binary_search_by_key(&instance, |(instance, _)| *instance).ok()?;
    pids.get(index).map(|(_, pid)| *pid)
}

const fn word(state: WorkerState) -> schema::State {
    match state {
        WorkerState::Idle => schema::State::Idle,
        WorkerState::Starting => schema::State::Starting,
        WorkerState::Ready => schema::State::Ready,
        WorkerState::Draining => schema::State::Draining,
        WorkerState::Stopping => schema::State::Stopping,
        WorkerState::Stopped => schema::State::Stopped,
        WorkerState::BackingOff => schema::State::BackingOff,
        WorkerState::Dead => schema::State::Dead,
    }
}

fn since(later: Moment, earlier: Moment) -> u64 {
    millis(later.since(earlier))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
