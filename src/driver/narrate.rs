//! Turns notices into log lines: one sentence each, naming the worker and its pid.
//!
//! Fields for machines: `event` always, `wid` and `pid` where a worker is meant, more where it helps.

use std::collections::BTreeSet;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use crate::supervisor::{
    AbortReason, Death, Ending, Endpoint, HostThen, Life, Notice, Overdue, RestartOrder, Signal, StopReason,
    Then, WorkerId,
};

/// Writes the line for a notice. `pid` finds a life's process number; 0 stands for none.
pub(super) fn tell(notice: &Notice, pid: impl Fn(Life) -> i32) {
    match notice {
        Notice::Online(wid, life) => {
            let pid = pid(*life);
            debug!(event = "online", wid = wid.0, pid, "worker {wid} (pid {pid}) is online");
        }
        Notice::Listening(wid, life, endpoint) => {
            let pid = pid(*life);
            let on = endpoint.to_string();
            debug!(
                event = "listening",
                wid = wid.0,
                pid,
                on,
                "worker {wid} (pid {pid}) listens on {endpoint}"
            );
        }
        Notice::Refused(wid, life, refusal) => {
            let (pid, on, reason) = (pid(*life), &refusal.endpoint, &refusal.reason);
            warn!(event = "refused", wid = wid.0, pid, on = %on, reason,
                "worker {wid} (pid {pid}) cannot listen on {on}: {reason}");
        }
        Notice::Ready(wid, life, took) => ready(*wid, pid(*life), millis(*took)),
        Notice::ReadyWithout(wid, life, missing) => ready_without(*wid, pid(*life), missing),
        Notice::Stopping(wid, life, why) => stopping(*wid, pid(*life), why),
        Notice::SuspendUnanswered(wid, life) => {
            let pid = pid(*life);
            warn!(
                event = "suspend_unanswered",
                wid = wid.0,
                pid,
                "worker {wid} (pid {pid}) did not finish its suspend functions within 10 s; it is disconnected \
                 all the same"
            );
        }
        Notice::Signalled(wid, life, signal, overdue) => signalled(*wid, pid(*life), *signal, *overdue),
        Notice::Exited { worker, life, ending, lived, then } => {
            exited(*worker, pid(*life), ending, *lived, *then);
        }
        Notice::RollOutBegan(..)
        | Notice::RollOutExtended(_)
        | Notice::RollOutFinished { .. }
        | Notice::RollOutAborted { .. }
        | Notice::RollOutHeld { .. }
        | Notice::RollOutCancelled => roll_out(notice, pid),
        Notice::AllDead(deaths) => {
            let causes = causes(deaths);
            error!(event = "all_dead", causes, "every worker is dead: {causes}");
        }
        Notice::HostReady(..) | Notice::HostGivenUp(..) | Notice::HostExited { .. } => host(notice),
        Notice::ShuttingDown(processes) => {
            info!(event = "stopping_all", processes, "stopping {processes} workers");
        }
        Notice::Killing(processes) => {
            warn!(event = "killing_all", processes, "killing {processes} workers at once");
        }
    }
}

fn ready(wid: WorkerId, pid: i32, ms: u64) {
    info!(event = "ready", wid = wid.0, pid, ms, "worker {wid} (pid {pid}) is ready after {ms} ms");
}

fn ready_without(wid: WorkerId, pid: i32, missing: &BTreeSet<Endpoint>) {
    let missing = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    warn!(
        event = "ready_without",
        wid = wid.0,
        pid,
        missing,
        "worker {wid} (pid {pid}) says it is ready but does not listen on {missing}, as its predecessor did; it \
         counts as ready"
    );
}

fn stopping(wid: WorkerId, pid: i32, why: &StopReason) {
    let event = "stopping";
    match why {
        StopReason::Shutdown | StopReason::Replaced | StopReason::Asked => {
            debug!(event, wid = wid.0, pid, "worker {wid} (pid {pid}) is stopped");
        }
        StopReason::LaunchTimedOut(limit) => {
            let ms = millis(*limit);
            warn!(
                event,
                wid = wid.0,
                pid,
                ms,
                "worker {wid} (pid {pid}) was not online within {ms} ms (control.forkTimeout); it gets SIGTERM"
            );
        }
        StopReason::GivenUp => {
            warn!(event, wid = wid.0, pid, "worker {wid} (pid {pid}), a failed replacement, is stopped");
        }
        StopReason::Broken(reason) => {
            warn!(
                event,
                wid = wid.0,
                pid,
                reason,
                "worker {wid} (pid {pid}) broke the protocol on its channel: {reason}; it gets SIGTERM"
            );
        }
    }
}

