//! How it ended, in a log line and an exit code.
//!
//! Invariant: the exit code follows from the outcome alone.

use tracing::{error, info, warn};

use super::clauses;
use super::translate;
use crate::core::{Death, ExitStatus, Outcome, RefusalCause, StopCause};
use crate::exit::Exit;

/// Says how it ended.
pub(super) fn tell(outcome: &Outcome) {
    match outcome {
        Outcome::Stopped => info!(event = "stopped", "stopped"),
        Outcome::Killed(cause) => {
            warn!(event = "killed", signal = %cause, "killed by a second stop signal, {cause}");
        }
        Outcome::Chosen(code) => info!(
            event = "stopped",
            code, "stopped; an extension or the configuration chose exit code {code}"
        ),
        // Why has been said when the last one died.
        Outcome::AllDead(_) => {}
        Outcome::HostFailed(status, fault) => {
            let how = clauses::how(status);
            let why = match fault {
                // It says all there is to say.
                Some(fault) if is_config(status) => fault.clone(),
                Some(fault) => format!("{fault} ({how})"),
                None => how,
            };
            error!(event = "extension_failed", reason = why, "stopping because an extension failed: {why}");
        }
    }
}

/// The exit code it ends with.
pub(super) fn exit(outcome: &Outcome) -> Exit {
    match outcome {
        Outcome::Stopped => Exit::Stopped,
        Outcome::Killed(cause) => killed(*cause),
        Outcome::Chosen(code) => Exit::Chosen(*code),
        Outcome::AllDead(deaths) => common_cause(deaths),
        Outcome::HostFailed(status, _) if is_config(status) => Exit::Config,
        Outcome::HostFailed(..) => Exit::AllWorkersDead,
    }
}

fn is_config(status: &ExitStatus) -> bool {
    *status == ExitStatus::Code(Exit::Config.code().into())
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
