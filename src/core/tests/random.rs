//! Random fleets, behaviours and requests, held against a small model.
//!
//! The harness checks at every step that every process is known, that no slot holds too many, that nothing is
//! started after a stop, that no worker is told to disconnect twice and that a wake-up leaves nothing due. In some runs the
//! supervisor is handed over at random steps or at each, see `handover`.
//! Here the model adds what must be true in the end, and how far a rollout may go below full strength.

use proptest::prelude::*;

use super::handover::handed;
use super::harness::{Behaviour, World, policy};
use crate::core::{
    Event, ExitStatus, HostEvent, HostInstanceId, HostKind, InstanceId, LifecycleLimits, Notice, OnDeath,
    OneRequest, Outcome, Persistence, Policy, Readiness, Request, RestartOrder, WorkerId,
};
use std::time::Duration;

pub(super) fn wait(most: u64) -> impl Strategy<Value = Option<Duration>> {
    prop_oneof![Just(None), (1..most).prop_map(|n| Some(Duration::from_millis(n)))]
}

pub(super) fn policies() -> impl Strategy<Value = Policy> {
    let order = prop_oneof![Just(RestartOrder::StopFirst), Just(RestartOrder::StartFirst)];
    let readiness = prop_oneof![Just(Readiness::Automatic), Just(Readiness::Manual)];
    (
        1u32..5,
        wait(500),
        wait(3000),
        wait(5000),
        wait(6000),
        0u32..4,
        order,
        1u32..3,
        wait(3000),
        wait(3000),
        readiness,
    )
        .prop_map(
            |(workers, fork, stop, kill, threshold, allowed, restart, parallel, ready, start, readiness)| {
                Policy {
                    limits: LifecycleLimits {
                        fork_timeout: fork,
                        stop_timeout: stop,
                        kill_timeout: kill,
                        exit_threshold: threshold,
                        allowed_sequential_deaths: allowed,
                        persistence: Persistence::Persistent,
                    },
                    restart,
                    parallel,
                    ready_timeout: ready,
                    start_timeout: start,
                    readiness,
                    ..policy(workers)
                }
            },
        )
}

fn perhaps(most: u64) -> impl Strategy<Value = Option<u64>> {
    prop_oneof![1 => Just(None), 6 => (0..most).prop_map(Some)]
}

fn rarely(most: u64) -> impl Strategy<Value = Option<u64>> {
    prop_oneof![5 => Just(None), 1 => (0..most).prop_map(Some)]
}

pub(super) fn behaviours() -> impl Strategy<Value = Behaviour> {
    let listens = prop_oneof![4 => Just(vec!["tcp *:80"]), 1 => Just(vec![]), 1 => Just(vec!["tcp *:81"])];
    (
        perhaps(600),
        perhaps(300),
        listens,
        rarely(8000),
        rarely(3000),
        perhaps(11_000),
        perhaps(4000),
        perhaps(500),
        perhaps(100),
    )
        .prop_map(|(online, ready, listens, dies, leaves, suspend, drains, exits, term)| Behaviour {
            online,
            ready,
            listens,
            dies: dies.map(|at| (at, ExitStatus::Code(1))),
            leaves_by_itself: leaves.and_then(|at| online.map(|online| online + at)),
            answers_suspend: suspend,
            drains,
            exits_after_leaving: exits,
            heeds_sigterm: term,
        })
}

fn requests() -> impl Strategy<Value = Vec<(u64, Request)>> {
    let one = prop_oneof![
        Just(OneRequest::Start),
        Just(OneRequest::Stop),
        Just(OneRequest::Restart),
        Just(OneRequest::Rollout),
        Just(OneRequest::Revive),
        Just(OneRequest::Replace),
        wait(3000).prop_map(|stop_timeout| OneRequest::Limit(
            LifecycleLimits { stop_timeout, ..LifecycleLimits::default() },
            "80".into()
        )),
    ];
    // Now and then about a worker that does not exist.
    let one = (1u32..7, one).prop_map(|(worker, request)| Request::One(WorkerId(worker), request));
    let persistence = prop_oneof![Just(Persistence::Persistent), Just(Persistence::OneLife)];
    // Now and then of one that is there, or out of turn.
    let add = (1u32..8, persistence).prop_map(|(worker, persistence)| {
        Request::Add(
            WorkerId(worker),
            LifecycleLimits { persistence, ..LifecycleLimits::default() },
            "0".into(),
        )
    });
    let request = prop_oneof![
        2 => Just(Request::Reload(OnDeath::Hold)),
        2 => Just(Request::Reload(OnDeath::Continue)),
        1 => Just(Request::RestartAll),
        1 => Just(Request::Replace),
        2 => (1u32..9).prop_map(Request::Scale),
        1 => Just(Request::Start),
        2 => (1u32..20).prop_map(|id| Request::Disconnect(InstanceId(id))),
        5 => one,
        2 => add,
    ];
    prop::collection::vec((0u64..4000, request), 0..12)
}

