//! The one loop: news in, the supervisor's orders out, and the log line for both.
//!
//! Owns everything mutable: the supervisor, the cluster's channels and listeners, the child processes, the link to the
//! JavaScript beside the fleet. Decides nothing: a branch on a worker's state here is a bug.
//! Reading goes `run` (the loop), `hands` (what it owns), `hear` and `beside` (news in), `perform` (orders out),
//! `listens` and `inquiry` (what became of wishes to listen), `narrate` and `publish` (what is told, to people and to
//! JavaScript). `twins` does the work of extensions that are not
//! installed.
//! Invariants: nothing waits but the loop itself; every process is known by its instance; an instance's channel is read to
//! its end before its exit is told.

mod attendant;
mod begun;
mod beside;
mod bury;
mod clauses;
mod endpoints;
mod exit_lines;
mod hands;
mod hear;
mod inquiry;
mod launch;
mod listens;
mod narrate;
mod perform;
mod publish;
mod run;
mod said;
mod streams;
mod sys;
mod translate;
mod twins;
mod wishes;

pub use launch::Launcher;
pub use run::{Company, Job, Script, run};
pub use twins::{GUARD, LOG_FILE, Restart, Twins, Watching};
pub use wishes::Wishes;
