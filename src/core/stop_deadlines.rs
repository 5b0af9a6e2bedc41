//! How long an instance that is to end may take, and what happens then.
//!
//! Invariant: deadlines count from one moment, the beginning of the stop, and are not renewed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::effect::Effect::{self, Notify};
use super::effect::{Notice, Overdue, Signal};
use super::ids::{InstanceId, Moment, WorkerId};
use super::policy::{ExitTimeout, LifecycleLimits};

/// From leaving the channel with nothing left to do to SIGTERM, where no timeout says otherwise.
const IDLE: Duration = Duration::from_secs(2);
/// From leaving the channel with connections that are still open to SIGTERM, where `control.stopTimeout` says nothing.
const LINGER: Duration = Duration::from_secs(10);
/// From then on to SIGKILL, where `control.killTimeout` says nothing.
const LINGER_KILL: Duration = Duration::from_secs(10);
/// From an unannounced end of the channel to SIGTERM. Node exits at once when that happens, so a process
/// that is still there is no longer a worker.
const UNANNOUNCED: Duration = Duration::from_secs(2);
/// From SIGTERM to SIGKILL for an instance that is not worth waiting for, where `control.killTimeout` says nothing.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// From the second request without an answer, the one to close its servers, to SIGTERM, where `control.stopTimeout` says
/// nothing. Node answers it at once, whatever the app does, unless its event loop is blocked.
const UNRESPONSIVE: Duration = Duration::from_secs(10);

/// For so long an instance that no timeout limits has something under way before that is said.
const BUSY: Duration = Duration::from_secs(10);

/// When patience ends.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Deadlines {
    pub(super) terminate: Option<(Moment, Overdue)>,
    pub(super) kill: Option<(Moment, Overdue)>,
    /// When it is said that nothing ends the wait but the instance.
    remind: Option<Moment>,
}

impl Deadlines {
    pub(super) fn of_a_stop(now: Moment, limits: &LifecycleLimits) -> Self {
        let at = |wait: Option<Duration>| wait.map(|wait| (now.after(wait), Overdue::Stop(wait)));
        let (terminate, kill) = (at(limits.stop_timeout), at(limits.kill_timeout));
        let remind = (terminate.is_none() && kill.is_none()).then(|| now.after(BUSY));
        Self { terminate, kill, remind }
    }

    /// SIGTERM has just been ordered; SIGKILL follows.
    pub(super) fn after_a_signal(now: Moment, limits: &LifecycleLimits) -> Self {
        let wait = limits.kill_timeout.unwrap_or(LAST_WORDS);
        Self { terminate: None, kill: Some((now.after(wait), Overdue::Stop(wait))), remind: None }
    }

    /// It has not answered, and is told to close its servers.
    pub(super) fn without_an_answer(&mut self, now: Moment, limits: &LifecycleLimits) {
        let at = |wait: Duration| Some((now.after(wait), Overdue::Answer(wait)));
        if limits.stop_timeout.is_none() {
            self.terminate = self.terminate.or_else(|| at(UNRESPONSIVE));
            if limits.kill_timeout.is_none() {
                self.kill = self.kill.or_else(|| at(UNRESPONSIVE.saturating_add(LINGER_KILL)));
            }
        }
    }

    /// It has answered after all: it may drain as long as it takes.
    pub(super) fn answered(&mut self) {
        for due in [&mut self.terminate, &mut self.kill] {
            due.take_if(|(_, overdue)| matches!(overdue, Overdue::Answer(_)));
        }
    }

    /// It has left its channel, and perhaps its last connection.
    pub(super) fn left_the_channel(
        &mut self,
        now: Moment,
        had: Left,
        limits: &LifecycleLimits,
        exit: ExitTimeout,
    ) {
        self.remind = None;
        let wait = match (exit, had, limits.stop_timeout) {
            (ExitTimeout::Never, _, _) => return,
            (ExitTimeout::After(wait), Left::Idle, _) => Some(wait),
            (ExitTimeout::Default, Left::Idle, None) => Some(IDLE),
            (ExitTimeout::After(_) | ExitTimeout::Default, Left::Busy, None) => Some(LINGER),
            (ExitTimeout::Default, _, Some(_)) | (ExitTimeout::After(_), Left::Busy, Some(_)) => None,
        };
        let at = |wait: Duration| Some((now.after(wait), Overdue::Exit(wait)));
        if let Some(wait) = wait
            && self.terminate.is_none_or(|(set, _)| now.after(wait) < set)
        {
            self.terminate = at(wait);
        }
        if limits.kill_timeout.is_none() && self.kill.is_none() {
            let before = wait.unwrap_or(LINGER).max(limits.stop_timeout.unwrap_or_default());
            self.kill = at(before.saturating_add(LINGER_KILL));
        }
    }

    /// The channel ended without a word. The operator's limits for a stop hold from the worker's own disconnect on.
    pub(super) fn vanished(now: Moment, limits: &LifecycleLimits) -> Self {
        let mut deadlines = Self::of_a_stop(now, limits);
        let at = |wait: Duration| Some((now.after(wait), Overdue::Exit(wait)));
        let terminate = limits.stop_timeout.unwrap_or(UNANNOUNCED);
        deadlines.terminate = deadlines.terminate.or_else(|| at(terminate));
        deadlines.kill = deadlines.kill.or_else(|| at(terminate.saturating_add(LAST_WORDS)));
        deadlines.remind = None;
        deadlines
    }

    /// Acts on what has passed.
    pub(super) fn expire(
        &mut self,
        now: Moment,
        worker: WorkerId,
        id: InstanceId,
        effects: &mut Vec<Effect>,
    ) {
        let due = |at: &mut Moment| *at <= now;
        if self.remind.take_if(due).is_some() && self.terminate.is_none() && self.kill.is_none() {
            effects.push(Notify(Notice::StillBusy(worker, id, BUSY)));
        }
        for (due, signal) in [(&mut self.terminate, Signal::Terminate), (&mut self.kill, Signal::Kill)] {
            if let Some((_, overdue)) = due.take_if(|(at, _)| *at <= now) {
                effects.push(Notify(Notice::Signalled(worker, id, signal, overdue)));
                effects.push(Effect::Signal(id, signal));
            }
        }
    }

    pub(super) fn next(&self) -> Option<Moment> {
        let signals = [&self.terminate, &self.kill].into_iter().flatten().map(|(at, _)| *at);
        signals.chain(self.remind).min()
    }
}

/// What a worker had left when it left its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Left {
    /// It has said that none of its servers' connections is open.
    Idle,
    /// Perhaps connections.
    Busy,
}
