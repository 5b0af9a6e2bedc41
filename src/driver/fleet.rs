//! All apps in the loop, and what they have in common: signals, the dead, the control socket, the reading of the configuration,
//! the service manager.
//!
//! Invariants: what one app does or suffers changes nothing for another but through the core's [`core::FleetOrder`]; an app is spoken to
//! within its span, so that each of its log lines says whose it is.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::task::Poll;

use nix::errno::Errno;
use tracing::{debug, info, warn};

use super::app::{App, Happened, RunSpec};
use super::control_desk::ControlDesk;
use super::control_desk::FleetAsks;
use super::demand::Demand;
use super::ending;
use super::exits::Whose;
use super::reader::{Extent, Reader, Readings};
use super::service::Service;
use super::state::{ClientsWait, Driver, Stirred};
use crate::core::{self, FleetEffect, FleetGoal, FleetSummary, Moment, OnDeath, Outcome, PoolName, Request};
use crate::node::cluster::SocketStore;
use crate::process::{self, Asked, Passed, Pid, Remaining};

/// Everything the loop owns.
pub(super) struct Fleet {
    pub(super) apps: BTreeMap<PoolName, App>,
    /// Which of them is looked at first; another one each time.
    pub(super) turn: usize,
    /// Which runs when.
    pub(super) order: core::FleetOrder,
    pub(super) desk: ControlDesk,
    pub(super) reader: Reader,
    pub(super) readings: Readings,
    pub(super) asks: FleetAsks,
    /// Sockets that luster was started with: each app has them.
    sockets: BTreeMap<RawFd, OwnedFd>,
    service: Service,
    /// The listening sockets that the service manager keeps.
    store: SocketStore,
    /// The signals that hosts want, by app.
    signals: BTreeMap<PoolName, Vec<String>>,
    /// How it ended, once it has.
    pub(super) outcome: Option<Outcome>,
}

/// Waits for something that concerns one app. Cancel-safe.
pub(super) async fn next_of(
    apps: &mut BTreeMap<PoolName, App>,
    turn: &mut usize,
) -> (PoolName, io::Result<Happened>) {
    let mut running: Vec<_> = apps.iter_mut().filter(|(_, app)| app.runs()).collect();
    // As a rule there is one, for which nothing is allocated.
    if let [(name, app)] = running.as_mut_slice() {
        return ((*name).clone(), app.next().await);
    }
    *turn = turn.wrapping_add(1);
    let first = turn.checked_rem(running.len()).unwrap_or(0);
    running.rotate_left(first);
    let mut waiting: Vec<_> = running.into_iter().map(|(name, app)| (name, Box::pin(app.next()))).collect();
    poll_fn(|context| {
        for (name, next) in &mut waiting {
            if let Poll::Ready(happened) = next.as_mut().poll(context) {
                return Poll::Ready(((*name).clone(), happened));
            }
        }
        Poll::Pending
    })
    .await
}

impl Fleet {
    /// Everything in its place, and started as far as nobody else is to say when.
    pub(super) fn prepare(job: RunSpec) -> anyhow::Result<Self> {
        let RunSpec { apps, plan, sockets, read, terminal: _, control, manager_environment, last_words: _ } =
            job;
        let desk = ControlDesk::begin(control);
        let store = SocketStore::new(manager_environment.store(), sockets.stored);
        let is_plain = apps.contains_key(&PoolName::default());
        let (mut placed, mut kept, mut sockets) = (BTreeMap::new(), BTreeMap::new(), sockets.sockets);
        if !is_plain {
            kept = std::mem::take(&mut sockets);
        }
        for (name, job) in apps {
            let sockets = if is_plain { std::mem::take(&mut sockets) } else { again(&kept) };
            let app = App::new(&name, job, (sockets, store.clone()), desk.reporter.clone())?;
            placed.insert(name, app);
        }
        let mut fleet = Self {
            apps: placed,
            turn: 0,
            order: core::FleetOrder::new(plan),
            desk,
            reader: Reader::new(read),
            readings: Readings::default(),
            asks: FleetAsks::default(),
            sockets: kept,
            store,
            service: Service::begin(&manager_environment, super::clock::now()),
            signals: BTreeMap::new(),
            outcome: None,
        };
        fleet.tell_socket();
        let now = super::clock::now();
        let effects = fleet.order.begin();
        fleet.perform(now, effects);
        fleet.settle(now);
        Ok(fleet)
    }

    /// Whether apps have names: there may be more or fewer of them after a reload.
    fn is_several(&self) -> bool {
        !self.apps.contains_key(&PoolName::default())
    }

    /// Does something with one app.
    pub(super) fn with<T>(&mut self, name: &PoolName, act: impl FnOnce(&mut App) -> T) -> Option<T> {
        let app = self.apps.get_mut(name)?;
        let span = app.span.clone();
        let _within = span.enter();
        Some(act(app))
    }

