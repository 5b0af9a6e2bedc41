//! Stories of how a worker is stopped, and what passing deadlines do.

use std::time::Duration;

use super::harness::{Behaviour, World, ms, policy};
use crate::core::{
    Closing, Endpoint, Event, ExitTimeout, InstanceId, LifecycleLimits, Notice, Outcome, Overdue, Policy,
    Request, RestartOrder, Signal, StopCause, WorkerId,
};

#[test]
fn a_stop_suspends_then_disconnects_and_ends_when_all_are_gone() {
    let mut world = World::serving(policy(2));
    world.ask(Request::Stop);
    world.run_until("the end", |world| world.outcome.is_some());
    assert_eq!(world.outcome, Some(Outcome::Stopped));
    assert_eq!(world.processes(), 0);
}

#[test]
fn a_suspend_without_an_answer_is_cut_after_ten_seconds() {
    let script = |_, _| Behaviour { answers_suspend: None, ..Behaviour::default() };
    let mut world = World::new(policy(1)).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    world.ask(Request::Stop);
    world.pass(9_999);
    assert!(!world.said(|notice| matches!(notice, Notice::SuspendUnanswered(..))));
    world.run_until("the end", |world| world.outcome.is_some());
    assert!(world.said(|notice| matches!(notice, Notice::SuspendUnanswered(..))));
}

#[test]
fn one_whose_event_loop_is_blocked_is_ended_although_no_timeout_is_set() {
    let script =
        |_, _| Behaviour { answers_suspend: None, drains: None, heeds_sigterm: None, ..Behaviour::default() };
    let mut world = World::new(policy(1)).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    world.ask(Request::Stop);
    world.pass(19_999);
    assert_eq!(world.signals(InstanceId(1)), []);
    world.pass(1);
    assert_eq!(world.signals(InstanceId(1)), [Signal::Terminate]);
    world.pass(9_999);
    assert_eq!(world.outcome, None);
    world.pass(1);
    assert_eq!(world.outcome, Some(Outcome::Stopped));
    assert!(world.said(|notice| matches!(notice, Notice::Signalled(_, _, Signal::Kill, Overdue::Answer(_)))));
}

#[test]
fn one_that_drains_without_a_limit_is_told_of_once() {
    let told = |limits: LifecycleLimits| {
        let script = |_, _| Behaviour { drains: Some(3_600_000), ..Behaviour::default() };
        let mut world = World::new(Policy { limits, ..policy(1) }).scripted(script);
        world.ask(Request::Start);
        world.pass(1000);
        world.ask(Request::Stop);
        let count = |world: &World| {
            world.notices.iter().filter(|notice| matches!(notice, Notice::StillBusy(..))).count()
        };
        world.pass(9_999);
        let before = count(&world);
        world.pass(600_000);
        (before, count(&world))
    };
    assert_eq!(told(LifecycleLimits::default()), (0, 1));
    assert_eq!(told(LifecycleLimits { stop_timeout: ms(60_000), ..LifecycleLimits::default() }), (0, 0));
}

#[test]
fn one_that_answers_after_all_may_drain_as_long_as_it_takes() {
    let script = |_, _| Behaviour { answers_suspend: None, drains: Some(3_600_000), ..Behaviour::default() };
    let mut world = World::new(policy(1)).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    world.ask(Request::Stop);
    world.pass(15_000);
    let endpoint = Endpoint::new("tcp *:8080");
    world.news(Event::Closed(InstanceId(1), endpoint, Closing::ForGood));
    world.pass(3_000_000);
    assert_eq!((world.signals(InstanceId(1)), world.outcome.clone()), (&[][..], None));
}

