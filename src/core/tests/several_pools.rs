//! Several pools as one fleet: which starts when, which is stopped when, how it ends; as stories, and at random.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::core::{
    Death, ExitStatus, FleetEffect, FleetOrder, FleetPlan, InstanceId, OnDead, Outcome, PoolName, Request,
    StopCause, WorkerId,
};

fn name(name: &str) -> PoolName {
    PoolName::new(name)
}

/// `a` waits for nobody, `b:a` for a.
fn plan(pools: &[&str], on_dead: OnDead) -> FleetPlan {
    let pool = |text: &&str| {
        let (pool, depends) = text.split_once(':').unwrap_or((text, ""));
        let depends = depends.split(',').filter(|name| !name.is_empty()).map(name).collect();
        (name(pool), depends)
    };
    FleetPlan { pools: pools.iter().map(pool).collect(), on_dead }
}

fn starts(effects: &[FleetEffect]) -> Vec<&str> {
    effects
        .iter()
        .map(|effect| match effect {
            FleetEffect::Start(name) => name.as_str(),
            other @ (FleetEffect::Ask(..) | FleetEffect::Finish(_)) => panic!("{other:?}"),
        })
        .collect()
}

fn ask(pool: &str, request: Request) -> FleetEffect {
    FleetEffect::Ask(name(pool), request)
}

fn dead(worker: u32) -> Outcome {
    Outcome::AllDead(vec![death(worker)])
}

fn death(worker: u32) -> Death {
    Death {
        worker: WorkerId(worker),
        instance: InstanceId(worker),
        status: ExitStatus::Code(1),
        refusal: None,
        words: None,
    }
}

const TERM: Request = Request::StopBy(StopCause::Terminate);

#[test]
fn one_starts_when_all_that_it_depends_on_have_been_ready() {
    let mut fleet = FleetOrder::new(plan(&["db", "api:db", "jobs:api,db"], OnDead::Exit));
    assert_eq!(starts(&fleet.begin()), ["db"]);
    assert!(fleet.awaits(&name("db")) && !fleet.awaits(&name("api")));
    assert_eq!(fleet.waits_for(&name("jobs")), Some(vec![name("api"), name("db")]));
    assert_eq!(starts(&fleet.ready(&name("db"))), ["api"]);
    assert_eq!(starts(&fleet.ready(&name("db"))), [""; 0], "once");
    assert_eq!(starts(&fleet.ready(&name("api"))), ["jobs"]);
    assert_eq!(fleet.waits_for(&name("jobs")), None);
}

#[test]
fn they_are_stopped_in_reverse_and_those_that_wait_never_start() {
    let mut fleet = FleetOrder::new(plan(&["db", "api:db", "jobs:api", "other"], OnDead::Exit));
    let _ = fleet.begin();
    let _ = fleet.ready(&name("db"));
    assert_eq!(fleet.stop(TERM), [ask("api", TERM), ask("other", TERM)]);
    assert_eq!(fleet.over(&name("other"), Outcome::Stopped), []);
    assert_eq!(fleet.over(&name("api"), Outcome::Chosen(3)), [ask("db", TERM)]);
    assert_eq!(fleet.over(&name("db"), Outcome::Stopped), [FleetEffect::Finish(Outcome::Chosen(3))]);
}

#[test]
fn whoever_is_killed_takes_all_along() {
    let mut fleet = FleetOrder::new(plan(&["db", "api:db"], OnDead::Exit));
    let _ = fleet.begin();
    let _ = fleet.ready(&name("db"));
    assert_eq!(fleet.stop(TERM), [ask("api", TERM)]);
    assert_eq!(fleet.stop(TERM), [ask("api", TERM)], "whether that is an echo the pool knows");
    let killed = Outcome::Killed(StopCause::Terminate);
    assert_eq!(fleet.over(&name("api"), killed.clone()), [ask("db", Request::Kill)]);
    assert_eq!(fleet.over(&name("db"), Outcome::Stopped), [FleetEffect::Finish(killed)]);
}