fn signalled(wid: WorkerId, pid: i32, signal: Signal, overdue: Overdue) {
    let (name, key) = match signal {
        Signal::Terminate => ("SIGTERM", "control.stopTimeout"),
        Signal::Kill => ("SIGKILL", "control.killTimeout"),
    };
    let event = "signalled";
    match overdue {
        Overdue::Stop(limit) => {
            let ms = millis(limit);
            warn!(
                event,
                wid = wid.0,
                pid,
                signal = name,
                ms,
                "worker {wid} (pid {pid}) has not ended within {ms} ms ({key}); it gets {name}"
            );
        }
        Overdue::Exit(limit) => {
            let ms = millis(limit);
            warn!(
                event,
                wid = wid.0,
                pid,
                signal = name,
                ms,
                "worker {wid} (pid {pid}) left its channel {ms} ms ago and still runs; it gets {name} \
                 ({key} would set another limit)"
            );
        }
    }
}

/// How a process ended, for machines.
struct Fields<'a> {
    code: Option<i32>,
    signal: Option<&'a str>,
    /// Why it never started, a clause.
    not_started: Option<&'a str>,
}

impl<'a> Fields<'a> {
    const fn none() -> Self {
        Self { code: None, signal: None, not_started: None }
    }

    const fn of(ending: &'a Ending) -> Self {
        match ending {
            Ending::Code(code) => Self { code: Some(*code), ..Self::none() },
            Ending::Signal(name) => Self { signal: Some(name.as_str()), ..Self::none() },
            Ending::NotStarted(reason) => Self { not_started: Some(reason.as_str()), ..Self::none() },
        }
    }
}

fn exited(wid: WorkerId, pid: i32, ending: &Ending, lived: Option<Duration>, then: Then) {
    let Fields { code, signal, not_started } = Fields::of(ending);
    let how = how(ending);
    let ms = lived.map(millis);
    let age = match (ending, ms) {
        (Ending::NotStarted(_), _) => String::new(),
        (Ending::Code(_) | Ending::Signal(_), None) => " before it was online".to_owned(),
        (Ending::Code(_) | Ending::Signal(_), Some(ms)) => format!(" after {ms} ms"),
    };
    let (wid, pid, who) = match pid {
        0 => (wid.0, None, format!("worker {wid}")),
        pid => (wid.0, Some(pid), format!("worker {wid} (pid {pid})")),
    };
    let (event, what) = ("exit", format!("{who} {how}{age}"));
    match then {
        Then::Nothing => info!(event, wid, pid, code, signal, not_started, ms, "{what}"),
        Then::Rest => {
            info!(event, wid, pid, code, signal, not_started, ms, then = "rest", "{what}; it stays stopped");
        }
        Then::StartAtOnce => {
            let then = "restart";
            info!(event, wid, pid, code, signal, not_started, ms, then, "{what}; it is started again");
        }
        Then::StartAfter(pause) => {
            let (then, pause_ms) = ("restart", millis(pause));
            warn!(
                event,
                wid,
                pid,
                code,
                signal,
                not_started,
                ms,
                then,
                pause_ms,
                "{what}; it keeps dying young and is started again in {pause_ms} ms"
            );
        }
        Then::Dead(deaths) => {
            error!(
                event,
                wid,
                pid,
                code,
                signal,
                not_started,
                ms,
                then = "dead",
                deaths,
                "{what}; that is sequential death {deaths}, more than control.allowedSequentialDeaths: \
                 the worker is left dead"
            );
        }
    }
}

