//! The clauses that log lines and the host have in common: how something ended, and why.

use std::time::Duration;

use crate::core::{AbortReason, AfterAbort, Death, ExitStatus, LastWords, Unready};
use crate::node::ipc::SendOutcome;

/// Why a replacement failed, a clause without its subject.
pub(super) fn abort_reason(reason: &AbortReason) -> String {
    match reason {
        AbortReason::NotReady(limit, lack) => {
            format!(
                "was not ready within {} ms (control.readyTimeout): {}",
                millis(*limit),
                what_it_lacks(lack)
            )
        }
        AbortReason::Died { status, served, words } => {
            let when = match (status, served) {
                (ExitStatus::NotStarted(_), _) => String::new(),
                (ExitStatus::Code(_) | ExitStatus::Signal(_), None) => " before it was ready".to_owned(),
                (ExitStatus::Code(_) | ExitStatus::Signal(_), Some(served)) => {
                    format!(" when it had been ready for {} ms", millis(*served))
                }
            };
            format!("{}{when}{}", how(status), last_words(words.as_ref()))
        }
        AbortReason::Refused(refusal) => {
            format!("could not listen on {}: {}", refusal.endpoint, refusal.reason)
        }
    }
}

/// What a replacement lacks that was not ready in time, a clause.
pub(super) fn what_it_lacks(lack: &Unready) -> String {
    match lack {
        Unready::Loading => "its app has not loaded".to_owned(),
        Unready::Unproven => "it has not shown what control.ready waits for".to_owned(),
        Unready::Wordless => "it has not called ready()".to_owned(),
        Unready::Lacks(endpoints) => {
            let endpoints = endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            format!("it does not listen on {endpoints}, as the worker before it did")
        }
        Unready::Refused(refusal) => {
            format!("it could not listen on {}: {}", refusal.endpoint, refusal.reason)
        }
        Unready::Died(death) => format!("it {}", cause_of_death(death)),
    }
}

/// How a process ended and what it said it died of, a clause without its subject.
pub(super) fn died(status: &ExitStatus, words: Option<&LastWords>) -> String {
    format!("{}{}", how(status), last_words(words))
}

/// What a process said it died of, to be added to how it did.
fn last_words(words: Option<&LastWords>) -> String {
    match words {
        Some(LastWords { error, place: Some(place) }) => format!(": {error} ({place})"),
        Some(LastWords { error, place: None }) => format!(": {error}"),
        None => String::new(),
    }
}

/// What runs when a rollout was given up, a clause.
pub(super) const fn after_abort(then: AfterAbort) -> &'static str {
    match then {
        AfterAbort::TakenBack => "and all go back to what they ran before",
        AfterAbort::Untouched => "the others keep running",
        AfterAbort::TriedOn => "the others keep running, and that one is tried on",
    }
}

/// What all died of, in one clause: each cause once.
pub(super) fn causes(deaths: &[Death]) -> String {
    let mut causes: Vec<(&Death, Vec<String>)> = Vec::new();
    for death in deaths {
        let same = |(known, _): &&mut (&Death, Vec<String>)| {
            known.status == death.status && known.refusal == death.refusal && known.words == death.words
        };
        match causes.iter_mut().find(same) {
            Some((_, workers)) => workers.push(death.worker.to_string()),
            None => causes.push((death, vec![death.worker.to_string()])),
        }
    }
    causes.iter().map(|(death, workers)| cause(death, workers)).collect::<Vec<_>>().join("; ")
}

/// Why a process ended, a clause without its subject.
#[must_use]
pub fn cause_of_death(death: &Death) -> String {
    match &death.refusal {
        Some(refusal) => {
            let how = how(&death.status);
            format!("{how} after it could not listen on {}: {}", refusal.endpoint, refusal.reason)
        }
        None => died(&death.status, death.words.as_ref()),
    }
}

/// What some workers died of, for the line that says why luster ended.
fn cause(death: &Death, workers: &[String]) -> String {
    let (noun, they) = if workers.len() == 1 { ("worker", "it") } else { ("workers", "they") };
    let who = workers.join(", ");
    match &death.refusal {
        Some(refusal) => {
            let (on, reason, how) = (&refusal.endpoint, &refusal.reason, how(&death.status));
            format!("{noun} {who} {how} after {they} could not listen on {on}: {reason}")
        }
        None => format!("{noun} {who} {}", died(&death.status, death.words.as_ref())),
    }
}

/// `1 worker`, `2 workers`.
pub(super) fn count(workers: usize) -> String {
    match workers {
        1 => "1 worker".to_owned(),
        workers => format!("{workers} workers"),
    }
}

/// `1 worker is queued`, `2 workers are queued`.
pub(super) fn queued(workers: usize) -> String {
    match workers {
        0 => "no worker is queued".to_owned(),
        1 => "1 worker is queued".to_owned(),
        workers => format!("{workers} workers are queued"),
    }
}

pub(super) fn how(status: &ExitStatus) -> String {
    match status {
        ExitStatus::Code(code) => format!("exited with code {code}"),
        ExitStatus::Signal(name) => format!("was killed by {name}"),
        ExitStatus::NotStarted(reason) => format!("could not be started: {reason}"),
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Why a message was not sent; nothing of one that was, or whose receiver is gone.
pub(super) const fn why_unsent(outcome: SendOutcome) -> Option<&'static str> {
    match outcome {
        SendOutcome::Taken | SendOutcome::Unreachable => None,
        SendOutcome::Full | SendOutcome::Reserved => Some("its queue is full, because it does not read"),
        SendOutcome::TooLong => Some("it is too long"),
        SendOutcome::Unserializable => Some("it cannot be written as JSON"),
    }
}
