//! Stories of what is wanted of a running fleet when that changes: another configuration, another number of workers, a bad
//! version that is taken back, one that is tried first.

use std::time::Duration;

use super::harness::{Behaviour, World, ms, policy, spec, spec_of};
use super::reloading::{RELOAD, completes, other};
use crate::core::{
    AfterAbort, Canary, Completion, Culprit, Effect, Endpoint, Event, Generation, Layout, LifecycleLimits,
    ListenRefusal, Notice, OneRequest, Policy, PoolSpec, Refusal, RefusalCause, Request, RestartOrder,
    WorkerId, WorkerState,
};

/// On which configuration each worker's instance runs.
fn generations(world: &World) -> Vec<u32> {
    let snapshot = world.supervisor.snapshot(world.now);
    snapshot.workers.iter().filter_map(|worker| Some(worker.instances.first()?.generation.0)).collect()
}

#[test]
fn more_workers_come_and_the_last_go_and_numbers_are_kept() {
    let mut world = World::serving(policy(2));
    let (one, two) = (world.id(1), world.id(2));
    let grow = world.request(Request::Scale(4));
    assert_eq!(completes(&mut world, grow), Completion::Done);
    assert_eq!(world.ready(), 4);
    let shrink = world.request(Request::Scale(1));
    let draining = world.supervisor.snapshot(world.now).workers[3].state;
    assert_eq!(draining, WorkerState::Draining, "who goes is drained");
    assert_eq!(completes(&mut world, shrink), Completion::Done);
    assert_eq!((world.processes(), world.id(1), world.starts(2)), (1, one, 1));
    assert_ne!(one, two);
    assert_eq!(world.supervisor.snapshot(world.now).workers.len(), 1);
    let gone = world.request(Request::One(WorkerId(2), OneRequest::Start));
    assert_eq!(
        world.refused[&gone],
        Refusal::NoSuchWorker { worker: WorkerId(2), workers: vec![WorkerId(1)] }
    );
    let grow = world.request(Request::Scale(2));
    completes(&mut world, grow);
    assert_eq!(world.starts(2), 2, "it has its number again");
}

#[test]
fn a_configuration_is_forgotten_when_the_last_worker_has_gone_that_was_of_it() {
    let mut world = World::serving(policy(3));
    world.configuration = Some(Ok(spec(2)));
    let reload = world.request(RELOAD);
    completes(&mut world, reload);
    world.run_until("the third is gone", |world| world.supervisor.snapshot(world.now).workers.len() == 2);
    assert_eq!(world.forgotten, [Generation(0)].into());
}

#[test]
fn a_configuration_without_a_port_waits_for_nobody_to_listen() {
    let limits = Policy { ready_timeout: ms(1000), ..policy(1) };
    let mut world =
        World::serving(limits.clone()).scripted(|_, _| Behaviour { listens: vec![], ..Behaviour::default() });
    let layout = Layout { port: None, ..spec(1).layout };
    world.configuration = Some(Ok(PoolSpec { layout, ..spec_of(limits) }));
    let reload = world.request(RELOAD);
    assert_eq!(completes(&mut world, reload), Completion::RolledOut { replaced: 1 });
}

#[test]
fn who_is_stopped_when_its_turn_comes_is_no_canary() {
    let canary = Some(Canary { workers: 1, watch: Duration::from_secs(5) });
    let mut world = World::serving(Policy { canary, ..policy(3) });
    let stop = world.request(Request::One(WorkerId(1), OneRequest::Stop));
    completes(&mut world, stop);
    let reload = world.request(RELOAD);
    world.pass(3000);
    assert_eq!((world.starts(2), world.starts(3)), (2, 1), "the second is tried instead");
    assert_eq!(completes(&mut world, reload), Completion::RolledOut { replaced: 2 });
    assert_eq!((world.starts(1), world.starts(3)), (1, 2));
}