fn roll_out(notice: &Notice, pid: impl Fn(Life) -> i32) {
    match notice {
        Notice::RollOutBegan(workers, order) => {
            let order = match order {
                RestartOrder::StopFirst => "stop-first",
                RestartOrder::StartFirst => "start-first",
            };
            info!(event = "roll_out_began", workers, order, "rolling restart of {workers} workers, {order}");
        }
        Notice::RollOutExtended(waiting) => {
            info!(
                event = "roll_out_extended",
                waiting,
                "a restart is under way; the request joins it, {waiting} workers wait for their turn"
            );
        }
        Notice::RollOutFinished { replaced, took, .. } => {
            let ms = millis(*took);
            info!(
                event = "roll_out_finished",
                replaced, ms, "rolling restart finished: {replaced} workers replaced in {ms} ms"
            );
        }
        Notice::RollOutAborted { worker: wid, life, reason, replaced } => {
            let pid = pid(*life);
            let why = abort_reason(reason);
            let (limit_ms, Fields { code, signal, not_started }) = match reason {
                AbortReason::NotReady(limit) => (Some(millis(*limit)), Fields::none()),
                AbortReason::Died(ending) => (None, Fields::of(ending)),
            };
            error!(
                event = "roll_out_aborted",
                wid = wid.0,
                pid,
                replaced,
                limit_ms,
                code,
                signal,
                not_started,
                "rolling restart aborted: the replacement of worker {wid} (pid {pid}) {why}; {replaced} workers \
                 were replaced, the others stay as they are"
            );
        }
        Notice::RollOutHeld { worker: wid, life, waiting } => {
            let pid = pid(*life);
            warn!(
                event = "roll_out_held",
                wid = wid.0,
                pid,
                waiting,
                "rolling restart stands still: the replacement of worker {wid} (pid {pid}) died before it was ready; \
                 {waiting} workers wait for their turn and serve on until worker {wid} is ready"
            );
        }
        Notice::RollOutCancelled => {
            info!(event = "roll_out_cancelled", "rolling restart cancelled by a stop");
        }
        other => debug!(event = "other", "{other:?}"),
    }
}

fn host(notice: &Notice) {
    match notice {
        Notice::HostReady(_, took) => {
            let ms = millis(*took);
            info!(event = "host_ready", ms, "the extension host is initialized after {ms} ms");
        }
        Notice::HostGivenUp(_, reason) => {
            error!(event = "host_given_up", reason, "the extension host is killed: {reason}");
        }
        Notice::HostExited { life: _, ending, fault, then } => host_exited(ending, fault.as_deref(), *then),
        other => debug!(event = "other", "{other:?}"),
    }
}

fn host_exited(ending: &Ending, fault: Option<&str>, then: HostThen) {
    let Fields { code, signal, not_started } = Fields::of(ending);
    let how = match fault {
        Some(fault) => format!("{} ({fault})", how(ending)),
        None => how(ending),
    };
    let (event, what) = ("host_exit", format!("the extension host {how}"));
    match then {
        HostThen::Nothing => info!(event, code, signal, not_started, fault, "{what}"),
        HostThen::StartAtOnce => {
            let then = "restart";
            warn!(
                event,
                code,
                signal,
                not_started,
                fault,
                then,
                "{what}; it is started again, workers go on meanwhile"
            );
        }
        HostThen::StartAfter(pause) => {
            let (then, pause_ms) = ("restart", millis(pause));
            warn!(
                event,
                code,
                signal,
                not_started,
                fault,
                then,
                pause_ms,
                "{what}; it keeps dying young and is started again in {pause_ms} ms, workers go on meanwhile"
            );
        }
    }
}

/// Why a replacement failed, a clause without its subject.
pub(super) fn abort_reason(reason: &AbortReason) -> String {
    match reason {
        AbortReason::NotReady(limit) => {
            format!("was not ready within {} ms (control.readyTimeout)", millis(*limit))
        }
        AbortReason::Died(ending) => format!("{} before it was ready", how(ending)),
    }
}

/// What all died of, in one clause.
pub(super) fn causes(deaths: &[Death]) -> String {
    deaths.iter().map(cause).collect::<Vec<_>>().join("; ")
}

/// What a death was of, for the line that says why luster ended.
fn cause(death: &Death) -> String {
    let how = how(&death.ending);
    match &death.refusal {
        Some(refusal) => {
            format!(
                "worker {} {how} after it could not listen on {}: {}",
                death.worker, refusal.endpoint, refusal.reason
            )
        }
        None => format!("worker {} {how}", death.worker),
    }
}

pub(super) fn how(ending: &Ending) -> String {
    match ending {
        Ending::Code(code) => format!("exited with code {code}"),
        Ending::Signal(name) => format!("was killed by {name}"),
        Ending::NotStarted(reason) => format!("could not be started: {reason}"),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
