//! A supervisor that is handed over while everything happens: its state is written down, and what goes on is what was read of
//! that. Beside it goes the one that was there from the start, and nobody can tell them apart.
//!
//! Invariant: the one from the start is never read from anywhere.

use proptest::prelude::*;

use super::harness::{Behaviour, World, policy, spec_of};
use crate::core::{
    Effect, Event, InstanceId, Layout, LifecycleLimits, Moment, OnDeath, Policy, PoolSpec, Request,
    RestartOrder, Supervisor, WorkerId,
};
use std::time::Duration;

/// How often it is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handed {
    Never,
    /// After each so manieth step.
    Every(u64),
}

/// Every now and then a run in which it is, at each step in half of these. In all of them it would be most of the time.
pub(super) fn handed() -> impl Strategy<Value = Handed> {
    prop_oneof![40 => Just(Handed::Never), 1 => Just(Handed::Every(1)), 1 => (2u64..9).prop_map(Handed::Every)]
}

/// The one that was there from the start.
pub(super) struct Original {
    supervisor: Supervisor,
    every: u64,
    steps: u64,
}

impl Original {
    /// Takes the place of `supervisor`, which goes on as a copy.
    pub(super) fn of(supervisor: &mut Supervisor, every: u64) -> Self {
        let copy = copy(supervisor);
        Self { supervisor: std::mem::replace(supervisor, copy), every, steps: 0 }
    }

    /// The same happens to it, a wake-up if that is no event, and leads to the same. Now and then the other one is handed over.
    pub(super) fn goes_along(
        &mut self,
        now: Moment,
        event: Option<Event>,
        effects: &[Effect],
        other: &mut Supervisor,
    ) {
        let mine = match event {
            Some(event) => self.supervisor.handle(now, event),
            None => self.supervisor.wake(now),
        };
        assert_eq!(effects, mine, "one that was handed over decides the same");
        assert_eq!(other.next_wake(), self.supervisor.next_wake());
        assert_eq!(other.snapshot(now), self.supervisor.snapshot(now));
        self.steps += 1;
        if self.steps.is_multiple_of(self.every) {
            *other = read(&written(other));
            assert_eq!(all_of(other), all_of(&self.supervisor), "nothing differs that is not seen yet");
        }
    }
}

fn written(supervisor: &Supervisor) -> String {
    serde_json::to_string(supervisor).expect("all of it can be written")
}

/// Every field there is, whether it is written for a hand-over or not.
fn all_of(supervisor: &Supervisor) -> String {
    format!("{supervisor:?}")
}

fn read(text: &str) -> Supervisor {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn copy(supervisor: &Supervisor) -> Supervisor {
    let text = written(supervisor);
    let copy = read(&text);
    assert_eq!(written(&copy), text, "what was read is written in the same way");
    copy
}

#[test]
fn a_fleet_in_the_middle_of_everything_is_handed_over_at_each_step() {
    let limits = LifecycleLimits {
        exit_threshold: Some(Duration::from_secs(5)),
        allowed_sequential_deaths: 3,
        stop_timeout: Some(Duration::from_secs(2)),
        ..LifecycleLimits::default()
    };
    let ready_timeout = Some(Duration::from_secs(9));
    let policy = Policy { limits, restart: RestartOrder::StartFirst, ready_timeout, ..policy(4) };
    let layout = Layout { groups: 2.0, ..spec_of(policy.clone()).layout };
    let spec = PoolSpec { layout, ..spec_of(policy) };
    let mut world = World::of(PoolSpec { run: "next.js".into(), ..spec.clone() })
        .scripted(|worker, start| match (worker.0, start) {
            (1, _) => Behaviour::dying_at(30),
            (2, 2..) => Behaviour::never_ready(),
            (_, _) => Behaviour::default(),
        })
        .handed_over(Handed::Every(1));
    world.configuration = Some(Ok(spec));
    world.ask(Request::Start);
    world.pass(200);
    let reload = world.request(Request::Reload(OnDeath::Hold));
    world.ask(Request::Scale(6));
    world.ask(Request::Disconnect(InstanceId(3)));
    world.ask(Request::Add(WorkerId(7), limits, "0".into()));
    world.run_until("the reload is over", |world| world.completed.contains_key(&reload));
    world.ask(Request::Stop);
    world.run_until("the end", |world| world.outcome.is_some());
    assert!(world.steps > 60, "{} steps", world.steps);
}

#[test]
fn numbers_that_json_has_no_text_for_are_handed_over_as_they_are() {
    for groups in [0.1 + 0.2, 1.0 / 3.0, f64::INFINITY, f64::MIN_POSITIVE / 3.0, -0.0] {
        let spec = spec_of(policy(2));
        let spec = PoolSpec { layout: Layout { workers: 1.1, groups, ..spec.layout }, ..spec };
        let supervisor = Supervisor::new(Moment(0), spec, 1);
        assert_eq!(copy(&supervisor).spec.layout.groups.to_bits(), groups.to_bits());
    }
}
