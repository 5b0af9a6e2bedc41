//! What is asked over the control socket: handed to the app it is about, or to all, and answered when all of them have answered.
//!
//! Invariants: whoever asks gets one reply and, if it is an acceptance, one completion; of an app that does not run nothing is asked
//! but that it runs again.

use std::collections::BTreeMap;

use tracing::info;

use super::app::App;
use super::control_answers;
use super::control_desk::{Asker, AwaitedOfApp, FleetAsk};
use super::fleet::Fleet;
use super::reader::Extent;
use crate::control::schema::{Answer, AppState, Outcome, Reason};
use crate::control::{AppLive, Ask, Call, Order, Peer, Whom};
use crate::core::{Moment, PoolName, Request};

impl Fleet {
    /// Answers a question of the control socket.
    pub(super) fn control_call(&mut self, now: Moment, call: Call) {
        match call {
            // Whoever has gone away does not miss it.
            Call::Status(answer) => drop(answer.send(self.live_states(now))),
            Call::Ask(ask) => match self.apps.get_mut(&PoolName::default()) {
                Some(app) if ask.app.is_none() => app.driver.control_ask(now, ask),
                Some(_) => {
                    let message = "this luster runs one app, which has no name; leave the app's name out";
                    drop(ask.reply.send(Err(unknown_app(message.to_owned()))));
                }
                None => self.fleet_ask(now, ask),
            },
        }
    }

    fn live_states(&mut self, now: Moment) -> Vec<AppLive> {
        let waits = |name| self.order.waits_for(name).unwrap_or_default();
        let waits: BTreeMap<_, _> = self.apps.keys().map(|name| (name.clone(), waits(name))).collect();
        let live = |(name, app): (&PoolName, &mut App)| AppLive {
            name: name.clone(),
            stage: stage(app),
            waits_for: waits[name].clone(),
            state: app.driver.live_state(now),
        };
        self.apps.iter_mut().map(live).collect()
    }

    fn fleet_ask(&mut self, now: Moment, ask: Ask) {
        let Ask { app, order, by, reply, completed } = ask;
        let (request, mut what) = (control_answers::name(&order), control_answers::describe(&order));
        if let Some(app) = &app {
            what = format!("{what} of app {app}");
        }
        let Peer { pid, uid } = by;
        info!(event = "control_asked", request, pid, uid, "process {pid} of user {uid} asks for {what}");
        self.asks.last += 1;
        let number = self.asks.last;
        let (waiting, answers) = (BTreeMap::new(), BTreeMap::new());
        let open = FleetAsk { completed, waiting, extent: Extent::Named, answers };
        self.asks.open.insert(number, open);
        let placed = match app {
            Some(name) => self.ask_one(now, number, &name, order),
            None => self.ask_all(now, number, &order),
        };
        match placed {
            Ok(parts) => {
                drop(reply.send(Ok(())));
                for (name, part) in parts {
                    self.with(&name, |app| app.driver.close_ask(now, part));
                }
                self.close(number);
            }
            Err(refused) => {
                self.asks.open.remove(&number);
                drop(reply.send(Err(refused)));
            }
        }
    }

    fn ask_one(
        &mut self,
        now: Moment,
        number: u64,
        name: &PoolName,
        order: Order,
    ) -> Result<Vec<(PoolName, u64)>, Answer> {
        let Some(app) = self.apps.get(name) else {
            return Err(unknown_app(format!("there is no app {name}; there are {}", self.names())));
        };
        match (stage(app), &order) {
            (AppState::Running | AppState::Stopping, _) => {
                let part = self.part(now, number, name, of_workers(order, app));
                let whose = |refused: Answer| Answer {
                    message: format!("app {name}: {}", refused.message),
                    ..refused
                };
                let part = part.map_err(whose)?;
                Ok(vec![(name.clone(), part)])
            }
            (AppState::Waiting, _) => {
                let on = self.order.waits_for(name).unwrap_or_default();
                let on = on.iter().map(PoolName::as_str).collect::<Vec<_>>().join(", ");
                Err(unknown_app(format!("app {name} does not run yet: it waits for {on} to be ready")))
            }
            (
                AppState::Dead | AppState::Stopped | AppState::Unknown,
                Order::Reload | Order::Start(Whom::All),
            ) => {
                self.readings.waiting.again.insert(name.clone());
                self.await_of(number, name, AwaitedOfApp::Readiness);
                Ok(Vec::new())
            }
            (AppState::Dead | AppState::Stopped | AppState::Unknown, _) => Err(unknown_app(format!(
                "app {name} does not run any more; `luster start {name}` starts it again"
            ))),
        }
    }

