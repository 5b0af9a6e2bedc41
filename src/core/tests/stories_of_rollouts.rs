//! Stories of rollouts: stop-first, start-first, and what interrupts them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::harness::{Behaviour, World, ms, policy};
use crate::core::{
    AbortReason, Culprit, Event, ExitStatus, Haste, InstanceId, Notice, OnDeath, OneRequest, Outcome, Policy,
    Request, RestartOrder, StopCause, WorkerId,
};

fn start_first(workers: u32) -> Policy {
    Policy { restart: RestartOrder::StartFirst, ready_timeout: ms(2000), ..policy(workers) }
}

fn is_finished(notice: &Notice) -> bool {
    matches!(notice, Notice::RolloutFinished { .. })
}

fn is_aborted(notice: &Notice) -> bool {
    matches!(notice, Notice::RolloutAborted { .. })
}

fn rollout(world: &mut World) {
    world.ask(Request::Reload(OnDeath::Hold));
    world.run_until("the rollout ends", |world| world.said(|n| is_finished(n) || is_aborted(n)));
}

#[test]
fn a_stop_first_rollout_replaces_one_worker_at_a_time() {
    let mut world = World::serving(policy(4));
    world.ask(Request::Reload(OnDeath::Hold));
    while !world.said(is_finished) {
        assert!(world.ready() >= 3, "at most one worker is down");
        assert!(world.step(None));
    }
    assert_eq!((1..=4).map(|worker| world.starts(worker)).collect::<Vec<_>>(), [2, 2, 2, 2]);
    assert_eq!(world.ready(), 4);
}

#[test]
fn a_stop_first_worker_starts_only_when_the_old_one_is_gone() {
    let mut world = World::serving(policy(1));
    let old = world.id(1);
    world.ask(Request::Reload(OnDeath::Hold));
    while world.living().contains(&old) {
        assert_eq!(world.starts(1), 1);
        assert!(world.step(None));
    }
    assert_eq!(world.starts(1), 2);
}

#[test]
fn a_start_first_rollout_never_has_fewer_ready_workers() {
    let mut world = World::serving(start_first(3));
    world.ask(Request::Reload(OnDeath::Hold));
    while !world.said(is_finished) {
        assert!(world.ready() >= 3);
        assert!(world.processes() <= 4, "one worker at a time");
        assert!(world.step(None));
    }
    assert_eq!(world.processes(), 3);
    assert!(world.living().iter().all(|id| *id > InstanceId(3)));
}

#[test]
fn parallel_replaces_that_many_at_a_time() {
    let mut world = World::serving(Policy { parallel: 2, ..start_first(4) });
    world.ask(Request::Reload(OnDeath::Hold));
    let mut most = 0;
    while !world.said(is_finished) {
        most = most.max(world.processes());
        assert!(world.step(None));
    }
    assert_eq!(most, 6);
}

#[test]
fn restart_all_replaces_everyone_at_once() {
    let mut world = World::serving(policy(3));
    world.ask(Request::RestartAll);
    world.run_until("all are down", |world| world.spawned.len() == 6);
    world.run_until("done", |world| world.said(is_finished));
    let starts: BTreeSet<_> = world.spawned[3..].iter().map(|(at, _, _)| *at).collect();
    assert_eq!(starts.len(), 1, "all were replaced at the same moment");
}

#[test]
fn a_start_first_replacement_that_is_never_ready_leaves_the_old_worker_and_fails_the_rollout() {
    let script = |_, start| if start == 1 { Behaviour::default() } else { Behaviour::never_ready() };
    let mut world = World::new(start_first(3)).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    let old = world.living();
    rollout(&mut world);
    assert!(world.said(|notice| matches!(
        notice,
        Notice::RolloutAborted {
            culprit: Culprit::Worker(WorkerId(1), _),
            reason: AbortReason::NotReady(..),
            replaced: 0,
            ..
        }
    )));
    world.pass(10_000);
    assert_eq!(world.living(), old, "the old workers serve on, the failed one is gone");
    assert_eq!(world.ready(), 3);
}

#[test]
fn a_start_first_replacement_that_dies_at_boot_fails_the_rollout_at_once() {
    let script = |_, start| if start == 1 { Behaviour::default() } else { Behaviour::dying_at(5) };
    let mut world = World::new(start_first(2)).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    let old = world.living();
    rollout(&mut world);
    assert!(world.said(|notice| matches!(
        notice,
        Notice::RolloutAborted {
            reason: AbortReason::Died { status: ExitStatus::Code(1), served: None, .. },
            ..
        }
    )));
    world.pass(10_000);
    assert_eq!(world.living(), old);
    assert_eq!(world.starts(1), 2, "a failed replacement is not tried again");
}

