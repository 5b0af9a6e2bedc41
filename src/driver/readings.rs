//! Which apps wait for which reading of the configuration: one is enough for all that have asked before it began.
//!
//! Invariants: an app gets what was read after it asked; at most one reading is under way.

use tracing::warn;

use super::app::App;
use super::fleet::Fleet;
use super::reader::{Extent, FleetReading, NowRunning, Reading, ReadingPurpose, Word};
use crate::core::{Generation, Moment, PoolName};

impl Fleet {
    /// Begins to read, if somebody waits for it and nothing is being read.
    pub(super) fn read_as_demanded(&mut self, now: Moment) {
        let Some(asked) = self.readings.next() else { return };
        self.readings.last = self.readings.last.next();
        match self.reader.begin(self.readings.last, self.now_running()) {
            Ok(()) => self.readings.under_way = Some(asked),
            Err(error) => self.refuse(now, &asked, &format!("it cannot be read: {error}")),
        }
    }

    /// What a reading has to know.
    fn now_running(&self) -> NowRunning {
        let running = self.apps.iter().filter(|(_, app)| app.runs());
        NowRunning {
            apps: running.map(|(name, _)| name.clone()).collect(),
            host: self.apps.values().any(|app| app.driver.host.process().is_some()),
            control: self.desk.control.asked().cloned(),
            sockets: self.desk.control.places(),
        }
    }

    /// Hears what the thread that reads the configuration has said.
    pub(super) fn hear_reader(&mut self, now: Moment, number: Generation, word: Word) {
        match word {
            Word::Start(start, answer) => {
                // Any app's spare descriptor is as good as another's.
                let forked = match self.apps.values_mut().next() {
                    Some(app) => app.driver.reserve.lend(|| start.fork()),
                    None => start.fork(),
                };
                // Who asked waits for this.
                let _ = answer.send(forked);
            }
            Word::Done(result) if number == self.readings.last => {
                let asked = self.readings.under_way.take().unwrap_or_default();
                match *result {
                    Ok(reading) => self.take_reading(now, asked, reading),
                    Err(reason) => self.refuse(now, &asked, &reason),
                }
            }
            Word::Done(_) => {}
        }
    }

    fn take_reading(&mut self, now: Moment, asked: ReadingPurpose, reading: FleetReading) {
        let FleetReading { mut apps, plan } = reading;
        for (name, generation) in asked.apps {
            let told = match (apps.remove(&name), asked.extent) {
                (Some(reading), _) => Ok(reading),
                // It is stopped, which wins over everything that was asked of it.
                (None, Extent::Whole) => continue,
                (None, Extent::Named) => {
                    Err(format!("it has no app {name} any more; `luster reload` takes that away"))
                }
            };
            self.with(&name, |app| app.driver.hear_reading(now, generation, told));
        }
        match asked.extent {
            Extent::Whole => {
                let new: Vec<_> = apps.keys().filter(|name| !self.runs(name)).cloned().collect();
                let is_going = |name: &&PoolName| self.runs(name) && !plan.pools.contains_key(*name);
                let going: Vec<_> = self.apps.keys().filter(is_going).cloned().collect();
                self.whole_taken(&new, &going);
                for (name, reading) in apps {
                    self.place_anew(&name, reading);
                }
                let effects = self.order.adopt(plan);
                self.perform(now, effects);
            }
            Extent::Named => {
                for name in asked.again {
                    match apps.remove(&name) {
                        Some(reading) => self.place_anew(&name, reading),
                        None => {
                            let reason = format!("it has no app {name} any more");
                            self.not_read(&name, &reason);
                            continue;
                        }
                    }
                    let effects = self.order.again(&name);
                    self.perform(now, effects);
                }
            }
        }
        let names: Vec<_> = self.apps.keys().cloned().collect();
        names.iter().for_each(|name| self.look_at(now, name));
        self.forget_gone();
    }

    fn runs(&self, name: &PoolName) -> bool {
        self.apps.get(name).is_some_and(App::runs)
    }

    /// An app that does not run is to run as was read.
    fn place_anew(&mut self, name: &PoolName, reading: Reading) {
        if self.runs(name) {
            return;
        }
        let Some(model) = self.apps.values().next().map(|app| &app.driver.launcher) else { return };
        let (spec, warnings) = App::spec_of(name, model, reading);
        match App::new(name, spec, self.activated(), self.desk.reporter.clone()) {
            Ok(app) => {
                app.span.in_scope(|| {
                    warnings.iter().for_each(|warning| warn!(event = "config_warning", "{warning}"));
                });
                self.apps.insert(name.clone(), app);
                self.tell_socket();
            }
            Err(error) => self.not_read(name, &format!("{error:#}")),
        }
    }

    /// What was asked for is refused: nothing changes.
    fn refuse(&mut self, now: Moment, asked: &ReadingPurpose, reason: &str) {
        for (name, generation) in &asked.apps {
            let refused = Err(reason.to_owned());
            self.with(name, |app| app.driver.hear_reading(now, *generation, refused));
        }
        for name in &asked.again {
            self.not_read(name, reason);
        }
        if asked.extent == Extent::Whole {
            self.whole_refused(reason);
        }
    }
}
