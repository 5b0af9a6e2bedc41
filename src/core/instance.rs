//! One process from its start to its end: where it is, and what its passing deadlines mean.
//!
//! ```text
//!             online              told ready, listens
//!  Launching ───────▶ Loading ───────────────▶ Ready
//!      │                 │                        │
//!      │ asked to stop, late, broken              │ asked to stop, leaves by itself, broken
//!      ▼                 ▼                        ▼
//!   Stopping: Suspending ─▶ Disconnecting ─▶ Left      (then, from any of them, the exit)
//! ```
//!
//! - An instance that is not online has nothing to drain, so stopping it is a signal.
//! - *Suspending* ends with the worker's answer or after ten seconds, whichever is first.
//! - An instance that leaves by itself, or whose channel is gone, is never told to disconnect:
//!   a second disconnect dialogue kills a Node worker.
//! - Deadlines count from the beginning of the stop and are not renewed. An instance that has left its channel
//!   can do no more good as a worker: if the operator set no deadline, ours applies.
//!
//! Invariant: each signal is sent at most once an instance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::effect::{Effect, Haste, Notice, Signal, StopReason};
use super::event::ListenRefusal;
use super::ids::{Endpoint, Generation, InstanceId, ListenAddress, Moment};
use super::last_words::LastWords;
use super::observed::{ChannelState, Observed};
use super::policy::{ExitTimeout, LifecycleLimits};
use super::stop_deadlines::{Deadlines, Left};
use super::{Effect::Notify, WorkerId};

/// How long the suspend functions may take (JS luster's limit for a call with an answer).
const SUSPEND_LIMIT: Duration = Duration::from_secs(10);

/// A process of a slot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Instance {
    pub(super) worker: WorkerId,
    pub(super) id: InstanceId,
    /// The configuration it runs on.
    pub(super) generation: Generation,
    /// What it was told to listen on.
    pub(super) port: Arc<str>,
    pub(super) forked: Moment,
    pub(super) stage: Stage,
    pub(super) observed: Observed,
    /// What it listens on, and its own words for it.
    pub(super) endpoints: BTreeMap<Endpoint, ListenAddress>,
    /// Where it wants to listen, if that is still open.
    pub(super) asking: BTreeSet<Endpoint>,
    /// What it has closed by itself, perhaps because it is about to end, and when.
    pub(super) closed: BTreeMap<Endpoint, Moment>,
    /// What it has closed on its way out.
    pub(super) given_up: BTreeSet<Endpoint>,
    /// The last listen it was refused, and when.
    pub(super) refusal: Option<(Moment, ListenRefusal)>,
    /// What it says it dies of.
    pub(super) last_words: Option<LastWords>,
    /// When it became ready, if it ever did.
    pub(super) ready_since: Option<Moment>,
    pub(super) readiness_rule: ReadinessRule,
    /// When it is said that it has not called itself ready, which it is to do.
    pub(super) nudge: Option<Moment>,
    /// When it has to be ready at the latest; `None` if nobody says so, or a rollout that waits for it has its own limit.
    pub(super) ready_by: Option<Moment>,
    /// Whether its connections have ended.
    left: Left,
}

/// What becomes of an instance that says it is ready but does not listen where it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ReadinessRule {
    /// After a while it counts as ready all the same: an app may have moved to another port.
    Lenient,
    /// After a while it counts as ready if it listens on some of it.
    Overlap,
    /// Never: a rollout waits for it with a deadline of its own, and fails.
    Strict,
}

/// Where an instance is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Stage {
    /// Ordered or forked, not online.
    Launching {
        /// When `control.forkTimeout` expires.
        give_up: Option<Moment>,
    },
    /// Online, not ready.
    Loading {
        online: Moment,
        /// When it said it is ready, if it did.
        said_ready: Option<Moment>,
    },
    /// Ready.
    Ready { online: Moment },
    /// On its way out.
    Stopping { online: Option<Moment>, intent: Intent, phase: StopPhase, deadlines: Deadlines },
}

/// Whether the end of a stopping instance counts as a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Intent {
    /// We want it gone.
    Ours,
    /// It goes by itself, or has to because it failed.
    ItsOwn,
    /// We gave it up because it was slow to start or to become ready, which may say more of the machine than of the app.
    Late,
}

/// How far the goodbye has got.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum StopPhase {
    /// Its suspend functions run.
    Suspending { until: Moment },
    /// It drains: told to disconnect, or leaving by itself.
    Draining,
    /// Its channel is closed, or it is beyond talking to.
    Silent,
}

