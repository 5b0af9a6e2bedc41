//! Turns notices into log lines: one sentence each, naming the worker and its pid.
//!
//! Fields for machines: `event` always, `wid` and `pid` where a worker is meant, more where it helps.

use std::collections::BTreeSet;

use tracing::{debug, error, info, warn};

use super::clauses::{abort_reason, after_abort, causes, count, died, how, millis, queued, what_it_lacks};
use super::exit_lines::{End, Fields, exited};
use crate::core::{
    AbortReason, AfterAbort, Culprit, Endpoint, ExitStatus, HostThen, InstanceId, LastWords, Notice, OnDeath,
    Overdue, RestartOrder, Signal, StopReason, WorkerId,
};
use crate::exit::Exit;

/// Writes the line for a notice. `pid` finds an instance's process number; 0 stands for none.
pub(super) fn tell(notice: &Notice, pid: impl Fn(InstanceId) -> i32) {
    match notice {
        Notice::Online(wid, instance) => {
            let pid = pid(*instance);
            debug!(event = "online", wid = wid.0, pid, "worker {wid} (pid {pid}) is online");
        }
        Notice::Listening(wid, instance, endpoint, _) => {
            let pid = pid(*instance);
            let on = endpoint.to_string();
            debug!(event = "listening", wid = wid.0, pid, on, "worker {wid} (pid {pid}) listens on {on}");
        }
        Notice::Refused(wid, instance, refusal) => {
            let (pid, on, reason) = (pid(*instance), &refusal.endpoint, &refusal.reason);
            warn!(event = "refused", wid = wid.0, pid, on = %on, reason,
                "worker {wid} (pid {pid}) cannot listen on {on}: {reason}");
        }
        Notice::Ready(wid, instance, took) => ready(*wid, pid(*instance), millis(*took)),
        Notice::Unready(wid, instance, time) => unready(*wid, pid(*instance), millis(*time)),
        Notice::ReadyWithout(wid, instance, missing) => ready_without(*wid, pid(*instance), missing),
        Notice::Stopping(wid, instance, why) => stopping(*wid, pid(*instance), why),
        Notice::SuspendUnanswered(wid, instance) => {
            let pid = pid(*instance);
            warn!(
                event = "suspend_unanswered",
                wid = wid.0,
                pid,
                "worker {wid} (pid {pid}) did not finish its suspend functions within 10 s, or its event loop is blocked; \
                 disconnecting it anyway"
            );
        }
        Notice::StillBusy(wid, instance, time) => still_busy(*wid, pid(*instance), millis(*time)),
        Notice::Signalled(wid, instance, signal, overdue) => {
            signalled(*wid, pid(*instance), *signal, *overdue)
        }
        Notice::Exited { worker, instance, status, uptime, cause, then } => {
            let (pid, uptime, cause, then) = (pid(*instance), *uptime, *cause, *then);
            exited(&End { wid: *worker, pid, status, uptime, cause, then });
        }
        Notice::RolloutBegan(..)
        | Notice::RolloutExtended(_)
        | Notice::RolloutFinished { .. }
        | Notice::RolloutAborted { .. }
        | Notice::RolloutHeld { .. }
        | Notice::ConfigurationRefused(_)
        | Notice::TakenBack { .. }
        | Notice::RolloutCancelled => rollout(notice, pid),
        Notice::AllDead(deaths) => {
            let causes = causes(deaths);
            error!(event = "all_dead", causes, "every worker is dead: {causes}");
        }
        Notice::HostReady(..) | Notice::HostGivenUp(..) | Notice::HostExited { .. } => host(notice),
        Notice::ShuttingDown(processes) => shutting_down(*processes),
        // Of what a worker does only what follows from it is worth a line.
        Notice::SaidReady(..) | Notice::Disconnected(..) | Notice::Settings(..) | Notice::Removed(_) => {}
        Notice::Killing(processes) => {
            let workers = count(*processes);
            warn!(event = "killing_all", processes, "killing {workers} immediately");
        }
    }
}

fn shutting_down(processes: usize) {
    // What ended before anything ran has its own line.
    if processes > 0 {
        let workers = count(processes);
        info!(event = "stopping_all", processes, "stopping {workers}");
    }
}

fn ready(wid: WorkerId, pid: i32, ms: u64) {
    info!(event = "ready", wid = wid.0, pid, ms, "worker {wid} (pid {pid}) is ready after {ms} ms");
}

fn unready(wid: WorkerId, pid: i32, ms: u64) {
    let seconds = ms / 1000;
    warn!(
        event = "unready",
        wid = wid.0,
        pid,
        ms,
        "worker {wid} (pid {pid}) has not called ready() for {seconds} s; with control.triggerReadyStateManually it is not \
         ready before it calls require('luster').ready()"
    );
}

