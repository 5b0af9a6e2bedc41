//! What the operator asked of the supervisor, in full: nothing optional is left that has a default.

use std::time::Duration;

/// How workers are started, watched, stopped and replaced. Each field's configuration key is in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How many workers to keep, at least 1 [`workers`].
    pub workers: u32,
    /// From fork to `online`; on expiry the worker gets SIGTERM [`control.forkTimeout`].
    pub fork_timeout: Option<Duration>,
    /// From the request to stop, or the worker's own disconnect, to SIGTERM [`control.stopTimeout`].
    pub stop_timeout: Option<Duration>,
    /// From the same start to SIGKILL [`control.killTimeout`].
    pub kill_timeout: Option<Duration>,
    /// A death sooner than this after `online` is sequential [`control.exitThreshold`].
    pub exit_threshold: Option<Duration>,
    /// More sequential deaths than this leave the worker dead [`control.allowedSequentialDeaths`].
    pub allowed_sequential_deaths: u32,
    /// Who says that a worker is ready [`control.triggerReadyStateManually`].
    pub readiness: Readiness,
    /// Which comes first in a roll-out, the old worker's end or the new one's start [`control.restart`].
    pub restart: RestartOrder,
    /// How many workers a roll-out replaces at a time, at least 1 [`control.parallel`].
    pub parallel: u32,
    /// How long a replacement may take from fork to ready [`control.readyTimeout`].
    pub ready_timeout: Option<Duration>,
}

/// Who says that a worker is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// The app has loaded, and listens on what its predecessor listened on.
    Automatic,
    /// The app calls `require('luster').ready()`.
    Manual,
}

/// Which comes first when a worker is replaced in a roll-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartOrder {
    /// The old worker ends, then the new one starts (as JS luster).
    StopFirst,
    /// The new worker is ready, then the old one drains.
    StartFirst,
}
