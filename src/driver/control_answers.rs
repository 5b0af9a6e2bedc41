//! What the core says of a request, in the words of the control socket.
//!
//! Invariant: an answer is one sentence that says what was done and what serves now.

use std::collections::BTreeSet;

use super::clauses::{abort_reason, causes, count as workers_counted};
use crate::control::schema::{Answer, Outcome, Reason};
use crate::control::{Order, Target, Whom};
use crate::core::{
    AbortReason, AfterAbort, Completion, Culprit, Death, MAX_WORKERS, Refusal, RolloutFailure, Snapshot,
    WorkerId, WorkerState,
};

/// An order in one word.
pub(super) const fn name(order: &Order) -> &'static str {
    match order {
        Order::Reload => "reload",
        Order::Restart(_) => "restart",
        Order::Stop(_) => "stop",
        Order::Start(_) => "start",
        Order::Scale(_) => "scale",
        Order::Revive(_) => "revive",
    }
}

/// What somebody asks for.
pub(super) fn describe(order: &Order) -> String {
    match order {
        Order::Reload => "a reload".to_owned(),
        Order::Restart(whom) => format!("a restart of {}", who(whom)),
        Order::Stop(whom) => format!("a stop of {}", who(whom)),
        Order::Start(whom) => format!("a start of {}", who(whom)),
        Order::Scale(Target::Count(1)) => "a change to 1 worker".to_owned(),
        Order::Scale(Target::Count(count)) => format!("a change to {count} workers"),
        Order::Scale(Target::Change(change)) => format!("a change of the number of workers by {change:+}"),
        Order::Revive(whom) => format!("a revival of {}", who(whom)),
    }
}

/// `all workers`, `worker 3`, `workers 1, 2`.
fn who(whom: &Whom) -> String {
    match whom {
        Whom::All => "all workers".to_owned(),
        Whom::Some(workers) => listed(workers),
    }
}

fn listed(workers: &[WorkerId]) -> String {
    let noun = if workers.len() == 1 { "worker" } else { "workers" };
    format!("{noun} {}", workers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// Who is meant by name; all are those that are dead.
pub(super) fn workers(whom: &Whom, snapshot: &Snapshot) -> Result<Vec<WorkerId>, Answer> {
    let named = match whom {
        Whom::All => {
            let dead = snapshot.workers.iter().filter(|worker| worker.state == WorkerState::Dead);
            return Ok(dead.map(|worker| worker.worker).collect());
        }
        Whom::Some(named) => named,
    };
    let known: BTreeSet<_> = snapshot.workers.iter().map(|worker| worker.worker).collect();
    match named.iter().find(|worker| !known.contains(worker)) {
        None => Ok(named.clone()),
        Some(unknown) => {
            let workers = known.into_iter().collect();
            Err(refusal(&Refusal::NoSuchWorker { worker: *unknown, workers }))
        }
    }
}

/// How many workers there are to be, where there are so many.
pub(super) fn count(target: Target, workers: u32) -> Result<u32, Answer> {
    let wanted = match target {
        Target::Count(count) => count,
        Target::Change(change) => i64::from(workers).saturating_add(change),
    };
    match u32::try_from(wanted) {
        Ok(count @ 1..=MAX_WORKERS) => Ok(count),
        Ok(_) | Err(_) => {
            let hint = if wanted < 1 { "; to stop all of them, ask for a stop" } else { "" };
            let message =
                format!("the number of workers must be from 1 to {MAX_WORKERS}, not {wanted}{hint}");
            Err(Answer::new(Outcome::Refused, Some(Reason::OutOfRange), message))
        }
    }
}

/// A request that was refused.
pub(super) fn refusal(refusal: &Refusal) -> Answer {
    let (reason, wid) = match refusal {
        Refusal::Stopping => (Reason::Stopping, None),
        Refusal::Busy => (Reason::Busy, None),
        Refusal::NoSuchWorker { worker, workers: _ } => (Reason::UnknownWorker, Some(worker.0)),
        Refusal::ScriptDecides => (Reason::ScriptDecides, None),
    };
    Answer { wid, ..Answer::new(Outcome::Refused, Some(reason), refusal.to_string()) }
}

/// What came of an order: of its only request, or of those for each worker.
pub(super) fn completion(order: &Order, completions: Vec<Completion>, now: &Snapshot) -> Answer {
    let mut deaths = Vec::new();
    let mut rolled_out = None;
    let mut failed = None;
    for completion in completions {
        match completion {
            Completion::Done => {}
            Completion::RolledOut { replaced } => *rolled_out.get_or_insert(0) += replaced,
            Completion::Dead(mut some) => deaths.append(&mut some),
            Completion::ConfigurationRefused(reason) => failed = Some(refused_configuration(&reason)),
            Completion::Aborted { culprit, reason, replaced, now } => {
                failed = Some(aborted(culprit, &reason, replaced, now));
            }
            Completion::Overruled => {
                failed.get_or_insert_with(|| {
                    let message = format!("{} was overruled by a later request", describe(order));
                    Answer::new(Outcome::Overruled, None, message)
                });
            }
        }
    }
    let answer = match (failed, deaths.is_empty()) {
        (Some(failed), _) => failed,
        (None, false) => dead(order, &deaths),
        (None, true) => {
            let message = done(order, rolled_out, now.wanted as usize);
            Answer { replaced: rolled_out.map(number), ..Answer::new(Outcome::Done, None, message) }
        }
    };
    Answer { generation: Some(now.generation.0), ..answer }
}

fn done(order: &Order, replaced: Option<usize>, workers: usize) -> String {
    match (order, replaced) {
        (Order::Reload | Order::Restart(_), Some(1)) => "1 worker has been replaced".to_owned(),
        (Order::Reload | Order::Restart(_), Some(replaced)) => {
            format!("{replaced} workers have been replaced")
        }
        (Order::Reload, None) => "all workers have been replaced".to_owned(),
        (Order::Restart(whom), None) => format!("{} {} been replaced", who(whom), has(whom)),
        (Order::Stop(Whom::All), _) => "everything is stopped, and luster ends".to_owned(),
        (Order::Stop(whom), _) => format!("{} {} stopped", who(whom), is(whom)),
        (Order::Start(Whom::All), _) => "all workers that are to run are ready".to_owned(),
        (Order::Start(whom), _) => format!("{} {} ready", who(whom), is(whom)),
        (Order::Scale(_), _) => {
            let are = if workers == 1 { "is" } else { "are" };
            format!("there {are} {}", workers_counted(workers))
        }
        (Order::Revive(Whom::All), _) => "no worker is dead any more; they can be started".to_owned(),
        (Order::Revive(whom), _) => {
            format!("{} {} not dead any more, and can be started", who(whom), is(whom))
        }
    }
}

const fn is(whom: &Whom) -> &'static str {
    match whom {
        Whom::Some(workers) if workers.len() == 1 => "is",
        Whom::All | Whom::Some(_) => "are",
    }
}

const fn has(whom: &Whom) -> &'static str {
    match whom {
        Whom::Some(workers) if workers.len() == 1 => "has",
        Whom::All | Whom::Some(_) => "have",
    }
}

