//! What was done, so that a failure can be told with what led to it.

use std::sync::{Arc, Mutex};
use std::time::Instant;

/// How much of it a failure shows.
const SHOWN: usize = 60;

#[derive(Debug, Clone)]
pub(crate) struct Journal {
    began: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), lines: Arc::default() }
    }

    pub(crate) fn note(&self, what: impl Into<String>) {
        let line = format!("{:7.3} {}", self.began.elapsed().as_secs_f64(), what.into());
        self.lines.lock().expect("unpoisoned").push(line);
    }

    /// What was done last.
    pub(crate) fn last(&self) -> String {
        let lines = self.lines.lock().expect("unpoisoned");
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }
}