#[test]
fn a_dead_one_does_not_end_the_others_and_is_told_at_the_end() {
    for on_dead in [OnDead::Exit, OnDead::Stay] {
        let mut fleet = FleetOrder::new(plan(&["api", "jobs"], on_dead));
        let _ = fleet.begin();
        assert_eq!(fleet.over(&name("api"), dead(1)), []);
        assert_eq!(fleet.stop(TERM), [ask("jobs", TERM)]);
        assert_eq!(fleet.over(&name("jobs"), Outcome::Stopped), [FleetEffect::Finish(dead(1))]);
    }
}

#[test]
fn when_all_are_dead_it_is_over_or_luster_stays() {
    let mut fleet = FleetOrder::new(plan(&["api", "jobs", "late:jobs"], OnDead::Exit));
    let _ = fleet.begin();
    assert_eq!(fleet.over(&name("api"), dead(1)), []);
    let all = Outcome::AllDead(vec![death(1), death(2)]);
    assert_eq!(fleet.over(&name("jobs"), dead(2)), [FleetEffect::Finish(all)], "one waits for ever");

    let mut fleet = FleetOrder::new(plan(&["api"], OnDead::Stay));
    let _ = fleet.begin();
    assert_eq!(fleet.over(&name("api"), dead(1)), []);
    assert_eq!(starts(&fleet.again(&name("api"))), ["api"]);
    assert_eq!(fleet.over(&name("api"), dead(1)), []);
    assert_eq!(fleet.stop(Request::Stop), [FleetEffect::Finish(dead(1))]);
}

#[test]
fn a_reload_adds_removes_and_revives() {
    let mut fleet = FleetOrder::new(plan(&["api", "jobs:api", "dead"], OnDead::Exit));
    let _ = fleet.begin();
    let _ = fleet.ready(&name("api"));
    let _ = fleet.over(&name("dead"), dead(1));
    let effects = fleet.adopt(plan(&["dead", "new", "jobs"], OnDead::Exit));
    let start = |pool| FleetEffect::Start(name(pool));
    assert_eq!(effects, [ask("api", Request::Stop), start("dead"), start("new")], "jobs needs it no more");
    assert_eq!(fleet.over(&name("api"), Outcome::Stopped), []);
    assert!(fleet.waits_for(&name("api")).is_none());
    let effects = fleet.adopt(plan(&["api", "dead", "new", "jobs"], OnDead::Exit));
    assert_eq!(effects, [start("api")]);
}

#[test]
fn one_that_is_wanted_again_before_it_has_gone_runs_again() {
    let mut fleet = FleetOrder::new(plan(&["api", "jobs"], OnDead::Exit));
    let _ = fleet.begin();
    assert_eq!(fleet.adopt(plan(&["jobs"], OnDead::Exit)), [ask("api", Request::Stop)]);
    assert_eq!(fleet.adopt(plan(&["api", "jobs"], OnDead::Exit)), []);
    assert_eq!(starts(&fleet.over(&name("api"), Outcome::Stopped)), ["api"]);
}

/// What may happen at random: to which pool, and what.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Ready(usize),
    Over(usize, bool),
    Stop,
    Kill,
    Adopt(u8),
}

fn step() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (0..5_usize).prop_map(Happening::Ready),
        4 => (0..5_usize, any::<bool>()).prop_map(|(pool, dies)| Happening::Over(pool, dies)),
        1 => Just(Happening::Stop),
        1 => Just(Happening::Kill),
        2 => any::<u8>().prop_map(Happening::Adopt),
    ]
}

/// Five pools of which each may depend on those before it.
fn random_plan(seed: u32, there: u8, on_dead: OnDead) -> FleetPlan {
    let is_there = |pool: &usize| there & (1 << pool) != 0;
    let depends = |pool: usize| (0..pool).filter(is_there).filter(move |on| seed >> (pool * 5 + on) & 1 != 0);
    let called = |pool: usize| name(&pool.to_string());
    let pools = (0..5).filter(is_there).map(|pool| (called(pool), depends(pool).map(called).collect()));
    FleetPlan { pools: pools.collect(), on_dead }
}

