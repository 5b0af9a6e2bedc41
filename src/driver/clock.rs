//! The clock of the loop: the one place where a [`Moment`] is read.
//!
//! Invariant: a moment counts on CLOCK_MONOTONIC, which shows every process the same until the machine starts again. So the
//! moments in a state that one luster leaves to another stay true.

use std::future::pending;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::core::Moment;

/// The moment it is.
pub(super) fn now() -> Moment {
    Moment(0).after(shown())
}

/// Waits until then; for ever without a moment.
pub(super) async fn reaches(moment: Option<Moment>) {
    match moment {
        Some(moment) => {
            // Read before `Instant`, so that it is never early.
            let wait = moment.since(Moment(0)).saturating_sub(shown());
            tokio::time::sleep_until((Instant::now() + wait).into()).await;
        }
        None => pending().await,
    }
}

/// What the clock shows in microseconds, for a service manager, which compares it with when it asked.
pub(super) fn microseconds() -> u64 {
    u64::try_from(shown().as_micros()).unwrap_or(u64::MAX)
}

/// What the clock shows: the one that [`Instant`] is of, too, which does not tell.
fn shown() -> Duration {
    // As for `Instant::now`: every kernel has this clock, and reading it cannot fail.
    clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the kernel has a monotonic clock").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_what_the_kernels_clock_shows_whenever_we_were_started() {
        let read = || clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap().tv_sec() * 1000;
        let (before, now, after) = (read(), now(), read() + 1000);
        let shown = i64::try_from(now.0).unwrap();
        assert!((before..=after).contains(&shown), "{before} <= {shown} <= {after}");
    }

    #[test]
    fn what_is_waited_for_has_come() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        for wait in [0, 1, 3, 20] {
            let due = now().after(Duration::from_millis(wait));
            runtime.block_on(reaches(Some(due)));
            assert!(now() >= due);
        }
        runtime.block_on(reaches(Some(Moment(0))));
    }
}