#[test]
fn a_start_first_replacement_that_listens_elsewhere_fails_the_rollout() {
    let script = |_, start| Behaviour {
        listens: if start == 1 { vec!["tcp *:80"] } else { vec!["tcp *:81"] },
        ..Behaviour::default()
    };
    let mut world = World::new(start_first(1)).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    rollout(&mut world);
    assert!(world.said(is_aborted));
    world.pass(10_000);
    assert_eq!(world.living(), BTreeSet::from([InstanceId(1)]));
}

#[test]
fn a_rollout_that_was_aborted_can_be_asked_for_again() {
    let script = |_, start| if start == 2 { Behaviour::dying_at(5) } else { Behaviour::default() };
    let mut world = World::new(start_first(2)).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    rollout(&mut world);
    assert!(world.said(is_aborted));
    world.ask(Request::Reload(OnDeath::Hold));
    world.pass(60_000);
    assert!(world.said(is_aborted), "worker 2's second start fails, too");
    world.ask(Request::Reload(OnDeath::Hold));
    world.run_until("done", |world| world.said(is_finished));
}

#[test]
fn a_stop_first_replacement_that_dies_is_waited_for_and_nobody_else_is_touched() {
    let script = |worker, start| match (worker, start) {
        (WorkerId(1), 2..=5) => Behaviour::dying_at(20),
        _ => Behaviour::default(),
    };
    let mut world = World::new(policy(3)).scripted(script);
    world.ask(Request::Start);
    world.pass(2000);
    world.ask(Request::Reload(OnDeath::Hold));
    world.run_until("worker 1 is tried for the fifth time", |world| world.starts(1) == 6);
    assert_eq!((world.starts(2), world.starts(3)), (1, 1));
    let held =
        |notice: &Notice| matches!(notice, Notice::RolloutHeld { worker: WorkerId(1), waiting: 2, .. });
    assert_eq!(world.notices.iter().filter(|notice| held(notice)).count(), 1, "it is said once");
    world.run_until("done", |world| world.said(is_finished));
    assert!(world.said(|notice| matches!(notice, Notice::RolloutFinished { replaced: 3, .. })));
    assert_eq!((world.starts(1), world.starts(2), world.starts(3)), (6, 2, 2));
}

/// Worker 1's replacements die, at this time, until its instance number `bad`; every death but those allowed would be the last.
fn broken(workers: u32, allowed: u32, dying: u64, bad: u32) -> World {
    let mut policy = policy(workers);
    policy.limits.exit_threshold = ms(5000);
    policy.limits.allowed_sequential_deaths = allowed;
    let mut world = World::new(policy).scripted(move |_, start| {
        if (2..=bad).contains(&start) { Behaviour::dying_at(dying) } else { Behaviour::default() }
    });
    world.ask(Request::Start);
    world.pass(6000);
    world
}

#[test]
fn a_soft_restart_goes_on_past_a_worker_that_is_left_dead() {
    let mut world = broken(2, 1, 20, u32::MAX);
    world.script = Box::new(|worker, _| match worker {
        WorkerId(1) => Behaviour::dying_at(20),
        _ => Behaviour::default(),
    });
    world.ask(Request::Reload(OnDeath::Continue));
    world.run_until("it ends", |world| world.said(is_finished));
    assert!(world.said(|notice| matches!(notice, Notice::RolloutFinished { replaced: 1, .. })));
    assert_eq!((world.starts(1), world.starts(2)), (3, 2));
}

#[test]
fn an_operators_rollout_holds_at_the_first_worker_whatever_the_limits_say_and_the_next_request_mends_everything()
 {
    for (workers, allowed, parallel) in [(1, 0, 1), (1, 3, 1), (2, 0, 1), (3, 3, 1), (4, 10, 2), (4, 0, 1)] {
        let mut world = broken(workers, allowed, 20, 20);
        world.set(|policy| policy.parallel = parallel);
        world.ask(Request::Reload(OnDeath::Hold));
        world.run_until("it was tried often", |world| world.starts(1) == 20);
        let rest: Vec<_> = (parallel + 1..=workers).map(|worker| world.starts(worker)).collect();
        assert!(rest.iter().all(|starts| *starts == 1), "untouched: {rest:?}");
        assert_eq!(world.outcome, None);
        let held = world.notices.iter().filter(|notice| matches!(notice, Notice::RolloutHeld { .. })).count();
        assert_eq!(held, parallel as usize, "each says it once");
        assert!(!world.said(|notice| matches!(notice, Notice::AllDead(_))));

        world.script = Box::new(|_, _| Behaviour::default());
        world.ask(Request::Reload(OnDeath::Hold));
        world.run_until("done", |world| world.said(is_finished));
        assert_eq!(world.ready(), workers as usize);
    }
}