    /// Does something with each app that runs.
    pub(super) fn with_each(&mut self, mut act: impl FnMut(&mut Driver)) {
        for app in self.apps.values_mut().filter(|app| app.runs()) {
            let span = app.span.clone();
            let _within = span.enter();
            act(&mut app.driver);
        }
    }

    /// Does what follows from what has happened to an app.
    pub(super) fn take_up(&mut self, now: Moment, name: &PoolName, happened: Happened) {
        self.with(name, |app| app.take_up(now, happened));
    }

    /// The signals that are to be passed on, if that has changed.
    pub(super) fn signals_wanted(&mut self) -> Option<Vec<String>> {
        let mut changed = false;
        for (name, app) in &mut self.apps {
            if let Some(names) = app.driver.host.signals_wanted() {
                self.signals.insert(name.clone(), names);
                changed = true;
            }
        }
        changed
            .then(|| self.signals.values().flatten().cloned().collect::<BTreeSet<_>>().into_iter().collect())
    }

    pub(super) fn pass_on_signal(&mut self, now: Moment, passed: Passed) {
        self.with_each(|driver| driver.pass_on_signal(now, passed));
    }

    /// Does what a signal asks for.
    pub(super) fn asked_by_signal(&mut self, now: Moment, asked: Asked) {
        match asked {
            Asked::Restart => {
                self.service.reload_asked(now);
                self.reload_all(now);
            }
            Asked::ReopenLogs => self.with_each(|driver| driver.builtins.reopen()),
            Asked::Stop(cause) => {
                self.service.stop_asked(now);
                self.stop(now, Request::StopBy(cause));
            }
        }
    }

    /// The sockets that luster was started with, and those that the manager keeps, for one more app.
    pub(super) fn activated(&self) -> (BTreeMap<RawFd, OwnedFd>, SocketStore) {
        (again(&self.sockets), self.store.clone())
    }

    /// Forgets apps that are wanted no more and have gone.
    pub(super) fn forget_gone(&mut self) {
        let order = &self.order;
        self.apps.retain(|name, app| app.runs() || order.knows(name));
        self.signals.retain(|name, _| self.apps.contains_key(name));
    }

    /// Reads the configuration again, for all that runs.
    pub(super) fn reload_all(&mut self, now: Moment) {
        if self.is_several() {
            self.readings.waiting.extent = Extent::Whole;
        }
        self.with_each(|driver| driver.request(now, Request::Reload(OnDeath::Hold)));
    }

    /// Stops everything.
    pub(super) fn stop(&mut self, now: Moment, request: Request) {
        let effects = self.order.stop(request);
        self.perform(now, effects);
    }

    /// Collects the dead.
    pub(super) fn reap(&mut self, now: Moment) -> Remaining {
        // Made only when one of ours is dead, and then once for all of them.
        let ours = OnceCell::new();
        let reaped = process::reap(|pid| ours.get_or_init(|| self.pids()).get(&pid).cloned());
        if !reaped.exits.is_empty() {
            // What the living asked for before is done before.
            self.with_each(|driver| _ = driver.listen(now));
        }
        for (pid, status) in reaped.strangers {
            let pid = pid.as_raw();
            debug!(event = "orphan", pid, "process {pid}, which had come to luster as an orphan, {status}");
        }
        for exit in reaped.exits {
            let (name, who) = exit.who;
            self.with(&name, |app| app.driver.bury(now, who, exit.status));
        }
        reaped.left
    }

    fn pids(&self) -> BTreeMap<Pid, (PoolName, Whose)> {
        let of_app = |(name, app): (&PoolName, &App)| {
            let pids: Vec<_> = app.driver.pids().map(|(pid, whose)| (pid, (name.clone(), whose))).collect();
            pids
        };
        self.apps.iter().flat_map(of_app).collect()
    }

    /// When [`Self::wake`] next has something to do.
    pub(super) fn next_wake(&self) -> Option<Moment> {
        let apps = self.apps.values().filter(|app| app.runs()).filter_map(|app| app.driver.next_wake());
        apps.chain(self.service.next_wake()).min()
    }

    /// Acts on what is due.
    pub(super) fn wake(&mut self, now: Moment) {
        for app in self.apps.values_mut().filter(|app| app.runs()) {
            let span = app.span.clone();
            let _within = span.enter();
            app.wake(now);
        }
        let Self { service, apps, order, .. } = self;
        service.wake(now, || summary(apps, order));
        if service.comes_up() {
            self.release_found();
        }
    }

    /// Everybody listens who is going to: what a former luster has left besides is given up.
    fn release_found(&self) {
        let sockets = self.store.release_found();
        if sockets > 0 {
            let s = if sockets == 1 { "" } else { "s" };
            info!(
                event = "store_released",
                sockets,
                "nobody listens any more on {sockets} socket{s} that the service manager has kept over the restart: closed"
            );
        }
    }