#[test]
fn stop_and_kill_timeouts_count_from_the_stop() {
    let mut policy = policy(1);
    (policy.limits.stop_timeout, policy.limits.kill_timeout) = (ms(500), ms(900));
    let script = |_, _| Behaviour { answers_suspend: None, heeds_sigterm: None, ..Behaviour::default() };
    let mut world = World::new(policy).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    world.ask(Request::Stop);
    world.pass(500);
    assert_eq!(world.signals(InstanceId(1)), [Signal::Terminate]);
    world.pass(399);
    assert_eq!(world.signals(InstanceId(1)), [Signal::Terminate]);
    world.pass(1);
    assert_eq!(world.outcome, Some(Outcome::Stopped));
}

#[test]
fn without_timeouts_a_draining_worker_is_waited_for() {
    let script = |_, _| Behaviour { drains: Some(3_600_000), ..Behaviour::default() };
    let mut world = World::new(policy(1)).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    world.ask(Request::Stop);
    world.pass(3_599_000);
    assert_eq!((world.signals(InstanceId(1)), world.outcome.clone()), (&[][..], None));
    world.run_until("the end", |world| world.outcome.is_some());
}

#[test]
fn a_worker_that_left_its_channel_and_stays_is_ended_although_no_timeout_is_set() {
    let script = |_, _| Behaviour { exits_after_leaving: None, heeds_sigterm: None, ..Behaviour::default() };
    let mut world = World::new(policy(1)).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    world.ask(Request::Stop);
    world.run_until("the end", |world| world.outcome.is_some());
    assert!(
        world.said(|notice| matches!(notice, Notice::Signalled(_, _, Signal::Terminate, Overdue::Exit(_))))
    );
    assert!(world.said(|notice| matches!(notice, Notice::Signalled(_, _, Signal::Kill, Overdue::Exit(_)))));
}

#[test]
fn a_worker_whose_channel_ends_without_a_word_is_ended_soon_and_replaced() {
    let mut world = World::serving(policy(1));
    let old = world.id(1);
    world.news(Event::Left(old));
    world.run_until("a replacement", |world| world.starts(1) == 2);
    assert!(world.now.0 < 5000, "{:?}", world.now);
}

#[test]
fn a_second_stop_changes_nothing_and_a_kill_ends_everything_at_once() {
    let script = |_, _| Behaviour { drains: None, ..Behaviour::default() };
    let mut world = World::new(policy(3)).scripted(script);
    world.ask(Request::Start);
    world.pass(1000);
    world.ask(Request::Stop);
    world.pass(1000);
    world.ask(Request::Stop);
    assert_eq!(world.processes(), 3);
    let then = world.now;
    world.ask(Request::Kill);
    world.run_until("the end", |world| world.outcome.is_some());
    assert_eq!((world.outcome.clone(), world.now), (Some(Outcome::Stopped), then));
}

#[test]
fn a_stop_during_a_pause_or_a_boot_ends_without_starting_anything() {
    let script = |worker, _| {
        if worker == WorkerId(1) {
            Behaviour::dying_at(1)
        } else {
            Behaviour { online: None, ..Behaviour::default() }
        }
    };
    let mut world = World::new(policy(2)).scripted(script);
    world.ask(Request::Start);
    world.pass(50);
    world.ask(Request::Stop);
    world.run_until("the end", |world| world.outcome.is_some());
    assert_eq!(world.outcome, Some(Outcome::Stopped));
}

#[test]
fn a_second_stop_signal_is_an_echo_for_half_a_second_and_then_a_kill_with_its_own_end() {
    let slow = Behaviour { drains: Some(30_000), ..Behaviour::default() };
    let mut world = World::new(policy(2)).scripted(move |_, _| slow.clone());
    world.ask(Request::Start);
    world.pass(1000);
    world.ask(Request::StopBy(StopCause::Terminate));
    world.pass(499);
    world.ask(Request::StopBy(StopCause::Interrupt));
    assert!(!world.said(|notice| matches!(notice, Notice::Killing(_))));
    // And a little while in which one that was sent before is to come.
    world.pass(22);
    world.ask(Request::StopBy(StopCause::Interrupt));
    world.run_until("the end", |world| world.outcome.is_some());
    assert_eq!(world.outcome, Some(Outcome::Killed(StopCause::Interrupt)));
}

