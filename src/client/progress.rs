//! How far it is, while a command waits: a bar on a terminal, a line for each step elsewhere.
//!
//! Invariant: what is shown goes to stderr, and nothing is shown for programs.

use std::path::Path;
use std::time::Duration;

use super::connection::Connection;
use super::words::counted;
use crate::cli;
use crate::control::schema::Status;

/// How often it is asked.
const PERIOD: Duration = Duration::from_millis(200);

/// How wide the bar is.
const BAR: u32 = 40;

/// What is worth showing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// How many workers have been replaced.
    Replaced,
    /// How many workers are ready.
    Ready,
    /// How many processes are left.
    Left,
}

/// Where it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    Nowhere,
    Terminal,
    Lines,
}

/// How far it is.
#[derive(Debug)]
pub(super) struct Progress {
    shown: Shown,
    place: Where,
    /// What was shown last.
    pub(super) last: Option<String>,
}

impl Progress {
    pub(super) const fn new(shown: Shown, place: Where) -> Self {
        Self { shown, place, last: None }
    }

    /// Shows it until nobody waits any more.
    pub(super) async fn follow(&mut self, socket: &Path) {
        let mut connection = None;
        loop {
            tokio::time::sleep(PERIOD).await;
            if connection.is_none() {
                connection = Connection::open(socket).await.ok();
            }
            let Some(open) = &mut connection else { continue };
            match open.status().await {
                Ok((status, _)) => self.show(&status),
                // It is busy, or ending. The one who waits will know.
                Err(_) => connection = None,
            }
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        if self.place == Where::Terminal && self.last.is_some() {
            cli::show("\r\x1b[K");
        }
    }

    fn show(&mut self, status: &Status) {
        let Some(step) = step(self.shown, status) else { return };
        let text = step.text();
        if self.last.as_ref() == Some(&text) {
            return;
        }
        match self.place {
            Where::Nowhere => {}
            Where::Terminal => cli::show(&format!("\r\x1b[K{}", step.bar())),
            Where::Lines => cli::complain(&text),
        }
        self.last = Some(text);
    }
}

/// A step of the way.
#[derive(Debug, PartialEq, Eq)]
struct ProgressStep {
    text: String,
    /// How much of how much.
    done: Option<(u32, u32)>,
}

fn step(shown: Shown, status: &Status) -> Option<ProgressStep> {
    let counted_off = |verb: &str, done: u32, all: u32| ProgressStep {
        text: format!("{verb} {done} of {all}"),
        done: Some((done, all)),
    };
    match (shown, &status.rollout) {
        (Shown::Replaced, _) if status.reading => {
            Some(ProgressStep { text: "reading the configuration".to_owned(), done: None })
        }
        (Shown::Replaced, Some(rollout)) => {
            let verb = if rollout.taking_back { "failed, taking back" } else { "replaced" };
            let mut step = counted_off(verb, rollout.replaced, rollout.total);
            if rollout.held {
                step.text.push_str(", waiting for one that does not start");
            }
            Some(step)
        }
        (Shown::Replaced, None) => None,
        (Shown::Ready, _) => Some(counted_off("ready:", status.ready, status.wanted)),
        (Shown::Left, _) => {
            let left: usize = status.workers.iter().map(|worker| worker.instances.len()).sum();
            let left = counted(u32::try_from(left).unwrap_or(u32::MAX), "worker");
            Some(ProgressStep { text: format!("{left} left"), done: None })
        }
    }
}

impl ProgressStep {
    fn text(&self) -> String {
        self.text.clone()
    }

    fn bar(&self) -> String {
        let Some((done, all)) = self.done else { return self.text.clone() };
        let full = u64::from(BAR) * u64::from(done.min(all)) / u64::from(all.max(1));
        let full = usize::try_from(full).unwrap_or(0);
        let empty = usize::try_from(BAR).unwrap_or(0).saturating_sub(full);
        format!("[{}{}] {}", "#".repeat(full), "-".repeat(empty), self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_it_is_done() {
        let step = |done| ProgressStep { text: format!("replaced {done} of 8"), done: Some((done, 8)) };
        assert_eq!(step(0).bar(), format!("[{}] replaced 0 of 8", "-".repeat(40)));
        assert_eq!(step(2).bar(), format!("[{}{}] replaced 2 of 8", "#".repeat(10), "-".repeat(30)));
        assert_eq!(step(8).bar(), format!("[{}] replaced 8 of 8", "#".repeat(40)));
        let none = ProgressStep { text: "ready: 0 of 0".to_owned(), done: Some((0, 0)) };
        assert_eq!(none.bar(), format!("[{}] ready: 0 of 0", "-".repeat(40)));
    }
}
