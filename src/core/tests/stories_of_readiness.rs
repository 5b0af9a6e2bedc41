//! Stories of when a worker is ready, and of listens that are refused.

use std::time::Duration;

use super::harness::{Behaviour, World, listening, policy};
use crate::core::{
    Audience, Closing, Endpoint, Event, ExitStatus, InstanceId, ListenRefusal, Notice, OnDeath, Outcome,
    Policy, Readiness, RefusalCause, Request,
};

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
    world.ask(Request::Reload(OnDeath::Hold));
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
