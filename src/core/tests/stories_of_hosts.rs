//! Stories of the extension host: how it starts, fails, is restarted, and ends.

use super::harness::{Behaviour, World, listening, ms, policy, spec_of};
use crate::core::{
    Audience, ChannelState, Closing, Endpoint, Event, ExitStatus, Haste, HostEvent, HostInstanceId, HostKind,
    HostThen, LifecycleLimits, Notice, OnDeath, OneRequest, Outcome, Policy, PoolSpec, Request, Startup,
    StopCause, WorkerId, WorkerState,
};

fn hosted(workers: u32) -> Policy {
    Policy { host_kind: HostKind::ExtensionHost { limit: ms(15_000) }, ..policy(workers) }
}

/// A host that is initialized and has started everyone.
fn serving(policy: Policy) -> World {
    let workers = policy.workers as usize;
    let mut world = World::new(policy);
    world.host_news(HostEvent::Initialized);
    world.ask(Request::Start);
    world.run_until("everyone is ready", |world| world.ready() == workers);
    world
}

fn host_then(world: &World) -> Vec<HostThen> {
    let then = |notice: &Notice| {
        let Notice::HostExited { then, .. } = notice else { return None };
        Some(*then)
    };
    world.notices.iter().filter_map(then).collect()
}

#[test]
fn no_host_follows_one_that_is_being_replaced_when_everything_is_stopped() {
    let mut world = serving(hosted(1));
    world.host.as_mut().expect("it lives").leaves = Some(10);
    let other = PoolSpec { host: "other extensions".into(), ..spec_of(hosted(1)) };
    world.configuration = Some(Ok(other));
    world.ask(Request::Reload(OnDeath::Hold));
    assert!(world.host.as_ref().is_some_and(|host| host.dismissed), "another one is to come");
    world.ask(Request::Stop);
    world.run_until("the end", |world| world.outcome.is_some());
    assert_eq!((world.hosts_started.len(), world.outcome.is_some()), (1, true));
}

#[test]
fn nobody_starts_before_the_host_asks() {
    let mut world = World::new(hosted(2));
    world.pass(1000);
    assert_eq!(world.processes(), 0);
    world.host_news(HostEvent::Initialized);
    assert!(world.said(|notice| matches!(notice, Notice::HostReady(..))));
    world.ask(Request::Start);
    assert_eq!(world.processes(), 2);
}

#[test]
fn a_host_that_ends_before_it_is_initialized_ends_everything() {
    let mut world = World::new(hosted(2));
    world.host_news(HostEvent::CrashReason("extension \"x\" threw".into()));
    world.host_news(HostEvent::Exited(ExitStatus::Code(1)));
    let fault = Some("extension \"x\" threw".to_owned());
    assert_eq!(world.outcome, Some(Outcome::HostFailed(ExitStatus::Code(1), fault)));
    assert_eq!(world.hosts_started.len(), 1);
}

#[test]
fn a_host_that_takes_too_long_to_initialize_is_killed_and_ends_everything() {
    let mut world = World::new(hosted(1));
    world.run_until("the end", |world| world.outcome.is_some());
    assert_eq!(world.now.since(world.hosts_started[0]).as_millis(), 15_001);
    let Some(Outcome::HostFailed(ExitStatus::Signal(_), Some(fault))) = &world.outcome else {
        panic!("{:?}", world.outcome)
    };
    assert_eq!(fault, "it was not initialized within 15000 ms");
}

#[test]
fn a_host_is_given_up_once_however_often_it_is_found_unfit_before_it_is_gone() {
    let given_up = |world: &World| {
        world.notices.iter().filter(|notice| matches!(notice, Notice::HostGivenUp(..))).count()
    };
    let mut world = serving(hosted(1));
    for _ in 0..5 {
        world.host_news(HostEvent::Unfit("it does not read its messages".into()));
    }
    assert_eq!((given_up(&world), world.hosts_killed), (1, 1));
    world.run_until("the next one", |world| world.hosts_started.len() == 2);
    // Nor one that has been told to go, and is killed for not going.
    world.host_news(HostEvent::Initialized);
    world.ask(Request::Stop);
    world.run_until("it is told to go", |world| world.processes() == 0);
    for _ in 0..5 {
        world.host_news(HostEvent::Unfit("it does not read its messages".into()));
    }
    assert_eq!((given_up(&world), world.hosts_killed), (2, 2));
}

