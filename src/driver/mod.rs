//! The one loop: news in, the supervisor's orders out, and the log line for both.
//!
//! Owns everything mutable: the supervisor, the cluster's channels and listeners, the child processes, the link to the
//! The host. Decides nothing: a branch on a worker's state here is a bug.
//! Reading goes `run` (the loop), `hands` (what it owns), `worker_news` and `beside` (news in), `perform` (orders out),
//! `listens` and `inquiry` (what became of overrides to listen), `narrate` and `publish` (what is told, to people and to
//! JavaScript), `control` (what is asked over the control socket). `builtins` does the work of extensions that are not
//! installed.
//! Invariants: nothing waits but the loop itself; every process is known by its instance; an instance's channel is read to
//! its end before its exit is told.

mod builtin_extensions;
mod clauses;
mod control;
mod control_answers;
mod control_desk;
mod endpoints;
mod exec_results;
mod exit_lines;
mod exits;
mod host_handle;
mod host_notifications;
mod host_requests;
mod introduction;
mod launch;
mod listens;
mod log_lines;
mod perform;
mod port_holder;
mod reader;
mod run;
mod spawn_overrides;
mod state;
mod streams;
mod sys;
#[cfg(test)]
mod tests;
mod translate;
mod worker_events;
mod worker_messages;

pub use builtin_extensions::{BuiltinExtensions, GUARD, LOG_FILE, Restart, Watching};
pub use clauses::cause_of_death;
pub use launch::{Configured, Launcher};
pub use reader::{InForce, Read, Reading, Starter};
pub use run::{CustomMaster, HostSetup, RunSpec, run};
pub use spawn_overrides::SpawnOverrides;