fn still_busy(wid: WorkerId, pid: i32, ms: u64) {
    let seconds = ms / 1000;
    warn!(
        event = "still_busy",
        wid = wid.0,
        pid,
        ms,
        "worker {wid} (pid {pid}) has been stopping for {seconds} s and still has a connection or request; without \
         control.stopTimeout it may take as long as it needs"
    );
}

fn ready_without(wid: WorkerId, pid: i32, missing: &BTreeSet<Endpoint>) {
    let missing = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    warn!(
        event = "ready_without",
        wid = wid.0,
        pid,
        missing,
        "worker {wid} (pid {pid}) says it is ready but does not listen on {missing}, as it should; it counts as \
         ready"
    );
}

fn stopping(wid: WorkerId, pid: i32, why: &StopReason) {
    let event = "stopping";
    match why {
        StopReason::Shutdown | StopReason::Replaced | StopReason::Removed | StopReason::Asked => {
            debug!(event, wid = wid.0, pid, "stopping worker {wid} (pid {pid})");
        }
        StopReason::LaunchTimedOut(limit) => {
            let ms = millis(*limit);
            warn!(
                event,
                wid = wid.0,
                pid,
                ms,
                "worker {wid} (pid {pid}) was not online within {ms} ms (control.forkTimeout); sending SIGTERM"
            );
        }
        StopReason::NotReady(limit, lack) => {
            let (ms, lack) = (millis(*limit), what_it_lacks(lack));
            warn!(
                event,
                wid = wid.0,
                pid,
                ms,
                "worker {wid} (pid {pid}) was not ready within {ms} ms (control.readyTimeout): {lack}; it is started anew"
            );
        }
        StopReason::GivenUp => {
            warn!(
                event,
                wid = wid.0,
                pid,
                "worker {wid} (pid {pid}), a failed replacement, is being stopped"
            );
        }
        StopReason::Broken(reason) => {
            warn!(
                event,
                wid = wid.0,
                pid,
                reason,
                "worker {wid} (pid {pid}) broke the protocol on its channel: {reason}; sending SIGTERM"
            );
        }
    }
}

fn signalled(wid: WorkerId, pid: i32, signal: Signal, overdue: Overdue) {
    let (name, key) = match signal {
        Signal::Terminate => ("SIGTERM", "control.stopTimeout"),
        Signal::Kill => ("SIGKILL", "control.killTimeout"),
    };
    let (limit, what) = match overdue {
        Overdue::Stop(limit) => (limit, format!("has not exited within {} ms ({key})", millis(limit))),
        Overdue::Answer(limit) => (
            limit,
            format!(
                "has not answered for {} ms since it was told to close its servers: its event loop is blocked",
                millis(limit)
            ),
        ),
        Overdue::Exit(limit) => {
            (limit, format!("disconnected {} ms ago and is still running", millis(limit)))
        }
    };
    let advice = match (overdue, signal) {
        (Overdue::Stop(_), _) => String::new(),
        (Overdue::Exit(_), Signal::Terminate) => " (control.exitTimeout would set another limit)".to_owned(),
        (Overdue::Exit(_), Signal::Kill) | (Overdue::Answer(_), _) => {
            format!(" ({key} would set another limit)")
        }
    };
    let (event, ms) = ("signalled", millis(limit));
    warn!(
        event,
        wid = wid.0,
        pid,
        signal = name,
        ms,
        "worker {wid} (pid {pid}) {what}; sending {name}{advice}"
    );
}

fn rollout(notice: &Notice, pid: impl Fn(InstanceId) -> i32) {
    match notice {
        Notice::ConfigurationRefused(reason) => {
            let kept = "the configuration is refused, and the workers run on as they are";
            error!(event = "config_refused", reason, "{kept}: {reason}");
        }
        Notice::RolloutBegan(workers, order) => {
            let order = match order {
                RestartOrder::StopFirst => "stop-first",
                RestartOrder::StartFirst => "start-first",
            };
            let all = count(*workers);
            info!(event = "rollout_began", workers, order, "rolling restart of {all}, {order}");
        }
        Notice::RolloutExtended(waiting) => {
            let workers = queued(*waiting);
            info!(
                event = "rollout_extended",
                waiting, "a restart is under way; the request joins it, {workers}"
            );
        }
        Notice::RolloutFinished { replaced, took, .. } => {
            let (ms, workers) = (millis(*took), count(*replaced));
            info!(
                event = "rollout_finished",
                replaced, ms, "rolling restart finished: {workers} replaced in {ms} ms"
            );
        }
        Notice::RolloutAborted { culprit, reason, replaced, then } => {
            aborted(*culprit, pid, reason, *replaced, *then);
        }
        Notice::RolloutHeld { worker, instance, status, words, waiting, on_death } => {
            held(*worker, pid(*instance), (status, words.as_ref()), *waiting, *on_death);
        }
        Notice::TakenBack { replaced, took } => {
            let (ms, workers) = (millis(*took), count(*replaced));
            warn!(
                event = "rollout_taken_back",
                replaced,
                ms,
                "the failed rolling restart is taken back: all workers run what they ran before, {workers} replaced for \
                 that in {ms} ms"
            );
        }
        Notice::RolloutCancelled => {
            info!(event = "rollout_cancelled", "rolling restart cancelled by a stop");
        }
        // Told by `tell` itself.
        _ => {}
    }
}

