//! What a rollout still has to do: which workers wait for their turn, and where each one under way stands.
//!
//! Invariants: a worker waits at most once, however often a restart is asked for; one that was started after the latest
//! request waits no longer; no step begins while `width` are under way. Whether a step succeeds is decided in `steps`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::effect::Scope;
use super::event::OnDeath;
use super::ids::{InstanceId, Moment, WorkerId};
use super::policy::RestartOrder;

/// A rollout under way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Rollout {
    pub(super) order: RestartOrder,
    /// As far as was asked for.
    pub(super) scope: Scope,
    pub(super) on_death: OnDeath,
    pub(super) width: usize,
    /// In which order they come.
    order_of_turns: VecDeque<WorkerId>,
    /// Those that wait, and the newest instance when the replacement was asked for: what was started later is one.
    waiting: BTreeMap<WorkerId, Turn>,
    steps: BTreeMap<WorkerId, Step>,
    /// Those whose replacement has failed, and how often.
    held: BTreeMap<WorkerId, u32>,
    /// Those whose step is over because the new instance was ready.
    replaced: BTreeSet<WorkerId>,
    pub(super) began: Moment,
    /// How many more replacements are to be tried before the others follow.
    canaries_to_start: u32,
    /// Those that are tried.
    canaries: BTreeSet<WorkerId>,
}

/// What is to be replaced, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) order: RestartOrder,
    pub(super) width: usize,
    /// What is said of it.
    pub(super) scope: Scope,
    pub(super) workers: Vec<WorkerId>,
    pub(super) onto: Onto,
    pub(super) on_death: OnDeath,
}

/// Which configuration replacements run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Onto {
    /// That of the instance they replace.
    Same,
    /// The one in force when their turn comes.
    InForce,
}

/// When the replacement of a waiting worker was asked for, and what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Turn {
    newest: InstanceId,
    onto: Onto,
}

impl Turn {
    /// Both are asked for: a restart that joins a reload does not keep the worker from what was read.
    fn and(self, other: Self) -> Self {
        let onto = match (self.onto, other.onto) {
            (Onto::Same, Onto::Same) => Onto::Same,
            (Onto::InForce, _) | (_, Onto::InForce) => Onto::InForce,
        };
        Self { newest: self.newest.max(other.newest), onto }
    }
}

/// What became of a worker that was to be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queued {
    Waits,
    /// What is started next in its slot is its replacement, whatever it was to be.
    IsNext,
}

/// A worker that waits to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PendingReplacement {
    pub(super) worker: WorkerId,
    /// The newest instance when its replacement was asked for: what was started later is a replacement.
    pub(super) newest: InstanceId,
    pub(super) onto: Onto,
}

/// Where the replacement of one worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    /// The old instance is on its way out; then a new one starts.
    Stopping { old: InstanceId },
    /// The new instance has started and is not ready.
    Starting { new: InstanceId, give_up: Option<Moment> },
    /// The new instance has failed (stop-first); another one starts when its pause is over.
    Retrying { failed: InstanceId, give_up: Option<Moment> },
    /// The new instance is ready; the old one drains (start-first).
    Draining { old: InstanceId },
    /// The new instance is ready, as one was before it that died: it has to live on until then.
    Proving { new: InstanceId, until: Moment },
}

impl Rollout {
    pub(super) const fn new(now: Moment, wanted: &Wanted) -> Self {
        Self {
            order: wanted.order,
            scope: wanted.scope,
            on_death: wanted.on_death,
            width: wanted.width,
            order_of_turns: VecDeque::new(),
            waiting: BTreeMap::new(),
            steps: BTreeMap::new(),
            held: BTreeMap::new(),
            replaced: BTreeSet::new(),
            began: now,
            canaries_to_start: 0,
            canaries: BTreeSet::new(),
        }
    }

    /// Another request joins: from now on so many at a time, in this order. Who wants it to hold is not overruled.
    pub(super) fn join(&mut self, wanted: &Wanted) {
        self.order = wanted.order;
        self.width = wanted.width;
        match wanted.on_death {
            OnDeath::Hold => {
                self.on_death = wanted.on_death;
                self.held.clear();
            }
            OnDeath::Continue => {}
        }
    }

