//! What is answered to a request: at once whether it is accepted, and at its end what came of it.
//!
//! Invariant: each refusal is one reason, and each answer one sentence for whoever asked.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::failure::{AbortReason, Culprit, Death};
use super::ids::WorkerId;

/// Why a request is not accepted. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Refusal {
    /// Everything is being stopped, and a stop wins.
    Stopping,
    /// Too many requests are not complete yet.
    Busy,
    /// There is no such worker.
    NoSuchWorker {
        /// Who was meant.
        worker: WorkerId,
        /// Those that there are.
        workers: Vec<WorkerId>,
    },
    /// A custom master's script says how many workers there are and when they start.
    ScriptDecides,
}

/// What came of a request that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Completion {
    /// It was done.
    Done,
    /// Workers were replaced, so many.
    RolledOut {
        /// How many.
        replaced: usize,
    },
    /// The configuration was read anew and is refused, for this reason: nothing has changed.
    ConfigurationRefused(String),
    /// Workers that were to run do not: what each last died of.
    Dead(Vec<Death>),
    /// The replacement of a worker failed, or that of the extension host, and no more were made.
    Aborted {
        /// Who failed.
        culprit: Culprit,
        /// Why.
        reason: AbortReason,
        /// How many workers had been replaced before.
        replaced: usize,
        /// What runs now.
        now: AfterAbort,
    },
    /// A stop, or another request, came first.
    Overruled,
}

/// What runs when a rollout was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterAbort {
    /// All workers run what they ran before: those that had been replaced were taken back.
    TakenBack,
    /// Those replaced before run what is new; the others are untouched.
    Untouched,
    /// The failed worker is tried on, for there is nothing else to run; the others are untouched.
    TriedOn,
}

/// `there are workers 1 to 3 and 5`. Numbers are missing where an extension has added a worker behind those that were removed.
fn those_there(workers: &[WorkerId]) -> String {
    let range = |first: &WorkerId, last: &WorkerId| format!("{first} to {last}");
    let runs: Vec<_> = workers.chunk_by(|a, b| a.0 + 1 == b.0).collect();
    let texts = runs.iter().flat_map(|run| match run {
        [first, _, .., last] if runs.len() == 1 || run.len() > 2 => vec![range(first, last)],
        few => few.iter().map(ToString::to_string).collect(),
    });
    match texts.collect::<Vec<_>>().as_slice() {
        [] => "there are no workers".to_owned(),
        [only] if workers.len() == 1 => format!("the only one is worker {only}"),
        [all] => format!("there are workers {all}"),
        [first @ .., last] => format!("there are workers {} and {last}", first.join(", ")),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopping => f.write_str("luster is stopping"),
            Self::Busy => f.write_str("too many requests are under way; ask again when some are complete"),
            Self::NoSuchWorker { worker, workers } => {
                write!(f, "there is no worker {worker}; {}", those_there(workers))
            }
            Self::ScriptDecides => {
                f.write_str("a custom master's script decides how many workers there are: by luster.add(), worker.run() and worker.stop()")
            }
        }
    }
}
