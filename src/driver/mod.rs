//! The one loop: events in, the core's effects performed, and the log line for both.
//!
//! Owns everything mutable: of each app the core, the cluster's channels and listeners, the child processes, the channel to the
//! host; for all apps the control socket, the reading of the configuration, the service manager. Decides nothing: a branch on a worker's state here is a bug.
//! Where to read: `run` (the loop), `clock` (what time it is), `fleet` (what it owns for all apps), `app` and `state` (of each), `worker_events`, `host_requests` and `exits`
//! (events in), `perform` (effects out), `listens` and `port_holder` (what became of requests to listen), `log_lines` and
//! `host_notifications` (what people and JavaScript are told), `control` (what is asked over the control socket).
//! `programs` starts and asks programs that are not Node's. `builtin_extensions` does the work of extensions that are not installed.
//! Invariants: nothing waits but the loop itself; every process is known by its instance; an instance's channel is read to
//! its end before its exit is told.

mod app;
mod builtin_extensions;
mod clauses;
mod clock;
mod control;
mod control_answers;
mod control_desk;
mod demand;
mod ending;
mod endpoints;
mod exec_results;
mod exit_lines;
mod exits;
mod fleet;
mod fleet_control;
mod host_answers;
mod host_handle;
mod host_notifications;
mod host_requests;
mod host_status;
mod introduction;
mod launch;
mod listens;
mod log_lines;
mod perform;
mod port_holder;
mod programs;
mod reader;
mod readings;
mod rest;
mod run;
mod service;
mod spawn_overrides;
mod state;
mod streams;
mod sys;
#[cfg(test)]
mod tests;
mod translate;
mod worker_events;
mod worker_messages;

pub use app::{AppSpec, CustomMaster, HostSetup, RunSpec};
pub use builtin_extensions::{BuiltinExtensions, GUARD, LOG_FILE, Restart, Watching};
pub use clauses::cause_of_death;
pub use control_answers::rollout_failure;
pub use launch::{Configured, Launcher, NodeBoot, Runs, SettingsFrom};
pub use reader::{FleetReading, InForce, NowRunning, Read, Reading, Starter};
pub use run::run;
pub use spawn_overrides::SpawnOverrides;