#[test]
fn a_time_in_which_nothing_ran_is_none_in_which_a_second_stop_signal_could_have_come() {
    // The signal is heard first, or the wake.
    for wakes_first in [false, true] {
        let slow = Behaviour { drains: Some(30_000), ..Behaviour::default() };
        let mut world = World::new(policy(2)).scripted(move |_, _| slow.clone());
        world.ask(Request::Start);
        world.pass(1000);
        world.ask(Request::StopBy(StopCause::Interrupt));
        world.stall(1000);
        if wakes_first {
            world.wake();
        }
        world.ask(Request::StopBy(StopCause::Interrupt));
        assert!(!world.said(|notice| matches!(notice, Notice::Killing(_))), "{wakes_first}");
        world.pass(501);
        world.ask(Request::StopBy(StopCause::Interrupt));
        world.run_until("the end", |world| world.outcome.is_some());
        assert_eq!(world.outcome, Some(Outcome::Killed(StopCause::Interrupt)));
    }
}

#[test]
fn the_first_stop_signal_after_another_stop_kills_nobody() {
    let mut world = World::serving(policy(1));
    world.ask(Request::Stop);
    world.ask(Request::StopBy(StopCause::Terminate));
    world.run_until("the end", |world| world.outcome.is_some());
    assert_eq!(world.outcome, Some(Outcome::Stopped));
}

/// When an instance that has left and does not exit gets SIGTERM, and when SIGKILL, after that.
fn ends_after(policy: Policy, drained: bool) -> (Option<u64>, Option<u64>) {
    let stays =
        Behaviour { exits_after_leaving: None, heeds_sigterm: None, drains: None, ..Behaviour::default() };
    let mut world =
        World::new(Policy { restart: RestartOrder::StopFirst, ..policy }).scripted(move |_, _| stays.clone());
    world.ask(Request::Start);
    world.pass(1000);
    world.ask(Request::Stop);
    world.pass(10);
    if drained {
        world.news(Event::Drained(InstanceId(1)));
    }
    world.news(Event::Left(InstanceId(1)));
    let left = world.now;
    let (mut terminated, mut killed) = (None, None);
    while world.outcome.is_none() && world.step(None) {
        let at = u64::try_from(world.now.since(left).as_millis()).unwrap();
        let signals = world.signals(InstanceId(1)).to_vec();
        terminated = terminated.or(signals.contains(&Signal::Terminate).then_some(at));
        killed = killed.or(signals.contains(&Signal::Kill).then_some(at));
    }
    (terminated, killed)
}

#[test]
fn one_that_has_nothing_left_to_do_gets_sigterm_after_two_seconds_and_one_with_connections_after_ten() {
    let limits = |stop| LifecycleLimits { stop_timeout: stop, ..LifecycleLimits::default() };
    let case = |stop, exit_timeout| Policy { limits: limits(stop), exit_timeout, ..policy(1) };
    let (default, never) = (ExitTimeout::Default, ExitTimeout::Never);
    let after = |n| ExitTimeout::After(Duration::from_millis(n));
    for (stop, exit, drained, terminated, killed) in [
        (None, default, true, Some(2000), Some(12_000)),
        (None, default, false, Some(10_000), Some(20_000)),
        // What the operator has set holds, from the beginning of the stop on.
        (ms(5000), default, true, Some(4990), Some(20_000)),
        (ms(5000), after(300), true, Some(300), Some(15_000)),
        (ms(5000), after(7000), true, Some(4990), Some(17_000)),
        (None, after(300), false, Some(10_000), Some(20_000)),
        (None, never, true, None, None),
        (ms(5000), never, true, Some(4990), None),
    ] {
        let told = format!("{stop:?} {exit:?} {drained}");
        assert_eq!(ends_after(case(stop, exit), drained), (terminated, killed), "{told}");
    }
}