#[test]
fn who_asks_again_while_a_rollout_holds_does_not_wait_for_the_pause() {
    let mut world = broken(2, 0, 20, u32::MAX);
    world.ask(Request::Reload(OnDeath::Hold));
    world.run_until("pauses are long", |world| world.starts(1) == 12);
    world.run_until("it has died", |world| world.processes() == 1);
    world.script = Box::new(|_, _| Behaviour::default());
    let asked = world.now;
    world.ask(Request::Reload(OnDeath::Hold));
    assert_eq!(world.starts(1), 13);
    world.run_until("done", |world| world.said(is_finished));
    assert!(world.now.since(asked) < Duration::from_millis(5500), "the proof, and no pause");
}

#[test]
fn a_version_that_dies_after_it_was_ready_holds_the_rollout_until_one_lives_on() {
    let mut world = broken(4, 1, 80, 6);
    world.ask(Request::Reload(OnDeath::Hold));
    world.run_until("worker 1 is tried for the fifth time", |world| world.starts(1) == 6);
    assert_eq!((world.starts(3), world.starts(4)), (1, 1), "worker 2 had begun before worker 1 died");
    world.run_until("done", |world| world.said(is_finished));
    assert_eq!(world.ready(), 4);
    assert!(world.said(|notice| matches!(notice, Notice::RolloutFinished { replaced: 4, .. })));
}

#[test]
fn an_old_worker_that_crashes_into_a_broken_version_while_the_rollout_holds_is_tried_on_too() {
    let mut world = broken(2, 0, 20, u32::MAX);
    world.ask(Request::Reload(OnDeath::Hold));
    world.run_until("it is held", |world| world.starts(1) == 3);
    let old = world.id(2);
    world.dies(old, ExitStatus::Code(1));
    world.pass(60_000);
    assert_eq!(world.outcome, None);
    assert!(world.starts(1) > 10 && world.starts(2) > 10);
}

#[test]
fn a_version_given_up_by_its_time_limit_is_tried_on_and_counts_again_once_it_was_ready() {
    let mut world = broken(1, 0, 20, 12);
    world.set(|policy| policy.ready_timeout = ms(2000));
    world.ask(Request::Reload(OnDeath::Hold));
    world.run_until("it ends", |world| world.said(is_aborted));
    world.run_until("it works at last", |world| world.ready() == 1);
    let id = world.id(1);
    world.dies(id, ExitStatus::Code(1));
    assert!(world.said(|notice| matches!(notice, Notice::AllDead(_))), "as its limits say");
}

#[test]
fn a_replacement_that_keeps_dying_is_given_up_when_its_time_is_over() {
    let script = |_, start| if start == 1 { Behaviour::default() } else { Behaviour::dying_at(20) };
    let mut world = World::new(Policy { ready_timeout: ms(2000), ..policy(3) }).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    rollout(&mut world);
    assert!(world.said(is_aborted));
    assert!(world.now.0 < 4100, "counted from the first: {:?}", world.now);
    world.pass(20_000);
    assert_eq!((world.starts(2), world.starts(3)), (1, 1));
    assert!(world.starts(1) > 4, "it is tried on");
}

#[test]
fn a_rollout_whose_workers_are_stopped_has_not_succeeded() {
    let mut world = World::serving(policy(2));
    world.ask(Request::Reload(OnDeath::Hold));
    world.pass(3);
    for worker in [1, 2] {
        world.ask(Request::One(WorkerId(worker), OneRequest::Stop));
    }
    world.pass(10_000);
    assert!(!world.said(is_finished));
    assert!(world.said(|notice| matches!(notice, Notice::RolloutCancelled)));
}

#[test]
fn a_stop_first_replacement_late_by_an_explicit_limit_stops_the_rollout_and_stays() {
    let script = |_, start| if start == 1 { Behaviour::default() } else { Behaviour::never_ready() };
    let mut world = World::new(Policy { ready_timeout: ms(2000), ..policy(3) }).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    rollout(&mut world);
    assert!(world.said(is_aborted));
    world.pass(60_000);
    assert_eq!([1, 2, 3].map(|worker| world.starts(worker)), [2, 1, 1], "nobody else is touched");
    assert_eq!(world.processes(), 3);
}

