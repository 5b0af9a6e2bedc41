//! How everything stands, for the host: put together by a thread, because what each process uses is read from /proc.
//!
//! Invariants: one thread at a time; whoever asks gets what was so after it asked; who waits is bounded.

use std::sync::Arc;

use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::control::{LiveState, Reporter};
use crate::core::HostInstanceId;

/// So many questions may wait for an answer.
const MOST: usize = 1024;

/// A question of the host's: which process asks, and the number it is answered under.
pub(super) type Question = (HostInstanceId, u64);

/// What the thread has made, if nothing failed.
pub(super) type Report = Option<Box<RawValue>>;

/// Whether a question was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Taken {
    /// It waits; [`HostStatus::begin`] may have something to do.
    Yes,
    /// Too many wait.
    No,
}

/// The questions, and the thread.
#[derive(Debug)]
pub(super) struct HostStatus {
    reporter: Arc<Reporter>,
    /// Those that what is being made answers; none if nothing is.
    under_way: Vec<Question>,
    /// Those asked since it was begun.
    waiting: Vec<Question>,
    reports: Receiver<Report>,
    report: Sender<Report>,
}

impl HostStatus {
    pub(super) fn new(reporter: Arc<Reporter>) -> Self {
        let (report, reports) = channel(1);
        Self { reporter, under_way: Vec::new(), waiting: Vec::new(), reports, report }
    }

    /// Somebody wants to know.
    pub(super) fn ask(&mut self, question: Question) -> Taken {
        if self.waiting.len() >= MOST {
            return Taken::No;
        }
        self.waiting.push(question);
        Taken::Yes
    }

    /// Whether there is somebody to begin for.
    pub(super) fn is_due(&self) -> bool {
        self.under_way.is_empty() && !self.waiting.is_empty()
    }

    /// Has a thread put this into words, for all that wait. Where there cannot be one, they are given back.
    pub(super) fn begin(&mut self, state: LiveState) -> Vec<Question> {
        let (reporter, report) = (self.reporter.clone(), self.report.clone());
        let work = move || {
            // Where it fails the loop is gone, and so are we.
            let _ = report.blocking_send(to_raw_value(&reporter.report(&state)).ok());
        };
        let waiting = std::mem::take(&mut self.waiting);
        match std::thread::Builder::new().name("status".to_owned()).spawn(work) {
            Ok(_) => {
                self.under_way = waiting;
                Vec::new()
            }
            Err(_) => waiting,
        }
    }

    /// What the thread has made. Cancel-safe.
    pub(super) async fn next(&mut self) -> Report {
        match self.reports.recv().await {
            Some(report) => report,
            // We hold a sender ourselves.
            None => std::future::pending().await,
        }
    }

    /// Whom it answers.
    pub(super) fn answered(&mut self) -> Vec<Question> {
        std::mem::take(&mut self.under_way)
    }
}
