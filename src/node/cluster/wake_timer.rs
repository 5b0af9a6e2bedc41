//! The one moment at which the room wants to be woken.
//!
//! Invariant: it is never later than anything that was asked for since the last ring; waking early is harmless.

use crate::core::Moment;

/// The earliest wish, if any.
#[derive(Debug, Default)]
pub(super) struct WakeTimer(Option<Moment>);

impl WakeTimer {
    /// Rings at `at` or before.
    pub(super) fn set(&mut self, at: Moment) {
        self.0 = Some(self.0.map_or(at, |set| set.min(at)));
    }

    /// When it rings.
    pub(super) fn at(&self) -> Option<Moment> {
        self.0
    }

    /// Takes a due wake-up; those still wanted must be set again.
    pub(super) fn take_due(&mut self, now: Moment) -> Option<Moment> {
        self.0.take_if(|at| *at <= now)
    }
}