/// What the pools are, seen from outside.
#[expect(clippy::struct_excessive_bools, reason = "each is true by itself")]
#[derive(Default)]
struct Model {
    depends: BTreeMap<PoolName, BTreeSet<PoolName>>,
    running: BTreeSet<PoolName>,
    ready: BTreeSet<PoolName>,
    asked: BTreeSet<PoolName>,
    stopped: bool,
    killed: bool,
    finished: bool,
}

impl Model {
    fn take(&mut self, effects: Vec<FleetEffect>) {
        for effect in effects {
            assert!(!self.finished, "nothing after the end: {effect:?}");
            match effect {
                FleetEffect::Start(pool) => {
                    assert!(!self.stopped, "nothing is started after a stop");
                    assert!(self.depends[&pool].is_subset(&self.ready), "{pool} starts too early");
                    assert!(self.running.insert(pool), "it runs already");
                }
                FleetEffect::Ask(pool, request) => {
                    assert!(self.running.contains(&pool));
                    let needs = |(other, on): (&PoolName, &BTreeSet<PoolName>)| {
                        on.contains(&pool) && self.running.contains(other)
                    };
                    // Who is told again was being stopped before anybody came to depend on it.
                    let is_told_again = self.asked.contains(&pool);
                    let is_killed = request == Request::Kill || self.killed;
                    assert!(is_told_again || is_killed || !self.depends.iter().any(needs));
                    self.asked.insert(pool);
                }
                FleetEffect::Finish(_) => {
                    assert!(self.running.is_empty(), "{:?} run", self.running);
                    self.finished = true;
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_order_is_kept_and_the_end_comes(
        seed in any::<u32>(), there in 1..32_u8, stays in any::<bool>(), steps in prop::collection::vec(step(), 0..40)
    ) {
        let on_dead = if stays { OnDead::Stay } else { OnDead::Exit };
        let first = random_plan(seed, there, on_dead);
        let mut model = Model { depends: first.pools.clone(), ..Model::default() };
        let mut fleet = FleetOrder::new(first);
        model.take(fleet.begin());
        for step in steps {
            match step {
                Happening::Ready(pool) => {
                    let pool = name(&pool.to_string());
                    if model.running.contains(&pool) {
                        model.ready.insert(pool.clone());
                    }
                    model.take(fleet.ready(&pool));
                }
                Happening::Over(pool, dies) => {
                    let pool = name(&pool.to_string());
                    let outcome = if dies { dead(1) } else { Outcome::Stopped };
                    if model.running.remove(&pool) {
                        model.asked.remove(&pool);
                        model.take(fleet.over(&pool, outcome));
                        // Whoever starts again is to be ready again; who has started on it is not stopped for that.
                        if model.running.contains(&pool) {
                            model.ready.remove(&pool);
                        }
                    }
                }
                Happening::Stop => {
                    model.stopped = true;
                    model.take(fleet.stop(TERM));
                }
                Happening::Kill => {
                    (model.stopped, model.killed) = (true, true);
                    model.take(fleet.stop(Request::Kill));
                }
                Happening::Adopt(there) => {
                    if model.stopped || model.finished || there & 31 == 0 {
                        continue;
                    }
                    let next = random_plan(seed.rotate_left(there.into()), there, on_dead);
                    // Those that leave keep what they depended on.
                    model.depends.extend(next.pools.clone());
                    model.ready.retain(|pool| model.running.contains(pool));
                    model.take(fleet.adopt(next));
                }
            }
            let state = serde_json::to_string(&fleet).unwrap();
            fleet = serde_json::from_str(&state).unwrap();
        }
        model.stopped = true;
        model.take(fleet.stop(TERM));
        for _ in 0..6 {
            for pool in std::mem::take(&mut model.asked) {
                if model.running.remove(&pool) {
                    model.take(fleet.over(&pool, Outcome::Stopped));
                }
            }
        }
        prop_assert!(model.finished, "{:?} run on", model.running);
    }
}
