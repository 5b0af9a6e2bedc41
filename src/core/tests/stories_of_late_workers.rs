//! Stories of workers that are not ready in time and replace nobody.

use super::harness::{Behaviour, World, ms, policy, spec_of};
use super::reloading::{RELOAD, completes, other};
use crate::core::{AfterAbort, Completion, Policy, PoolSpec, Request, RestartOrder};

#[test]
fn a_worker_that_is_not_ready_in_the_time_that_is_written_is_started_anew_and_counts_as_late() {
    // It never says that it is ready; one listens somewhere, so that it may serve.
    for listens in [vec![], vec!["tcp *:80"]] {
        let limited = Policy { start_timeout: ms(2000), ..policy(2) };
        let drains = !listens.is_empty();
        let mut world = World::new(limited).scripted(move |worker, start| match (worker.0, start) {
            (1, 1..=3) => Behaviour { ready: None, listens: listens.clone(), ..Behaviour::default() },
            _ => Behaviour::default(),
        });
        let start = world.request(Request::Start);
        world.pass(1999);
        assert_eq!(world.starts(1), 1, "it has its time");
        assert_eq!(completes(&mut world, start), Completion::Done);
        assert_eq!([1, 2].map(|worker| world.starts(worker)), [4, 1], "{drains}");
        let counters = world.supervisor.snapshot(world.now).workers[0].counters;
        assert_eq!((counters.late, counters.crashed, counters.asked), (3, 0, 0), "{drains}");
        world.pass(100_000);
        assert_eq!(world.starts(1), 4, "one that is ready is left alone");
    }
}

#[test]
fn a_rollout_waits_for_its_replacements_with_its_own_limit_and_leaves_none_behind_that_is_not_ready() {
    // What ran before is not ready, either, once it is started again.
    let limited = Policy { ready_timeout: ms(5000), start_timeout: ms(5000), ..policy(2) };
    let mut world = World::serving(limited.clone());
    world.configuration = Some(Ok(other(limited)));
    world.script = Box::new(|worker, start| match (worker.0, start) {
        (1, 2..=5) => Behaviour { ready: None, listens: vec![], ..Behaviour::default() },
        _ => Behaviour::default(),
    });
    let reload = world.request(RELOAD);
    let aborted = completes(&mut world, reload);
    assert!(
        matches!(aborted, Completion::Aborted { replaced: 0, now: AfterAbort::Untouched, .. }),
        "{aborted:?}"
    );
    world.run_until("both are ready", |world| world.ready() == 2);
    assert_eq!(
        world.starts(1),
        6,
        "the new version, what ran before to take that back, the same twice by itself, and the last"
    );
}

#[test]
fn a_reload_that_joins_one_whose_replacement_is_never_ready_is_tried_and_not_taken_back_with_it() {
    for restart in [RestartOrder::StopFirst, RestartOrder::StartFirst] {
        let limited = Policy { ready_timeout: ms(5000), restart, ..policy(3) };
        let mut world = World::serving(limited.clone());
        world.configuration = Some(Ok(other(limited.clone())));
        world.script = Box::new(|worker, start| match (worker.0, start) {
            (1, 2) => Behaviour::never_ready(),
            _ => Behaviour::default(),
        });
        let bad = world.request(RELOAD);
        world.pass(1000);
        world.configuration = Some(Ok(PoolSpec { run: "mended.js".into(), ..spec_of(limited) }));
        let good = world.request(RELOAD);
        let completion = completes(&mut world, good);
        assert!(matches!(completion, Completion::RolledOut { .. }), "{restart:?}: {completion:?}");
        assert_eq!(completes(&mut world, bad), completion, "whoever asked first has got something newer");
        assert_eq!(world.starts(1), 3, "{restart:?}");
        world.run_until("the old ones are gone", |world| world.processes() == 3);
        let newest = world.readings.last().copied().expect("two were read");
        assert!(world.living().iter().all(|id| world.generations[id] == newest), "{restart:?}");
    }
}