    fn ask_all(&mut self, now: Moment, number: u64, order: &Order) -> Result<Vec<(PoolName, u64)>, Answer> {
        match order {
            Order::Reload => {
                self.readings.waiting.extent = Extent::Whole;
                if let Some(ask) = self.asks.open.get_mut(&number) {
                    ask.extent = Extent::Whole;
                }
            }
            Order::Stop(Whom::All) => {
                let running: Vec<_> = self.running();
                running.iter().for_each(|name| self.await_of(number, name, AwaitedOfApp::End));
                self.stop(now, Request::Stop);
                return Ok(Vec::new());
            }
            Order::Restart(Whom::All) | Order::Start(Whom::All) | Order::Revive(Whom::All) => {}
            Order::Restart(Whom::Some(_))
            | Order::Start(Whom::Some(_))
            | Order::Stop(Whom::Some(_))
            | Order::Revive(Whom::Some(_))
            | Order::Scale(_) => {
                let names = self.names();
                return Err(unknown_app(format!(
                    "each app has workers of its own: name the app, one of {names}"
                )));
            }
        }
        let mut parts = Vec::new();
        for name in self.running() {
            match self.part(now, number, &name, order.clone()) {
                Ok(part) => parts.push((name, part)),
                Err(refused) => self.answered(&name, number, refused),
            }
        }
        Ok(parts)
    }

    /// Has one app do its part.
    fn part(&mut self, now: Moment, number: u64, name: &PoolName, order: Order) -> Result<u64, Answer> {
        self.await_of(number, name, AwaitedOfApp::Answer);
        let placed = self.with(name, |app| app.driver.place(now, order, Asker::Fleet(number)));
        placed.unwrap_or_else(|| Err(unknown_app(format!("there is no app {name}"))))
    }

    fn await_of(&mut self, number: u64, name: &PoolName, awaited: AwaitedOfApp) {
        if let Some(ask) = self.asks.open.get_mut(&number) {
            ask.waiting.insert(name.clone(), awaited);
        }
    }

    fn running(&self) -> Vec<PoolName> {
        self.apps.iter().filter(|(_, app)| app.runs()).map(|(name, _)| name.clone()).collect()
    }

    fn names(&self) -> String {
        self.apps.keys().map(PoolName::as_str).collect::<Vec<_>>().join(", ")
    }

    /// An app has done its part.
    pub(super) fn answered(&mut self, name: &PoolName, number: u64, answer: Answer) {
        let Some(ask) = self.asks.open.get_mut(&number) else { return };
        // It may be taken away meanwhile, which is what is waited for then.
        if ask.waiting.get(name) == Some(&AwaitedOfApp::Answer) {
            ask.waiting.remove(name);
            ask.answers.insert(name.clone(), answer);
            self.close(number);
        }
    }

    /// An app has come to this, for which others may have waited.
    fn came_to(&mut self, name: &PoolName, is_it: impl Fn(AwaitedOfApp) -> bool, answer: &Answer) {
        for ask in self.asks.open.values_mut() {
            if ask.waiting.get(name).is_some_and(|awaited| is_it(*awaited)) {
                ask.waiting.remove(name);
                ask.answers.insert(name.clone(), answer.clone());
            }
        }
        self.close_all();
    }

    /// Whether somebody waits for this app to be ready.
    pub(super) fn is_asked_for(&self, name: &PoolName) -> bool {
        self.asks.open.values().any(|ask| ask.waiting.get(name) == Some(&AwaitedOfApp::Readiness))
    }

    /// Its workers are ready.
    pub(super) fn came_up(&mut self, name: &PoolName, workers: usize) {
        let is = if workers == 1 { "worker is" } else { "workers are" };
        let answer = Answer::new(Outcome::Done, None, format!("started: {workers} {is} ready"));
        self.came_to(name, |awaited| awaited == AwaitedOfApp::Readiness, &answer);
    }