    /// Queues a worker, unless its new instance has not been started yet.
    pub(super) fn queue(&mut self, pending: PendingReplacement) -> Queued {
        if matches!(self.steps.get(&pending.worker), Some(Step::Stopping { .. } | Step::Retrying { .. })) {
            return Queued::IsNext;
        }
        let asked = Turn { newest: pending.newest, onto: pending.onto };
        let turn = self.waiting.get(&pending.worker).map_or(asked, |waiting| waiting.and(asked));
        if self.waiting.insert(pending.worker, turn).is_none() {
            self.order_of_turns.push_back(pending.worker);
        }
        Queued::Waits
    }

    /// The next worker whose turn it is, among those that `can_begin`. A worker queued again waits for its own
    /// step to end.
    pub(super) fn next_pending(
        &mut self,
        can_begin: impl Fn(WorkerId) -> bool,
    ) -> Option<PendingReplacement> {
        let all_tried = self.canaries_to_start == 0 && self.canaries.is_empty();
        if self.steps.len() >= self.width || (self.canaries_to_start == 0 && !all_tried) {
            return None;
        }
        let Self { order_of_turns, waiting, steps, .. } = self;
        let is_free = |worker: &WorkerId| !steps.contains_key(worker) && can_begin(*worker);
        let index = order_of_turns.iter().position(is_free)?;
        let worker = order_of_turns.remove(index)?;
        let Turn { newest, onto } = waiting.remove(&worker)?;
        if self.canaries_to_start > 0 {
            self.canaries_to_start -= 1;
            self.canaries.insert(worker);
        }
        Some(PendingReplacement { worker, newest, onto })
    }

    /// This instance of a worker has become ready: if it is new enough, the worker need not be replaced any more.
    pub(super) fn is_ready(&mut self, worker: WorkerId, id: InstanceId) {
        if self.waiting.get(&worker).is_some_and(|turn| id > turn.newest) {
            self.unqueue(worker);
        }
    }

    /// Whether this instance of the worker is to be replaced by one on the configuration in force.
    pub(super) fn is_replaced_again(&self, worker: WorkerId, id: InstanceId) -> bool {
        self.waiting.get(&worker).is_some_and(|turn| turn.newest >= id && turn.onto == Onto::InForce)
    }

    /// The replacement of this worker goes, and what it is queued for comes after it.
    pub(super) fn begins_anew(&mut self, worker: WorkerId, replacement: InstanceId) {
        self.unqueue(worker);
        self.held.remove(&worker);
        self.set(worker, Step::Stopping { old: replacement });
    }

    fn unqueue(&mut self, worker: WorkerId) {
        if self.waiting.remove(&worker).is_some() {
            self.order_of_turns.retain(|waiting| *waiting != worker);
        }
    }

    /// Those whose failed replacement is about to be tried again.
    pub(super) fn retrying(&self) -> Vec<WorkerId> {
        let is_retrying = |step: &Step| matches!(step, Step::Retrying { .. });
        self.steps.iter().filter(|(_, step)| is_retrying(step)).map(|(worker, _)| *worker).collect()
    }

    /// Whether a death of this worker must not be the last, because what it is replaced with is on trial.
    pub(super) fn holds_for(&self, worker: WorkerId) -> bool {
        let waits = || self.waiting.contains_key(&worker);
        match self.on_death {
            OnDeath::Hold => self.steps.contains_key(&worker) || self.replaced.contains(&worker) || waits(),
            OnDeath::Continue => false,
        }
    }

    /// Whether the death of this worker, which is not being replaced, puts the rollout in doubt: it is one that has been
    /// replaced.
    pub(super) fn is_put_in_doubt_by(&self, worker: WorkerId) -> bool {
        let idle = !self.steps.contains_key(&worker);
        idle && self.on_death == OnDeath::Hold && self.replaced.contains(&worker)
    }

    /// The new instance of this worker is ready. How long it has to live on, if one before it has died.
    pub(super) fn proof_of(&self, worker: WorkerId, proof: Duration) -> Option<Duration> {
        (self.on_death == OnDeath::Hold && self.held.contains_key(&worker)).then_some(proof)
    }

