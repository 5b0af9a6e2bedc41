//! What is answered to those who ask, and what a snapshot shows meanwhile.

use super::harness::{Behaviour, World, policy, spec};
use crate::core::{
    AfterAbort, Completion, Culprit, Generation, LifecycleLimits, Notice, OnDeath, OneRequest, Policy,
    Refusal, Request, RestartOrder, WorkerId, WorkerState,
};
use std::time::Duration;

fn one(worker: u32, request: OneRequest) -> Request {
    Request::One(WorkerId(worker), request)
}

#[test]
fn a_start_is_complete_when_everyone_is_ready() {
    let mut world = World::new(policy(3));
    let start = world.request(Request::Start);
    world.run_until("it is complete", |world| world.completed.contains_key(&start));
    assert_eq!(world.completed[&start], Completion::Done);
    assert_eq!(world.ready(), 3);
}

#[test]
fn a_start_of_one_that_keeps_dying_says_so_and_the_others_are_waited_for() {
    let mut world = World::new(policy(2)).scripted(|worker, _| match worker {
        WorkerId(1) => Behaviour::dying_at(20),
        _ => Behaviour { ready: Some(5000), ..Behaviour::default() },
    });
    let start = world.request(Request::Start);
    world.run_until("it is complete", |world| world.completed.contains_key(&start));
    let Completion::Dead(deaths) = &world.completed[&start] else { panic!("{:?}", world.completed) };
    assert_eq!(deaths.iter().map(|death| death.worker).collect::<Vec<_>>(), [WorkerId(1)]);
    assert_eq!(world.ready(), 1, "the other one came up meanwhile");
}

#[test]
fn a_reload_that_is_refused_says_why_and_changes_nothing() {
    let mut world = World::serving(policy(2));
    world.configuration = Some(Err("it does not parse".into()));
    let before = world.living();
    let reload = world.request(Request::Reload(OnDeath::Hold));
    assert_eq!(world.completed[&reload], Completion::ConfigurationRefused("it does not parse".into()));
    assert_eq!(world.living(), before);
    assert_eq!(world.supervisor.snapshot(world.now).generation, Generation(0));
}

#[test]
fn reloads_that_join_are_complete_together_and_those_behind_a_reading_wait_for_their_own() {
    let mut world = World::serving(policy(2));
    world.configuration = None;
    let first = world.request(Request::Reload(OnDeath::Hold));
    let second = world.request(Request::Reload(OnDeath::Hold));
    let generation = world.readings[0];
    world.news(crate::core::Event::ConfigurationRead(generation, Ok(Box::new(spec(2)))));
    assert_eq!(world.readings.len(), 2, "what was asked for while it was read is read for once more");
    let snapshot = world.supervisor.snapshot(world.now);
    assert!(snapshot.is_reading && snapshot.rollout.is_some_and(|rollout| rollout.waiting == 1));
    world.news(crate::core::Event::ConfigurationRead(world.readings[1], Ok(Box::new(spec(2)))));
    world.run_until("both are complete", |world| {
        world.completed.contains_key(&first) && world.completed.contains_key(&second)
    });
    assert!(matches!(world.completed[&first], Completion::RolledOut { replaced: 2 }));
    assert_eq!(world.completed[&first], world.completed[&second]);
    assert_eq!(world.supervisor.snapshot(world.now).generation, Generation(2));
}

#[test]
fn a_replacement_that_is_not_ready_in_time_is_told_to_whoever_asked() {
    let policy = Policy {
        restart: RestartOrder::StartFirst,
        ready_timeout: Some(Duration::from_secs(5)),
        ..policy(2)
    };
    let mut world = World::serving(policy);
    world.script = Box::new(|_, _| Behaviour::never_ready());
    let restart = world.request(Request::Replace);
    world.run_until("it is complete", |world| world.completed.contains_key(&restart));
    let Completion::Aborted {
        culprit: Culprit::Worker(worker, _),
        replaced: 0,
        now: AfterAbort::Untouched,
        ..
    } = world.completed[&restart]
    else {
        panic!("{:?}", world.completed)
    };
    assert_eq!(worker, WorkerId(1));
    assert!(world.readings.is_empty(), "a restart stays on what runs");
}

#[test]
fn a_stop_overrules_everything_and_is_complete_at_the_end() {
    let mut world = World::serving(policy(2));
    world.configuration = None;
    let reload = world.request(Request::Reload(OnDeath::Hold));
    let restart = world.request(Request::Replace);
    let stop = world.request(Request::Stop);
    assert_eq!(world.completed[&reload], Completion::Overruled);
    assert_eq!(world.completed[&restart], Completion::Overruled);
    let late = world.request(Request::Start);
    assert_eq!(world.refused[&late], Refusal::Stopping);
    world.run_until("the end", |world| world.outcome.is_some());
    assert_eq!(world.completed[&stop], Completion::Done);
}