#[test]
fn a_restart_that_joins_a_reload_keeps_nobody_from_what_was_read() {
    let mut world = World::serving(policy(3));
    world.configuration = Some(Ok(other(policy(3))));
    let reload = world.request(RELOAD);
    let one = world.request(Request::One(WorkerId(3), OneRequest::Replace));
    let all = world.request(Request::Replace);
    assert_eq!(completes(&mut world, reload), Completion::RolledOut { replaced: 3 });
    assert_eq!((world.completed.contains_key(&one), world.completed.contains_key(&all)), (true, true));
    assert_eq!(generations(&world), [1, 1, 1]);
}

#[test]
fn who_is_wanted_again_while_it_drains_comes_back() {
    let mut world = World::serving(policy(2));
    world.ask(Request::Scale(1));
    let grow = world.request(Request::Scale(2));
    assert_eq!(completes(&mut world, grow), Completion::Done);
    assert_eq!((world.ready(), world.starts(1), world.starts(2)), (2, 1, 2));
}

#[test]
fn where_ports_move_with_the_number_only_those_that_move_are_replaced() {
    let mut spec = spec(4);
    spec.layout.groups = 2.0;
    let mut world = World::of(spec);
    world.ask(Request::Start);
    world.run_until("everyone is ready", |world| world.ready() == 4);
    let scale = world.request(Request::Scale(6));
    completes(&mut world, scale);
    // 80 80 81 81 becomes 80 80 80 81 81 81: worker 3 moves.
    assert_eq!((1..=6).map(|worker| world.starts(worker)).collect::<Vec<_>>(), [1, 1, 2, 1, 1, 1]);
}

#[test]
fn settings_that_only_limit_hold_at_once_and_the_number_follows_the_configuration() {
    let mut world = World::serving(policy(2));
    let limits = LifecycleLimits { stop_timeout: ms(777), ..LifecycleLimits::default() };
    world.configuration = Some(Ok(spec_of(Policy { limits, ..policy(3) })));
    world.script = Box::new(|_, _| Behaviour { answers_suspend: None, drains: None, ..Behaviour::default() });
    let reload = world.request(RELOAD);
    assert!(matches!(completes(&mut world, reload), Completion::RolledOut { replaced: 3 | 2 }));
    assert_eq!(world.ready(), 3);
    let (id, before) = (world.id(1), world.now);
    world.ask(Request::One(WorkerId(1), OneRequest::Stop));
    world.run_until("it gets SIGTERM", |world| !world.signals(id).is_empty());
    assert_eq!(world.now.since(before), Duration::from_millis(777));
}

#[test]
fn a_number_that_was_asked_for_outlives_a_reload_unless_the_configuration_says_another() {
    let mut world = World::serving(policy(2));
    world.ask(Request::Scale(3));
    world.configuration = Some(Ok(other(policy(2))));
    let reload = world.request(RELOAD);
    completes(&mut world, reload);
    assert_eq!(generations(&world), [1, 1, 1]);
    world.configuration = Some(Ok(other(policy(1))));
    let reload = world.request(RELOAD);
    completes(&mut world, reload);
    world.run_until("the others are gone", |world| world.processes() == 1);
    assert_eq!(generations(&world), [2]);
}

#[test]
fn a_crash_before_its_turn_is_followed_by_what_ran_and_each_configuration_is_forgotten_when_it_is_not_used() {
    let mut world = World::serving(policy(3));
    world.configuration = Some(Ok(other(policy(3))));
    let reload = world.request(RELOAD);
    let id = world.id(3);
    world.dies(id, crate::core::ExitStatus::Code(1));
    assert_eq!(world.generations[&world.id(3)], Generation(0), "its turn has not come");
    completes(&mut world, reload);
    assert_eq!(generations(&world), [1, 1, 1]);
    assert_eq!(world.forgotten.iter().map(|it| it.0).collect::<Vec<_>>(), [0]);
    let id = world.id(3);
    world.dies(id, crate::core::ExitStatus::Code(1));
    world.run_until("it is back", |world| world.ready() == 3);
    assert_eq!(generations(&world), [1, 1, 1]);
}