#[test]
fn many_requests_during_a_rollout_are_one_more_pass_at_most() {
    let mut world = World::serving(policy(4));
    for _ in 0..50 {
        world.ask(Request::Reload(OnDeath::Hold));
        world.pass(3);
    }
    world.run_until("done", |world| world.said(is_finished));
    world.pass(60_000);
    for worker in 1..=4 {
        assert!((2..=3).contains(&world.starts(worker)), "worker {worker}: {}", world.starts(worker));
    }
}

#[test]
fn a_request_after_a_new_life_was_forked_replaces_that_life_again() {
    let mut world = World::serving(policy(2));
    world.ask(Request::Reload(OnDeath::Hold));
    world.run_until("worker 1 has a new instance", |world| world.starts(1) == 2);
    world.ask(Request::Reload(OnDeath::Hold));
    world.run_until("done", |world| world.said(is_finished));
    assert_eq!((world.starts(1), world.starts(2)), (3, 2));
}

#[test]
fn a_stop_wins_over_a_rollout() {
    for restart in [RestartOrder::StopFirst, RestartOrder::StartFirst] {
        let mut world = World::serving(Policy { restart, ..start_first(3) });
        world.ask(Request::Reload(OnDeath::Hold));
        world.pass(15);
        world.ask(Request::Stop);
        world.ask(Request::Reload(OnDeath::Hold));
        world.run_until("the end", |world| world.outcome.is_some());
        assert_eq!(world.outcome, Some(Outcome::Stopped));
        assert!(world.said(|notice| matches!(notice, Notice::RolloutCancelled)));
    }
}

#[test]
fn an_old_worker_that_dies_while_its_replacement_boots_is_not_started_again() {
    let mut world = World::serving(start_first(1));
    let old = world.id(1);
    world.ask(Request::Reload(OnDeath::Hold));
    world.pass(15);
    world.dies(old, ExitStatus::Signal("SIGSEGV".into()));
    world.run_until("done", |world| world.said(is_finished));
    assert_eq!((world.starts(1), world.ready()), (2, 1));
}

#[test]
fn a_rollout_brings_a_dead_worker_back() {
    let mut policy = policy(2);
    policy.limits.exit_threshold = ms(5000);
    let script = |worker, start| {
        if worker == WorkerId(1) && start == 1 { Behaviour::dying_at(20) } else { Behaviour::default() }
    };
    let mut world = World::new(policy).scripted(script);
    world.ask(Request::Start);
    world.pass(10_000);
    assert_eq!(world.ready(), 1);
    rollout(&mut world);
    assert_eq!(world.ready(), 2);
}

#[test]
fn a_worker_draining_for_long_holds_up_the_next_step_and_nothing_else() {
    let script =
        |_, start| Behaviour { drains: Some(if start == 1 { 30_000 } else { 5 }), ..Behaviour::default() };
    let mut world = World::new(start_first(2)).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    world.ask(Request::Reload(OnDeath::Hold));
    world.pass(29_000);
    assert_eq!((world.ready(), world.processes()), (2, 3));
    world.run_until("done", |world| world.said(is_finished));
}

#[test]
fn a_worker_leaving_by_itself_when_its_turn_comes_is_replaced_once() {
    let mut world = World::serving(policy(1));
    let old = world.id(1);
    world.pass(5000);
    world.news(Event::Leaving(old));
    world.ask(Request::Reload(OnDeath::Hold));
    world.news(Event::Left(old));
    world.dies(old, ExitStatus::Code(0));
    world.run_until("done", |world| world.said(is_finished));
    assert_eq!(world.starts(1), 2);
}

#[test]
fn idle_connections_get_their_time_unless_nobody_else_serves_meanwhile_or_somebody_sits_at_the_terminal() {
    let told = |policy: Policy, request| {
        let mut world = World::serving(policy);
        world.ask(request);
        world.pass(60_000);
        world.hastes.iter().map(|(_, haste)| *haste).collect::<Vec<_>>()
    };
    let (none, some) = (Haste::None, Haste::Some);
    let rollout = || Request::Reload(OnDeath::Hold);
    assert_eq!(told(policy(1), rollout()), [some]);
    assert_eq!(told(policy(2), rollout()), [none, none]);
    assert_eq!(told(start_first(1), rollout()), [none], "its successor serves");
    assert_eq!(told(Policy { parallel: 2, ..policy(2) }, rollout()), [some, some]);
    assert_eq!(told(Policy { parallel: 2, ..policy(4) }, rollout()), [none; 4]);
    assert_eq!(told(policy(2), Request::RestartAll), [some, some]);
    assert_eq!(told(policy(2), Request::Stop), [none, none]);
    assert_eq!(told(policy(2), Request::StopBy(StopCause::Terminate)), [none, none]);
    assert_eq!(told(policy(2), Request::StopBy(StopCause::Interrupt)), [some, some]);
}
