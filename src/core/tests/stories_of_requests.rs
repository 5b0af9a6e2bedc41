//! Stories of what is asked about one worker, by extensions and custom masters.

use super::harness::{Behaviour, World, ms, policy};
use crate::core::{
    Departure, ExitCause, ExitStatus, HostKind, InstanceId, LifecycleLimits, NextAction, Notice, OnDeath,
    OneRequest, Persistence, Policy, Request, RestartOrder, Signal, StopReason, WorkerId,
};

fn one(worker: u32, request: OneRequest) -> Request {
    Request::One(WorkerId(worker), request)
}

fn scripted(workers: u32) -> Policy {
    Policy { host_kind: HostKind::CustomMaster, ..policy(workers) }
}

fn is_finished(notice: &Notice) -> bool {
    matches!(notice, Notice::RolloutFinished { .. })
}

/// What was said to follow the exit of this instance.
fn after(world: &World, id: InstanceId) -> Option<NextAction> {
    world.notices.iter().find_map(|notice| {
        let Notice::Exited { instance: ended, then, .. } = notice else { return None };
        (*ended == id).then_some(*then)
    })
}

#[test]
fn a_worker_stopped_on_request_stays_stopped_until_it_is_started() {
    let mut world = World::serving(scripted(2));
    let first = world.id(1);
    world.ask(one(1, OneRequest::Stop));
    world.run_until("it is gone", |world| world.processes() == 1);
    assert_eq!(after(&world, first), Some(NextAction::Stop));
    assert!(world.said(|notice| matches!(notice, Notice::Stopping(_, _, StopReason::Asked))));
    world.pass(60_000);
    assert_eq!(world.starts(1), 1);
    world.ask(one(1, OneRequest::Start));
    world.run_until("both are ready", |world| world.ready() == 2);
    assert_eq!(world.starts(1), 2);
}

#[test]
fn a_stopping_worker_that_is_asked_to_start_starts_when_it_is_gone() {
    let mut world = World::serving(scripted(1));
    let old = world.id(1);
    world.ask(one(1, OneRequest::Stop));
    world.ask(one(1, OneRequest::Start));
    while world.living().contains(&old) {
        assert_eq!(world.starts(1), 1);
        assert!(world.step(None));
    }
    assert_eq!(world.starts(1), 2);
}

#[test]
fn a_start_of_everyone_leaves_those_alone_that_were_stopped_on_request() {
    let mut world = World::serving(scripted(3));
    world.ask(one(2, OneRequest::Stop));
    world.run_until("it is gone", |world| world.processes() == 2);
    world.ask(Request::Start);
    assert_eq!(world.processes(), 2);
}

#[test]
fn a_restarted_worker_is_replaced_at_once_and_counts_no_death() {
    let mut policy = scripted(1);
    policy.limits.exit_threshold = ms(60_000);
    let mut world = World::serving(policy);
    let first = world.id(1);
    world.ask(one(1, OneRequest::Restart));
    world.run_until("its replacement is ready", |world| world.starts(1) == 2 && world.ready() == 1);
    assert_eq!(after(&world, first), Some(NextAction::StartAtOnce));
    assert!(!world.said(|notice| matches!(notice, Notice::RolloutBegan(..))));
}

#[test]
fn a_worker_that_waits_for_its_turn_and_restarts_by_itself_is_not_replaced_again() {
    let mut world = World::serving(scripted(3));
    world.ask(Request::Reload(OnDeath::Hold));
    world.ask(one(3, OneRequest::Restart));
    world.run_until("the rollout ends", |world| world.said(is_finished));
    assert_eq!((1..=3).map(|worker| world.starts(worker)).collect::<Vec<_>>(), [2, 2, 2]);
    assert_eq!(world.ready(), 3);
}

#[test]
fn the_rollout_waits_for_a_worker_that_restarts_by_itself_and_is_slow() {
    let slow = |worker: WorkerId, start| Behaviour {
        ready: Some(if worker == WorkerId(3) && start == 2 { 30_000 } else { 40 }),
        ..Behaviour::default()
    };
    let mut world = World::serving(scripted(3));
    world.script = Box::new(slow);
    world.ask(Request::Reload(OnDeath::Hold));
    world.ask(one(3, OneRequest::Restart));
    world.run_until("the rollout ends", |world| world.said(is_finished));
    assert_eq!(world.starts(3), 2);
    assert_eq!(world.ready(), 3, "the rollout is not over before it is ready");
}

