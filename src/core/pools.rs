//! Several pools as one fleet: which starts when, which is stopped when, and how it all ended.
//!
//! ```text
//!           all it depends on have been ready        it is over by itself: stopped, or dead
//!  Waiting ─────────────────────────────────▶ Running ─────────────────────────────────────▶ Over
//!     │                                         │ a stop, or it is wanted no more,             ▲
//!     │ a stop, or it is wanted no more         ▼ and nobody who depends on it is left         │
//!     │                                      Stopping ─────────────────────────────────────────┤
//!     └────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! - What a pool is made of, and all that becomes of its workers, is its own [`Supervisor`](super::Supervisor)'s to decide.
//! - A pool that is over does not end the others. It runs again when it is wanted again by a reload.
//! - A pool whose dependency is over before it was ever ready goes on waiting; it does not keep luster from ending.
//!
//! Invariants: no pool is started before all it depends on have been ready once; none is stopped on purpose while one runs that
//! depends on it, unless all are killed; after a stop nothing is started; [`FleetEffect::Finish`] comes once, and is the last.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::effect::Outcome;
use super::event::Request;
use super::snapshot::FleetGoal;

/// What a pool is called: the name of an app in the configuration; nothing where the configuration is one app's.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct PoolName(Arc<str>);

/// What luster does when no pool runs any more and one of them is dead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDead {
    /// It ends.
    #[default]
    Exit,
    /// It stays, to be told what to do.
    Stay,
}

/// Which pools there are to be, and in which order they come and go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetPlan {
    /// Every pool, with those that have to be ready before it is started.
    pub pools: BTreeMap<PoolName, BTreeSet<PoolName>>,
    /// What follows when all are over.
    pub on_dead: OnDead,
}

/// What is to be done about a pool, or about all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FleetEffect {
    /// Begin with it.
    Start(PoolName),
    /// Ask its supervisor for this, which is a stop of some kind.
    Ask(PoolName, Request),
    /// Everything is over.
    Finish(Outcome),
}

/// Where a pool stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    Waiting,
    Running,
    Stopping,
    Over(Outcome),
}

/// Whether a pool has been ready since it was last started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum BeenReady {
    NotYet,
    Yes,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Pool {
    depends: BTreeSet<PoolName>,
    stage: Stage,
    readied: BeenReady,
    /// Whether it is to be there.
    is_wanted: bool,
}

/// Every pool's place in the order.
#[derive(Debug, Serialize, Deserialize)]
pub struct FleetOrder {
    pools: BTreeMap<PoolName, Pool>,
    on_dead: OnDead,
    /// How everything is to be stopped, once it is.
    stop: Option<Request>,
    is_finished: bool,
}

impl PoolName {
    /// Takes a name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The name; empty for the only pool of a configuration that names none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the only pool of a configuration that names none.
    #[must_use]
    pub fn is_nameless(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for PoolName {
    fn from(name: String) -> Self {
        Self::new(&name)
    }
}

impl From<PoolName> for String {
    fn from(name: PoolName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FleetPlan {
    /// That of a configuration of one app.
    #[must_use]
    pub fn plain() -> Self {
        Self { pools: BTreeMap::from([(PoolName::default(), BTreeSet::new())]), on_dead: OnDead::Exit }
    }
}

impl Pool {
    const fn waiting(depends: BTreeSet<PoolName>) -> Self {
        Self { depends, stage: Stage::Waiting, readied: BeenReady::NotYet, is_wanted: true }
    }

    const fn is_there(&self) -> bool {
        match self.stage {
            Stage::Running | Stage::Stopping => true,
            Stage::Waiting | Stage::Over(_) => false,
        }
    }
}

impl Outcome {
    /// Whether nobody has asked for such an end.
    #[must_use]
    pub const fn is_death(&self) -> bool {
        match self {
            Self::AllDead(_) | Self::HostFailed(..) => true,
            Self::Stopped | Self::Killed(_) | Self::Chosen(_) => false,
        }
    }

    /// How much it says about the end of several.
    const fn weight(&self) -> u8 {
        match self {
            Self::Stopped => 0,
            Self::Chosen(_) => 1,
            Self::AllDead(_) => 2,
            Self::HostFailed(..) => 3,
            Self::Killed(_) => 4,
        }
    }

    /// The end of two pools as one.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::AllDead(mut deaths), Self::AllDead(more)) => {
                deaths.extend(more);
                Self::AllDead(deaths)
            }
            (one, other) if one.weight() >= other.weight() => one,
            (_, other) => other,
        }
    }
}

impl FleetOrder {
    /// As planned; nothing is started yet.
    #[must_use]
    pub fn new(plan: FleetPlan) -> Self {
        let pools = plan.pools.into_iter().map(|(name, depends)| (name, Pool::waiting(depends)));
        Self { pools: pools.collect(), on_dead: plan.on_dead, stop: None, is_finished: false }
    }

