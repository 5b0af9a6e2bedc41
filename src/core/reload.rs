//! The configuration is read anew before workers are restarted on purpose, and one that is refused restarts nobody.
//!
//! Invariants: workers are restarted only behind a reading that began after they were asked for; at most one reading is
//! under way; after a stop none begins. Crashes are no restarts on purpose: what was read last is what they are followed by.

use std::sync::Arc;

use super::answers::Completion;
use super::effect::Effect::{self, Notify};
use super::effect::{Notice, Scope};
use super::event::Request;
use super::failed_rollout::RolloutFailure;
use super::fleet::Supervisor;
use super::goal::Goal;
use super::ids::{Generation, Moment, RequestId, WorkerId};
use super::pending::Awaited;
use super::policy::HostKind;
use super::reload_state::{Previous, Reading};
use super::spec::PoolSpec;

impl Supervisor {
    /// Something that restarts workers is asked for.
    pub(super) fn reload(&mut self, now: Moment, request: Request, effects: &mut Vec<Effect>) -> Awaited {
        match self.policy.host_kind {
            // Its workers run the script again, which is all there is to read.
            HostKind::CustomMaster => self.restart(now, request, effects),
            HostKind::None | HostKind::ExtensionHost { .. } => match &mut self.reload.reading {
                Reading::None => {
                    let generation = self.read(effects);
                    Awaited::Reading(generation, request)
                }
                // It may have been read before what is to be read was there: it is read once more.
                Reading::UnderWay => Awaited::Reading(self.reload.newest.next(), request),
            },
        }
    }

    /// The configuration has been read, and is right or is refused for this reason.
    pub(super) fn configuration_read(
        &mut self,
        now: Moment,
        generation: Generation,
        result: Result<Box<PoolSpec>, String>,
        effects: &mut Vec<Effect>,
    ) {
        if generation != self.reload.newest || self.goal != Goal::Serve {
            return;
        }
        if std::mem::take(&mut self.reload.reading) == Reading::None {
            return;
        }
        let asked = self.pending.of_reading(generation);
        match result {
            Ok(spec) => {
                self.adopt(now, generation, *spec, &asked, effects);
                self.restart_as_asked(now, asked, effects);
                self.forget_unused(effects);
            }
            Err(reason) => {
                effects.push(Notify(Notice::ConfigurationRefused(reason.clone())));
                // One worker is restarted because of itself: a leak, a fault. It is on the old configuration again.
                let (ones, others): (Vec<_>, Vec<_>) = asked.into_iter().partition(is_one);
                if !others.is_empty() {
                    let failure = RolloutFailure::ConfigurationRefused(reason.clone());
                    self.rollout_failed(now, Scope::All, generation, failure);
                }
                for (id, _) in others {
                    effects.push(Effect::Completed(id, Completion::ConfigurationRefused(reason.clone())));
                }
                // Who runs on it already has come before they were asked for.
                self.reload.before = self.newest();
                self.restart_as_asked(now, ones, effects);
            }
        }
        if self.pending.awaits_reading(self.reload.newest.next()) {
            self.read(effects);
        }
    }

    /// What was read without a fault is in force from now on. What workers ran before is kept to go back to until they all run
    /// on it; who is to go when there are to be fewer goes when the others have been replaced.
    fn adopt(
        &mut self,
        now: Moment,
        generation: Generation,
        spec: PoolSpec,
        asked: &[(RequestId, Request)],
        effects: &mut Vec<Effect>,
    ) {
        if let Some(failure) = self.reload.failure.take() {
            self.pending.rollout_over(&failure, effects);
        }
        self.reload.before = self.newest();
        self.reload.kept.insert(self.generation);
        self.reload.kept.insert(generation);
        if asked.iter().all(is_one) {
            // They are restarted because of themselves; what concerns all waits until all are asked for.
            let PoolSpec { run, listen, .. } = spec;
            let spec = PoolSpec { run, listen, ..self.spec.clone() };
            self.put_in_force(now, generation, spec, effects);
            return;
        }
        let previous =
            Previous { generation: self.generation, spec: self.spec.clone(), workers: self.policy.workers };
        self.reload.previous.get_or_insert(previous);
        let count = self.spec.policy.workers;
        self.put_in_force(now, generation, spec, effects);
        self.try_host();
        if self.spec.policy.workers != count {
            self.grow(now, self.policy.workers, effects);
        }
    }

    /// This spec holds from now on, for workers that run, too, as far as it does not say what they run. How many of them were
    /// asked for holds until a configuration says another number than the one before.
    pub(super) fn put_in_force(
        &mut self,
        now: Moment,
        generation: Generation,
        spec: PoolSpec,
        effects: &mut Vec<Effect>,
    ) {
        let before = std::mem::replace(&mut self.spec, spec);
        self.generation = generation;
        effects.push(Effect::AdoptConfiguration(generation));
        let mut policy = self.spec.policy.clone();
        if before.policy.workers == policy.workers && self.policy.workers != policy.workers {
            policy.workers = self.policy.workers;
        }
        if policy.host_kind != HostKind::CustomMaster {
            self.ports = self.spec.layout.ports(policy.workers);
        }
        for slot in self.slots.all_mut() {
            // Others have limits of their own.
            if slot.limits == self.policy.limits && slot.limits != policy.limits {
                slot.limits = policy.limits;
                effects.push(Notify(Notice::Settings(slot.worker, slot.limits, Arc::clone(&slot.port))));
            }
        }
        self.policy = policy;
        self.fit_host(now, effects);
    }

    /// Does what was asked for, each thing once.
    fn restart_as_asked(&mut self, now: Moment, asked: Vec<(RequestId, Request)>, effects: &mut Vec<Effect>) {
        let mut done: Vec<(Request, Awaited)> = Vec::new();
        for (id, request) in asked {
            let awaited = match done.iter().find(|(same, _)| *same == request) {
                Some((_, awaited)) => awaited.clone(),
                None => {
                    let awaited = self.restart(now, request.clone(), effects);
                    done.push((request, awaited.clone()));
                    awaited
                }
            };
            self.pending.open(id, awaited, effects);
        }
    }

    /// The worker is not to be restarted by itself any more.
    pub(super) fn forget_restart(&mut self, worker: WorkerId, effects: &mut Vec<Effect>) {
        let is_it = |request: &Request| matches!(request, Request::One(one, _) if *one == worker);
        self.pending.overrule_reading(is_it, effects);
    }

    /// Everything ends: nothing is to be read any more.
    pub(super) fn give_up_reload(&mut self) {
        self.reload.reading = Reading::None;
    }

    fn read(&mut self, effects: &mut Vec<Effect>) -> Generation {
        self.reload.newest = self.reload.newest.next();
        self.reload.reading = Reading::UnderWay;
        effects.push(Effect::ReadConfiguration(self.reload.newest));
        self.reload.newest
    }
}

/// Whether it concerns one worker alone.
fn is_one((_, request): &(RequestId, Request)) -> bool {
    matches!(request, Request::One(..))
}
