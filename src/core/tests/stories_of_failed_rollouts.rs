//! Stories of what is kept of a rollout that failed, for those who ask later whether it worked.

use super::harness::{Behaviour, World, ms, policy};
use super::reloading::{RELOAD, completes, other};
use crate::core::{
    AfterAbort, Completion, Culprit, FailedRollout, Generation, OneRequest, Policy, Request, RestartOrder,
    RolloutFailure, RolloutProgress, Scope, WorkerId,
};

fn kept(world: &World) -> Option<FailedRollout> {
    world.supervisor.snapshot(world.now).failed_rollout
}

fn under_way(world: &World) -> Option<RolloutProgress> {
    world.supervisor.snapshot(world.now).rollout
}

/// What became of the workers: how many had been replaced, and what runs now.
fn end(failed: &FailedRollout) -> (Culprit, usize, AfterAbort) {
    match &failed.failure {
        RolloutFailure::Aborted { culprit, replaced, now, .. } => (*culprit, *replaced, *now),
        RolloutFailure::ConfigurationRefused(reason) => panic!("refused: {reason}"),
    }
}

fn succeeds(world: &mut World, request: Request) {
    let id = world.request(request);
    let completion = completes(world, id);
    assert!(matches!(completion, Completion::RolledOut { replaced: 1.. }), "{completion:?}");
}

#[test]
fn a_reload_that_was_taken_back_is_kept_until_one_succeeds_whatever_is_restarted_meanwhile() {
    for restart in [RestartOrder::StopFirst, RestartOrder::StartFirst] {
        let policy = Policy { restart, ..policy(3) };
        let mut world = World::serving(policy.clone());
        assert_eq!(kept(&world), None);
        world.configuration = Some(Ok(other(policy.clone())));
        world.script = Box::new(|worker, start| match (worker.0, start) {
            (2, 2..=4) => Behaviour::dying_at(20),
            _ => Behaviour::default(),
        });
        let reload = world.request(RELOAD);
        world.run_until("it rolls out", |world| under_way(world).is_some());
        assert_eq!((under_way(&world).map(|it| it.takes_back), kept(&world)), (Some(false), None));
        world.run_until("it is being taken back", |world| under_way(world).is_some_and(|it| it.takes_back));
        let at = world.now;
        assert_eq!(kept(&world).map(|failed| failed.at), Some(at), "it is known at once");
        completes(&mut world, reload);
        assert_eq!(under_way(&world), None);
        let failed = kept(&world).expect("kept");
        let Completion::Aborted { culprit, reason, replaced, now } = world.completed[&reload].clone() else {
            panic!("{:?}", world.completed)
        };
        let failure = RolloutFailure::Aborted { culprit, reason, replaced, now };
        let expected = FailedRollout { at, scope: Scope::All, generation: Generation(1), failure };
        assert_eq!(failed, expected, "{restart:?}: the same as was answered");
        assert!(matches!(end(&failed), (Culprit::Worker(WorkerId(2), _), 1, AfterAbort::TakenBack)));
        // What was to run does not run by that.
        world.script = Box::new(|_, _| Behaviour::default());
        succeeds(&mut world, Request::One(WorkerId(3), OneRequest::Replace));
        succeeds(&mut world, Request::Replace);
        assert_eq!(kept(&world), Some(failed), "{restart:?}");
        world.configuration = Some(Ok(other(policy)));
        succeeds(&mut world, RELOAD);
        assert_eq!(kept(&world), None, "{restart:?}");
    }
}

#[test]
fn a_refused_configuration_is_kept_until_one_is_rolled_out() {
    let mut world = World::serving(policy(2));
    world.configuration = Some(Err("no app".into()));
    // It is on the old configuration that one is restarted.
    succeeds(&mut world, Request::One(WorkerId(1), OneRequest::Rollout));
    assert_eq!(kept(&world), None);
    let reload = world.request(RELOAD);
    assert_eq!(completes(&mut world, reload), Completion::ConfigurationRefused("no app".into()));
    let failed = kept(&world).expect("kept");
    assert_eq!(failed.failure, RolloutFailure::ConfigurationRefused("no app".into()));
    assert_eq!((failed.at, failed.generation), (world.now, Generation(2)));
    succeeds(&mut world, Request::Replace);
    assert_eq!(kept(&world), Some(failed));
    world.configuration = Some(Ok(other(policy(2))));
    succeeds(&mut world, RELOAD);
    assert_eq!(kept(&world), None);
}