/// What has failed in a rollout and why, and what serves instead.
#[must_use]
pub fn rollout_failure(failure: &RolloutFailure) -> [String; 2] {
    match failure {
        RolloutFailure::ConfigurationRefused(reason) => {
            [format!("the configuration cannot be used: {reason}"), "nothing was changed".to_owned()]
        }
        RolloutFailure::Aborted { culprit, reason, replaced, now } => {
            let [who, serving] = who_and_serving(*culprit, *replaced, *now);
            [format!("{who} {}", abort_reason(reason)), serving]
        }
    }
}

/// A configuration that is refused.
pub(super) fn refused_configuration(reason: &str) -> Answer {
    let message = format!("the configuration cannot be used, and nothing was changed: {reason}");
    Answer::new(Outcome::Refused, Some(Reason::Configuration), message)
}

fn dead(order: &Order, deaths: &[Death]) -> Answer {
    let message = format!("{} has failed: {}", describe(order), causes(deaths));
    let wid = deaths.first().map(|death| death.worker.0);
    Answer { wid, ..Answer::new(Outcome::Aborted, None, message) }
}

fn aborted(culprit: Culprit, reason: &AbortReason, replaced: usize, now: AfterAbort) -> Answer {
    let wid = match culprit {
        Culprit::Worker(worker, _) => Some(worker.0),
        Culprit::Host(_) => None,
    };
    let outcome = match now {
        AfterAbort::TakenBack => Outcome::TakenBack,
        AfterAbort::Untouched | AfterAbort::TriedOn => Outcome::Aborted,
    };
    let [who, serves] = who_and_serving(culprit, replaced, now);
    let message = format!("{who} {}; {serves}", abort_reason(reason));
    Answer { wid, replaced: Some(number(replaced)), ..Answer::new(outcome, None, message) }
}

/// Who has failed in a rollout, and what serves now.
fn who_and_serving(culprit: Culprit, replaced: usize, now: AfterAbort) -> [String; 2] {
    let (who, tried_on) = match culprit {
        Culprit::Worker(worker, _) => {
            (format!("the replacement of worker {worker}"), format!("worker {worker}"))
        }
        Culprit::Host(_) => ("the new extension host".to_owned(), "it".to_owned()),
    };
    let new = workers_counted(replaced);
    let serves = match (now, replaced) {
        (AfterAbort::TakenBack, _) => "all workers run what they ran before".to_owned(),
        (AfterAbort::Untouched, 0) => "no worker was replaced, and all run what they ran before".to_owned(),
        (AfterAbort::Untouched, _) => {
            format!("{new} had been replaced before, and the others run what they ran before")
        }
        (AfterAbort::TriedOn, 0) => {
            format!("{tried_on} is tried on, and the others run what they ran before")
        }
        (AfterAbort::TriedOn, _) => format!(
            "{tried_on} is tried on, {new} had been replaced before, and the others run what they ran before"
        ),
    };
    [who, serves]
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
