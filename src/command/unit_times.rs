//! The times in a unit, from the limits in the configuration.
//!
//! Invariant: systemd never ends what the configuration still allows for; where that has no limit, systemd's is said to be one.

use std::time::Duration;

use crate::config::Loaded;
use crate::core::{LifecycleLimits, Policy};
use crate::systemd::UnitFile;

/// What a stop may take where nothing limits it: systemd's own default.
const STOP: Duration = Duration::from_secs(90);
/// What the rest of a start, a step or a stop may take.
const MARGIN: Duration = Duration::from_secs(10);
/// From leaving the channel to SIGKILL, where only SIGTERM has a time.
const AFTER_SIGTERM: Duration = Duration::from_secs(10);
/// What a worker may take to start where nothing limits it.
const START: Duration = Duration::from_secs(60);
/// A watchdog's time.
const WATCHDOG: Duration = Duration::from_secs(30);

/// How long things may take.
pub(super) struct Times {
    start: Duration,
    stop: Duration,
    is_stop_limited: bool,
    workers: u32,
    parallel: u32,
}

impl Times {
    pub(super) fn of(loaded: &Loaded) -> Self {
        let Policy { workers, limits, parallel, ready_timeout, canary, .. } = loaded.settings.policy;
        let LifecycleLimits { stop_timeout, kill_timeout, fork_timeout, .. } = limits;
        let limit = kill_timeout.or_else(|| stop_timeout.map(|stop| stop.saturating_add(AFTER_SIGTERM)));
        let stop = limit.map_or(STOP, |limit| limit.saturating_add(MARGIN));
        let ready = ready_timeout.unwrap_or(START).max(fork_timeout.unwrap_or_default());
        let steps = workers.div_ceil(parallel.max(1)).saturating_add(1);
        let rollout = ready.saturating_add(stop).saturating_mul(steps);
        let watch = canary.map(|canary| canary.watch).unwrap_or_default();
        let extensions = loaded.settings.extensions_load_timeout.unwrap_or(START);
        let start = rollout.saturating_add(watch).saturating_add(extensions);
        Self { start, stop, is_stop_limited: limit.is_some(), workers, parallel }
    }

    pub(super) fn write(&self, unit: &mut UnitFile) {
        let Self { start, stop, is_stop_limited, workers, parallel } = self;
        let s = if *workers == 1 { "" } else { "s" };
        unit.comment(&format!(
            "A start, and a reload that replaces {workers} worker{s}, {parallel} at a time, each of which may take as long as \
             control.readyTimeout and control.killTimeout allow."
        ));
        unit.set("TimeoutStartSec", seconds(*start));
        unit.comment(match is_stop_limited {
            true => "What control.killTimeout, or control.stopTimeout, allows for, and a little more.",
            false => "control.killTimeout is not set: what workers still have under way then is cut off.",
        });
        unit.set("TimeoutStopSec", seconds(*stop));
        unit.comment("It restarts a luster that hangs, or of whose workers none serves or comes up.");
        unit.set("WatchdogSec", seconds(WATCHDOG));
    }
}

fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
