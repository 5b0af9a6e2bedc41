//! Requests that were accepted and are not complete, and what each waits for.
//!
//! Invariants: each request that was accepted is completed exactly once; what is looked at after an event is what the event
//! has touched.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::answers::Completion;
use super::effect::Effect;
use super::event::Request;
use super::failure::Death;
use super::ids::{Generation, InstanceId, RequestId, WorkerId};
use super::instance::Stage;
use super::slot::{DesiredState, Slot, SlotState};

/// So many requests wait at a time: a few for each of the most workers there can be.
const MOST_PENDING: usize = 32_768;

/// What a request waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Awaited {
    /// Nothing: it is done.
    Nothing,
    /// These workers to come and go.
    Workers {
        /// An instance newer than this to be ready.
        ready: BTreeMap<WorkerId, InstanceId>,
        /// To have no process.
        gone: BTreeSet<WorkerId>,
    },
    /// The configuration to be read, for this.
    Reading(Generation, Request),
    /// The end of the rollout.
    Rollout,
    /// The end of everything.
    End,
}

impl Awaited {
    /// Instances newer than these to be ready.
    pub(super) fn ready(workers: impl IntoIterator<Item = (WorkerId, InstanceId)>) -> Self {
        Self::Workers { ready: workers.into_iter().collect(), gone: BTreeSet::new() }
    }
}

/// The requests that are not complete.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Pending {
    open: BTreeMap<RequestId, Open>,
    /// Which of them wait for a worker.
    waiting_for: BTreeSet<(WorkerId, RequestId)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Open {
    awaited: Awaited,
    deaths: Vec<Death>,
    overruled: bool,
}

/// How a worker stands to a request that waits for it.
enum Standing {
    Waits,
    Done,
    Died(Option<Death>),
    Overruled,
}

impl Pending {
    /// A request was accepted; what it waits for.
    pub(super) fn open(&mut self, id: RequestId, awaited: Awaited, effects: &mut Vec<Effect>) {
        let is_done = match &awaited {
            Awaited::Nothing => true,
            Awaited::Workers { ready, gone } => {
                self.waiting_for.extend(ready.keys().chain(gone).map(|worker| (*worker, id)));
                ready.is_empty() && gone.is_empty()
            }
            Awaited::Reading(..) | Awaited::Rollout | Awaited::End => false,
        };
        if is_done {
            effects.push(Effect::Completed(id, Completion::Done));
            return;
        }
        self.open.insert(id, Open { awaited, deaths: Vec::new(), overruled: false });
    }

    /// Takes those that wait for this, to be completed or to wait for something else.
    fn take(&mut self, is_it: impl Fn(&Awaited) -> bool) -> Vec<(RequestId, Awaited)> {
        let ids: Vec<_> =
            self.open.iter().filter(|(_, open)| is_it(&open.awaited)).map(|(id, _)| *id).collect();
        let taken = ids.into_iter().filter_map(|id| Some((id, self.open.remove(&id)?.awaited))).collect();
        if self.open.is_empty() {
            self.waiting_for.clear();
        }
        taken
    }

    /// Completes those that wait for this.
    fn complete(
        &mut self,
        is_it: impl Fn(&Awaited) -> bool,
        completion: &Completion,
        effects: &mut Vec<Effect>,
    ) {
        let done = self.take(is_it);
        effects.extend(done.into_iter().map(|(id, _)| Effect::Completed(id, completion.clone())));
    }

    /// The rollout is over.
    pub(super) fn rollout_over(&mut self, completion: &Completion, effects: &mut Vec<Effect>) {
        self.complete(|awaited| *awaited == Awaited::Rollout, completion, effects);
    }

    /// Takes what this reading was for.
    pub(super) fn of_reading(&mut self, generation: Generation) -> Vec<(RequestId, Request)> {
        let taken = self.take(|awaited| matches!(awaited, Awaited::Reading(of, _) if *of == generation));
        let request = |(id, awaited)| match awaited {
            Awaited::Reading(_, request) => Some((id, request)),
            Awaited::Nothing | Awaited::Workers { .. } | Awaited::Rollout | Awaited::End => None,
        };
        taken.into_iter().filter_map(request).collect()
    }

    /// Whether something is asked for that this reading is to come before.
    pub(super) fn awaits_reading(&self, generation: Generation) -> bool {
        let is_it = |open: &Open| matches!(&open.awaited, Awaited::Reading(of, _) if *of == generation);
        self.open.values().any(is_it)
    }

