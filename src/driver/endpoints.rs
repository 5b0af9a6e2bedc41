//! Says, once for each, what the workers listen on, when those that were starting are ready: one line for all workers
//! of an endpoint, and again only if it was closed meanwhile. An app that listens later is told of by its first worker.
//!
//! Invariant: what is remembered has a bound.

use std::collections::BTreeSet;
use std::fmt::Write;

use tracing::info;

use crate::core::{Endpoint, InstanceId, Notice, WorkerId};

/// Of how many endpoints it is remembered that they were told; more are not told.
const MOST: usize = 1024;

/// Whether all are ready, and what has been told.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    starting: BTreeSet<InstanceId>,
    told: BTreeSet<Endpoint>,
}

impl Endpoints {
    pub(super) fn begins(&mut self, instance: InstanceId) {
        self.starting.insert(instance);
    }

    /// Whether this is a first listener after all were ready.
    fn is_late(&mut self, endpoint: &Endpoint) -> bool {
        self.starting.is_empty() && self.told.len() < MOST && self.told.insert(endpoint.clone())
    }

    /// Whether the start of workers is over with this.
    fn settles(&mut self, notice: &Notice) -> bool {
        match notice {
            Notice::Ready(_, instance, _) | Notice::Exited { instance, .. } => {
                self.starting.remove(instance) && self.starting.is_empty()
            }
            _ => false,
        }
    }

    /// Tells what is listened on, if it is the time for it; `all` is what there is.
    pub(super) fn tell(
        &mut self,
        notice: &Notice,
        all: impl FnOnce() -> Vec<(Endpoint, BTreeSet<WorkerId>)>,
    ) {
        if let Notice::Listening(worker, _, endpoint, _) = notice
            && self.is_late(endpoint)
        {
            tell(endpoint, &BTreeSet::from([*worker]));
        }
        if !self.settles(notice) {
            return;
        }
        for (endpoint, workers) in self.news(all()) {
            tell(&endpoint, &workers);
        }
    }

    /// What has not been told yet of all there is; the rest is forgotten.
    fn news(&mut self, all: Vec<(Endpoint, BTreeSet<WorkerId>)>) -> Vec<(Endpoint, BTreeSet<WorkerId>)> {
        let before = std::mem::take(&mut self.told);
        self.told = all.iter().map(|(endpoint, _)| endpoint.clone()).collect();
        all.into_iter().filter(|(endpoint, _)| !before.contains(endpoint)).take(MOST).collect()
    }
}

fn tell(endpoint: &Endpoint, workers: &BTreeSet<WorkerId>) {
    let (on, s) = (endpoint.to_string(), if workers.len() == 1 { "" } else { "s" });
    let workers = ranges(workers);
    info!(event = "listening_on", on, workers, "listening on {on} (worker{s} {workers})");
}

/// `1-4, 6`.
fn ranges(workers: &BTreeSet<WorkerId>) -> String {
    let mut text = String::new();
    let mut workers = workers.iter().map(|worker| worker.0).peekable();
    while let Some(first) = workers.next() {
        let mut last = first;
        while let Some(next) = workers.next_if_eq(&(last + 1)) {
            last = next;
        }
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing into a string does not fail.
        let _ = match last - first {
            0 => write!(text, "{comma}{first}"),
            1 => write!(text, "{comma}{first}, {last}"),
            _ => write!(text, "{comma}{first}-{last}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_told_in_ranges() {
        for (workers, text) in [
            (&[1][..], "1"),
            (&[1, 2], "1, 2"),
            (&[1, 2, 3], "1-3"),
            (&[2, 4, 5, 7, 8, 9, 11], "2, 4, 5, 7-9, 11"),
        ] {
            assert_eq!(ranges(&workers.iter().map(|number| WorkerId(*number)).collect()), text);
        }
    }
}