#[test]
fn workers_go_on_when_the_host_dies_and_it_is_started_again() {
    let mut world = serving(hosted(2));
    let before = world.living();
    world.pass(10_000);
    world.host_news(HostEvent::Exited(ExitStatus::Code(1)));
    assert_eq!(host_then(&world), [HostThen::StartAtOnce]);
    assert_eq!(world.hosts_started.len(), 2);
    world.host_news(HostEvent::Initialized);
    world.ask(Request::Start);
    assert_eq!(world.living(), before, "the new host starts nobody who runs");
}

#[test]
fn a_host_that_keeps_dying_young_is_started_after_growing_pauses() {
    let mut world = serving(hosted(1));
    let before = world.living();
    for _ in 0..5 {
        world.host_news(HostEvent::Exited(ExitStatus::Code(1)));
        world.run_until("it is started again", |world| world.host.is_some());
    }
    let pauses: Vec<_> = world.hosts_started.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!(pauses[2..].windows(2).all(|pair| pair[0] < pair[1]), "{pauses:?}");
    assert_eq!(world.living(), before);
}

#[test]
fn a_host_that_is_unfit_is_killed_and_started_again() {
    let mut world = serving(hosted(1));
    world.host_news(HostEvent::Unfit("it does not read its messages".into()));
    world.run_until("there is another", |world| world.hosts_started.len() == 2);
    assert!(world.said(|notice| matches!(notice, Notice::HostGivenUp(..))));
    assert!(world.said(|notice| matches!(notice, Notice::HostExited { fault: Some(_), .. })));
    assert_eq!(world.ready(), 1);
}

#[test]
fn a_host_that_closes_its_channel_has_two_seconds_to_end() {
    let mut world = serving(hosted(1));
    world.host_news(HostEvent::Left);
    world.host_news(HostEvent::CrashReason("a bug".into()));
    world.pass(1999);
    world.host_news(HostEvent::Exited(ExitStatus::Code(1)));
    assert!(!world.said(|notice| matches!(notice, Notice::HostGivenUp(..))));
    world.host_news(HostEvent::Initialized);
    world.host_news(HostEvent::Left);
    world.run_until("there is a third", |world| world.hosts_started.len() == 3);
    assert!(world.said(|notice| matches!(notice, Notice::HostGivenUp(..))));
}

#[test]
fn news_of_an_earlier_host_changes_nothing() {
    let mut world = serving(hosted(1));
    let first = world.host.as_ref().unwrap().id;
    world.pass(5000);
    world.host_news(HostEvent::Exited(ExitStatus::Code(1)));
    world.news(Event::Host(first, HostEvent::Exited(ExitStatus::Code(1))));
    assert_eq!(world.hosts_started.len(), 2);
}

#[test]
fn a_stop_ends_the_workers_first_and_then_the_host() {
    let mut world = serving(hosted(2));
    world.ask(Request::Stop);
    world.run_until("the workers are gone", |world| world.processes() == 0);
    assert!(world.host.as_ref().unwrap().dismissed);
    world.run_until("the end", |world| world.outcome.is_some());
    assert_eq!(world.outcome, Some(Outcome::Stopped));
}

#[test]
fn a_host_that_does_not_go_is_killed_after_five_seconds() {
    let mut world = serving(hosted(1));
    world.host.as_mut().unwrap().leaves = None;
    world.ask(Request::Stop);
    world.run_until("the workers are gone", |world| world.processes() == 0);
    world.pass(4999);
    assert_eq!(world.outcome, None);
    world.pass(2);
    assert_eq!(world.outcome, Some(Outcome::Stopped));
}

