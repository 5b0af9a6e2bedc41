//! Log lines on stderr: for people, for the journal, or as JSON; as JSON also for whoever listens besides.
//!
//! Invariant: a reader of stderr that is slow or gone never makes the loop wait; lines are dropped and counted.

mod apps;
mod install;
mod journal;
mod levels;
mod listeners;
mod sink;
mod stream;
mod sys;
mod text;

pub(crate) use install::install;
pub(crate) use journal::reads_stderr as journal_reads_stderr;
pub(crate) use listeners::listen;
pub(crate) use sink::{finish, hand_over};
