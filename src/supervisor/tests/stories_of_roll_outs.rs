//! Stories of roll-outs: stop-first, start-first, and what interrupts them.

use std::collections::BTreeSet;

use super::harness::{Behaviour, World, ms, policy};
use crate::supervisor::{
    AbortReason, Ending, Event, Life, Notice, OneRequest, Outcome, Policy, Request, RestartOrder, WorkerId,
};

fn start_first(workers: u32) -> Policy {
    Policy { restart: RestartOrder::StartFirst, ready_timeout: ms(2000), ..policy(workers) }
}

fn is_finished(notice: &Notice) -> bool {
    matches!(notice, Notice::RollOutFinished { .. })
}

fn is_aborted(notice: &Notice) -> bool {
    matches!(notice, Notice::RollOutAborted { .. })
}

fn roll_out(world: &mut World) {
    world.ask(Request::RollOut);
    world.run_until("the roll-out ends", |world| world.said(|n| is_finished(n) || is_aborted(n)));
}

#[test]
fn a_stop_first_roll_out_replaces_one_worker_at_a_time() {
    let mut world = World::serving(policy(4));
    world.ask(Request::RollOut);
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
    let old = world.life(1);
    world.ask(Request::RollOut);
    while world.living().contains(&old) {
        assert_eq!(world.starts(1), 1);
        assert!(world.step(None));
    }
    assert_eq!(world.starts(1), 2);
}

#[test]
fn a_start_first_roll_out_never_has_fewer_ready_workers() {
    let mut world = World::serving(start_first(3));
    world.ask(Request::RollOut);
    while !world.said(is_finished) {
        assert!(world.ready() >= 3);
        assert!(world.processes() <= 4, "one worker at a time");
        assert!(world.step(None));
    }
    assert_eq!(world.processes(), 3);
    assert!(world.living().iter().all(|life| *life > Life(3)));
}