#[test]
fn a_version_that_is_never_ready_is_taken_back_and_nobody_else_is_touched() {
    for restart in [RestartOrder::StopFirst, RestartOrder::StartFirst] {
        let policy = Policy { restart, ready_timeout: ms(5000), ..policy(3) };
        let mut world = World::serving(policy.clone());
        let before = world.living();
        world.configuration = Some(Ok(other(policy)));
        world.script = Box::new(|_, start| match start {
            2 => Behaviour::never_ready(),
            _ => Behaviour::default(),
        });
        let reload = world.request(RELOAD);
        let Completion::Aborted {
            culprit: Culprit::Worker(WorkerId(1), _),
            replaced: 0,
            now: AfterAbort::TakenBack,
            ..
        } = completes(&mut world, reload)
        else {
            panic!("{restart:?}: {:?}", world.completed)
        };
        assert_eq!((generations(&world), world.ready()), (vec![0, 0, 0], 3), "{restart:?}");
        let kept = world.living().intersection(&before).count();
        assert_eq!(kept, if restart == RestartOrder::StopFirst { 2 } else { 3 }, "{restart:?}");
        world.pass(60_000);
        assert_eq!(world.forgotten.iter().map(|it| it.0).collect::<Vec<_>>(), [1], "{restart:?}");
        assert_eq!(world.supervisor.snapshot(world.now).generation, Generation(0));
    }
}

#[test]
fn a_version_that_keeps_dying_at_its_second_worker_is_taken_back_from_the_first() {
    for restart in [RestartOrder::StopFirst, RestartOrder::StartFirst] {
        let policy = Policy { restart, ready_timeout: ms(60_000), ..policy(3) };
        let mut world = World::serving(policy.clone());
        world.configuration = Some(Ok(other(Policy { parallel: 2, ..policy })));
        world.script = Box::new(|worker, start| match (worker.0, start) {
            (2, 2..=4) => Behaviour::dying_at(20),
            _ => Behaviour { ready: Some(5), ..Behaviour::default() },
        });
        let reload = world.request(RELOAD);
        let Completion::Aborted {
            culprit: Culprit::Worker(WorkerId(2), _), now: AfterAbort::TakenBack, ..
        } = completes(&mut world, reload)
        else {
            panic!("{restart:?}: {:?}", world.completed)
        };
        world.run_until("everyone is ready", |world| world.ready() == 3);
        assert_eq!(generations(&world), [0, 0, 0], "{restart:?}");
        assert!(world.said(|notice| matches!(
            notice,
            Notice::RolloutAborted {
                culprit: Culprit::Worker(WorkerId(2), _),
                then: AfterAbort::TakenBack,
                ..
            }
        )));
    }
}

#[test]
fn where_there_is_nothing_else_to_run_the_failed_worker_is_tried_on_and_whoever_asked_is_told() {
    let mut world = World::serving(policy(3));
    world.script = Box::new(|_, start| match start {
        2..=6 => Behaviour::dying_at(20),
        _ => Behaviour::default(),
    });
    let reload = world.request(RELOAD);
    let Completion::Aborted {
        culprit: Culprit::Worker(WorkerId(1), _),
        replaced: 0,
        now: AfterAbort::TriedOn,
        ..
    } = completes(&mut world, reload)
    else {
        panic!("{:?}", world.completed)
    };
    assert_eq!(world.ready(), 2, "the others serve");
    world.run_until("it goes on by itself", |world| {
        world.said(|notice| matches!(notice, Notice::RolloutFinished { replaced: 3, .. }))
    });
}