    /// Tells the service manager which sockets to keep while luster is not there.
    fn change_store(&mut self, now: Moment) {
        while let Some(change) = self.store.change() {
            if !self.service.change_store(now, &change) {
                return;
            }
            self.store.changed();
        }
        self.service.try_again();
    }

    /// Does what apps have demanded, and moves them on, until nothing follows.
    pub(super) fn settle(&mut self, now: Moment) {
        loop {
            let mut demands = Vec::new();
            let mut stirred = Vec::new();
            for (name, app) in &mut self.apps {
                demands.extend(app.driver.demands.drain(..).map(|demand| (name.clone(), demand)));
                if std::mem::replace(&mut app.driver.stirred, Stirred::No) == Stirred::Yes {
                    stirred.push(name.clone());
                }
            }
            if demands.is_empty() && stirred.is_empty() && !self.readings.are_due() {
                break;
            }
            for (name, demand) in demands {
                self.meet(name, demand);
            }
            self.read_as_demanded(now);
            for name in stirred {
                self.service.touch(now);
                self.look_at(now, &name);
            }
        }
        self.change_store(now);
    }

    fn meet(&mut self, name: PoolName, demand: Demand) {
        match demand {
            Demand::Read(generation) => self.readings.want(name, generation),
            Demand::Socket(wanted, made) => {
                self.desk.adopt(wanted.as_ref(), made);
                self.tell_socket();
            }
            Demand::Answered(number, answer) => self.answered(&name, number, answer),
            Demand::Forgotten => {
                let readings = self.apps.values().flat_map(|app| app.driver.readings.values());
                self.desk.control.keep(readings.filter_map(|reading| reading.control.as_ref()));
                // The one that stays may have taken over the name of one that goes.
                self.tell_socket();
            }
        }
    }

    /// Where the control socket is now.
    pub(super) fn tell_socket(&mut self) {
        let socket = self.desk.control.socket().map(|socket| socket.path().to_owned()).unwrap_or_default();
        for app in self.apps.values_mut() {
            app.driver.socket.clone_from(&socket);
        }
    }

    /// An app has been told something: whether others have waited for that.
    pub(super) fn look_at(&mut self, now: Moment, name: &PoolName) {
        let Some(app) = self.apps.get(name).filter(|app| app.has_begun()) else { return };
        if let Some(outcome) = app.driver.outcome.clone() {
            if self.order.is_over(name) {
                return;
            }
            let several = self.is_several();
            let is_last = self.apps.values().all(|app| !app.runs());
            let kept = if is_last || self.order.goal() == FleetGoal::Stop {
                ClientsWait::Yes
            } else {
                ClientsWait::No
            };
            // There is no later.
            self.service.try_again();
            self.change_store(now);
            let _ = self.with(name, |app| {
                app.driver.clean_up(kept);
                ending::tell(&outcome);
            });
            self.went(name, outcome.is_death());
            let effects = self.order.over(name, outcome);
            self.perform(now, effects);
            if several {
                self.forget_gone();
            }
        } else if self.order.awaits(name) || self.is_asked_for(name) {
            let summary = app.driver.supervisor.summary();
            if is_ready(&summary) {
                self.came_up(name, summary.ready);
                let effects = self.order.ready(name);
                self.perform(now, effects);
            }
        }
    }

    /// Does what the order of the apps demands.
    pub(super) fn perform(&mut self, now: Moment, effects: Vec<FleetEffect>) {
        for effect in effects {
            match effect {
                FleetEffect::Start(name) => _ = self.with(&name, |app| app.begin(now)),
                FleetEffect::Ask(name, request) => {
                    let _ = self.with(&name, |app| app.driver.request(now, request));
                }
                FleetEffect::Finish(outcome) => self.outcome = Some(outcome),
            }
        }
    }

    /// Ends what is left when all workers are gone: processes that detached themselves.
    pub(super) fn clean_up(&mut self) {
        for pid in process::end_orphans(process::StopTimeouts::default()) {
            let pid = pid.as_raw();
            warn!(event = "left_behind", pid, error = %Errno::EBUSY, "process {pid} cannot be killed and is left behind");
        }
    }
}

/// The same sockets once more; those for which there is no descriptor are missing.
fn again(sockets: &BTreeMap<RawFd, OwnedFd>) -> BTreeMap<RawFd, OwnedFd> {
    let again = |(number, socket): (&RawFd, &OwnedFd)| Some((*number, socket.try_clone().ok()?));
    sockets.iter().filter_map(again).collect()
}

/// How all apps together stand.
fn summary(apps: &BTreeMap<PoolName, App>, order: &core::FleetOrder) -> FleetSummary {
    let summaries = apps.values().map(|app| app.driver.supervisor.summary());
    let goal = order.goal();
    FleetSummary::of_all(summaries, goal)
}

/// Whether all workers that are not given up serve.
const fn is_ready(summary: &FleetSummary) -> bool {
    summary.ready > 0 && summary.starting == 0 && summary.backing_off == 0 && summary.draining == 0
}
