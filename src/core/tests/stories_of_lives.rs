//! Stories of single workers: boot, death, what follows.

use super::harness::{Behaviour, World, listening, ms, policy};
use crate::core::{
    Audience, Endpoint, Event, ExitStatus, InstanceId, ListenRefusal, NextAction, Notice, Outcome,
    RefusalCause, Request, Signal, WorkerId,
};

#[test]
fn every_worker_is_started_at_once() {
    let mut world = World::new(policy(3));
    world.ask(Request::Start);
    assert_eq!(world.spawned.len(), 3);
    assert!(world.spawned.iter().all(|(at, _, _)| *at == world.now));
}

#[test]
fn a_worker_that_dies_is_replaced_at_once_in_its_own_slot() {
    let mut world = World::serving(policy(2));
    world.pass(10_000);
    let old = world.id(2);
    world.dies(old, ExitStatus::Signal("SIGKILL".into()));
    assert_eq!(world.starts(2), 2);
    assert_eq!(world.spawned.last().map(|(at, worker, _)| (*at, *worker)), Some((world.now, WorkerId(2))));
    assert_eq!(world.starts(1), 1, "its neighbour is left alone");
}

#[test]
fn a_worker_that_dies_at_boot_is_started_again_with_growing_pauses() {
    let mut world = World::new(policy(1)).scripted(|_, _| Behaviour::dying_at(5));
    world.ask(Request::Start);
    world.pass(20_000);
    let starts: Vec<_> = world.spawned.iter().map(|(at, _, _)| at.0).collect();
    let gaps: Vec<_> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps[0], 5, "the first death is answered at once");
    assert!(gaps[1..].windows(2).all(|pair| pair[1] > pair[0] || pair[1] > 3700), "{gaps:?}");
    assert!(*gaps.last().expect("several starts") <= 5005, "no pause is over five seconds: {gaps:?}");
}

#[test]
fn a_worker_that_dies_young_too_often_is_left_dead_and_its_death_is_told() {
    let mut policy = policy(2);
    policy.limits.exit_threshold = ms(5000);
    policy.limits.allowed_sequential_deaths = 3;
    let script =
        |worker, _| if worker == WorkerId(1) { Behaviour::dying_at(50) } else { Behaviour::default() };
    let mut world = World::new(policy).scripted(script);
    world.ask(Request::Start);
    world.pass(60_000);
    assert_eq!(world.starts(1), 4);
    assert!(world.said(|notice| matches!(notice, Notice::Exited { then: NextAction::Dead(4), .. })));
    assert_eq!(world.ready(), 1, "the other worker serves on");
    assert_eq!(world.outcome, None);
}

#[test]
fn when_every_worker_is_dead_it_is_over_and_each_last_death_is_named() {
    let mut policy = policy(2);
    policy.limits.exit_threshold = ms(5000);
    let mut world = World::new(policy).scripted(|_, _| Behaviour::dying_at(50));
    world.ask(Request::Start);
    world.run_until("the end", |world| world.outcome.is_some());
    let Some(Outcome::AllDead(deaths)) = &world.outcome else { panic!("{:?}", world.outcome) };
    let told: Vec<_> = deaths.iter().map(|death| (death.worker, death.status.clone())).collect();
    assert_eq!(told, [(WorkerId(1), ExitStatus::Code(1)), (WorkerId(2), ExitStatus::Code(1))]);
}

#[test]
fn a_death_remembers_the_listen_that_was_refused() {
    let mut policy = policy(1);
    policy.limits.exit_threshold = ms(5000);
    let mut world = World::new(policy);
    world.ask(Request::Start);
    world.pass(20);
    let refusal = ListenRefusal {
        endpoint: Endpoint::new("tcp *:80"),
        cause: RefusalCause::NotPermitted,
        reason: "permission denied".into(),
    };
    let id = world.id(1);
    world.news(Event::Refused(id, refusal.clone()));
    world.dies(id, ExitStatus::Code(1));
    let Some(Outcome::AllDead(deaths)) = &world.outcome else { panic!("{:?}", world.outcome) };
    assert_eq!(deaths[0].refusal, Some(refusal));
}

#[test]
fn a_process_that_cannot_be_started_counts_as_a_young_death() {
    let mut policy = policy(1);
    policy.limits.exit_threshold = ms(5000);
    let mut world = World::new(policy);
    world.ask(Request::Start);
    // The world's process stands for the one that never was.
    let id = world.id(1);
    world.dies(id, ExitStatus::NotStarted("no such file".into()));
    assert!(matches!(world.outcome, Some(Outcome::AllDead(_))));
}

