//! What the supervisor is about: to serve, to end, or nothing any more.
//!
//! Invariants: it only ever moves on, from serving to the end; how long a signal may be the first one's echo is counted by
//! wakes that come in time, so that a time in which this process did not run counts for nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::effect::Outcome;
use super::ids::Moment;

/// What it is all for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Goal {
    Serve,
    /// The end, which is this one; whoever is left at that moment is killed.
    Stop {
        outcome: Outcome,
        kill: Option<Moment>,
        /// What the next signal that asks for it means.
        next_signal: NextSignal,
    },
    Finished,
}

/// One request to stop may come twice: a Ctrl-C from the terminal and from a parent that passes it on, as npm does; a
/// SIGTERM from `timeout`, to its child and to the group.
const ECHO: Duration = Duration::from_millis(500);

/// A wake that comes later than this after its time tells that this process did not run: what was sent meanwhile is to come.
const LATE: Duration = Duration::from_millis(20);

/// What a signal that asks for a stop means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum NextSignal {
    /// The stop.
    Stop,
    /// The same stop once more. No signal says when it was sent, so this is over at a wake, not at a moment.
    Echo {
        over: Moment,
        /// Whether the next wake ends it: the first one may come before a signal that is there already.
        is_last: bool,
    },
    /// That everything is to end now.
    Kill,
}

impl NextSignal {
    /// Whether there is something to be ended now, a signal having come.
    pub(super) fn take(&mut self, now: Moment) -> bool {
        if let Self::Stop = self {
            *self = Self::Echo { over: now.after(ECHO), is_last: false };
        }
        matches!(self, Self::Kill)
    }

    pub(super) fn wake(&mut self, now: Moment) {
        *self = match *self {
            Self::Echo { over, is_last: true } if over <= now => Self::Kill,
            Self::Echo { over, is_last: false } if over <= now => {
                let more = if now.since(over) > LATE { ECHO } else { LATE };
                Self::Echo { over: now.after(more), is_last: true }
            }
            Self::Stop | Self::Echo { .. } | Self::Kill => *self,
        };
    }

    const fn next_wake(self) -> Option<Moment> {
        match self {
            Self::Echo { over, .. } => Some(over),
            Self::Stop | Self::Kill => None,
        }
    }
}

impl Goal {
    /// The end, for this reason.
    pub(super) const fn stop(outcome: Outcome) -> Self {
        Self::Stop { outcome, kill: None, next_signal: NextSignal::Stop }
    }

    pub(super) fn next_wake(&self) -> Option<Moment> {
        match self {
            Self::Stop { kill, next_signal, .. } => kill.iter().copied().chain(next_signal.next_wake()).min(),
            Self::Serve | Self::Finished => None,
        }
    }
}