#[test]
fn a_kill_kills_the_host_too() {
    let mut world = serving(hosted(1));
    world.ask(Request::Kill);
    world.pass(1);
    assert_eq!(world.outcome, Some(Outcome::Stopped));
}

#[test]
fn when_all_are_dead_the_host_may_bring_one_back() {
    let mut policy = hosted(1);
    policy.limits.exit_threshold = ms(5000);
    let mut world = World::new(policy).scripted(|_, start| match start {
        1 => Behaviour::dying_at(30),
        _ => Behaviour::default(),
    });
    world.host_news(HostEvent::Initialized);
    world.ask(Request::Start);
    world.run_until("all are dead", |world| world.said(|notice| matches!(notice, Notice::AllDead(_))));
    world.ask(Request::One(WorkerId(1), OneRequest::Revive));
    world.host_news(HostEvent::AllDeadAcknowledged);
    world.pass(60_000);
    assert_eq!(world.outcome, None, "one that is not dead may still be started");
    world.ask(Request::One(WorkerId(1), OneRequest::Start));
    world.run_until("it is ready", |world| world.ready() == 1);
}

#[test]
fn when_all_are_dead_and_the_host_leaves_it_so_it_is_over_at_once_else_after_two_seconds() {
    for concludes in [true, false] {
        let mut policy = hosted(1);
        policy.limits.exit_threshold = ms(5000);
        let mut world = World::new(policy).scripted(|_, _| Behaviour::dying_at(30));
        world.host_news(HostEvent::Initialized);
        world.ask(Request::Start);
        world.run_until("all are dead", |world| world.said(|notice| matches!(notice, Notice::AllDead(_))));
        let dead = world.now;
        if concludes {
            world.host_news(HostEvent::AllDeadAcknowledged);
        }
        world.run_until("the end", |world| world.outcome.is_some());
        assert!(matches!(world.outcome, Some(Outcome::AllDead(_))));
        assert_eq!(world.now.since(dead).as_millis(), if concludes { 3 } else { 2003 });
    }
}

#[test]
fn a_host_that_ends_after_having_stopped_everyone_ends_luster() {
    for (code, outcome) in [(0, Outcome::Stopped), (3, Outcome::Chosen(3))] {
        let mut world = serving(hosted(2));
        for worker in [1, 2] {
            world.ask(Request::One(WorkerId(worker), OneRequest::Stop));
        }
        world.run_until("the workers are gone", |world| world.processes() == 0);
        world.pass(60_000);
        assert_eq!(world.outcome, None, "as long as the host lives it may start them again");
        world.host_news(HostEvent::Exited(ExitStatus::Code(code)));
        assert_eq!(world.outcome, Some(outcome));
    }
}