impl Instance {
    /// An instance ordered now.
    pub(super) fn ordered(
        now: Moment,
        worker: WorkerId,
        id: InstanceId,
        (generation, port): (Generation, Arc<str>),
        limits: &LifecycleLimits,
    ) -> Self {
        let give_up = limits.fork_timeout.map(|wait| now.after(wait));
        let stage = Stage::Launching { give_up };
        Self {
            worker,
            id,
            generation,
            port,
            forked: now,
            stage,
            observed: Observed::NOTHING,
            endpoints: BTreeMap::new(),
            asking: BTreeSet::new(),
            closed: BTreeMap::new(),
            given_up: BTreeSet::new(),
            refusal: None,
            last_words: None,
            ready_since: None,
            readiness_rule: ReadinessRule::Lenient,
            nudge: None,
            ready_by: None,
            left: Left::Busy,
        }
    }

    /// How long it has been online at `now`; `None` if it never was.
    pub(super) fn uptime(&self, now: Moment) -> Option<Duration> {
        self.online().map(|online| now.since(online))
    }

    pub(super) const fn is_stopping(&self) -> bool {
        matches!(self.stage, Stage::Stopping { .. })
    }

    /// Whether we asked for its end.
    pub(super) const fn is_unwanted(&self) -> bool {
        matches!(self.stage, Stage::Stopping { intent: Intent::Ours, .. })
    }

    /// Whether it was given up because of `control.forkTimeout` or `control.readyTimeout`.
    pub(super) const fn was_late(&self) -> bool {
        matches!(self.stage, Stage::Stopping { intent: Intent::Late, .. })
    }

    /// Whether it is still to take over from the instance before it.
    pub(super) const fn is_coming_up(&self) -> bool {
        match self.stage {
            Stage::Launching { .. } | Stage::Loading { .. } => true,
            Stage::Ready { .. } | Stage::Stopping { .. } => false,
        }
    }

    pub(super) fn comes_online(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.observed.comes_online();
        match self.stage {
            Stage::Launching { .. } => {
                self.stage = Stage::Loading { online: now, said_ready: None };
                effects.push(Notify(Notice::Online(self.worker, self.id)));
            }
            // Only the first counts; one on its way out is not held up by coming online.
            Stage::Loading { .. } | Stage::Ready { .. } | Stage::Stopping { .. } => {}
        }
    }

    /// We want it gone, gracefully.
    pub(super) fn stop(
        &mut self,
        now: Moment,
        why: StopReason,
        haste: Haste,
        limits: &LifecycleLimits,
        effects: &mut Vec<Effect>,
    ) {
        match &mut self.stage {
            Stage::Launching { .. } => {
                effects.push(Notify(Notice::Stopping(self.worker, self.id, why)));
                self.condemn(now, Intent::Ours, limits, effects);
            }
            Stage::Loading { online, .. } | Stage::Ready { online } => {
                self.stage = Stage::Stopping {
                    online: Some(*online),
                    intent: Intent::Ours,
                    phase: StopPhase::Suspending { until: now.after(SUSPEND_LIMIT) },
                    deadlines: Deadlines::of_a_stop(now, limits),
                };
                effects.push(Notify(Notice::Stopping(self.worker, self.id, why)));
                effects.push(Effect::Suspend(self.id, haste));
            }
            // It is going already; its clock started then. Its end is now wanted.
            Stage::Stopping { intent, .. } => *intent = Intent::Ours,
        }
    }

    /// It is not ready and is not to become it any more. If it listens somewhere clients may be served by it, so it drains.
    pub(super) fn is_given_up(
        &mut self,
        now: Moment,
        why: StopReason,
        (intent, haste): (Intent, Haste),
        limits: &LifecycleLimits,
        effects: &mut Vec<Effect>,
    ) {
        if self.endpoints.is_empty() && self.is_coming_up() {
            effects.push(Notify(Notice::Stopping(self.worker, self.id, why)));
            self.condemn(now, intent, limits, effects);
            return;
        }
        self.stop(now, why, haste, limits, effects);
        if let Stage::Stopping { intent: stopping, .. } = &mut self.stage {
            *stopping = intent;
        }
    }

    /// It failed and is not worth a goodbye: SIGTERM now, SIGKILL soon.
    pub(super) fn fail(
        &mut self,
        now: Moment,
        why: StopReason,
        limits: &LifecycleLimits,
        effects: &mut Vec<Effect>,
    ) {
        if matches!(self.stage, Stage::Stopping { phase: StopPhase::Silent, .. }) {
            return; // Signalled or gone already.
        }
        let intent = match (self.is_unwanted(), &why) {
            (true, _) => Intent::Ours,
            (false, StopReason::LaunchTimedOut(_) | StopReason::NotReady(..)) => Intent::Late,
            (
                false,
                StopReason::Shutdown
                | StopReason::Replaced
                | StopReason::Removed
                | StopReason::GivenUp
                | StopReason::Broken(_)
                | StopReason::Asked,
            ) => Intent::ItsOwn,
        };
        effects.push(Notify(Notice::Stopping(self.worker, self.id, why)));
        self.condemn(now, intent, limits, effects);
    }