    /// Starts those that wait for nobody.
    #[must_use]
    pub fn begin(&mut self) -> Vec<FleetEffect> {
        self.advance(Vec::new())
    }

    /// This pool's workers are ready.
    #[must_use]
    pub fn ready(&mut self, name: &PoolName) -> Vec<FleetEffect> {
        match self.pools.get_mut(name) {
            Some(pool) if pool.is_there() && pool.readied == BeenReady::NotYet => {
                pool.readied = BeenReady::Yes
            }
            Some(_) | None => return Vec::new(),
        }
        self.advance(Vec::new())
    }

    /// This pool is over.
    #[must_use]
    pub fn over(&mut self, name: &PoolName, outcome: Outcome) -> Vec<FleetEffect> {
        let mut effects = Vec::new();
        let Some(pool) = self.pools.get_mut(name).filter(|pool| pool.is_there()) else { return effects };
        let is_killed = matches!(outcome, Outcome::Killed(_));
        match (pool.stage == Stage::Stopping && self.stop.is_none(), pool.is_wanted) {
            // It was not wanted for a while.
            (true, true) => *pool = Pool::waiting(std::mem::take(&mut pool.depends)),
            (true, false) => _ = self.pools.remove(name),
            (false, _) => pool.stage = Stage::Over(outcome),
        }
        if is_killed {
            // Whoever kills one means all.
            self.ask_all(&Request::Kill, &mut effects);
        }
        self.advance(effects)
    }

    /// Everything is to be stopped, in this way; asked again, those that are being stopped are told again.
    #[must_use]
    pub fn stop(&mut self, request: Request) -> Vec<FleetEffect> {
        let mut effects = Vec::new();
        match (&self.stop, &request) {
            (_, Request::Kill) => self.ask_all(&request, &mut effects),
            (Some(_), again) => {
                let stopping = self.pools.iter().filter(|(_, pool)| pool.stage == Stage::Stopping);
                effects.extend(stopping.map(|(name, _)| FleetEffect::Ask(name.clone(), again.clone())));
            }
            (None, _) => {}
        }
        self.stop.get_or_insert(request);
        self.advance(effects)
    }

    /// The configuration was read anew, and these are wanted: those that are over run again, others are stopped.
    #[must_use]
    pub fn adopt(&mut self, plan: FleetPlan) -> Vec<FleetEffect> {
        if self.stop.is_some() {
            return Vec::new();
        }
        self.on_dead = plan.on_dead;
        for (name, pool) in &mut self.pools {
            pool.is_wanted = plan.pools.contains_key(name);
        }
        self.pools.retain(|_, pool| pool.is_wanted || pool.is_there());
        for (name, depends) in plan.pools {
            match self.pools.get_mut(&name).filter(|pool| !matches!(pool.stage, Stage::Over(_))) {
                Some(pool) => pool.depends = depends,
                None => _ = self.pools.insert(name, Pool::waiting(depends)),
            }
        }
        self.advance(Vec::new())
    }

    /// This pool, which is over, is to run again.
    #[must_use]
    pub fn again(&mut self, name: &PoolName) -> Vec<FleetEffect> {
        match self.pools.get_mut(name) {
            Some(pool) if matches!(pool.stage, Stage::Over(_)) && self.stop.is_none() => {
                *pool = Pool::waiting(std::mem::take(&mut pool.depends));
            }
            Some(_) | None => return Vec::new(),
        }
        self.advance(Vec::new())
    }

    /// Those that it waits for, if it waits.
    #[must_use]
    pub fn waits_for(&self, name: &PoolName) -> Option<Vec<PoolName>> {
        let pool = self.pools.get(name).filter(|pool| pool.stage == Stage::Waiting)?;
        Some(pool.depends.iter().filter(|name| !self.was_ready(name)).cloned().collect())
    }

