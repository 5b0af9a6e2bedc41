//! Log lines on stderr: for people, or as JSON.
//!
//! Invariant: a reader of stderr that is slow or gone never makes the master wait; lines are dropped and counted.

mod install;
mod sink;
mod stream;
mod text;

pub(crate) use install::install;
