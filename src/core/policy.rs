//! What the operator asked of the supervisor, in full: nothing optional is left that has a default.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The most workers that can be asked for: far above what one machine runs, far below what would exhaust it
/// at once.
pub const MAX_WORKERS: u32 = 10_000;

/// How the fleet is kept. Each field's configuration key is in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How many workers to keep, at least 1 [`workers`].
    pub workers: u32,
    /// How each is watched and stopped, unless it has limits of its own.
    pub limits: LifecycleLimits,
    /// Who says that a worker is ready [`control.triggerReadyStateManually`, `control.ready`].
    pub readiness: Readiness,
    /// Which comes first in a rollout, the old worker's end or the new one's start [`control.restart`].
    pub restart: RestartOrder,
    /// How many workers a rollout replaces at a time, at least 1 [`control.parallel`].
    pub parallel: u32,
    /// How long a replacement may take from fork to ready [`control.readyTimeout`].
    pub ready_timeout: Option<Duration>,
    /// The same for a worker that replaces nobody in a rollout; on expiry it is stopped, and started anew [`control.readyTimeout`,
    /// where that is written: one that takes long by nature would be ended for ever by a default].
    pub start_timeout: Option<Duration>,
    /// How many replacements of a reload serve for how long before the others follow [`control.canary`].
    pub canary: Option<Canary>,
    /// How long a worker may live on that has left and has nothing to do [`control.exitTimeout`].
    pub exit_timeout: ExitTimeout,
    /// The host.
    pub host_kind: HostKind,
}

/// The replacements that a new version is tried with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// How many, at least 1 [`control.canary.workers`].
    pub workers: u32,
    /// How long each has to serve, from when it is ready [`control.canary.watch`].
    pub watch: Duration,
}

/// How one worker is watched and stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleLimits {
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
    /// Whether it is started again when it ends by itself. (No key; a custom master's workers may differ.)
    pub persistence: Persistence,
}

/// Whether a worker that ends by itself is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Persistence {
    /// It is.
    #[default]
    Persistent,
    /// It stays stopped.
    OneLife,
}

/// How long a worker may live on that has closed its servers, has no connection left and has left its channel: it is kept by
/// something like an open pool or an interval. Then it gets SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitTimeout {
    /// Two seconds, or as [`LifecycleLimits::stop_timeout`] says if that is set.
    Default,
    /// For ever.
    Never,
    /// So long, whatever `stop_timeout` says.
    After(Duration),
}

/// Which host there is: JavaScript that belongs to the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostKind {
    /// None: all workers are started at once, and luster ends when all are dead.
    None,
    /// A Node process of ours, the extension host. If it is there from the start, workers start when it asks.
    ExtensionHost {
        /// How long it may take to initialize.
        limit: Option<Duration>,
    },
    /// A custom master, which started us: it asks for everything, and its end is ours.
    CustomMaster,
}

impl HostKind {
    /// Whether it is a process that we start and end.
    pub(super) const fn is_ours(self) -> bool {
        match self {
            Self::ExtensionHost { .. } => true,
            Self::None | Self::CustomMaster => false,
        }
    }
}

/// Who says that a worker is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Readiness {
    /// The app has loaded, and listens on what its predecessor listened on.
    Automatic,
    /// The app calls `require('luster').ready()`.
    Manual,
    /// Whoever started it finds out [`control.ready`]; what it listens on counts for nothing.
    Checked,
}

/// Which comes first when a worker is replaced in a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartOrder {
    /// The old worker ends, then the new one starts (as JS luster).
    StopFirst,
    /// The new worker is ready, then the old one drains.
    StartFirst,
}
