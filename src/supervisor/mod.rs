//! Decides what happens to each worker. Owns no process, clock or descriptor: news and the time come in,
//! orders go out, and the same news at the same moments always yields the same orders.
//!
//! Invariants: a slot's seat has at most one living process; an order always names the life it is meant for;
//! news of an earlier life changes nothing; after a stop nothing is started.

#![deny(clippy::wildcard_enum_match_arm)]

mod deaths;
mod ends;
mod event;
mod fleet;
mod host;
mod ids;
mod life;
mod order;
mod patience;
mod policy;
mod readiness;
mod requests;
mod rollout;
mod slot;
mod steps;
#[cfg(test)]
mod tests;

pub use event::{
    Closing, Ending, Event, HostEvent, OnDeath, OneRequest, Refusal, RefusalCause, Request, StopCause,
};
pub use fleet::Supervisor;
pub use ids::{Endpoint, HostLife, Life, Moment, WorkerId};
pub use order::{
    AbortReason, Death, ExitCause, Extent, Haste, HostThen, Notice, Order, Outcome, Overdue, Signal,
    StopReason, Then, Vacancy,
};
pub use policy::{Attendance, ExitTimeout, Limits, Persistence, Policy, Readiness, RestartOrder};
