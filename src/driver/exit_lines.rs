//! Log lines about processes that ended: the sentence for people, and the fields that say the same to machines.

use std::time::Duration;

use tracing::{error, info, warn};

use super::clauses::{how, millis};
use crate::core::{ExitCause, ExitStatus, NextAction, WorkerId};

/// How a process ended, for machines.
pub(super) struct Fields<'a> {
    pub(super) code: Option<i32>,
    pub(super) signal: Option<&'a str>,
    /// Why it never started, a clause.
    pub(super) not_started: Option<&'a str>,
}

impl<'a> Fields<'a> {
    pub(super) const fn none() -> Self {
        Self { code: None, signal: None, not_started: None }
    }

    pub(super) const fn of(status: &'a ExitStatus) -> Self {
        match status {
            ExitStatus::Code(code) => Self { code: Some(*code), ..Self::none() },
            ExitStatus::Signal(name) => Self { signal: Some(name.as_str()), ..Self::none() },
            ExitStatus::NotStarted(reason) => Self { not_started: Some(reason.as_str()), ..Self::none() },
        }
    }
}

/// A line about the end of a process, by its weight.
enum Weight {
    Info,
    Warn,
    Error,
}

/// The end of a worker's process.
pub(super) struct End<'a> {
    pub(super) wid: WorkerId,
    pub(super) pid: i32,
    pub(super) status: &'a ExitStatus,
    pub(super) uptime: Option<Duration>,
    pub(super) cause: ExitCause,
    pub(super) then: NextAction,
}

/// Writes the line for it.
pub(super) fn exited(end: &End<'_>) {
    let &End { wid, pid, status, uptime, cause, then } = end;
    let Fields { code, signal, not_started } = Fields::of(status);
    let (how, ms) = (how(status), uptime.map(millis));
    let age = match (status, ms) {
        (ExitStatus::NotStarted(_), _) => String::new(),
        (ExitStatus::Code(_) | ExitStatus::Signal(_), None) => " before it was online".to_owned(),
        (ExitStatus::Code(_) | ExitStatus::Signal(_), Some(ms)) => format!(" after {ms} ms"),
    };
    let (wid, pid, who) = match pid {
        0 => (wid.0, None, format!("worker {wid}")),
        pid => (wid.0, Some(pid), format!("worker {wid} (pid {pid})")),
    };
    // One that goes by itself without a complaint may do so to be replaced.
    let weight = match (cause, status) {
        (ExitCause::Asked, _) | (ExitCause::ItsOwn, ExitStatus::Code(0)) => Weight::Info,
        (ExitCause::ItsOwn, ExitStatus::Code(_) | ExitStatus::Signal(_) | ExitStatus::NotStarted(_)) => {
            Weight::Warn
        }
    };
    let (weight, what, pause_ms, deaths, rest) = match then {
        NextAction::Nothing => (weight, None, None, None, String::new()),
        NextAction::Stop => (weight, Some("rest"), None, None, "; it stays stopped".to_owned()),
        NextAction::StartAtOnce => (weight, Some("restart"), None, None, "; restarting".to_owned()),
        NextAction::StartAfter(pause) => {
            let pause = millis(pause);
            let rest = format!("; it keeps crashing, restarting in {pause} ms");
            (Weight::Warn, Some("restart"), Some(pause), None, rest)
        }
        NextAction::Dead(deaths) => {
            let rest = format!(
                "; that is sequential death {deaths}, more than control.allowedSequentialDeaths: giving up on it"
            );
            (Weight::Error, Some("dead"), None, Some(deaths), rest)
        }
        NextAction::NeverServed(deaths) => {
            let rest = format!(
                "; it could not listen {deaths} times, and no worker has served yet: giving up on it"
            );
            (Weight::Error, Some("dead"), None, Some(deaths), rest)
        }
    };
    let (event, then) = ("exit", what);
    let text = format!("{who} {how}{age}{rest}");
    match weight {
        Weight::Info => info!(event, wid, pid, code, signal, not_started, ms, then, "{text}"),
        Weight::Warn => warn!(event, wid, pid, code, signal, not_started, ms, then, pause_ms, "{text}"),
        Weight::Error => error!(event, wid, pid, code, signal, not_started, ms, then, deaths, "{text}"),
    }
}
