//! Random fleets whose configuration changes at random while everything else happens, too, and whatever can be asked is.
//!
//! By hand, ten million steps of each property instead of 100,000, with the compiler's checks and optimised (minutes instead of hours):
//! `CARGO_PROFILE_DEV_OPT_LEVEL=2 LUSTER_RANDOM_STEPS=10000000 cargo test --target-dir target/random --lib random_specs`. A step is one
//! event or deadline of the core, behind which the harness checks its promises.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

use super::handover::handed;
use super::harness::{Behaviour, Listened, World, policy, spec_of};
use super::random::{behaviours, host_events, policies, wait};
use crate::core::{
    Canary, Closing, Completion, Endpoint, Event, ExitStatus, HostEvent, HostKind, InstanceId, Layout,
    LifecycleLimits, ListenRefusal, OnDeath, OneRequest, Persistence, Policy, PoolSpec, Port, RefusalCause,
    Request, RequestId, StopCause, WorkerId,
};

/// How many steps each property is held against.
fn steps() -> u64 {
    std::env::var("LUSTER_RANDOM_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(100_000)
}

/// Holds a property against random inputs until it has been held against enough steps; it answers with how many one took.
fn hold<S: Strategy>(
    name: &'static str,
    inputs: &S,
    property: impl Fn(S::Value) -> Result<u64, TestCaseError>,
) {
    let done = AtomicU64::new(0);
    while done.load(Ordering::Relaxed) < steps() {
        let config = Config {
            cases: 64,
            max_shrink_iters: 20_000,
            source_file: Some(file!()),
            test_name: Some(name),
            ..Config::default()
        };
        let once = |input| -> TestCaseResult {
            done.fetch_add(property(input)?, Ordering::Relaxed);
            Ok(())
        };
        if let Err(failure) = TestRunner::new(config).run(inputs, once) {
            panic!("after {} steps: {failure}", done.load(Ordering::Relaxed));
        }
    }
}

/// A configuration of a fleet with such a host.
fn specs(kind: HostKind) -> impl Strategy<Value = PoolSpec> {
    let canary = prop_oneof![
        2 => Just(None),
        1 => (1u32..3, 1u64..3000)
            .prop_map(|(workers, watch)| Some(Canary { workers, watch: Duration::from_millis(watch) })),
    ];
    let port = prop_oneof![
        3 => Just(Some(Port::Tcp(80))),
        1 => Just(Some(Port::Tcp(90))),
        1 => Just(None),
        1 => Just(Some(Port::Unix("/run/*.sock".into()))),
    ];
    let text = || prop_oneof![3 => Just(String::new()), 1 => Just("other".to_owned())];
    let run = prop_oneof![Just("a.js".to_owned()), Just("b.js".to_owned())];
    (policies(), canary, port, 0u32..4, 1u32..3, run, text(), text()).prop_map(
        move |(policy, canary, port, groups, ports_per_group, run, listen, host)| {
            let policy = Policy { canary, host_kind: kind, ..policy };
            let layout =
                Layout { port, workers: policy.workers.into(), groups: groups.into(), ports_per_group };
            PoolSpec { policy, layout, run, listen, host }
        },
    )
}

fn kinds() -> impl Strategy<Value = HostKind> {
    prop_oneof![
        3 => Just(HostKind::None),
        2 => wait(4000).prop_map(|limit| HostKind::ExtensionHost { limit }),
        1 => Just(HostKind::CustomMaster),
    ]
}

/// What a configuration may say of the host when this was said before.
fn later_kinds(kind: HostKind) -> impl Strategy<Value = HostKind> {
    let hosted = wait(4000).prop_map(|limit| HostKind::ExtensionHost { limit });
    let other = prop_oneof![Just(HostKind::None), hosted];
    prop_oneof![Just(kind), other].prop_map(move |other| match kind {
        HostKind::CustomMaster => HostKind::CustomMaster,
        HostKind::None | HostKind::ExtensionHost { .. } => other,
    })
}

/// What comes of reading the configuration, and when.
fn readings(kind: HostKind) -> impl Strategy<Value = Vec<(u64, Result<PoolSpec, String>)>> {
    let good = later_kinds(kind).prop_flat_map(specs).prop_map(Ok);
    let result = prop_oneof![4 => good, 1 => Just(Err("it is wrong".to_owned()))];
    prop::collection::vec((prop_oneof![1 => Just(0), 2 => 0u64..1500], result), 1..8)
}

/// Everything that can be asked, but for what ends everything.
fn requests() -> impl Strategy<Value = Request> {
    let limits = || {
        (wait(3000), prop_oneof![Just(Persistence::Persistent), Just(Persistence::OneLife)]).prop_map(
            |(stop_timeout, persistence)| LifecycleLimits {
                stop_timeout,
                persistence,
                ..LifecycleLimits::default()
            },
        )
    };
    let port = || prop_oneof![Just("80"), Just("81"), Just("0")];
    let one = prop_oneof![
        Just(OneRequest::Start),
        Just(OneRequest::Stop),
        Just(OneRequest::Restart),
        Just(OneRequest::Rollout),
        Just(OneRequest::Replace),
        Just(OneRequest::Revive),
        (limits(), port()).prop_map(|(limits, port)| OneRequest::Limit(limits, port.into())),
    ];
    prop_oneof![
        4 => Just(Request::Reload(OnDeath::Hold)),
        2 => Just(Request::Reload(OnDeath::Continue)),
        2 => Just(Request::Replace),
        1 => Just(Request::RestartAll),
        2 => Just(Request::Start),
        3 => (1u32..9).prop_map(Request::Scale),
        5 => (1u32..9, one).prop_map(|(worker, request)| Request::One(WorkerId(worker), request)),
        1 => (1u32..9, limits(), port())
            .prop_map(|(worker, limits, port)| Request::Add(WorkerId(worker), limits, port.into())),
        1 => (1u32..30).prop_map(|id| Request::Disconnect(InstanceId(id))),
    ]
}

fn ends() -> impl Strategy<Value = Request> {
    prop_oneof![
        Just(Request::Stop),
        Just(Request::Kill),
        Just(Request::StopBy(StopCause::Terminate)),
        Just(Request::StopBy(StopCause::Interrupt)),
    ]
}

/// What a worker does besides what it is made for.
#[derive(Debug, Clone, Copy)]
enum Doing {
    Dies,
    Breaks,
    Refused,
    Closes(Closing),
    LivesOn,
    Asks,
    Drained,
}

/// Something that happens.
#[derive(Debug, Clone)]
enum Deed {
    Asked(Request),
    Host(HostEvent),
    /// To one of the living: the so manieth, counted round.
    Worker(usize, Doing),
}

fn deeds(request: impl Strategy<Value = Request>) -> impl Strategy<Value = Vec<(u64, Deed)>> {
    let doing = prop_oneof![
        4 => Just(Doing::Dies),
        1 => Just(Doing::Breaks),
        1 => Just(Doing::Refused),
        1 => Just(Doing::Closes(Closing::ForGood)),
        1 => Just(Doing::Closes(Closing::Perhaps)),
        1 => Just(Doing::LivesOn),
        1 => Just(Doing::Asks),
        1 => Just(Doing::Drained),
    ];
    let host =
        host_events().prop_filter_map("one", |mut events| events.pop().map(|(_, event)| Deed::Host(event)));
    let deed = prop_oneof![
        6 => request.prop_map(Deed::Asked),
        3 => (0usize..8, doing).prop_map(|(worker, doing)| Deed::Worker(worker, doing)),
        1 => host,
    ];
    let wait = prop_oneof![1 => Just(0), 2 => 0u64..200, 2 => 0u64..4000];
    prop::collection::vec((wait, deed), 0..16)
}

fn cast() -> impl Strategy<Value = Vec<Behaviour>> {
    prop::collection::vec(prop_oneof![2 => Just(Behaviour::default()), 1 => behaviours()], 1..10)
}

/// A world of this configuration, which reads these and has workers like these, until it is healed.
fn world(
    spec: PoolSpec,
    readings: Vec<(u64, Result<PoolSpec, String>)>,
    cast: Vec<Behaviour>,
    healed: &Rc<Cell<bool>>,
) -> World {
    let (good, is_healed) = (spec.clone(), Rc::clone(healed));
    let mut next = 0;
    let mut world = World::of(spec).scripted(move |_, _| {
        next += 1;
        if is_healed.get() { Behaviour::default() } else { cast[(next - 1) % cast.len()].clone() }
    });
    world.ports = Listened::AsTold;
    let (mut next, is_healed) = (0, Rc::clone(healed));
    world.reader = Some(Box::new(move || {
        next += 1;
        if is_healed.get() { (5, Ok(good.clone())) } else { readings[(next - 1) % readings.len()].clone() }
    }));
    world
}

fn happens(world: &mut World, deed: Deed) {
    match deed {
        Deed::Asked(request) => world.ask(request),
        Deed::Host(event) if world.host.is_some() => world.host_news(event),
        Deed::Host(_) => {}
        Deed::Worker(nth, doing) => {
            let living: Vec<_> = world.living().into_iter().collect();
            let Some(id) = living.get(nth % living.len().max(1)).copied() else { return };
            let endpoint = || Endpoint::new("tcp *:80");
            world.news(match doing {
                Doing::Dies => Event::Exited(id, ExitStatus::Signal("SIGKILL".into())),
                Doing::Breaks => Event::Broken(id, "garbage".into()),
                Doing::Refused => {
                    let cause = RefusalCause::InUse;
                    Event::Refused(id, ListenRefusal { endpoint: endpoint(), cause, reason: "in use".into() })
                }
                Doing::Closes(closing) => Event::Closed(id, endpoint(), closing),
                Doing::LivesOn => Event::LivesOn(id),
                Doing::Asks => Event::AsksToListen(id, endpoint()),
                Doing::Drained => Event::Drained(id),
            });
        }
    }
}

fn happen(world: &mut World, deeds: Vec<(u64, Deed)>) {
    for (wait, deed) in deeds {
        world.pass(wait);
        if world.outcome.is_some() {
            return;
        }
        happens(world, deed);
    }
}

/// Each request has been answered once, and completed if it was accepted.
fn all_answered(world: &World) -> TestCaseResult {
    for id in (1..=world.asked()).map(RequestId) {
        let (refused, completed) = (world.refused.contains_key(&id), world.completed.contains_key(&id));
        prop_assert!(refused != completed, "{id:?}: refused {refused}, completed {completed}");
    }
    Ok(())
}

#[test]
fn whatever_is_read_and_asked_everything_is_answered_and_ends() {
    let inputs = kinds().prop_flat_map(|kind| {
        let request = prop_oneof![20 => requests(), 1 => ends()];
        (specs(kind), readings(kind), cast(), deeds(request), 0u64..20_000, handed())
    });
    hold("whatever_is_read_and_asked", &inputs, |(spec, readings, cast, deeds, patience, handed)| {
        let mut world = world(spec, readings, cast, &Rc::default()).handed_over(handed);
        world.ask(Request::Start);
        happen(&mut world, deeds);
        if world.outcome.is_none() {
            world.ask(Request::Stop);
            world.pass(patience);
        }
        if world.outcome.is_none() {
            world.ask(Request::Kill);
            if world.policy.host_kind == HostKind::CustomMaster && world.outcome.is_none() {
                world.run_until("the workers' end", |world| world.processes() == 0);
            } else {
                world.run_until("the end", |world| world.outcome.is_some());
            }
        }
        prop_assert_eq!(world.processes(), 0);
        prop_assert_eq!(world.supervisor.next_wake(), None);
        all_answered(&world)?;
        Ok(world.steps)
    });
}

/// What ends in the end, however a worker behaves.
fn ending(spec: PoolSpec) -> PoolSpec {
    let limits = LifecycleLimits {
        fork_timeout: Some(Duration::from_millis(1500)),
        stop_timeout: Some(Duration::from_millis(2000)),
        kill_timeout: Some(Duration::from_millis(3000)),
        exit_threshold: None,
        persistence: Persistence::Persistent,
        ..spec.policy.limits
    };
    let patience = Some(Duration::from_millis(4000));
    let policy = Policy { limits, ready_timeout: patience, start_timeout: patience, ..spec.policy };
    PoolSpec { policy, ..spec }
}

/// The same with limits of the worker's own that end it in the end.
fn bounded(request: Request) -> Request {
    let bound = |limits: LifecycleLimits| LifecycleLimits {
        fork_timeout: Some(Duration::from_millis(1500)),
        kill_timeout: Some(Duration::from_millis(3000)),
        ..limits
    };
    if let Request::One(worker, OneRequest::Limit(limits, port)) = request {
        return Request::One(worker, OneRequest::Limit(bound(limits), port));
    }
    if let Request::Add(worker, limits, port) = request {
        return Request::Add(worker, bound(limits), port);
    }
    request
}

/// So many seconds in which each host that comes is soon initialized.
fn healthy(world: &mut World, seconds: u64) {
    for _ in 0..seconds {
        world.pass(1000);
        if world.host.is_some() {
            world.host_news(HostEvent::Initialized);
        }
    }
}

#[test]
fn whatever_has_happened_a_good_configuration_is_reloaded_and_nothing_else_is_kept() {
    let kind = prop_oneof![Just(HostKind::None), Just(HostKind::ExtensionHost { limit: None })];
    let inputs = kind.prop_flat_map(|kind| {
        let readings = readings(kind).prop_map(|readings| {
            readings.into_iter().map(|(after, result)| (after, result.map(ending))).collect::<Vec<_>>()
        });
        // A good version that does not listen where its predecessor did is refused, and rightly so.
        let cast = cast().prop_map(|mut cast| {
            cast.iter_mut().for_each(|one| one.listens.retain(|endpoint| *endpoint == "tcp *:80"));
            cast
        });
        (specs(kind).prop_map(ending), readings, cast, deeds(requests().prop_map(bounded)), handed())
    });
    hold("a_good_configuration_is_reloaded", &inputs, |(spec, readings, cast, deeds, handed)| {
        let (healed, workers) = (Rc::new(Cell::new(false)), spec.policy.workers);
        let hosted = spec.policy.host_kind != HostKind::None;
        let mut world = world(spec, readings, cast, &healed).handed_over(handed);
        if world.host.is_some() {
            world.host_news(HostEvent::Initialized);
        }
        world.ask(Request::Start);
        happen(&mut world, deeds);
        healed.set(true);
        healthy(&mut world, 20);
        // All workers died, or the host did with them: then there is nothing to be healed.
        if world.outcome.is_some() {
            return Ok(world.steps);
        }
        world.request(Request::Reload(OnDeath::Hold));
        healthy(&mut world, 120);
        let reload = world.request(Request::Reload(OnDeath::Hold));
        // It is read by then, and joined by one that would stay on what runs.
        world.pass(6);
        world.ask(Request::Replace);
        healthy(&mut world, 120);
        let reloaded = world.completed.get(&reload);
        prop_assert!(matches!(reloaded, Some(Completion::RolledOut { .. })), "{reloaded:?}");
        let scale = world.request(Request::Scale(workers));
        healthy(&mut world, 60);
        prop_assert_eq!(world.completed.get(&scale), Some(&Completion::Done));
        // Numbers are missing where a host has added a worker behind those that were removed; it counts, too.
        for worker in world.supervisor.snapshot(world.now).workers {
            world.ask(Request::One(worker.worker, OneRequest::Start));
        }
        healthy(&mut world, 60);
        all_answered(&world)?;
        let snapshot = world.supervisor.snapshot(world.now);
        let ready = world.ready();
        prop_assert_eq!((ready, world.processes(), snapshot.workers.len()), (workers as usize, ready, ready));
        let has_host = world.host.as_ref().is_some_and(|host| !host.dismissed);
        prop_assert_eq!(has_host, hosted, "a host if one is wanted, and no other");
        let in_force = snapshot.generation;
        for id in world.living() {
            prop_assert_eq!(world.generations[&id], in_force);
        }
        let adopted: BTreeSet<_> = world.adopted.iter().copied().collect();
        let kept: Vec<_> = adopted.difference(&world.forgotten).copied().collect();
        prop_assert_eq!(kept, vec![in_force], "what nobody runs is forgotten");
        Ok(world.steps)
    });
}

#[test]
fn what_is_healed_is_what_was_started_with() {
    // The property above means something only if there is something to see.
    let (healed, spec) = (Rc::new(Cell::new(false)), spec_of(policy(2)));
    let readings = vec![(0, Err("it is wrong".to_owned()))];
    let mut world = world(spec, readings, vec![Behaviour::never_ready()], &healed);
    let start = world.request(Request::Start);
    world.pass(5000);
    assert_eq!((world.ready(), world.completed.get(&start)), (0, None));
    healed.set(true);
    let reload = world.request(Request::Reload(OnDeath::Hold));
    world.pass(5000);
    assert_eq!(world.completed.get(&reload), Some(&Completion::RolledOut { replaced: 2 }));
}
