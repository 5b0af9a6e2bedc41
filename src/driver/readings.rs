//! Which apps wait for which reading of the configuration: one is enough for all that have asked before it began.
//!
//! Invariants: an app gets what was read after it asked; at most one reading is under way.

use std::collections::BTreeMap;

use super::fleet::Fleet;
use super::reader::{FleetReading, NowRunning, Word};
use crate::core::{Generation, Moment, PoolName};

impl Fleet {
    /// Begins to read, if somebody waits for it and nothing is being read.
    pub(super) fn read_as_demanded(&mut self, now: Moment) {
        if self.readings.waiting.is_empty() || self.readings.under_way.is_some() {
            return;
        }
        let asked = std::mem::take(&mut self.readings.waiting);
        self.readings.last = self.readings.last.next();
        match self.reader.begin(self.readings.last, self.now_running()) {
            Ok(()) => self.readings.under_way = Some(asked),
            Err(error) => self.refuse(now, asked, &format!("it cannot be read: {error}")),
        }
    }

    /// What a reading has to know.
    fn now_running(&self) -> NowRunning {
        NowRunning {
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
                    Err(reason) => self.refuse(now, asked, &reason),
                }
            }
            Word::Done(_) => {}
        }
    }

    fn take_reading(&mut self, now: Moment, asked: BTreeMap<PoolName, Generation>, reading: FleetReading) {
        let FleetReading { mut apps, plan: _ } = reading;
        for (name, generation) in asked {
            let Some(reading) = apps.remove(&name) else { continue };
            self.with(&name, |app| app.driver.hear_reading(now, generation, Ok(reading)));
        }
    }

    fn refuse(&mut self, now: Moment, asked: BTreeMap<PoolName, Generation>, reason: &str) {
        for (name, generation) in asked {
            self.with(&name, |app| app.driver.hear_reading(now, generation, Err(reason.to_owned())));
        }
    }
}
