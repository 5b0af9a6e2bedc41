//! The one loop: news in, the supervisor's orders out, and the log line for both.
//!
//! Owns everything mutable: the supervisor, the cluster's channels and listeners, the child processes. Decides
//! nothing: a branch on a worker's state here is a bug.
//! Invariants: nothing waits but the loop itself; every process is known by its life; a life's channel is read to
//! its end before its exit is told.

mod launch;
mod narrate;
mod perform;
mod run;
mod said;
mod sys;
mod translate;

pub use launch::Launcher;
pub use run::{Job, run};