#[test]
fn a_configuration_with_more_workers_that_is_taken_back_takes_them_back_too() {
    let policy = Policy { ready_timeout: ms(3000), ..policy(2) };
    let mut world = World::serving(policy.clone());
    world.configuration = Some(Ok(other(Policy { workers: 4, ..policy })));
    world.script = Box::new(|worker, start| match (worker.0, start) {
        (1, 2) => Behaviour::never_ready(),
        _ => Behaviour::default(),
    });
    let reload = world.request(RELOAD);
    assert!(matches!(completes(&mut world, reload), Completion::Aborted { now: AfterAbort::TakenBack, .. }));
    world.run_until("the new ones are gone", |world| world.processes() == 2);
    assert_eq!(generations(&world), [0, 0]);
}

#[test]
fn who_was_scaled_away_during_a_reload_that_is_taken_back_stays_away_and_is_in_no_rollout() {
    let policy = Policy { ready_timeout: ms(3000), ..policy(4) };
    let mut world = World::serving(policy.clone());
    let ready = world.configuration.clone();
    world.configuration = Some(Ok(other(Policy { workers: 1, ..policy })));
    world.script = Box::new(|worker, start| match (worker.0, start) {
        (1, 2) => Behaviour::never_ready(),
        _ => Behaviour::default(),
    });
    let reload = world.request(RELOAD);
    let scale = world.request(Request::Scale(2));
    assert!(matches!(completes(&mut world, reload), Completion::Aborted { now: AfterAbort::TakenBack, .. }));
    assert_eq!(completes(&mut world, scale), Completion::Done);
    assert_eq!(
        (world.processes(), world.supervisor.snapshot(world.now).wanted),
        (2, 2),
        "as was asked for last"
    );
    world.configuration = ready;
    let reload = world.request(RELOAD);
    assert_eq!(completes(&mut world, reload), Completion::RolledOut { replaced: 2 });
    assert_eq!(world.ready(), 2);
}

#[test]
fn a_reload_that_is_taken_back_has_as_many_workers_as_were_asked_for_before_it() {
    let policy = Policy { ready_timeout: ms(3000), ..policy(4) };
    let mut world = World::serving(policy.clone());
    let scale = world.request(Request::Scale(2));
    completes(&mut world, scale);
    world.configuration = Some(Ok(other(Policy { workers: 3, ..policy })));
    world.script = Box::new(|_, _| Behaviour::never_ready());
    let reload = world.request(RELOAD);
    world.pass(1000);
    world.script = Box::new(|_, _| Behaviour::default());
    assert!(matches!(completes(&mut world, reload), Completion::Aborted { now: AfterAbort::TakenBack, .. }));
    world.pass(1000);
    assert_eq!((world.ready(), world.supervisor.snapshot(world.now).wanted), (2, 2));
    let reload = world.request(RELOAD);
    completes(&mut world, reload);
    assert_eq!((world.ready(), world.supervisor.snapshot(world.now).wanted), (3, 3), "as this one says");
}

#[test]
fn fewer_workers_go_only_when_the_others_have_been_replaced() {
    let policy = Policy { ready_timeout: ms(3000), ..policy(4) };
    let mut world = World::serving(policy.clone());
    world.configuration = Some(Ok(other(Policy { workers: 2, ..policy.clone() })));
    let reload = world.request(RELOAD);
    world.run_until("the second is being replaced", |world| world.starts(2) == 2);
    assert_eq!(world.processes(), 4, "nobody has gone");
    completes(&mut world, reload);
    world.run_until("they are gone", |world| world.processes() == 2);
    assert_eq!((world.starts(3), world.starts(4)), (1, 1), "they were not replaced before");
}

#[test]
fn canaries_serve_for_a_while_before_the_others_follow() {
    for restart in [RestartOrder::StopFirst, RestartOrder::StartFirst] {
        let canary = Some(Canary { workers: 1, watch: Duration::from_secs(30) });
        let policy = Policy { restart, canary, parallel: 2, ..policy(3) };
        let mut world = World::serving(policy.clone());
        world.configuration = Some(Ok(other(policy)));
        let began = world.now;
        let reload = world.request(RELOAD);
        world.pass(29_000);
        assert_eq!(generations(&world), [1, 0, 0], "{restart:?}");
        assert!(matches!(completes(&mut world, reload), Completion::RolledOut { replaced: 3 }));
        assert!(world.now.since(began) < Duration::from_secs(32), "{restart:?}: only the first is watched");
        assert_eq!(generations(&world), [1, 1, 1]);
    }
}