fn aborted(
    culprit: Culprit,
    pid: impl Fn(InstanceId) -> i32,
    reason: &AbortReason,
    replaced: usize,
    then: AfterAbort,
) {
    let (wid, pid) = match culprit {
        Culprit::Worker(worker, instance) => (Some(worker.0), Some(pid(instance))),
        Culprit::Host(_) => (None, None),
    };
    let who = match (wid, pid) {
        (Some(wid), Some(pid)) => format!("the replacement of worker {wid} (pid {pid})"),
        (_, _) => "the new extension host".to_owned(),
    };
    let (limit_ms, Fields { code, signal, not_started }, error) = match reason {
        AbortReason::NotReady(limit, _) => (Some(millis(*limit)), Fields::none(), None),
        AbortReason::Died { status, words, .. } => (None, Fields::of(status), words.as_ref()),
        AbortReason::Refused(_) => (None, Fields::none(), None),
    };
    let error = error.map(|words| words.error.as_str());
    let (why, workers, then) = (abort_reason(reason), count(replaced), after_abort(then));
    let were = if replaced == 1 { "was" } else { "were" };
    error!(
        event = "rollout_aborted",
        wid,
        pid,
        replaced,
        limit_ms,
        code,
        signal,
        not_started,
        error,
        "rolling restart aborted: {who} {why}; {workers} {were} replaced, {then}"
    );
}

fn held(
    wid: WorkerId,
    pid: i32,
    (status, words): (&ExitStatus, Option<&LastWords>),
    waiting: usize,
    on_death: OnDeath,
) {
    let Fields { code, signal, not_started } = Fields::of(status);
    let error = words.map(|words| words.error.as_str());
    let (how, workers) = (died(status, words), queued(waiting));
    let (event, wid) = ("rollout_held", wid.0);
    match on_death {
        OnDeath::Hold => error!(
            event,
            wid,
            pid,
            code,
            signal,
            not_started,
            error,
            waiting,
            "rolling restart paused: the replacement of worker {wid} (pid {pid}) {how}; {workers}, and the other workers \
             keep serving; it is retried with pauses of up to 5 s, so fix the cause and the restart continues by itself, \
             or immediately with the next SIGHUP"
        ),
        OnDeath::Continue => warn!(
            event,
            wid,
            pid,
            code,
            signal,
            not_started,
            error,
            waiting,
            "rolling restart paused: the replacement of worker {wid} (pid {pid}) {how}; {workers}, and the other workers \
             keep serving until worker {wid} is ready or given up on"
        ),
    }
}

fn host(notice: &Notice) {
    match notice {
        Notice::HostReady(_, took) => {
            let ms = millis(*took);
            info!(event = "host_ready", ms, "the extension host is ready after {ms} ms");
        }
        Notice::HostGivenUp(_, reason) => {
            error!(event = "host_given_up", reason, "killing the extension host: {reason}");
        }
        Notice::HostExited { instance: _, status, fault, then } => {
            host_exited(status, fault.as_deref(), *then)
        }
        // Told by `tell` itself.
        _ => {}
    }
}

fn host_exited(status: &ExitStatus, fault: Option<&str>, then: HostThen) {
    let Fields { code, signal, not_started } = Fields::of(status);
    // A configuration's fault is told by the line with which luster ends.
    let is_told = then == HostThen::Nothing && code == Some(Exit::Config.code().into());
    let how = match fault.filter(|_| !is_told) {
        Some(fault) => format!("{} ({fault})", how(status)),
        None => how(status),
    };
    let (event, what) = ("host_exit", format!("the extension host {how}"));
    match then {
        HostThen::Nothing => info!(event, code, signal, not_started, fault, "{what}"),
        HostThen::NotNeeded => {
            info!(event, code, signal, not_started, fault, "{what}; none is needed now");
        }
        HostThen::StartAtOnce => {
            let then = "restart";
            warn!(
                event,
                code, signal, not_started, fault, then, "{what}; restarting it, the workers keep running"
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
                "{what}; it keeps crashing, restarting it in {pause_ms} ms, the workers keep running"
            );
        }
    }
}
