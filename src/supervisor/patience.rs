//! How long a life that is to end may take, and what happens then.
//!
//! Invariant: deadlines count from one moment, the beginning of the stop, and are not renewed.

use std::time::Duration;

use super::ids::Moment;
use super::order::Overdue;
use super::policy::Policy;

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
    pub(super) fn of_a_stop(now: Moment, policy: &Policy) -> Self {
        let at = |wait: Option<Duration>| wait.map(|wait| (now.after(wait), Overdue::Stop(wait)));
        Self { terminate: at(policy.stop_timeout), kill: at(policy.kill_timeout) }
    }

    /// SIGTERM has just been ordered; SIGKILL follows.
    pub(super) fn after_a_signal(now: Moment, policy: &Policy) -> Self {
        let wait = policy.kill_timeout.unwrap_or(LAST_WORDS);
        Self { terminate: None, kill: Some((now.after(wait), Overdue::Stop(wait))) }
    }

    pub(super) fn left_the_channel(&mut self, now: Moment, policy: &Policy) {
        let at = |wait: Duration| Some((now.after(wait), Overdue::Exit(wait)));
        if policy.stop_timeout.is_none() {
            self.terminate = at(LINGER);
        }
        if policy.kill_timeout.is_none() && self.kill.is_none() {
            let after_terminate = policy.stop_timeout.unwrap_or(Duration::ZERO).saturating_add(LAST_WORDS);
            self.kill = at(LINGER_KILL.max(after_terminate));
        }
    }

    /// The channel ended without a word.
    pub(super) fn vanished(now: Moment) -> Self {
        let at = |wait: Duration| Some((now.after(wait), Overdue::Exit(wait)));
        Self { terminate: at(UNANNOUNCED), kill: at(UNANNOUNCED + LAST_WORDS) }
    }

    pub(super) fn next(&self) -> Option<Moment> {
        let moments = [&self.terminate, &self.kill];
        moments.into_iter().filter_map(|due| due.as_ref().map(|(at, _)| *at)).min()
    }
}