#[test]
fn a_canary_that_ends_or_is_refused_a_listen_takes_the_reload_back() {
    for refused in [true, false] {
        let canary = Some(Canary { workers: 1, watch: Duration::from_secs(30) });
        let policy = Policy { canary, ..policy(3) };
        let mut world = World::serving(policy.clone());
        world.configuration = Some(Ok(other(policy)));
        let reload = world.request(RELOAD);
        world.pass(20_000);
        let id = world.id(1);
        match refused {
            true => {
                let endpoint = Endpoint::new("tcp *:81");
                let refusal = ListenRefusal { endpoint, cause: RefusalCause::InUse, reason: "taken".into() };
                world.news(Event::Refused(id, refusal));
            }
            false => world.dies(id, crate::core::ExitStatus::Code(7)),
        }
        let Completion::Aborted {
            culprit: Culprit::Worker(WorkerId(1), _), now: AfterAbort::TakenBack, ..
        } = completes(&mut world, reload)
        else {
            panic!("{:?}", world.completed)
        };
        world.run_until("everyone is ready", |world| world.ready() == 3);
        assert_eq!((generations(&world), world.starts(2)), (vec![0, 0, 0], 1));
    }
}

#[test]
fn another_reload_while_one_is_taken_back_answers_the_first_and_is_done() {
    let policy = Policy { ready_timeout: ms(1000), ..policy(2) };
    let mut world = World::serving(policy.clone());
    world.configuration = Some(Ok(other(policy.clone())));
    world.script = Box::new(|worker, start| match (worker.0, start) {
        (2, 2) => Behaviour::never_ready(),
        _ => Behaviour::default(),
    });
    let first = world.request(RELOAD);
    world.run_until("it is given up", |world| {
        world.said(|notice| matches!(notice, Notice::RolloutAborted { .. }))
    });
    world.configuration = Some(Ok(PoolSpec { run: "third.js".into(), ..spec_of(policy) }));
    let second = world.request(RELOAD);
    assert!(matches!(world.completed[&first], Completion::Aborted { now: AfterAbort::TakenBack, .. }));
    assert!(matches!(completes(&mut world, second), Completion::RolledOut { .. }));
    assert_eq!(generations(&world), [2, 2]);
}

#[test]
fn a_port_that_moves_is_where_the_replacement_is_expected() {
    let policy = Policy { restart: RestartOrder::StartFirst, ready_timeout: ms(5000), ..policy(1) };
    let mut world = World::serving(policy.clone());
    let mut moved = spec_of(policy);
    moved.layout.port = Some(crate::core::Port::Tcp(81));
    world.configuration = Some(Ok(moved));
    world.script = Box::new(|_, _| Behaviour { listens: vec!["tcp *:81"], ..Behaviour::default() });
    let reload = world.request(RELOAD);
    assert!(matches!(completes(&mut world, reload), Completion::RolledOut { replaced: 1 }));
}

#[test]
fn a_scripts_workers_are_its_own_to_count() {
    let mut world = World::serving(Policy { host_kind: crate::core::HostKind::CustomMaster, ..policy(2) });
    let scale = world.request(Request::Scale(3));
    assert_eq!(world.refused[&scale], Refusal::ScriptDecides);
}

#[test]
fn an_event_costs_nothing_for_those_it_does_not_touch() {
    let mut world = World::serving(policy(300));
    let id = world.id(150);
    let effects = world.supervisor.handle(world.now, Event::LivesOn(id));
    assert_eq!(effects, Vec::<Effect>::new());
    assert_eq!(world.supervisor.next_wake(), None);
}
