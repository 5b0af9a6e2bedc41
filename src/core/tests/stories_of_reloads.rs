//! Stories of the configuration, read anew before workers are restarted.

use super::harness::{World, policy, spec, spec_of};
use crate::core::{Event, Generation, HostKind, Notice, OnDeath, OneRequest, Policy, Request, WorkerId};

const ROLLOUT: Request = Request::Reload(OnDeath::Hold);

/// A fleet that serves, and whose configuration is read when the story says so.
fn reading_slowly(workers: u32) -> World {
    let mut world = World::serving(policy(workers));
    world.configuration = None;
    world
}

fn is_read(world: &mut World, result: Result<(), String>) {
    let generation = *world.readings.last().expect("something is read");
    let spec = Box::new(spec_of(world.policy.clone()));
    world.news(Event::ConfigurationRead(generation, result.map(|()| spec)));
}

fn refused(notice: &Notice) -> bool {
    matches!(notice, Notice::ConfigurationRefused(_))
}

fn finished(world: &World) -> usize {
    world.notices.iter().filter(|notice| matches!(notice, Notice::RolloutFinished { .. })).count()
}

#[test]
fn a_configuration_that_is_refused_touches_nobody_and_the_next_one_may_be_right() {
    let mut world = World::serving(policy(3));
    let before = world.living();
    for request in [ROLLOUT, Request::RestartAll] {
        world.configuration = Some(Err("it is wrong".into()));
        world.ask(request);
        world.pass(60_000);
        assert_eq!(world.living(), before);
        assert!(world.said(refused) && world.adopted.is_empty());
    }
    world.configuration = Some(Ok(spec_of(policy(3))));
    world.ask(ROLLOUT);
    world.run_until("the rollout is over", |world| finished(world) == 1);
    assert!(world.living().is_disjoint(&before));
    assert_eq!(world.adopted, [Generation(3)]);
}

#[test]
fn what_is_asked_for_during_a_reading_is_one_more_reading_at_most() {
    let mut world = reading_slowly(2);
    let before = world.living();
    for _ in 0..50 {
        world.ask(ROLLOUT);
    }
    world.pass(60_000);
    assert_eq!((world.readings.len(), world.living()), (1, before), "nobody is touched meanwhile");
    is_read(&mut world, Ok(()));
    world.run_until("the first is over", |world| finished(world) == 1);
    assert_eq!(world.readings.len(), 2);
    is_read(&mut world, Err("it is wrong by now".into()));
    assert!(world.said(refused));
    world.pass(60_000);
    assert_eq!((world.starts(1), world.starts(2)), (2, 2));
    assert_eq!(world.adopted, [Generation(1)]);
}

#[test]
fn a_stop_is_not_held_up_by_a_reading_and_what_comes_of_that_changes_nothing() {
    let mut world = reading_slowly(2);
    world.ask(ROLLOUT);
    world.ask(ROLLOUT);
    world.ask(Request::Stop);
    is_read(&mut world, Ok(()));
    world.run_until("it is over", |world| world.outcome.is_some());
    assert_eq!((world.readings.len(), world.adopted.len()), (1, 0));
}

#[test]
fn a_reading_that_was_not_asked_for_changes_nothing() {
    let mut world = reading_slowly(1);
    world.news(Event::ConfigurationRead(Generation(1), Ok(Box::new(spec(1)))));
    world.ask(ROLLOUT);
    world.news(Event::ConfigurationRead(Generation(7), Ok(Box::new(spec(1)))));
    world.pass(60_000);
    assert_eq!((world.starts(1), world.adopted.len()), (1, 0));
}

#[test]
fn one_worker_is_restarted_whatever_the_configuration_says_unless_it_is_stopped_meanwhile() {
    let restart = |worker| Request::One(WorkerId(worker), OneRequest::Restart);
    let mut world = reading_slowly(2);
    world.ask(restart(1));
    is_read(&mut world, Err("it is wrong".into()));
    world.run_until("it is back", |world| world.starts(1) == 2 && world.ready() == 2);
    assert!(world.said(refused) && world.adopted.is_empty());

    world.ask(restart(2));
    world.ask(Request::One(WorkerId(2), OneRequest::Stop));
    is_read(&mut world, Ok(()));
    world.pass(60_000);
    assert_eq!((world.starts(2), world.processes()), (1, 1));
}

#[test]
fn a_worker_that_dies_during_a_reading_is_followed_at_once() {
    let mut world = reading_slowly(1);
    world.ask(ROLLOUT);
    let id = world.id(1);
    world.dies(id, crate::core::ExitStatus::Code(1));
    world.run_until("it is back", |world| world.ready() == 1);
    assert_eq!((world.starts(1), world.adopted.len()), (2, 0));
}

#[test]
fn where_a_script_says_what_is_configured_nothing_is_read() {
    let mut world = World::serving(Policy { host_kind: HostKind::CustomMaster, ..policy(2) });
    world.ask(ROLLOUT);
    world.run_until("the rollout is over", |world| finished(world) == 1);
    assert!(world.readings.is_empty());
}