#[test]
fn a_later_failure_takes_the_place_of_an_earlier_one() {
    let mut world = World::serving(policy(2));
    world.configuration = Some(Err("no app".into()));
    let reload = world.request(RELOAD);
    completes(&mut world, reload);
    world.script = Box::new(|_, start| match start {
        2..=4 => Behaviour::dying_at(20),
        _ => Behaviour::default(),
    });
    world.configuration = Some(Ok(other(policy(2))));
    let reload = world.request(RELOAD);
    completes(&mut world, reload);
    assert!(matches!(end(&kept(&world).expect("kept")), (Culprit::Worker(WorkerId(1), _), 0, _)));
}

#[test]
fn a_version_that_is_tried_on_has_failed_until_it_starts() {
    let mut world = World::serving(policy(3));
    world.script = Box::new(|worker, start| match (worker.0, start) {
        (1, 2..=5) => Behaviour::dying_at(20),
        _ => Behaviour::default(),
    });
    let reload = world.request(RELOAD);
    completes(&mut world, reload);
    assert!(matches!(end(&kept(&world).expect("kept")), (_, 0, AfterAbort::TriedOn)));
    assert_eq!(under_way(&world).map(|it| (it.is_held, it.takes_back)), Some((true, false)));
    world.run_until("it has started, and the others follow", |world| under_way(world).is_none());
    assert_eq!(kept(&world), None);
}

#[test]
fn one_workers_failed_restart_is_made_up_for_by_its_next_one() {
    let policy = Policy { restart: RestartOrder::StartFirst, ready_timeout: ms(1000), ..policy(2) };
    let mut world = World::serving(policy);
    world.script = Box::new(|worker, start| match (worker.0, start) {
        (1, 2) => Behaviour::never_ready(),
        _ => Behaviour::default(),
    });
    let restart = world.request(Request::One(WorkerId(1), OneRequest::Replace));
    completes(&mut world, restart);
    let failed = kept(&world).expect("kept");
    assert_eq!(failed.scope, Scope::One(WorkerId(1)));
    succeeds(&mut world, Request::One(WorkerId(2), OneRequest::Replace));
    assert_eq!(kept(&world), Some(failed));
    world.run_until("what failed is gone", |world| world.processes() == 2);
    succeeds(&mut world, Request::One(WorkerId(1), OneRequest::Replace));
    assert_eq!(kept(&world), None);
}

#[test]
fn what_could_not_be_taken_back_either_is_not_said_to_be() {
    let policy = Policy { restart: RestartOrder::StartFirst, ..policy(3) };
    let mut world = World::serving(policy.clone());
    world.configuration = Some(Ok(other(policy)));
    // Worker 2 fails, and worker 1 does not start on what it ran before.
    world.script = Box::new(|worker, start| match (worker.0, start) {
        (2, 2) | (1, 3) => Behaviour::dying_at(20),
        _ => Behaviour::default(),
    });
    let reload = world.request(RELOAD);
    let completion = completes(&mut world, reload);
    let Completion::Aborted { culprit: Culprit::Worker(WorkerId(2), _), replaced, now, .. } = completion
    else {
        panic!("{completion:?}")
    };
    assert_eq!((replaced, now), (1, AfterAbort::Untouched));
    assert!(matches!(
        end(&kept(&world).expect("kept")),
        (Culprit::Worker(WorkerId(2), _), 1, AfterAbort::Untouched)
    ));
    let workers = world.supervisor.snapshot(world.now).workers;
    let generations: Vec<_> = workers.iter().map(|worker| worker.instances[0].generation.0).collect();
    assert_eq!(generations, [1, 0, 0], "as it is said");
}