#[test]
fn a_later_host_is_told_what_there_is_as_the_first_one_has_seen_it() {
    let mut policy = hosted(4);
    policy.limits.exit_threshold = ms(1000);
    let mut world = World::new(policy).scripted(|worker, start| match (worker.0, start) {
        (1, 1) => Behaviour { drains: None, ..Behaviour::default() },
        (3, _) => Behaviour::dying_at(30),
        (4, _) => Behaviour::never_ready(),
        _ => Behaviour::default(),
    });
    world.host_news(HostEvent::Initialized);
    assert_eq!(world.introductions.len(), 1);
    world.ask(Request::Start);
    world.run_until("two are ready and one is dead", |world| {
        world.ready() == 2
            && world.said(|notice| matches!(notice, Notice::Exited { worker: WorkerId(3), .. }))
    });
    world.ask(Request::One(WorkerId(1), OneRequest::Restart));
    world.ask(Request::Add(WorkerId(5), LifecycleLimits::default(), "0".into()));
    world.news(Event::Closed(world.id(2), Endpoint::new("tcp *:80"), Closing::ForGood));
    world.news(listening(world.id(2), "tcp *:81"));
    world.pass(10);
    world.host_news(HostEvent::Exited(ExitStatus::Code(1)));
    world.run_until("there is another", |world| world.host.is_some());
    world.host_news(HostEvent::Initialized);
    let (_, told) = world.introductions.pop().unwrap();
    let workers = told.workers.iter();
    let instances: Vec<_> = workers
        .flat_map(|it| it.instances.iter().map(|one| (it.worker.0, one.startup, one.channel)))
        .collect();
    assert_eq!(
        instances,
        [
            (1, Startup::SaidReady, ChannelState::Leaving),
            (2, Startup::SaidReady, ChannelState::Open),
            (4, Startup::Online, ChannelState::Open),
        ]
    );
    let endpoints: Vec<_> =
        told.workers[1].instances[0].endpoints.iter().map(|(on, _)| on.to_string()).collect();
    assert_eq!(endpoints, ["tcp *:81"]);
    assert_eq!((told.workers[2].state, told.workers[4].state), (WorkerState::Dead, WorkerState::Stopped));
}

#[test]
fn a_host_is_told_what_there_is_once_however_often_it_says_that_it_is_initialized() {
    let mut world = World::new(hosted(1));
    for _ in 0..3 {
        world.host_news(HostEvent::Initialized);
    }
    assert_eq!(world.introductions.len(), 1);
}

#[test]
fn a_host_is_told_once_that_a_worker_says_it_is_ready_and_not_if_it_has_heard_so_itself() {
    for (audience, told) in [(Audience::Luster, 1), (Audience::HostToo, 0)] {
        let mut world =
            World::new(hosted(1)).scripted(|_, _| Behaviour { ready: None, ..Behaviour::default() });
        world.host_news(HostEvent::Initialized);
        world.ask(Request::Start);
        world.pass(20);
        let id = world.id(1);
        world.news(Event::SaidReady(id, audience));
        world.news(Event::SaidReady(id, Audience::Luster));
        let says = |notice: &&Notice| **notice == Notice::SaidReady(WorkerId(1), id);
        assert_eq!(world.notices.iter().filter(says).count(), told, "{audience:?}");
        assert!(world.said(|notice| matches!(notice, Notice::Ready(..))));
    }
}

fn scripted(workers: u32) -> Policy {
    Policy { host_kind: HostKind::CustomMaster, ..policy(workers) }
}

#[test]
fn without_its_custom_master_everything_is_stopped_and_who_is_left_after_five_seconds_killed() {
    let stubborn = |_, _| Behaviour { drains: None, heeds_sigterm: None, ..Behaviour::default() };
    let mut world = World::serving(scripted(2));
    world.script = Box::new(stubborn);
    world.ask(Request::One(WorkerId(1), OneRequest::Restart));
    world.run_until("worker 1 is stubborn", |world| world.starts(1) == 2 && world.ready() == 2);
    world.script_leaves();
    assert_eq!(world.closings, 1, "a script that is started again finds its ports free");
    assert!(world.hastes.iter().rev().take(2).all(|(_, haste)| *haste == Haste::Some));
    world.pass(4999);
    assert_eq!(world.processes(), 1);
    world.pass(2);
    assert_eq!(world.outcome, Some(Outcome::Stopped));
    assert_eq!(world.script_told, None, "it is gone and hears nothing");
}

#[test]
fn a_custom_master_that_leaves_during_a_stop_shortens_it() {
    let never = |_, _| Behaviour { drains: None, ..Behaviour::default() };
    let mut world = World::new(scripted(1)).scripted(never);
    world.ask(Request::Start);
    world.run_until("it is ready", |world| world.ready() == 1);
    world.ask(Request::Stop);
    world.pass(60_000);
    assert_eq!(world.outcome, None);
    world.script_leaves();
    world.pass(5001);
    assert_eq!(world.outcome, Some(Outcome::Stopped));
}

