//! Stories of reloads that fail: what is told of why, and an extension host that does not come up on the new configuration.

use super::harness::{Behaviour, World, ms, policy, spec_of};
use super::reloading::{RELOAD, completes, other};
use crate::core::{
    AbortReason, AfterAbort, Completion, Culprit, Event, ExitStatus, HostEvent, HostInstanceId, HostKind,
    LastWords, Notice, OnDeath, Policy, PoolSpec, Request, RestartOrder, Unready, WorkerId,
};

/// A configuration with other extensions.
fn extended(policy: Policy) -> PoolSpec {
    PoolSpec { host: "other extensions".into(), ..other(policy) }
}

fn reason(completion: &Completion) -> AbortReason {
    match completion {
        Completion::Aborted { reason, .. } => reason.clone(),
        Completion::Done
        | Completion::RolledOut { .. }
        | Completion::ConfigurationRefused(_)
        | Completion::Dead(_)
        | Completion::Overruled => panic!("{completion:?}"),
    }
}

fn hosted(policy: Policy) -> World {
    let workers = policy.workers as usize;
    let mut world = World::new(Policy { host_kind: HostKind::ExtensionHost { limit: ms(15_000) }, ..policy });
    world.host_news(HostEvent::Initialized);
    world.ask(Request::Start);
    world.run_until("everyone is ready", |world| world.ready() == workers);
    world
}

#[test]
fn a_stop_first_version_that_listens_elsewhere_is_taken_back() {
    let policy = Policy { ready_timeout: ms(20_000), ..policy(3) };
    let mut world = World::serving(policy.clone());
    world.configuration = Some(Ok(other(policy)));
    world.script = Box::new(|_, start| match start {
        2 => Behaviour { listens: vec!["tcp *:81"], ..Behaviour::default() },
        _ => Behaviour::default(),
    });
    let reload = world.request(RELOAD);
    let completion = completes(&mut world, reload);
    assert!(
        matches!(completion, Completion::Aborted { replaced: 0, now: AfterAbort::TakenBack, .. }),
        "{completion:?}"
    );
    let AbortReason::NotReady(_, Unready::Lacks(missing)) = reason(&completion) else {
        panic!("{completion:?}")
    };
    assert_eq!(missing.iter().map(ToString::to_string).collect::<Vec<_>>(), ["tcp *:80"]);
    world.pass(30_000);
    assert_eq!([1, 2, 3].map(|worker| world.starts(worker)), [3, 1, 1], "the others are untouched");
}

#[test]
fn a_stop_first_version_that_moved_is_taken_where_it_shares_a_port_or_has_overwritten_the_other() {
    let before = || Behaviour { listens: vec!["tcp *:80", "tcp *:81"], ..Behaviour::default() };
    for (is_other, listens) in [(true, "tcp *:80"), (false, "tcp *:82")] {
        let policy = Policy { ready_timeout: ms(20_000), ..policy(2) };
        let mut world = World::new(policy.clone()).scripted(move |_, start| match start {
            1 => before(),
            _ => Behaviour { listens: vec![listens], ..Behaviour::default() },
        });
        world.ask(Request::Start);
        world.run_until("everyone is ready", |world| world.ready() == 2);
        world.configuration = Some(Ok(if is_other { other(policy) } else { spec_of(policy) }));
        let reload = world.request(RELOAD);
        assert_eq!(completes(&mut world, reload), Completion::RolledOut { replaced: 2 }, "{listens}");
    }
}

#[test]
fn a_soft_restart_goes_on_with_an_app_that_moved_to_another_port() {
    let mut world = World::serving(Policy { ready_timeout: ms(20_000), ..policy(2) });
    world.script = Box::new(|_, _| Behaviour { listens: vec!["tcp *:81"], ..Behaviour::default() });
    let restart = world.request(Request::Reload(OnDeath::Continue));
    assert_eq!(completes(&mut world, restart), Completion::RolledOut { replaced: 2 });
}

#[test]
fn what_a_replacement_said_it_died_of_is_told_with_its_failure() {
    for restart in [RestartOrder::StopFirst, RestartOrder::StartFirst] {
        let policy = Policy { restart, ..policy(2) };
        let mut world = World::serving(policy.clone());
        world.configuration = Some(Ok(other(policy)));
        world.script = Box::new(|worker, start| match (worker.0, start) {
            (1, 2..=4) => Behaviour { online: Some(1), ready: None, ..Behaviour::default() },
            _ => Behaviour::default(),
        });
        let words = LastWords::new("Error: no\n DATABASE_URL", Some("/app.js:3:1"));
        let reload = world.request(RELOAD);
        while !world.completed.contains_key(&reload) {
            let starts = world.starts(1);
            if (2..=4).contains(&starts)
                && world.ready() < 3 - usize::from(restart == RestartOrder::StopFirst)
            {
                let id = world.id(1);
                if world.living().contains(&id) {
                    world.pass(5);
                    world.news(Event::LastWords(id, words.clone()));
                    world.dies(id, ExitStatus::Code(1));
                    continue;
                }
            }
            assert!(world.step(None), "it ends");
        }
        let told = reason(&world.completed[&reload]);
        let expected =
            AbortReason::Died { status: ExitStatus::Code(1), served: None, words: Some(words.clone()) };
        assert_eq!(told, expected, "{restart:?}");
        let held =
            |notice: &Notice| matches!(notice, Notice::RolloutHeld { words: Some(it), .. } if *it == words);
        assert_eq!(world.said(held), restart == RestartOrder::StopFirst);
        if restart == RestartOrder::StopFirst {
            let snapshot = world.supervisor.snapshot(world.now);
            let (_, death) = snapshot.workers[0].last_death.clone().expect("it has died");
            assert_eq!(death.words, Some(words));
        }
    }
}

