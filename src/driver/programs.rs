//! The end of a worker and what comes before it, for both kinds: a Node is asked by its channel, a program by a signal. And
//! what becomes of programs.
//!
//! Invariant: both kinds perform the same effects and are told of by the same events.

use crate::core::{Audience, Event, Haste, InstanceId, Moment};
use crate::process;
use crate::program::News;

use super::state::{Driver, Kind};
use super::worker_messages;

impl Driver {
    /// The first step of its end. A program has no functions to run before it.
    pub(super) fn suspend(&mut self, now: Moment, instance: InstanceId, haste: Haste) {
        self.cluster.suspend(instance);
        match self.kind(instance) {
            Some(Kind::Node) => self.say(now, instance, &worker_messages::suspend(haste)),
            Some(Kind::Program { .. }) => self.events.push_back(Event::Suspended(instance)),
            None => {}
        }
    }

    pub(super) fn drain(&mut self, now: Moment, instance: InstanceId) {
        match self.kind(instance) {
            Some(Kind::Node) => self.say(now, instance, &worker_messages::drain()),
            Some(Kind::Program { .. }) | None => {}
        }
    }

    /// Tells it to finish what it has begun, and to end.
    pub(super) fn disconnect(&mut self, now: Moment, instance: InstanceId) {
        self.cluster.disconnect(instance, now);
        if let Some(Kind::Program { stop_signal }) = self.kind(instance)
            && let Some(process) = self.children.get(&instance)
        {
            let signal = process::Signal::Other(stop_signal);
            self.send_signal(process, signal, &process::signal_name(stop_signal));
        }
    }

    fn kind(&self, instance: InstanceId) -> Option<Kind> {
        self.children.get(&instance).map(|process| process.kind)
    }

    /// Hears what has become of programs.
    pub(super) fn hear_programs(&mut self, now: Moment) {
        let mut news = Vec::new();
        self.programs.process(&mut news);
        self.take_in_programs(now, news);
    }

    /// Lets the room act on what is due.
    pub(super) fn wake_programs(&mut self, now: Moment) {
        if self.programs.next_wake().is_some_and(|at| at <= now) {
            let mut news = Vec::new();
            self.programs.wake(now, &mut news);
            self.take_in_programs(now, news);
        }
    }

    fn take_in_programs(&mut self, now: Moment, news: Vec<News>) {
        for item in news {
            match item {
                News::Begun(instance) => self.program_begun(now, instance),
                News::Ready(instance) => self.handle(now, Event::SaidReady(instance, Audience::Luster)),
            }
        }
    }

    /// It runs, unless its end says that it could not.
    fn program_begun(&mut self, now: Moment, instance: InstanceId) {
        let Some(process) = self.children.get_mut(&instance) else { return };
        if process.begun.settle().is_none() {
            self.programs.runs(instance, now);
            let _ = self.reserve.refill();
            self.handle(now, Event::Online(instance));
        }
    }
}
