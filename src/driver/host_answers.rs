//! What the host asks for under a number, and its answers: those that the control socket gives.
//!
//! Invariant: each is answered once, to the process that has asked; of another one nobody hears.

use serde::Serialize;
use serde_json::value::to_raw_value;
use tracing::info;

use super::control_answers;
use super::control_desk::Asker;
use super::host_status::{Question, Report, Taken};
use super::state::Driver;
use crate::control::Order;
use crate::core::{Moment, Refusal};

impl Driver {
    /// Does what the host asks for, and answers.
    pub(super) fn host_order(&mut self, now: Moment, id: u64, order: Order) {
        let Some(host) = self.host.instance() else { return };
        let (request, what) = (control_answers::name(&order), control_answers::describe(&order));
        info!(event = "host_asked", request, "{} asks for {what}", self.host.name());
        match self.place(now, order, Asker::Host(host, id)) {
            Ok(number) => self.close_ask(now, number),
            Err(refused) => self.answer_host(now, (host, id), &refused),
        }
    }

    /// Has the host told how everything stands.
    pub(super) fn host_status(&mut self, now: Moment, id: u64) {
        let Some(host) = self.host.instance() else { return };
        match self.host_status.ask((host, id)) {
            Taken::Yes => self.begin_status(now),
            Taken::No => self.answer_busy(now, vec![(host, id)]),
        }
    }

    /// Hears how everything stands, put together.
    pub(super) fn hear_status(&mut self, now: Moment, report: Report) {
        let questions = self.host_status.answered();
        match report {
            Some(report) => {
                for question in questions {
                    self.answer_host(now, question, &report);
                }
            }
            None => self.answer_busy(now, questions),
        }
        self.begin_status(now);
    }

    fn begin_status(&mut self, now: Moment) {
        if self.host_status.is_due() {
            let state = self.live_state(now);
            let unanswered = self.host_status.begin(state);
            self.answer_busy(now, unanswered);
        }
    }

    fn answer_busy(&mut self, now: Moment, questions: Vec<Question>) {
        for question in questions {
            self.answer_host(now, question, &control_answers::refusal(&Refusal::Busy));
        }
    }

    /// Answers a question, unless who asked it is gone.
    pub(super) fn answer_host(&mut self, now: Moment, (host, id): Question, answer: &impl Serialize) {
        if self.host.instance() != Some(host) {
            return;
        }
        // What is answered can be written.
        let Ok(answer) = to_raw_value(answer) else { return };
        let health = self.host.answer(id, &answer, now);
        self.check_host_health(now, health);
    }
}