#[test]
fn a_worker_that_does_not_exist_is_named_in_the_refusal() {
    let mut world = World::serving(policy(2));
    for request in [OneRequest::Stop, OneRequest::Replace, OneRequest::Revive, OneRequest::Restart] {
        let id = world.request(one(3, request));
        assert_eq!(
            world.refused[&id],
            Refusal::NoSuchWorker { worker: WorkerId(3), workers: vec![WorkerId(1), WorkerId(2)] }
        );
    }
    assert_eq!(
        Refusal::NoSuchWorker { worker: WorkerId(3), workers: vec![WorkerId(1), WorkerId(2)] }.to_string(),
        "there is no worker 3; there are workers 1 and 2"
    );
}

#[test]
fn one_worker_is_stopped_and_started_and_each_answer_comes_when_it_is_true() {
    let mut world = World::serving(policy(2));
    let stop = world.request(one(1, OneRequest::Stop));
    assert!(!world.completed.contains_key(&stop));
    assert_eq!(world.supervisor.snapshot(world.now).workers[0].state, WorkerState::Draining);
    world.run_until("it is stopped", |world| world.completed.contains_key(&stop));
    assert_eq!(world.processes(), 1);
    assert_eq!(world.supervisor.snapshot(world.now).workers[0].state, WorkerState::Stopped);
    let start = world.request(one(1, OneRequest::Start));
    world.run_until("it is started", |world| world.completed.contains_key(&start));
    assert_eq!((world.ready(), &world.completed[&start]), (2, &Completion::Done));
    // Another stop comes before it is ready again.
    let restart = world.request(one(1, OneRequest::Restart));
    let stop = world.request(one(1, OneRequest::Stop));
    world.run_until("both are answered", |world| world.completed.contains_key(&stop));
    assert_eq!(world.completed[&restart], Completion::Overruled);
}

#[test]
fn a_stop_of_one_and_a_scale_are_overruled_by_who_wants_the_worker_again_before_it_has_gone() {
    let mut world = World::serving(policy(3));
    let stop = world.request(one(1, OneRequest::Stop));
    let scale = world.request(Request::Scale(1));
    let start = world.request(one(1, OneRequest::Start));
    let again = world.request(Request::Scale(2));
    world.run_until("all are there", |world| world.completed.contains_key(&start) && world.ready() == 2);
    world.run_until("the last has gone", |world| world.processes() == 2);
    let of = |request| world.completed.get(&request).cloned();
    assert_eq!((of(stop), of(start)), (Some(Completion::Overruled), Some(Completion::Done)));
    assert_eq!((of(scale), of(again)), (Some(Completion::Overruled), Some(Completion::Done)));
}

#[test]
fn who_asked_for_fewer_workers_is_answered_behind_the_end_of_all_that_went_in_whatever_order_they_ended() {
    let mut world = World::new(policy(3)).scripted(|worker, _| Behaviour {
        drains: Some(if worker == WorkerId(3) { 500 } else { 20 }),
        ..Behaviour::default()
    });
    world.ask(Request::Start);
    world.run_until("all are ready", |world| world.ready() == 3);
    let scale = world.request(Request::Scale(1));
    world.run_until("it is complete", |world| world.completed.contains_key(&scale));
    let told = &world.notices[..world.told_before[&scale]];
    for worker in [2, 3] {
        assert!(told.contains(&Notice::Removed(WorkerId(worker))), "worker {worker}: {told:#?}");
    }
}

#[test]
fn a_snapshot_counts_ends_by_their_reason_and_is_the_same_behind_serde() {
    let limits =
        LifecycleLimits { fork_timeout: Some(Duration::from_millis(500)), ..LifecycleLimits::default() };
    let mut world = World::serving(Policy { limits, ..policy(1) });
    world.dies(world.id(1), crate::core::ExitStatus::Code(3));
    world.run_until("it is back", |world| world.ready() == 1);
    world.script = Box::new(|_, start| match start {
        3 => Behaviour { online: None, ..Behaviour::default() },
        _ => Behaviour::default(),
    });
    let restart = world.request(Request::Replace);
    world.run_until("it is replaced", |world| world.completed.contains_key(&restart));
    let snapshot = world.supervisor.snapshot(world.now);
    let counters = snapshot.workers[0].counters;
    assert_eq!((counters.started, counters.crashed, counters.late, counters.asked), (4, 1, 1, 1));
    assert_eq!(snapshot.workers[0].last_death.as_ref().map(|(_, death)| death.worker), Some(WorkerId(1)));
    let json = serde_json::to_string(&snapshot).expect("a snapshot is JSON");
    assert_eq!(serde_json::from_str::<crate::core::Snapshot>(&json).expect("and back"), snapshot);
}
