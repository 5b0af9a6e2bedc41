//! When the loop comes to rest: what starts, rollouts and readings of the configuration needed is then given back.
//!
//! Invariant: it is done once after each such time, so that an idle luster does not wake.

use std::time::Duration;

use crate::core::Moment;
use crate::process;

/// So long after the last time that something was told: a start, an end, a rollout, a reading.
const QUIET: Duration = Duration::from_secs(3);

/// When it is time.
#[derive(Debug, Default)]
pub(super) struct Rest {
    due: Option<Moment>,
}

impl Rest {
    /// Something has happened that does not happen all the time.
    pub(super) fn put_off(&mut self, now: Moment) {
        self.due = Some(now.after(QUIET));
    }

    pub(super) const fn next_wake(&self) -> Option<Moment> {
        self.due
    }

    /// Gives memory back, if it is time.
    pub(super) fn wake(&mut self, now: Moment) {
        if self.due.take_if(|due| *due <= now).is_some() {
            process::give_back();
        }
    }
}