    /// Whether another one waits for this pool to be ready.
    #[must_use]
    pub fn awaits(&self, name: &PoolName) -> bool {
        let is_it = |pool: &Pool| pool.stage == Stage::Waiting && pool.depends.contains(name);
        self.pools
            .get(name)
            .is_some_and(|pool| pool.stage == Stage::Running && pool.readied == BeenReady::NotYet)
            && self.pools.values().any(is_it)
    }

    /// Whether there is this pool, or was and is wanted.
    #[must_use]
    pub fn knows(&self, name: &PoolName) -> bool {
        self.pools.contains_key(name)
    }

    /// Whether this pool is over, or there is none.
    #[must_use]
    pub fn is_over(&self, name: &PoolName) -> bool {
        self.pools.get(name).is_none_or(|pool| matches!(pool.stage, Stage::Over(_)))
    }

    /// What it is all for.
    #[must_use]
    pub const fn goal(&self) -> FleetGoal {
        match self.stop {
            None => FleetGoal::Serve,
            Some(_) => FleetGoal::Stop,
        }
    }

    fn was_ready(&self, name: &PoolName) -> bool {
        self.pools.get(name).is_some_and(|pool| pool.readied == BeenReady::Yes)
    }

    /// Whether one runs that depends on it.
    fn is_needed(&self, name: &PoolName) -> bool {
        self.pools.values().any(|pool| pool.is_there() && pool.depends.contains(name))
    }

    /// Asks all that run, whatever depends on them.
    fn ask_all(&mut self, request: &Request, effects: &mut Vec<FleetEffect>) {
        self.stop.get_or_insert_with(|| request.clone());
        for (name, pool) in self.pools.iter_mut().filter(|(_, pool)| pool.is_there()) {
            pool.stage = Stage::Stopping;
            effects.push(FleetEffect::Ask(name.clone(), request.clone()));
        }
    }

    /// Moves every pool on as far as it goes, and ends when none is left.
    fn advance(&mut self, mut effects: Vec<FleetEffect>) -> Vec<FleetEffect> {
        if self.is_finished {
            return effects;
        }
        let names: Vec<_> = self.pools.keys().cloned().collect();
        for name in names {
            self.advance_one(&name, &mut effects);
        }
        let is_startable = |pool: &Pool| {
            pool.stage == Stage::Waiting && pool.depends.iter().all(|name| self.was_ready(name))
        };
        let goes_on = self.pools.values().any(|pool| pool.is_there() || is_startable(pool));
        let outcome = self.outcome();
        let stays = self.on_dead == OnDead::Stay && self.stop.is_none() && outcome.is_death();
        if !goes_on && !stays {
            self.is_finished = true;
            effects.push(FleetEffect::Finish(outcome));
        }
        effects
    }

    fn advance_one(&mut self, name: &PoolName, effects: &mut Vec<FleetEffect>) {
        let Some(pool) = self.pools.get(name) else { return };
        let ends = self.stop.is_some() || !pool.is_wanted;
        let may_start = pool.depends.iter().all(|name| self.was_ready(name));
        let (next, effect) = match (&pool.stage, ends) {
            (Stage::Waiting, true) => (Stage::Over(Outcome::Stopped), None),
            (Stage::Waiting, false) if may_start => (Stage::Running, Some(FleetEffect::Start(name.clone()))),
            (Stage::Running, true) if !self.is_needed(name) => {
                let request = self.stop.clone().unwrap_or(Request::Stop);
                (Stage::Stopping, Some(FleetEffect::Ask(name.clone(), request)))
            }
            (Stage::Waiting | Stage::Running | Stage::Stopping | Stage::Over(_), _) => return,
        };
        if let Some(pool) = self.pools.get_mut(name) {
            pool.stage = next;
        }
        effects.extend(effect);
    }

    /// How those ended that are over.
    fn outcome(&self) -> Outcome {
        let ends = self.pools.values().filter_map(|pool| match &pool.stage {
            Stage::Over(outcome) => Some(outcome.clone()),
            Stage::Waiting | Stage::Running | Stage::Stopping => None,
        });
        ends.reduce(Outcome::and).unwrap_or(Outcome::Stopped)
    }
}
