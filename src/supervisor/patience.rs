//! How long a life that is to end may take, and what happens then.
//!
//! Invariant: deadlines count from one moment, the beginning of the stop, and are not renewed.

use std::time::Duration;

use super::ids::Moment;
use super::order::Overdue;
use super::policy::Limits;

/// From leaving the channel to SIGTERM, where `control.stopTimeout` says nothing.
const LINGER: Duration = Duration::from_secs(10);
/// From leaving the channel to SIGKILL, where `control.killTimeout` says nothing.
const LINGER_KILL: Duration = Duration::from_secs(20);
/// From an unannounced end of the channel to SIGTERM. Node exits at once when that happens, so a process
/// that is still there is no longer a worker.
const UNANNOUNCED: Duration = Duration::from_secs(2);
/// From SIGTERM to SIGKILL for a life that is not worth waiting for, where `control.killTimeout` says nothing.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// When patience ends.
#[derive(Debug, Clone, Default)]
pub(super) struct Deadlines {
    pub(super) terminate: Option<(Moment, Overdue)>,
    pub(super) kill: Option<(Moment, Overdue)>,
}

impl Deadlines {
    pub(super) fn of_a_stop(now: Moment, limits: &Limits) -> Self {
        let at = |wait: Option<Duration>| wait.map(|wait| (now.after(wait), Overdue::Stop(wait)));
        Self { terminate: at(limits.stop_timeout), kill: at(limits.kill_timeout) }
    }

    /// SIGTERM has just been ordered; SIGKILL follows.
    pub(super) fn after_a_signal(now: Moment, limits: &Limits) -> Self {
        let wait = limits.kill_timeout.unwrap_or(LAST_WORDS);
        Self { terminate: None, kill: Some((now.after(wait), Overdue::Stop(wait))) }
    }

    pub(super) fn left_the_channel(&mut self, now: Moment, limits: &Limits) {
        let at = |wait: Duration| Some((now.after(wait), Overdue::Exit(wait)));
        if limits.stop_timeout.is_none() {
            self.terminate = at(LINGER);
        }
        if limits.kill_timeout.is_none() && self.kill.is_none() {
            let after_terminate = limits.stop_timeout.unwrap_or(Duration::ZERO).saturating_add(LAST_WORDS);
            self.kill = at(LINGER_KILL.max(after_terminate));
        }
    }

    /// The channel ended without a word. The operator's limits for a stop hold from the worker's own disconnect on.
    pub(super) fn vanished(now: Moment, limits: &Limits) -> Self {
        let mut deadlines = Self::of_a_stop(now, limits);
        let at = |wait: Duration| Some((now.after(wait), Overdue::Exit(wait)));
        let terminate = limits.stop_timeout.unwrap_or(UNANNOUNCED);
        deadlines.terminate = deadlines.terminate.or_else(|| at(terminate));
        deadlines.kill = deadlines.kill.or_else(|| at(terminate.saturating_add(LAST_WORDS)));
        deadlines
    }

    pub(super) fn next(&self) -> Option<Moment> {
        let moments = [&self.terminate, &self.kill];
        moments.into_iter().filter_map(|due| due.as_ref().map(|(at, _)| *at)).min()
    }
}
