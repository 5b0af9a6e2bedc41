//! Programs as workers: what any program that is not Node's is started with, and how it is found out that it runs and is ready.
//!
//! `command` says what is started and in which environment, `room` watches those that run, `notify` is the socket by which one says that it is ready. A program has no channel: what it is
//! told comes as signals, and what it says by its exit, or by what `control.ready` asks of it.
//!
//! Invariants: it is driven (nothing waits, no clock, no thread); nothing of Node's reaches a program's environment or
//! descriptors; of one that is detached nothing is said any more.

mod command;
mod notify;
mod room;

pub use command::{Pass, ProgramCommand};
pub use room::{News, Programs};