#[test]
fn last_words_are_one_line_and_no_longer_than_is_kept() {
    let words = LastWords::new(&format!("Error:\r\n\u{1b}[31m{}", "é".repeat(5000)), Some(""));
    assert!(words.error.len() <= 2048 && words.error.starts_with("Error: [31mé"), "{words:?}");
    assert_eq!(words.place, None);
}

#[test]
fn no_worker_is_replaced_before_the_new_host_is_initialized() {
    let mut world = hosted(policy(2));
    world.configuration = Some(Ok(extended(world.policy.clone())));
    let reload = world.request(RELOAD);
    world.run_until("the next host is there", |world| world.host.as_ref().is_some_and(|host| host.id.0 == 2));
    world.pass(5000);
    assert_eq!((world.starts(1), world.starts(2)), (1, 1));
    world.host_news(HostEvent::Initialized);
    assert_eq!(completes(&mut world, reload), Completion::RolledOut { replaced: 2 });
}

#[test]
fn a_host_that_fails_on_the_new_configuration_takes_the_reload_back() {
    for restart in [RestartOrder::StopFirst, RestartOrder::StartFirst] {
        for is_late in [true, false] {
            let mut world = hosted(Policy { restart, ..policy(2) });
            let before = world.living();
            world.configuration = Some(Ok(extended(Policy { workers: 3, ..world.policy.clone() })));
            let reload = world.request(RELOAD);
            world.run_until("the next host is there", |world| {
                world.host.as_ref().is_some_and(|host| host.id.0 == 2)
            });
            if is_late {
                world.run_until("it is killed", |world| world.hosts_killed == 1);
            } else {
                world.host_news(HostEvent::CrashReason("extension \"x\": Error: no vault".into()));
                world.host_news(HostEvent::Exited(ExitStatus::Code(1)));
            }
            let completion = completes(&mut world, reload);
            let Completion::Aborted {
                culprit: Culprit::Host(HostInstanceId(2)),
                reason: AbortReason::Died { words: Some(words), .. },
                replaced: 0,
                now: AfterAbort::TakenBack,
            } = completion
            else {
                panic!("{completion:?}")
            };
            assert!(words.error.contains(if is_late { "15000 ms" } else { "no vault" }), "{words:?}");
            world.run_until("a host is there again", |world| {
                world.host.as_ref().is_some_and(|host| host.id.0 == 3)
            });
            world.host_news(HostEvent::Initialized);
            world.run_until("the third worker is gone", |world| world.processes() == 2);
            assert_eq!(world.living(), before, "{restart:?}: nobody is touched");
            assert_eq!(world.supervisor.snapshot(world.now).generation.0, 0);
            assert!(!world.said(|notice| matches!(notice, Notice::RolloutFinished { .. })));
            let good = world.policy.clone();
            world.configuration = Some(Ok(other(good)));
            let reload = world.request(RELOAD);
            assert_eq!(completes(&mut world, reload), Completion::RolledOut { replaced: 2 });
        }
    }
}

#[test]
fn a_worker_that_fails_on_its_second_replacement_takes_the_host_back_too() {
    let mut world = hosted(Policy { restart: RestartOrder::StartFirst, ..policy(2) });
    world.configuration = Some(Ok(extended(world.policy.clone())));
    world.script = Box::new(|worker, start| match (worker.0, start) {
        (2, 2) => Behaviour::dying_at(15),
        _ => Behaviour::default(),
    });
    let reload = world.request(RELOAD);
    world.run_until("the next host is there", |world| world.host.as_ref().is_some_and(|host| host.id.0 == 2));
    world.host_news(HostEvent::Initialized);
    let completion = completes(&mut world, reload);
    assert!(
        matches!(
            completion,
            Completion::Aborted { culprit: Culprit::Worker(WorkerId(2), _), now: AfterAbort::TakenBack, .. }
        ),
        "{completion:?}"
    );
    world.run_until("the old host is there", |world| world.host.as_ref().is_some_and(|host| host.id.0 == 3));
    assert_eq!(world.ready(), 2);
}

#[test]
fn a_stop_while_the_new_host_comes_up_ends_everything() {
    let mut world = hosted(policy(2));
    world.configuration = Some(Ok(extended(world.policy.clone())));
    let reload = world.request(RELOAD);
    world.run_until("the next host is there", |world| world.host.as_ref().is_some_and(|host| host.id.0 == 2));
    world.ask(Request::Stop);
    world.run_until("the end", |world| world.outcome.is_some());
    assert_eq!(world.completed[&reload], Completion::Overruled);
}
