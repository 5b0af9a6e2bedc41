//! Stories of single workers: boot, death, stop.

use std::time::Duration;

use super::harness::{Behaviour, World, listening, ms, policy};
use crate::core::{
    Audience, Closing, Endpoint, Event, ExitStatus, ExitTimeout, InstanceId, LifecycleLimits, ListenRefusal,
    NextAction, Notice, OnDeath, Outcome, Overdue, Policy, Readiness, RefusalCause, Request, RestartOrder,
    Signal, StopCause, WorkerId,
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
fn ready_means_listening_where_the_predecessor_listened() {
    let script = |_, start| Behaviour {
        listens: if start == 1 { vec!["tcp *:80", "tcp *:81"] } else { vec!["tcp *:80"] },
        ..Behaviour::default()
    };
    let mut world = World::new(policy(1)).scripted(script);
    world.ask(Request::Start);
    world.pass(10_000);
    let first = world.id(1);
    world.dies(first, ExitStatus::Code(1));
    world.pass(1000);
    let second = world.id(1);
    let is_ready = |notice: &Notice| matches!(notice, Notice::Ready(_, id, _) if *id == second);
    assert!(!world.said(is_ready));
    world.news(listening(second, "tcp *:81"));
    assert!(world.said(is_ready));
}

#[test]
fn what_a_worker_closes_just_before_its_end_is_expected_of_its_replacement() {
    for (pause, expected) in [(1000, true), (10_000, false)] {
        let script = |_, start| Behaviour {
            listens: if start == 1 { vec!["tcp *:80"] } else { vec![] },
            ..Behaviour::default()
        };
        let mut world = World::new(policy(1)).scripted(script);
        world.ask(Request::Start);
        world.pass(10_000);
        let first = world.id(1);
        world.news(Event::Closed(first, Endpoint::new("tcp *:80"), Closing::Perhaps));
        world.pass(pause);
        world.dies(first, ExitStatus::Code(1));
        world.pass(1000);
        let second = world.id(1);
        let ready = world.said(|notice| matches!(notice, Notice::Ready(_, id, _) if *id == second));
        assert_eq!(ready, !expected, "closed {pause} ms before");
    }
}

#[test]
fn what_a_worker_has_closed_for_good_is_not_expected_of_its_replacement() {
    for closed_for_good in [
        |_| vec![Event::Closed(InstanceId(1), Endpoint::new("tcp *:80"), Closing::ForGood)],
        |_: ()| {
            vec![
                Event::Closed(InstanceId(1), Endpoint::new("tcp *:80"), Closing::Perhaps),
                Event::LivesOn(InstanceId(1)),
            ]
        },
    ] {
        let script = |_, start| Behaviour {
            listens: if start == 1 { vec!["tcp *:80"] } else { vec![] },
            ..Behaviour::default()
        };
        let mut world = World::new(policy(1)).scripted(script);
        world.ask(Request::Start);
        world.pass(10_000);
        assert_eq!(world.id(1), InstanceId(1));
        closed_for_good(()).into_iter().for_each(|event| world.news(event));
        world.dies(InstanceId(1), ExitStatus::Code(1));
        world.pass(1000);
        assert!(world.said(|notice| matches!(notice, Notice::Ready(_, InstanceId(2), _))));
    }
}

#[test]
fn what_a_replacement_has_tried_out_and_closed_is_not_waited_for() {
    let script = |_, start| Behaviour {
        listens: if start == 1 { vec!["tcp *:80"] } else { vec![] },
        ..Behaviour::default()
    };
    let mut world = World::new(policy(1)).scripted(script);
    world.ask(Request::Start);
    world.pass(10_000);
    world.dies(InstanceId(1), ExitStatus::Code(1));
    world.pass(1000);
    let is_ready = |notice: &Notice| matches!(notice, Notice::Ready(_, InstanceId(2), _));
    assert!(!world.said(is_ready));
    world.news(listening(InstanceId(2), "tcp *:81"));
    world.news(Event::Closed(InstanceId(2), Endpoint::new("tcp *:80"), Closing::ForGood));
    assert!(world.said(is_ready));
}

#[test]
fn whoever_asks_to_listen_is_not_ready_before_that_is_decided() {
    let decisions: [fn(InstanceId) -> Event; 2] =
        [|id| listening(id, "tcp *:80"), |id| Event::Closed(id, Endpoint::new("tcp *:80"), Closing::ForGood)];
    for decision in decisions {
        let mut world = World::new(policy(1)).scripted(|_, _| Behaviour {
            ready: None,
            listens: vec![],
            ..Behaviour::default()
        });
        world.ask(Request::Start);
        world.pass(1000);
        let id = world.id(1);
        let is_ready = |notice: &Notice| matches!(notice, Notice::Ready(..));
        world.news(Event::AsksToListen(id, Endpoint::new("tcp *:80")));
        world.news(Event::SaidReady(id, Audience::Luster));
        assert!(!world.said(is_ready));
        world.news(decision(id));
        assert!(world.said(is_ready));
    }
}

#[test]
fn an_app_that_moved_to_another_port_counts_as_ready_after_a_while() {
    let script = |_, start| Behaviour {
        listens: if start == 1 { vec!["tcp *:80"] } else { vec!["tcp *:90"] },
        ..Behaviour::default()
    };
    let mut world = World::new(policy(1)).scripted(script);
    world.ask(Request::Start);
    world.pass(5_000);
    world.ask(Request::Rollout(OnDeath::Hold));
    world.run_until("the rollout ends", |world| world.said(|n| matches!(n, Notice::RolloutFinished { .. })));
    assert!(world.said(|notice| matches!(notice, Notice::ReadyWithout(..))));
}

#[test]
fn manual_readiness_asks_nothing_but_the_word_of_the_app() {
    let mut policy = policy(1);
    policy.readiness = Readiness::Manual;
    let script = |_, _| Behaviour { ready: None, listens: vec![], ..Behaviour::default() };
    let mut world = World::new(policy).scripted(script);
    world.ask(Request::Start);
    world.pass(60_000);
    assert!(!world.said(|notice| matches!(notice, Notice::Ready(..))));
    let id = world.id(1);
    world.news(Event::SaidReady(id, Audience::Luster));
    assert!(
        world.said(|notice| matches!(notice, Notice::Ready(_, _, took) if *took == Duration::from_secs(60)))
    );
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

fn refusal() -> ListenRefusal {
    let reason = "address already in use".to_owned();
    ListenRefusal { endpoint: Endpoint::new("tcp *:80"), cause: RefusalCause::Other, reason }
}

/// Workers 1 to `refused` are refused what they ask for, and die of it.
fn refused(workers: u32, refused: u32) -> World {
    let mut world = World::new(policy(workers)).scripted(move |worker, _| match worker.0 <= refused {
        true => Behaviour { listens: vec![], ..Behaviour::dying_at(80) },
        false => Behaviour::default(),
    });
    world.ask(Request::Start);
    let mut told = std::collections::BTreeSet::new();
    while world.outcome.is_none() && world.now.0 < 60_000 {
        assert!(world.step(None));
        for id in world.living() {
            let online = world
                .said(|notice| matches!(notice, Notice::Online(wid, it) if *it == id && wid.0 <= refused));
            if online && told.insert(id) {
                world.news(Event::Refused(id, refusal()));
            }
        }
    }
    world
}

#[test]
fn workers_that_can_never_listen_end_luster_after_five_tries_each() {
    let world = refused(3, 3);
    let Some(Outcome::AllDead(deaths)) = &world.outcome else { panic!("{:?}", world.outcome) };
    assert!(deaths.iter().all(|death| death.refusal == Some(refusal())), "{deaths:?}");
    assert_eq!([1, 2, 3].map(|worker| world.starts(worker)), [5; 3]);
    assert!(world.now.0 < 1000 + 3000, "{:?}", world.now);
    assert!(!world.said(|notice| matches!(notice, Notice::Ready(..))), "no such worker is ready");
}

#[test]
fn once_somebody_has_served_a_refused_listen_ends_nothing() {
    let world = refused(2, 1);
    assert_eq!(world.outcome, None);
    assert!(world.starts(1) > 10);
}

#[test]
fn an_app_that_lives_on_after_a_refused_listen_is_ready_once_it_listens_elsewhere_or_after_a_while() {
    for elsewhere in [true, false] {
        let silent = Behaviour { listens: vec![], ..Behaviour::default() };
        let mut world = World::new(policy(1)).scripted(move |_, _| silent.clone());
        world.ask(Request::Start);
        world.run_until("it is online", |world| world.said(|notice| matches!(notice, Notice::Online(..))));
        let id = world.id(1);
        world.news(Event::Refused(id, refusal()));
        world.pass(1000);
        assert!(!world.said(|notice| matches!(notice, Notice::Ready(..))));
        if elsewhere {
            world.news(listening(id, "tcp *:81"));
        } else {
            world.pass(10_000);
        }
        assert!(world.said(|notice| matches!(notice, Notice::Ready(..))));
        assert_eq!(world.said(|notice| matches!(notice, Notice::ReadyWithout(..))), !elsewhere);
    }
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
    world.pass(1);
    world.ask(Request::StopBy(StopCause::Interrupt));
    world.run_until("the end", |world| world.outcome.is_some());
    assert_eq!(world.outcome, Some(Outcome::Killed(StopCause::Interrupt)));
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

#[test]
fn one_that_is_to_call_itself_ready_and_does_not_is_told_of_once() {
    let mut world = World::new(Policy { readiness: Readiness::Manual, ..policy(1) })
        .scripted(|_, _| Behaviour::never_ready());
    world.ask(Request::Start);
    world.pass(10_009);
    let told =
        |world: &World| world.notices.iter().filter(|notice| matches!(notice, Notice::Unready(..))).count();
    assert_eq!(told(&world), 0);
    world.pass(1);
    assert_eq!(told(&world), 1);
    world.pass(60_000);
    assert_eq!(told(&world), 1);
    let id = world.id(1);
    world.news(Event::SaidReady(id, Audience::Luster));
    assert!(world.said(|notice| matches!(notice, Notice::Ready(..))));
}

#[test]
fn who_calls_itself_ready_in_time_or_need_not_is_not_told_of() {
    for readiness in [Readiness::Manual, Readiness::Automatic] {
        let mut world = World::serving(Policy { readiness, ..policy(1) });
        world.pass(60_000);
        assert!(!world.said(|notice| matches!(notice, Notice::Unready(..))));
    }
}