#[test]
fn one_worker_is_rolled_out_alone_or_joins_the_queue() {
    let mut world = World::serving(scripted(3));
    world.ask(one(2, OneRequest::Rollout));
    world.ask(one(1, OneRequest::Rollout));
    world.ask(one(2, OneRequest::Rollout));
    world.run_until("the rollout ends", |world| world.said(is_finished));
    assert_eq!((1..=3).map(|worker| world.starts(worker)).collect::<Vec<_>>(), [2, 2, 1]);
}

#[test]
fn a_rollout_passes_over_workers_that_rest() {
    let mut world = World::serving(scripted(2));
    world.ask(one(1, OneRequest::Stop));
    world.run_until("it is gone", |world| world.processes() == 1);
    world.ask(Request::Reload(OnDeath::Hold));
    world.run_until("the rollout ends", |world| world.said(is_finished));
    assert_eq!((world.starts(1), world.starts(2)), (1, 2));
}

#[test]
fn a_stop_of_one_worker_takes_it_out_of_the_rollout() {
    for restart in [RestartOrder::StopFirst, RestartOrder::StartFirst] {
        let mut world = World::serving(Policy { restart, ..scripted(2) });
        world.ask(Request::Reload(OnDeath::Hold));
        world.ask(one(1, OneRequest::Stop));
        world.run_until("the rollout ends", |world| world.said(is_finished));
        world.pass(60_000);
        assert_eq!(world.ready(), 1, "{restart:?}");
        assert_eq!(world.processes(), 1, "{restart:?}: worker 1 and its successor are gone");
    }
}

#[test]
fn a_dead_worker_is_revived_to_rest_and_started_with_a_clean_slate() {
    let mut policy = scripted(2);
    policy.limits.exit_threshold = ms(5000);
    let dies_once = |worker, start| match (worker, start) {
        (WorkerId(1), 1) => Behaviour::dying_at(5),
        _ => Behaviour::default(),
    };
    let mut world = World::new(policy).scripted(dies_once);
    world.ask(Request::Start);
    world.run_until("worker 1 is dead", |world| {
        world.said(|notice| matches!(notice, Notice::Exited { then: NextAction::Dead(1), .. }))
    });
    world.ask(one(1, OneRequest::Revive));
    world.pass(10_000);
    assert_eq!(world.starts(1), 1, "revived is not started");
    world.ask(one(1, OneRequest::Start));
    world.run_until("both are ready", |world| world.ready() == 2);
}

#[test]
fn a_dead_worker_can_be_started_without_being_revived() {
    let mut policy = scripted(1);
    policy.limits.exit_threshold = ms(5000);
    let dies_once = |_, start| if start == 1 { Behaviour::dying_at(5) } else { Behaviour::default() };
    let mut world = World::new(policy).scripted(dies_once);
    world.ask(Request::Start);
    world.run_until("all are dead", |world| world.said(|notice| matches!(notice, Notice::AllDead(_))));
    world.pass(60_000);
    assert_eq!(world.outcome, None, "with a script it is the script that ends");
    world.ask(one(1, OneRequest::Start));
    world.run_until("it is ready", |world| world.ready() == 1);
}

#[test]
fn limits_of_one_worker_are_its_own() {
    let deaf = |_, _| Behaviour { answers_suspend: None, heeds_sigterm: None, ..Behaviour::default() };
    let mut world = World::serving(scripted(2));
    world.script = Box::new(deaf);
    for worker in [1, 2] {
        world.ask(one(worker, OneRequest::Restart));
    }
    world.run_until("both are new", |world| {
        world.starts(1) == 2 && world.starts(2) == 2 && world.ready() == 2
    });
    let limits =
        LifecycleLimits { stop_timeout: ms(100), kill_timeout: ms(300), ..LifecycleLimits::default() };
    world.ask(one(2, OneRequest::Limit(limits, "80".into())));
    let (first, second) = (world.id(1), world.id(2));
    world.ask(Request::Stop);
    world.pass(200);
    assert_eq!(world.signals(second), [Signal::Terminate]);
    world.pass(200);
    assert_eq!(world.living().into_iter().collect::<Vec<_>>(), [first]);
}