    /// Those that have lived on for long enough by now.
    pub(super) fn proven(&self, now: Moment) -> Vec<WorkerId> {
        let is_proven = |step: &Step| matches!(step, Step::Proving { until, .. } if *until <= now);
        self.steps.iter().filter(|(_, step)| is_proven(step)).map(|(worker, _)| *worker).collect()
    }

    /// The worker is no longer to be replaced.
    pub(super) fn forget(&mut self, worker: WorkerId) {
        self.unqueue(worker);
        self.canaries.remove(&worker);
        self.steps.remove(&worker);
        self.held.remove(&worker);
    }

    pub(super) fn step(&self, worker: WorkerId) -> Option<Step> {
        self.steps.get(&worker).copied()
    }

    /// The worker's replacement has failed, and the rollout waits for the next one: is that new?
    pub(super) fn hold(&mut self, worker: WorkerId) -> bool {
        let is_new = !self.held.contains_key(&worker);
        self.held.entry(worker).or_default();
        is_new
    }

    pub(super) fn set(&mut self, worker: WorkerId, step: Step) {
        self.steps.insert(worker, step);
    }

    /// The worker's replacement has failed once more; how often it has.
    pub(super) fn failed(&mut self, worker: WorkerId) -> u32 {
        let failures = self.held.entry(worker).or_default();
        *failures = failures.saturating_add(1);
        *failures
    }

    /// Whether the others follow only when this worker's replacement has served for a while.
    pub(super) fn is_canary(&self, worker: WorkerId) -> bool {
        self.canaries.contains(&worker)
    }

    /// It has served for long enough.
    pub(super) fn proved(&mut self, worker: WorkerId) {
        self.canaries.remove(&worker);
    }

    /// There was nothing to replace when its turn came: if it was to be tried, another one is.
    pub(super) fn pass_over(&mut self, worker: WorkerId) {
        if self.canaries.remove(&worker) {
            self.canaries_to_start += 1;
        }
    }

    /// Begins with so many replacements that are tried before the others follow.
    pub(super) fn try_with(&mut self, canaries: u32) {
        self.canaries_to_start = canaries;
    }

    /// The worker's step is over.
    pub(super) fn finish(&mut self, worker: WorkerId, result: StepResult) {
        self.canaries.remove(&worker);
        self.steps.remove(&worker);
        self.held.remove(&worker);
        match result {
            StepResult::Replaced => {
                self.replaced.insert(worker);
            }
            StepResult::LeftQueue => {}
        }
    }

    /// Those whose replacement has begun and is not over.
    pub(super) fn unfinished(&self) -> Vec<WorkerId> {
        self.steps.keys().copied().collect()
    }

    /// How many are being replaced.
    pub(super) fn under_way(&self) -> usize {
        self.steps.len()
    }

    /// Whether it waits for a replacement that has failed.
    pub(super) fn is_held(&self) -> bool {
        self.held.keys().any(|worker| self.steps.contains_key(worker))
    }

    /// How many workers were replaced.
    pub(super) fn replaced(&self) -> usize {
        self.replaced.len()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.waiting.is_empty() && self.steps.is_empty()
    }

    pub(super) fn still_waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The first replacement whose time to become ready is over.
    pub(super) fn overdue(&self, now: Moment) -> Option<(WorkerId, InstanceId)> {
        self.steps.iter().find_map(|(worker, step)| match step {
            Step::Starting { new: id, give_up: Some(at) }
            | Step::Retrying { failed: id, give_up: Some(at) }
                if *at <= now =>
            {
                Some((*worker, *id))
            }
            Step::Starting { .. }
            | Step::Retrying { .. }
            | Step::Stopping { .. }
            | Step::Draining { .. }
            | Step::Proving { .. } => None,
        })
    }

    pub(super) fn next_wake(&self) -> Option<Moment> {
        let due = |step: &Step| match step {
            Step::Starting { give_up, .. } | Step::Retrying { give_up, .. } => *give_up,
            Step::Proving { until, .. } => Some(*until),
            Step::Stopping { .. } | Step::Draining { .. } => None,
        };
        self.steps.values().filter_map(due).min()
    }
}

/// How a worker's step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepResult {
    /// The new instance is ready and the old one gone.
    Replaced,
    /// It is dead, or nobody wants it any more: the rollout goes on without it (as JS luster's queue).
    LeftQueue,
}