    /// What was to be done after a reading is not to be done any more.
    pub(super) fn overrule_reading(&mut self, is_it: impl Fn(&Request) -> bool, effects: &mut Vec<Effect>) {
        let waits = |awaited: &Awaited| matches!(awaited, Awaited::Reading(_, request) if is_it(request));
        self.complete(waits, &Completion::Overruled, effects);
    }

    /// Whether nothing is waited for.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether there are as many as are kept.
    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= MOST_PENDING
    }

    /// Everything ends: whatever else was asked for does not come.
    pub(super) fn overrule(&mut self, effects: &mut Vec<Effect>) {
        self.complete(|awaited| *awaited != Awaited::End, &Completion::Overruled, effects);
    }

    /// It is all over.
    pub(super) fn end(&mut self, effects: &mut Vec<Effect>) {
        self.complete(|_| true, &Completion::Done, effects);
    }

    /// Looks at a slot that may have changed, or is no more.
    pub(super) fn look_at(&mut self, worker: WorkerId, slot: Option<&Slot>, effects: &mut Vec<Effect>) {
        let all = (worker, RequestId(0))..=(worker, RequestId(u64::MAX));
        let ids: Vec<_> = self.waiting_for.range(all).map(|(_, id)| *id).collect();
        for id in ids {
            let Some(open) = self.open.get_mut(&id) else {
                self.waiting_for.remove(&(worker, id));
                continue;
            };
            match open.standing(worker, slot) {
                Standing::Waits => continue,
                Standing::Done => {}
                Standing::Died(death) => open.deaths.extend(death),
                Standing::Overruled => open.overruled = true,
            }
            self.waiting_for.remove(&(worker, id));
            if open.waits_without(worker) {
                continue;
            }
            effects.extend(self.open.remove(&id).map(|open| Effect::Completed(id, open.completion())));
        }
    }
}

impl Open {
    fn standing(&self, worker: WorkerId, slot: Option<&Slot>) -> Standing {
        let Awaited::Workers { ready, gone } = &self.awaited else { return Standing::Done };
        match ready.get(&worker) {
            Some(newest) => readiness(slot, *newest),
            None if gone.contains(&worker) => absence(slot),
            None => Standing::Done,
        }
    }

    /// One worker less to wait for; whether there are others.
    fn waits_without(&mut self, worker: WorkerId) -> bool {
        let Awaited::Workers { ready, gone } = &mut self.awaited else { return true };
        ready.remove(&worker);
        gone.remove(&worker);
        !ready.is_empty() || !gone.is_empty()
    }

    fn completion(self) -> Completion {
        match (self.deaths.is_empty(), self.overruled) {
            (false, _) => Completion::Dead(self.deaths),
            (true, true) => Completion::Overruled,
            (true, false) => Completion::Done,
        }
    }
}

/// How a slot stands that is to have no process.
fn absence(slot: Option<&Slot>) -> Standing {
    let has_process = |slot: &&Slot| slot.instances().next().is_some();
    match slot.filter(has_process).map(|slot| slot.desired) {
        None => Standing::Done,
        Some(DesiredState::Stopped | DesiredState::Removed) => Standing::Waits,
        // Somebody else wants it again: when the last of these has gone there is another.
        Some(DesiredState::Running) => Standing::Overruled,
    }
}

/// How a slot stands that is to have an instance newer than this ready.
fn readiness(slot: Option<&Slot>, newest: InstanceId) -> Standing {
    let Some(slot) = slot else { return Standing::Overruled };
    match (&slot.state, slot.desired) {
        (SlotState::Occupied(instance), _) if matches!(instance.stage, Stage::Ready { .. }) => {
            if instance.id > newest { Standing::Done } else { Standing::Waits }
        }
        (SlotState::Dead, _) => Standing::Died(slot.last_death.as_ref().map(|(_, death)| death.clone())),
        (_, DesiredState::Stopped | DesiredState::Removed) => Standing::Overruled,
        // It keeps dying, and whoever asked is to know.
        (SlotState::Empty | SlotState::BackingOff { .. } | SlotState::Occupied(_), DesiredState::Running)
            if slot.crashes.keeps_dying() =>
        {
            Standing::Died(slot.last_death.as_ref().map(|(_, death)| death.clone()))
        }
        (SlotState::Empty | SlotState::BackingOff { .. } | SlotState::Occupied(_), DesiredState::Running) => {
            Standing::Waits
        }
    }
}