#[test]
fn a_custom_master_is_told_how_it_ended_when_all_workers_are_gone() {
    let cause = StopCause::Interrupt;
    for (twice, outcome) in [(false, Outcome::Stopped), (true, Outcome::Killed(cause))] {
        let drains = if twice { None } else { Some(20) };
        let mut world =
            World::new(scripted(2)).scripted(move |_, _| Behaviour { drains, ..Behaviour::default() });
        world.ask(Request::Start);
        world.run_until("both are ready", |world| world.ready() == 2);
        world.ask(Request::StopBy(cause));
        if twice {
            world.pass(600);
            world.ask(Request::StopBy(cause));
        }
        world.run_until("the end", |world| world.outcome.is_some());
        assert_eq!((&world.outcome, &world.script_told), (&Some(outcome.clone()), &Some(outcome)));
    }
}

#[test]
fn a_custom_master_that_does_not_read_is_neither_killed_nor_does_it_end_anything() {
    let mut world = World::serving(scripted(1));
    world.news(Event::Host(HostInstanceId::FIRST, HostEvent::Unfit("it does not read".into())));
    world.pass(60_000);
    assert_eq!((world.hosts_killed, world.ready(), &world.outcome), (0, 1, &None));
}

/// The same configuration, which such a host belongs to.
fn hosted_spec(workers: u32, host: &str) -> PoolSpec {
    PoolSpec { host: host.into(), ..spec_of(hosted(workers)) }
}

fn reload(world: &mut World, spec: PoolSpec) -> crate::core::RequestId {
    world.configuration = Some(Ok(spec));
    world.request(Request::Reload(OnDeath::Hold))
}

#[test]
fn a_reload_brings_the_first_host_and_workers_wait_for_it() {
    let mut world = World::serving(policy(2));
    let old = world.living();
    let id = reload(&mut world, hosted_spec(2, "mine"));
    assert_eq!(world.hosts_started.len(), 1);
    world.pass(5000);
    assert_eq!(world.living(), old, "nobody is replaced before it is initialized");
    world.host_news(HostEvent::Initialized);
    let told = &world.introductions.last().expect("it is told").1;
    assert_eq!(told.workers.len(), 2);
    world.ask(Request::Start);
    world.run_until("it is done", |world| world.completed.contains_key(&id));
    assert_eq!((world.living().intersection(&old).count(), world.ready()), (0, 2));
    // It is one like any other from now on.
    world.host_news(HostEvent::Exited(ExitStatus::Code(1)));
    assert_eq!(world.hosts_started.len(), 2);
    world.host_news(HostEvent::Initialized);
    world.ask(Request::Stop);
    world.run_until("the end", |world| world.outcome.is_some());
    assert_eq!(world.outcome, Some(Outcome::Stopped));
}

#[test]
fn a_first_host_that_cannot_start_or_takes_too_long_takes_the_reload_back_and_none_follows() {
    for news in [Some(HostEvent::Exited(ExitStatus::Code(1))), None] {
        let mut world = World::serving(policy(2));
        let old = world.living();
        let id = reload(&mut world, hosted_spec(2, "mine"));
        news.into_iter().for_each(|news| world.host_news(news));
        world.run_until("it is taken back", |world| world.completed.contains_key(&id));
        world.pass(60_000);
        assert_eq!((world.living(), &world.host, world.hosts_started.len()), (old, &None, 1));
        assert_eq!(host_then(&world), [HostThen::NotNeeded]);
        assert_eq!(world.supervisor.snapshot(world.now).generation.0, 0);
    }
}