    /// SIGKILL at once.
    pub(super) fn kill(&mut self, effects: &mut Vec<Effect>) {
        let online = self.online();
        let phase = StopPhase::Silent;
        self.stage = Stage::Stopping { online, intent: Intent::Ours, phase, deadlines: Deadlines::default() };
        effects.push(Effect::Signal(self.id, Signal::Kill));
    }

    fn condemn(&mut self, now: Moment, intent: Intent, limits: &LifecycleLimits, effects: &mut Vec<Effect>) {
        let deadlines = Deadlines::after_a_signal(now, limits);
        self.stage = Stage::Stopping { online: self.online(), intent, phase: StopPhase::Silent, deadlines };
        effects.push(Effect::Signal(self.id, Signal::Terminate));
    }

    const fn online(&self) -> Option<Moment> {
        match self.stage {
            Stage::Launching { .. } => None,
            Stage::Loading { online, .. } | Stage::Ready { online } => Some(online),
            Stage::Stopping { online, .. } => online,
        }
    }

    /// It shows that its event loop is not blocked.
    pub(super) fn answers(&mut self) {
        let Stage::Stopping { deadlines, .. } = &mut self.stage else { return };
        deadlines.answered();
    }

    /// Its suspend functions are done.
    pub(super) fn suspended(&mut self, effects: &mut Vec<Effect>) {
        self.answers();
        let id = self.id;
        if let Stage::Stopping { phase: phase @ StopPhase::Suspending { .. }, .. } = &mut self.stage {
            *phase = StopPhase::Draining;
            self.observed.leaves();
            effects.push(Effect::Disconnect(id));
        }
    }

    /// Its servers are closed and have no connection.
    pub(super) fn is_drained(&mut self) {
        self.answers();
        self.left = Left::Idle;
    }

    /// The host has it leave, unless it does so already. It counts as having left by itself.
    pub(super) fn is_sent_away(
        &mut self,
        now: Moment,
        limits: &LifecycleLimits,
        exit: ExitTimeout,
        effects: &mut Vec<Effect>,
    ) {
        if self.observed.channel == ChannelState::Open {
            effects.push(Effect::Drain(self.id));
            effects.push(Effect::Disconnect(self.id));
            self.leaves(now, Leaves::Drains, limits, exit, effects);
        }
    }

    /// It began to leave by itself (`exitedAfterDisconnect`), or it closed its channel.
    pub(super) fn leaves(
        &mut self,
        now: Moment,
        how: Leaves,
        limits: &LifecycleLimits,
        exit: ExitTimeout,
        effects: &mut Vec<Effect>,
    ) {
        match how {
            Leaves::Drains => self.observed.leaves(),
            Leaves::Channel => {
                if let Some(departure) = self.observed.closes_channel() {
                    effects.push(Notify(Notice::Disconnected(self.worker, self.id, departure)));
                }
            }
        }
        match &mut self.stage {
            Stage::Stopping { phase, deadlines, .. } => match (how, &*phase) {
                (Leaves::Channel, StopPhase::Suspending { .. } | StopPhase::Draining) => {
                    *phase = StopPhase::Silent;
                    deadlines.left_the_channel(now, self.left, limits, exit);
                }
                // Its own disconnect crossed our stop: telling it again would kill it.
                (Leaves::Drains, StopPhase::Suspending { .. }) => *phase = StopPhase::Draining,
                (Leaves::Drains, StopPhase::Draining | StopPhase::Silent)
                | (Leaves::Channel, StopPhase::Silent) => {}
            },
            Stage::Launching { .. } | Stage::Loading { .. } | Stage::Ready { .. } => {
                let (phase, deadlines) = match how {
                    Leaves::Drains => (StopPhase::Draining, Deadlines::of_a_stop(now, limits)),
                    Leaves::Channel => (StopPhase::Silent, Deadlines::vanished(now, limits)),
                };
                self.stage =
                    Stage::Stopping { online: self.online(), intent: Intent::ItsOwn, phase, deadlines };
            }
        }
    }
}

/// How an instance goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaves {
    /// It drains and will close its channel.
    Drains,
    /// Its channel is closed.
    Channel,
}