#[test]
fn a_worker_with_one_life_stays_stopped_after_it() {
    let mut world = World::serving(scripted(1));
    let one_life = LifecycleLimits { persistence: Persistence::OneLife, ..LifecycleLimits::default() };
    world.ask(Request::Add(WorkerId(2), one_life, "80".into()));
    world.pass(1000);
    assert_eq!(world.processes(), 1, "an added worker is not started by itself");
    world.ask(one(2, OneRequest::Start));
    world.run_until("it is ready", |world| world.ready() == 2);
    let id = world.id(2);
    world.dies(id, ExitStatus::Code(0));
    assert_eq!(after(&world, id), Some(NextAction::Stop));
    world.pass(60_000);
    assert_eq!(world.starts(2), 1);
}

#[test]
fn a_worker_that_is_added_again_only_gets_its_limits_and_one_out_of_turn_is_nobody() {
    let mut world = World::serving(scripted(1));
    let added = |limits| Request::Add(WorkerId(2), limits, "80".into());
    world.ask(added(LifecycleLimits::default()));
    world.ask(one(2, OneRequest::Start));
    world.run_until("it is ready", |world| world.ready() == 2);
    world.ask(added(LifecycleLimits { persistence: Persistence::OneLife, ..LifecycleLimits::default() }));
    let id = world.id(2);
    world.dies(id, ExitStatus::Code(0));
    assert_eq!(after(&world, id), Some(NextAction::Stop), "it has the new limits");
    for number in [0, 4, u32::MAX] {
        world.ask(Request::Add(WorkerId(number), LifecycleLimits::default(), "80".into()));
        world.ask(one(number, OneRequest::Start));
        assert!(!world.supervisor.knows(WorkerId(number)), "{number}");
    }
    assert!(world.supervisor.knows(WorkerId(2)) && !world.supervisor.knows(WorkerId(3)));
    assert_eq!(world.processes(), 1);
}

#[test]
fn what_is_asked_of_nobody_or_after_a_stop_changes_nothing() {
    let mut world = World::serving(scripted(1));
    for request in [OneRequest::Start, OneRequest::Stop, OneRequest::Restart, OneRequest::Rollout] {
        if request != OneRequest::Rollout {
            world.ask(one(7, request));
        }
        world.ask(one(1, OneRequest::Revive));
    }
    assert_eq!(world.ready(), 1);
    world.ask(Request::Stop);
    world.ask(one(1, OneRequest::Start));
    world.ask(Request::Add(WorkerId(2), LifecycleLimits::default(), "80".into()));
    world.run_until("the end", |world| world.outcome.is_some());
    assert_eq!(world.starts(1), 1);
}

#[test]
fn a_process_that_is_sent_away_drains_and_is_replaced_as_if_it_had_left_by_itself() {
    let mut world = World::serving(scripted(1));
    let first = world.id(1);
    world.ask(Request::Disconnect(first));
    // Asked again, or asked to stop meanwhile, it is not told again: the harness would say so.
    world.ask(Request::Disconnect(first));
    assert!(!world.said(|notice| matches!(notice, Notice::Stopping(..))));
    world.run_until("its replacement is ready", |world| world.starts(1) == 2 && world.ready() == 1);
    assert!(world.said(|notice| *notice == Notice::Disconnected(WorkerId(1), first, Departure::Announced)));
    assert!(world.said(|notice| matches!(notice, Notice::Exited { cause: ExitCause::ItsOwn, .. })));
    world.ask(Request::Disconnect(first));
    world.pass(60_000);
    assert_eq!((world.starts(1), world.ready()), (2, 1), "who is gone is asked nothing");
}

#[test]
fn a_process_that_is_sent_away_while_its_suspend_functions_run_is_told_to_leave_once() {
    let slow = |_, _| Behaviour { answers_suspend: Some(5000), ..Behaviour::default() };
    let mut world = World::new(scripted(1)).scripted(slow);
    world.ask(Request::Start);
    world.run_until("it is ready", |world| world.ready() == 1);
    let id = world.id(1);
    world.ask(Request::Stop);
    world.ask(Request::Disconnect(id));
    world.run_until("the end", |world| world.outcome.is_some());
    assert!(world.now.since(world.spawned[0].0).as_millis() < 5000, "it leaves at once");
}

#[test]
fn a_process_that_is_sent_away_before_it_is_online_leaves_when_it_can() {
    let mut world = World::new(scripted(1));
    world.ask(Request::Start);
    let id = world.id(1);
    world.ask(Request::Disconnect(id));
    world.run_until("its replacement is ready", |world| world.starts(1) == 2 && world.ready() == 1);
}