#[test]
fn a_worker_not_online_in_time_gets_sigterm_and_is_started_again() {
    let mut policy = policy(1);
    policy.limits.fork_timeout = ms(300);
    let script = |_, start| {
        if start == 1 { Behaviour { online: None, ..Behaviour::default() } } else { Behaviour::default() }
    };
    let mut world = World::new(policy).scripted(script);
    world.ask(Request::Start);
    world.pass(299);
    assert_eq!(world.signals(InstanceId(1)), []);
    world.pass(1);
    assert_eq!(world.signals(InstanceId(1)), [Signal::Terminate]);
    world.run_until("ready", |world| world.ready() == 1);
    assert_eq!(world.starts(1), 2);
}

#[test]
fn a_hung_boot_that_ignores_sigterm_is_killed() {
    let mut policy = policy(1);
    policy.limits.fork_timeout = ms(300);
    let hung = || Behaviour { online: None, heeds_sigterm: None, ..Behaviour::default() };
    let mut world =
        World::new(policy).scripted(move |_, start| if start == 1 { hung() } else { Behaviour::default() });
    world.ask(Request::Start);
    world.run_until("ready", |world| world.ready() == 1);
    assert!(world.now.0 < 1000 + 300 + 6000);
}

#[test]
fn a_worker_that_leaves_by_itself_is_not_told_to_and_is_replaced() {
    let mut policy = policy(1);
    policy.limits.stop_timeout = ms(500);
    let script = |_, start| Behaviour {
        leaves_by_itself: (start == 1).then_some(100),
        drains: Some(400),
        ..Behaviour::default()
    };
    let mut world = World::new(policy).scripted(script);
    world.ask(Request::Start);
    world.run_until("a replacement is ready", |world| world.starts(1) == 2 && world.ready() == 1);
    assert!(!world.said(|notice| matches!(notice, Notice::Signalled(..))));
}

#[test]
fn a_worker_that_breaks_the_protocol_is_ended_and_replaced_and_the_others_serve_on() {
    let mut world = World::serving(policy(2));
    let (bad, good) = (world.id(1), world.id(2));
    world.news(Event::Broken(bad, "a frame is not JSON".into()));
    assert_eq!(world.signals(bad), [Signal::Terminate]);
    world.run_until("two are ready", |world| world.ready() == 2);
    assert_eq!((world.starts(1), world.id(2)), (2, good));
}

#[test]
fn late_news_of_an_earlier_life_changes_nothing() {
    let mut world = World::serving(policy(1));
    world.pass(10_000);
    let old = world.id(1);
    world.dies(old, ExitStatus::Code(0));
    world.run_until("ready again", |world| world.ready() == 1);
    let (starts, notices) = (world.starts(1), world.notices.len());
    for late in [
        Event::Online(old),
        Event::SaidReady(old, Audience::Luster),
        Event::Suspended(old),
        Event::Leaving(old),
        Event::Left(old),
        Event::Broken(old, "late".into()),
        listening(old, "tcp *:1"),
        Event::Exited(old, ExitStatus::Code(3)),
    ] {
        world.news(late);
    }
    assert_eq!((world.starts(1), world.notices.len()), (starts, notices));
}

#[test]
fn an_idle_fleet_has_nothing_to_wake_up_for() {
    let world = World::serving(policy(8));
    assert_eq!(world.supervisor.next_wake(), None);
}

#[test]
fn workers_ended_because_they_were_slow_to_start_are_tried_until_the_machine_is_calm() {
    let mut policy = policy(10);
    policy.limits.fork_timeout = ms(1000);
    policy.limits.exit_threshold = ms(5000);
    policy.limits.allowed_sequential_deaths = 3;
    let slow = Behaviour { online: Some(1500), ..Behaviour::default() };
    let mut world = World::new(policy).scripted(move |_, _| slow.clone());
    world.ask(Request::Start);
    world.pass(60_000);
    assert_eq!((world.ready(), world.outcome.clone()), (0, None));
    world.script = Box::new(|_, _| Behaviour::default());
    world.pass(7000);
    assert_eq!(world.ready(), 10);
    // Their own deaths count as ever, and from the beginning.
    for deaths in 1..=4 {
        world.run_until("it is ready", |world| world.ready() == 10);
        let id = world.id(1);
        world.dies(id, ExitStatus::Code(1));
        assert_eq!(
            world.said(|notice| matches!(notice, Notice::Exited { then: NextAction::Dead(4), .. })),
            deaths == 4
        );
    }
}