#[test]
fn a_host_that_is_not_needed_any_more_goes_when_nobody_is_left_who_counts_on_it() {
    let mut world =
        World::new(Policy { restart: crate::core::RestartOrder::StartFirst, ..hosted(2) }).scripted(
            |_, start| Behaviour { drains: Some(if start == 1 { 9000 } else { 20 }), ..Behaviour::default() },
        );
    world.host_news(HostEvent::Initialized);
    world.ask(Request::Start);
    world.run_until("everyone is ready", |world| world.ready() == 2);
    let old = world.living();
    let spec = PoolSpec {
        host: String::new(),
        ..spec_of(Policy { host_kind: HostKind::None, ..world.policy.clone() })
    };
    let id = reload(&mut world, spec);
    let is_told = |world: &World| world.host.as_ref().is_none_or(|host| host.dismissed);
    while world.living().intersection(&old).count() > 0 {
        assert!(!is_told(&world), "somebody may still ask it");
        world.pass(10);
    }
    world.run_until("it is told to go", is_told);
    assert!(world.completed.contains_key(&id));
    world.pass(60_000);
    assert_eq!((&world.host, world.ready(), &world.outcome), (&None, 2, &None));
    assert_eq!((host_then(&world), world.hosts_killed), (vec![HostThen::NotNeeded], 0));
    assert!(world.supervisor.snapshot(world.now).host.is_none());
}

#[test]
fn a_host_whose_removal_is_taken_back_was_never_touched() {
    let mut world = serving(hosted(2));
    world.script = Box::new(|_, _| Behaviour::dying_at(30));
    let spec = PoolSpec { run: "bad".into(), ..spec_of(Policy { host_kind: HostKind::None, ..hosted(2) }) };
    let id = reload(&mut world, spec);
    world.run_until("it fails", |world| world.said(|notice| matches!(notice, Notice::RolloutAborted { .. })));
    world.script = Box::new(|_, _| Behaviour::default());
    world.run_until("it is taken back", |world| world.completed.contains_key(&id));
    world.pass(60_000);
    assert_eq!((world.hosts_started.len(), host_then(&world), world.ready()), (1, vec![], 2));
    assert!(world.host.as_ref().is_some_and(|host| !host.dismissed));
}

#[test]
fn a_host_that_is_wanted_again_while_it_goes_is_followed_by_another() {
    let mut world = serving(hosted(1));
    world.host.as_mut().expect("it lives").leaves = None;
    let bare = spec_of(Policy { host_kind: HostKind::None, ..hosted(1) });
    let id = reload(&mut world, bare);
    world.run_until("it is told to go", |world| world.host.as_ref().is_some_and(|host| host.dismissed));
    assert!(world.completed.contains_key(&id));
    let again = reload(&mut world, hosted_spec(1, ""));
    // It does not go by itself, and is killed after its five seconds.
    world.run_until("the next one", |world| world.hosts_started.len() == 2);
    world.host_news(HostEvent::Initialized);
    world.run_until("it is done", |world| world.completed.contains_key(&again));
    assert_eq!(world.ready(), 1);
}

#[test]
fn workers_that_a_host_was_to_start_are_started_when_it_is_not_wanted_any_more() {
    let mut world = World::new(hosted(2));
    let id = reload(&mut world, spec_of(Policy { host_kind: HostKind::None, ..hosted(2) }));
    world.run_until("they are there", |world| world.ready() == 2);
    world.pass(60_000);
    assert_eq!((&world.host, &world.outcome, world.completed.contains_key(&id)), (&None, &None, true));
}

#[test]
fn how_long_a_host_may_take_is_what_the_configuration_in_force_says() {
    let mut world = serving(hosted(1));
    let limit = ms(700);
    let id =
        reload(&mut world, spec_of(Policy { host_kind: HostKind::ExtensionHost { limit }, ..hosted(1) }));
    world.run_until("it is done", |world| world.completed.contains_key(&id));
    assert_eq!(world.hosts_started.len(), 1, "one that runs has taken its time already");
    world.host_news(HostEvent::Exited(ExitStatus::Code(1)));
    let started = *world.hosts_started.last().expect("another");
    world.run_until("it is given up", |world| world.hosts_killed == 1);
    assert_eq!(world.now.since(started).as_millis(), 700);
}