/// Something that happens to a world.
type Deed = Box<dyn FnOnce(&mut World)>;

/// What the extension host does, and when.
pub(super) fn host_events() -> impl Strategy<Value = Vec<(u64, HostEvent)>> {
    let event = prop_oneof![
        4 => Just(HostEvent::Initialized),
        1 => Just(HostEvent::CrashReason("a bug".into())),
        1 => Just(HostEvent::Unfit("it does not read".into())),
        2 => Just(HostEvent::AllDeadAcknowledged),
        1 => Just(HostEvent::Left),
        2 => (0i32..2).prop_map(|code| HostEvent::Exited(ExitStatus::Code(code))),
    ];
    prop::collection::vec((0u64..3000, event), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_workers_do_a_stop_and_then_a_kill_end_everything(
        policy in policies(),
        cast in prop::collection::vec(behaviours(), 1..12),
        requests in requests(),
        patience in 0u64..20_000,
        handed in handed(),
    ) {
        let mut next = 0;
        let script = move |_, _| {
            next += 1;
            cast[(next - 1) % cast.len()].clone()
        };
        let mut world = World::new(policy).scripted(script).handed_over(handed);
        world.ask(Request::Start);
        for (wait, request) in requests {
            world.pass(wait);
            if world.outcome.is_none() {
                world.ask(request);
            }
        }
        world.pass(patience);
        if world.outcome.is_none() {
            world.ask(Request::Stop);
            world.pass(patience);
        }
        if world.outcome.is_none() {
            world.ask(Request::Kill);
            world.run_until("the end", |world| world.outcome.is_some());
            prop_assert_eq!(world.outcome.clone(), Some(Outcome::Stopped));
        }
        prop_assert_eq!(world.processes(), 0);
        prop_assert_eq!(world.supervisor.next_wake(), None);
    }

    #[test]
    fn whatever_the_host_does_it_ends_with_everything_and_nothing_is_left(
        policy in policies(),
        limit in wait(4000),
        cast in prop::collection::vec(behaviours(), 1..8),
        requests in requests(),
        host_events in host_events(),
        host_leaves in perhaps(8000),
        patience in 0u64..20_000,
        handed in handed(),
    ) {
        let mut next = 0;
        let policy = Policy { host_kind: HostKind::ExtensionHost { limit }, ..policy };
        let script = move |_, _| {
            next += 1;
            cast[(next - 1) % cast.len()].clone()
        };
        let mut world = World::new(policy).scripted(script).handed_over(handed);
        let host_does = |event| move |world: &mut World| {
            if world.host.is_some() { world.host_news(event) }
        };
        let mut deeds: Vec<(u64, Deed)> = Vec::new();
        for (wait, request) in requests {
            deeds.push((wait, Box::new(move |world| world.ask(request))));
        }
        for (wait, event) in host_events {
            deeds.push((wait, Box::new(host_does(event))));
        }
        deeds.sort_by_key(|(wait, _)| *wait);
        for (wait, deed) in deeds {
            world.pass(wait);
            if world.outcome.is_none() {
                deed(&mut world);
            }
        }
        if let Some(host) = &mut world.host {
            host.leaves = host_leaves;
        }
        if world.outcome.is_none() {
            world.ask(Request::Stop);
            world.pass(patience);
        }
        if world.outcome.is_none() {
            world.ask(Request::Kill);
            world.run_until("the end", |world| world.outcome.is_some());
        }
        prop_assert_eq!(world.processes(), 0);
        prop_assert_eq!(&world.host, &None);
        prop_assert_eq!(world.supervisor.next_wake(), None);
    }

    #[test]
    fn without_its_custom_master_everything_ends_in_five_seconds_and_with_it_it_is_told_once(
        policy in policies(),
        cast in prop::collection::vec(behaviours(), 1..8),
        requests in requests(),
        stop_before in rarely(20_000),
        handed in handed(),
    ) {
        let mut next = 0;
        let policy = Policy { host_kind: HostKind::CustomMaster, ..policy };
        let script = move |_, _| {
            next += 1;
            cast[(next - 1) % cast.len()].clone()
        };
        let mut world = World::new(policy).scripted(script).handed_over(handed);
        world.ask(Request::Start);
        for (wait, request) in requests {
            world.pass(wait);
            world.ask(request);
        }
        // It can neither be judged nor killed, whatever is said of it.
        for event in [HostEvent::Initialized, HostEvent::Unfit("slow".into()), HostEvent::AllDeadAcknowledged] {
            world.news(Event::Host(HostInstanceId::FIRST, event));
        }
        prop_assert_eq!((&world.outcome, world.hosts_killed), (&None, 0));
        if let Some(patience) = stop_before {
            world.ask(Request::Stop);
            world.pass(patience);
        }
        let ended_with_it = world.outcome.is_some();
        if !ended_with_it {
            world.script_leaves();
            prop_assert_eq!(world.closings, 1);
            world.pass(5000);
        }
        prop_assert!(world.outcome.is_some());
        prop_assert_eq!(world.script_told.is_some(), ended_with_it);
        prop_assert_eq!(world.supervisor.next_wake(), None);
    }

    #[test]
    fn with_timeouts_a_stop_alone_ends_everything_in_time(
        mut policy in policies(),
        cast in prop::collection::vec(behaviours(), 1..12),
        before in 0u64..10_000,
    ) {
        policy.limits.stop_timeout = Some(Duration::from_millis(2000));
        policy.limits.kill_timeout = Some(Duration::from_millis(3000));
        let mut next = 0;
        let mut world = World::new(policy).scripted(move |_, _| {
            next += 1;
            cast[(next - 1) % cast.len()].clone()
        });
        world.ask(Request::Start);
        world.pass(before);
        if world.outcome.is_none() {
            world.ask(Request::Stop);
            world.pass(3000 + 4000);
        }
        prop_assert!(world.outcome.is_some());
    }

    #[test]
    fn a_rollout_of_healthy_workers_replaces_each_and_never_goes_below_its_strength(
        workers in 1u32..7,
        parallel in 1u32..4,
        start_first in any::<bool>(),
        drains in 0u64..3000,
        boot in 1u64..500,
        extra in prop::collection::vec(0u64..2000, 0..4),
    ) {
        let restart = if start_first { RestartOrder::StartFirst } else { RestartOrder::StopFirst };
        let ready_timeout = start_first.then(|| Duration::from_secs(60));
        let policy = Policy { parallel, restart, ready_timeout, ..policy(workers) };
        let mut world = World::new(policy).scripted(move |_, _| Behaviour {
            online: Some(boot),
            drains: Some(drains),
            ..Behaviour::default()
        });
        world.ask(Request::Start);
        world.run_until("everyone is ready", |world| world.ready() == workers as usize);
        let floor = if start_first { workers } else { workers.saturating_sub(parallel) } as usize;
        let ceiling = if start_first { workers + parallel.min(workers) } else { workers } as usize;
        let first: Vec<_> = world.living().into_iter().collect();
        world.ask(Request::Reload(OnDeath::Hold));
        for wait in extra {
            world.pass(wait);
            world.ask(Request::Reload(OnDeath::Hold));
        }
        let finished = |world: &World| {
            let ended = |notice: &&Notice| matches!(notice, Notice::RolloutFinished { .. });
            let began = |notice: &&Notice| matches!(notice, Notice::RolloutBegan(..));
            world.notices.iter().filter(ended).count() == world.notices.iter().filter(began).count()
        };
        while !finished(&world) {
            prop_assert!(world.ready() >= floor, "{} of {workers} are ready", world.ready());
            prop_assert!(world.processes() <= ceiling);
            prop_assert!(world.step(None));
        }
        prop_assert_eq!(world.ready(), workers as usize);
        prop_assert!(world.living().iter().all(|id| !first.contains(id)), "every worker is new");
    }
}