#[test]
fn parallel_replaces_that_many_at_a_time() {
    let mut world = World::serving(Policy { parallel: 2, ..start_first(4) });
    world.ask(Request::RollOut);
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
fn a_start_first_replacement_that_is_never_ready_leaves_the_old_worker_and_fails_the_roll_out() {
    let script = |_, start| if start == 1 { Behaviour::default() } else { Behaviour::never_ready() };
    let mut world = World::new(start_first(3)).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    let old = world.living();
    roll_out(&mut world);
    assert!(world.said(|notice| matches!(
        notice,
        Notice::RollOutAborted { worker: WorkerId(1), reason: AbortReason::NotReady(_), replaced: 0, .. }
    )));
    world.pass(10_000);
    assert_eq!(world.living(), old, "the old workers serve on, the failed one is gone");
    assert_eq!(world.ready(), 3);
}

#[test]
fn a_start_first_replacement_that_dies_at_boot_fails_the_roll_out_at_once() {
    let script = |_, start| if start == 1 { Behaviour::default() } else { Behaviour::dying_at(5) };
    let mut world = World::new(start_first(2)).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    let old = world.living();
    roll_out(&mut world);
    assert!(world.said(|notice| matches!(
        notice,
        Notice::RollOutAborted { reason: AbortReason::Died(Ending::Code(1)), .. }
    )));
    world.pass(10_000);
    assert_eq!(world.living(), old);
    assert_eq!(world.starts(1), 2, "a failed replacement is not tried again");
}

#[test]
fn a_start_first_replacement_that_listens_elsewhere_fails_the_roll_out() {
    let script = |_, start| Behaviour {
        listens: if start == 1 { vec!["tcp *:80"] } else { vec!["tcp *:81"] },
        ..Behaviour::default()
    };
    let mut world = World::new(start_first(1)).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    roll_out(&mut world);
    assert!(world.said(is_aborted));
    world.pass(10_000);
    assert_eq!(world.living(), BTreeSet::from([Life(1)]));
}

#[test]
fn a_roll_out_that_was_aborted_can_be_asked_for_again() {
    let script = |_, start| if start == 2 { Behaviour::dying_at(5) } else { Behaviour::default() };
    let mut world = World::new(start_first(2)).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    roll_out(&mut world);
    assert!(world.said(is_aborted));
    world.ask(Request::RollOut);
    world.pass(60_000);
    assert!(world.said(is_aborted), "worker 2's second start fails, too");
    world.ask(Request::RollOut);
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
    world.ask(Request::RollOut);
    world.run_until("worker 1 is tried for the fifth time", |world| world.starts(1) == 6);
    assert_eq!((world.starts(2), world.starts(3)), (1, 1));
    let held =
        |notice: &Notice| matches!(notice, Notice::RollOutHeld { worker: WorkerId(1), waiting: 2, .. });
    assert_eq!(world.notices.iter().filter(|notice| held(notice)).count(), 1, "it is said once");
    world.run_until("done", |world| world.said(is_finished));
    assert!(world.said(|notice| matches!(notice, Notice::RollOutFinished { replaced: 3, .. })));
    assert_eq!((world.starts(1), world.starts(2), world.starts(3)), (6, 2, 2));
}

#[test]
fn a_stop_first_roll_out_goes_on_past_a_worker_that_is_left_dead() {
    let mut policy = policy(2);
    policy.limits.exit_threshold = ms(5000);
    policy.limits.allowed_sequential_deaths = 1;
    let script = |worker, start| {
        if worker == WorkerId(1) && start > 1 { Behaviour::dying_at(20) } else { Behaviour::default() }
    };
    let mut world = World::new(policy).scripted(script);
    world.ask(Request::Start);
    world.pass(6000);
    roll_out(&mut world);
    assert!(world.said(|notice| matches!(notice, Notice::RollOutFinished { replaced: 1, .. })));
    assert_eq!((world.starts(1), world.starts(2)), (3, 2));
}

#[test]
fn a_replacement_that_keeps_dying_is_given_up_when_its_time_is_over() {
    let script = |_, start| if start == 1 { Behaviour::default() } else { Behaviour::dying_at(20) };
    let mut world = World::new(Policy { ready_timeout: ms(2000), ..policy(3) }).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    roll_out(&mut world);
    assert!(world.said(is_aborted));
    assert!(world.now.0 < 4100, "counted from the first: {:?}", world.now);
    world.pass(20_000);
    assert_eq!((world.starts(2), world.starts(3)), (1, 1));
    assert!(world.starts(1) > 4, "it is tried on");
}

#[test]
fn a_roll_out_whose_workers_are_stopped_has_not_succeeded() {
    let mut world = World::serving(policy(2));
    world.ask(Request::RollOut);
    world.pass(3);
    for worker in [1, 2] {
        world.ask(Request::One(WorkerId(worker), OneRequest::Stop));
    }
    world.pass(10_000);
    assert!(!world.said(is_finished));
    assert!(world.said(|notice| matches!(notice, Notice::RollOutCancelled)));
}

#[test]
fn a_stop_first_replacement_late_by_an_explicit_limit_stops_the_roll_out_and_stays() {
    let script = |_, start| if start == 1 { Behaviour::default() } else { Behaviour::never_ready() };
    let mut world = World::new(Policy { ready_timeout: ms(2000), ..policy(3) }).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    roll_out(&mut world);
    assert!(world.said(is_aborted));
    world.pass(60_000);
    assert_eq!([1, 2, 3].map(|worker| world.starts(worker)), [2, 1, 1], "nobody else is touched");
    assert_eq!(world.processes(), 3);
}

#[test]
fn many_requests_during_a_roll_out_are_one_more_pass_at_most() {
    let mut world = World::serving(policy(4));
    for _ in 0..50 {
        world.ask(Request::RollOut);
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
    world.ask(Request::RollOut);
    world.run_until("worker 1 has a new life", |world| world.starts(1) == 2);
    world.ask(Request::RollOut);
    world.run_until("done", |world| world.said(is_finished));
    assert_eq!((world.starts(1), world.starts(2)), (3, 2));
}

#[test]
fn a_stop_wins_over_a_roll_out() {
    for restart in [RestartOrder::StopFirst, RestartOrder::StartFirst] {
        let mut world = World::serving(Policy { restart, ..start_first(3) });
        world.ask(Request::RollOut);
        world.pass(15);
        world.ask(Request::Stop);
        world.ask(Request::RollOut);
        world.run_until("the end", |world| world.outcome.is_some());
        assert_eq!(world.outcome, Some(Outcome::Stopped));
        assert!(world.said(|notice| matches!(notice, Notice::RollOutCancelled)));
    }
}

#[test]
fn an_old_worker_that_dies_while_its_replacement_boots_is_not_started_again() {
    let mut world = World::serving(start_first(1));
    let old = world.life(1);
    world.ask(Request::RollOut);
    world.pass(15);
    world.dies(old, Ending::Signal("SIGSEGV".into()));
    world.run_until("done", |world| world.said(is_finished));
    assert_eq!((world.starts(1), world.ready()), (2, 1));
}

#[test]
fn a_roll_out_brings_a_dead_worker_back() {
    let mut policy = policy(2);
    policy.limits.exit_threshold = ms(5000);
    let script = |worker, start| {
        if worker == WorkerId(1) && start == 1 { Behaviour::dying_at(20) } else { Behaviour::default() }
    };
    let mut world = World::new(policy).scripted(script);
    world.ask(Request::Start);
    world.pass(10_000);
    assert_eq!(world.ready(), 1);
    roll_out(&mut world);
    assert_eq!(world.ready(), 2);
}

#[test]
fn a_worker_draining_for_long_holds_up_the_next_step_and_nothing_else() {
    let script =
        |_, start| Behaviour { drains: Some(if start == 1 { 30_000 } else { 5 }), ..Behaviour::default() };
    let mut world = World::new(start_first(2)).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    world.ask(Request::RollOut);
    world.pass(29_000);
    assert_eq!((world.ready(), world.processes()), (2, 3));
    world.run_until("done", |world| world.said(is_finished));
}

#[test]
fn a_worker_leaving_by_itself_when_its_turn_comes_is_replaced_once() {
    let mut world = World::serving(policy(1));
    let old = world.life(1);
    world.pass(5000);
    world.news(Event::Leaving(old));
    world.ask(Request::RollOut);
    world.news(Event::Left(old));
    world.dies(old, Ending::Code(0));
    world.run_until("done", |world| world.said(is_finished));
    assert_eq!(world.starts(1), 2);
}