    /// It is over.
    pub(super) fn went(&mut self, name: &PoolName, is_dead: bool) {
        let message = if is_dead { "it is dead: its workers keep dying" } else { "it is stopped" };
        let outcome = if is_dead { Outcome::Aborted } else { Outcome::Overruled };
        let failed = Answer::new(outcome, None, message.to_owned());
        self.came_to(name, |awaited| awaited != AwaitedOfApp::End, &failed);
        self.came_to(name, |_| true, &Answer::new(Outcome::Done, None, "stopped".to_owned()));
    }

    /// It cannot be run again, for this reason.
    pub(super) fn not_read(&mut self, name: &PoolName, reason: &str) {
        let answer = control_answers::refused_configuration(reason);
        self.came_to(name, |awaited| awaited == AwaitedOfApp::Readiness, &answer);
    }

    /// What was read for all is wrong. Those that run say so themselves.
    pub(super) fn whole_refused(&mut self, reason: &str) {
        for ask in self.asks.open.values_mut().filter(|ask| ask.extent == Extent::Whole) {
            ask.extent = Extent::Named;
            if ask.waiting.is_empty() && ask.answers.is_empty() {
                ask.answers.insert(PoolName::default(), control_answers::refused_configuration(reason));
            }
        }
        self.close_all();
    }

    /// What was read for all is followed: these are new, or run again; those go.
    pub(super) fn whole_taken(&mut self, new: &[PoolName], going: &[PoolName]) {
        for ask in self.asks.open.values_mut().filter(|ask| ask.extent == Extent::Whole) {
            ask.extent = Extent::Named;
            ask.waiting.extend(new.iter().map(|name| (name.clone(), AwaitedOfApp::Readiness)));
            ask.waiting.extend(going.iter().map(|name| (name.clone(), AwaitedOfApp::End)));
        }
        self.close_all();
    }

    fn close_all(&mut self) {
        let numbers: Vec<_> = self.asks.open.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.close(number));
    }

    /// Answers an ask of which nothing is left to wait for.
    fn close(&mut self, number: u64) {
        let is_done = |ask: &FleetAsk| ask.waiting.is_empty() && ask.extent == Extent::Named;
        if !self.asks.open.get(&number).is_some_and(is_done) {
            return;
        }
        if let Some(ask) = self.asks.open.remove(&number) {
            // Whoever does not wait for it does not miss it.
            let _ = ask.completed.send(together(ask.answers));
        }
    }
}

/// Where an app stands.
fn stage(app: &App) -> AppState {
    match (&app.driver.outcome, app.has_begun()) {
        (Some(outcome), _) if outcome.is_death() => AppState::Dead,
        (Some(_), _) => AppState::Stopped,
        (None, false) => AppState::Waiting,
        (None, true) => AppState::Running,
    }
}

/// What is asked of a whole app is asked of each of its workers where it would otherwise be the end of the app, or nothing.
fn of_workers(order: Order, app: &App) -> Order {
    let all = || Whom::Some(app.driver.supervisor.workers());
    match order {
        Order::Stop(Whom::All) => Order::Stop(all()),
        Order::Start(Whom::All) => Order::Start(all()),
        Order::Stop(_)
        | Order::Start(_)
        | Order::Reload
        | Order::Restart(_)
        | Order::Scale(_)
        | Order::Revive(_) => order,
    }
}

fn unknown_app(message: String) -> Answer {
    Answer::new(Outcome::Refused, Some(Reason::UnknownApp), message)
}

/// The answers of several apps as one: what has failed says how it came out.
fn together(answers: BTreeMap<PoolName, Answer>) -> Answer {
    let told = |(name, answer): (&PoolName, &Answer)| match name.is_nameless() {
        true => answer.message.clone(),
        false => format!("{name}: {}", answer.message),
    };
    let mut messages: Vec<_> = answers.iter().map(told).collect();
    let first = answers.values().next().map(|answer| answer.message.clone());
    if let Some(first) = first.filter(|first| {
        answers.len() > 1
            && answers.values().all(|answer| answer.reason.is_some() && answer.message == *first)
    }) {
        messages = vec![first];
    }
    let replaced = answers.values().filter_map(|answer| answer.replaced).reduce(|one, other| one + other);
    let generation = answers.values().filter_map(|answer| answer.generation).max();
    let message = messages.join("; ");
    match answers.into_values().find(|answer| answer.outcome != Outcome::Done) {
        Some(failed) => Answer { message, replaced, generation, ..failed },
        None => Answer { replaced, generation, ..Answer::new(Outcome::Done, None, message) },
    }
}
