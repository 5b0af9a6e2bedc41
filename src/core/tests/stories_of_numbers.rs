//! Stories of workers' numbers where an extension has added one behind those that are removed.

use super::harness::{World, ms, policy, spec_of};
use super::reloading::completes;
use crate::core::{
    Completion, ExitStatus, LifecycleLimits, Notice, OnDeath, OneRequest, Refusal, Request, WorkerId,
};

fn done(world: &mut World, request: Request) {
    let id = world.request(request);
    assert_eq!(completes(world, id), Completion::Done);
}

/// The workers there are, and how many there are to be.
fn numbers(world: &World) -> (Vec<u32>, u32) {
    let snapshot = world.supervisor.snapshot(world.now);
    (snapshot.workers.iter().map(|worker| worker.worker.0).collect(), snapshot.wanted)
}

/// Workers 1, 2 and 4: the configuration has had 3 and has 2 now, and an extension has added the fourth.
fn with_a_gap() -> World {
    let mut world = World::serving(policy(3));
    done(&mut world, Request::Add(WorkerId(4), LifecycleLimits::default(), "80".into()));
    done(&mut world, Request::One(WorkerId(4), OneRequest::Start));
    world.configuration = Some(Ok(spec_of(policy(2))));
    let reload = world.request(Request::Reload(OnDeath::Hold));
    assert_eq!(completes(&mut world, reload), Completion::RolledOut { replaced: 3 });
    world.run_until("worker 3 is gone", |world| world.processes() == 3);
    world
}

#[test]
fn one_that_is_removed_below_an_added_one_is_gone_and_the_others_count() {
    let mut world = with_a_gap();
    assert_eq!(numbers(&world), (vec![1, 2, 4], 3));
    assert!(world.said(|notice| *notice == Notice::Removed(WorkerId(3))));
    assert!(!world.supervisor.knows(WorkerId(3)));
    let unknown = world.request(Request::One(WorkerId(3), OneRequest::Start));
    assert_eq!(
        world.refused[&unknown].to_string(),
        "there is no worker 3; there are workers 1, 2 and 4",
        "it was removed"
    );
    // The others go on: a crash, a restart of all.
    let id = world.id(4);
    world.dies(id, ExitStatus::Code(1));
    world.run_until("it is back", |world| world.ready() == 3);
    let restart = world.request(Request::Replace);
    assert_eq!(completes(&mut world, restart), Completion::RolledOut { replaced: 3 });
}

#[test]
fn so_many_are_those_that_there_are_and_the_first_number_that_is_free_comes_next() {
    let mut world = with_a_gap();
    let before = world.living();
    done(&mut world, Request::Scale(3));
    assert_eq!((numbers(&world), world.living()), ((vec![1, 2, 4], 3), before), "there are three");
    done(&mut world, Request::Scale(5));
    assert_eq!((numbers(&world), world.ready()), ((vec![1, 2, 3, 4, 5], 5), 5));
    done(&mut world, Request::Scale(2));
    assert_eq!((numbers(&world), world.ready()), ((vec![1, 2], 2), 2), "the last ones go");
    done(&mut world, Request::Scale(3));
    assert_eq!(numbers(&world), (vec![1, 2, 3], 3));
}

#[test]
fn the_number_of_one_that_was_removed_may_be_added_again() {
    let mut world = with_a_gap();
    done(&mut world, Request::Add(WorkerId(3), LifecycleLimits::default(), "81".into()));
    assert_eq!(numbers(&world), (vec![1, 2, 3, 4], 4));
    done(&mut world, Request::Add(WorkerId(9), LifecycleLimits::default(), "82".into()));
    assert_eq!(numbers(&world).1, 4, "one out of turn is nobody");
    done(&mut world, Request::One(WorkerId(3), OneRequest::Start));
    assert_eq!(world.ready(), 4);
}

#[test]
fn everything_ends_when_all_that_are_left_are_dead() {
    let mut world = with_a_gap();
    let limits = LifecycleLimits {
        exit_threshold: ms(60_000),
        allowed_sequential_deaths: 0,
        ..LifecycleLimits::default()
    };
    for worker in [1, 2, 4] {
        done(&mut world, Request::One(WorkerId(worker), OneRequest::Limit(limits, "80".into())));
        let id = world.id(worker);
        world.dies(id, ExitStatus::Code(1));
    }
    world.run_until("the end", |world| world.outcome.is_some());
}

#[test]
fn those_that_there_are_are_named_in_few_words() {
    let said = |workers: &[u32]| {
        let workers = workers.iter().copied().map(WorkerId).collect();
        Refusal::NoSuchWorker { worker: WorkerId(7), workers }.to_string()
    };
    assert_eq!(said(&[]), "there is no worker 7; there are no workers");
    assert_eq!(said(&[1]), "there is no worker 7; the only one is worker 1");
    assert_eq!(said(&[1, 2, 3]), "there is no worker 7; there are workers 1 to 3");
    assert_eq!(said(&[1, 2, 3, 5]), "there is no worker 7; there are workers 1 to 3 and 5");
    assert_eq!(said(&[1, 3, 5, 6]), "there is no worker 7; there are workers 1, 3, 5 and 6");
}
