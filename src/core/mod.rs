//! Decides what happens to each worker. Owns no process, clock or descriptor: news and the time come in,
//! effects go out, and the same news at the same moments always yields the same effects.
//!
//! Invariants: a slot's seat has at most one living process; an order always names the instance it is meant for;
//! news of an earlier instance changes nothing; after a stop nothing is started.

#![deny(clippy::wildcard_enum_match_arm)]

mod answers;
mod backoff;
mod count;
mod counters;
mod diagnosis;
mod effect;
mod event;
mod exits;
mod failed_rollout;
mod failure;
mod fleet;
mod goal;
mod host;
mod host_change;
mod host_events;
mod host_trial;
mod ids;
mod instance;
mod instance_deadlines;
mod last_words;
mod layout;
mod listening;
mod observed;
mod pending;
mod policy;
mod pools;
mod readiness;
mod ready_check;
mod reload;
mod reload_state;
mod requests;
mod rollout;
mod slot;
mod slots;
mod snapshot;
mod spec;
mod steps;
mod stop_deadlines;
mod summary;
mod take_back;
#[cfg(test)]
mod tests;

pub use answers::{AfterAbort, Completion, Refusal};
pub use counters::Counters;
pub use effect::{
    Effect, ExitCause, Haste, HostThen, NextAction, Notice, Outcome, Overdue, Scope, Signal, Spawn,
    StopReason,
};
pub use event::{
    Audience, Closing, Event, ExitStatus, HostEvent, ListenRefusal, OnDeath, OneRequest, RefusalCause,
    Request, StopCause,
};
pub use failed_rollout::{FailedRollout, RolloutFailure};
pub use failure::{AbortReason, Culprit, Death, Unready};
pub use fleet::Supervisor;
pub use ids::{Endpoint, Generation, HostInstanceId, InstanceId, ListenAddress, Moment, RequestId, WorkerId};
pub use last_words::LastWords;
pub use layout::{Layout, Port, Ports, divide, whole};
pub use observed::{ChannelState, Departure, Startup};
pub use policy::{
    Canary, ExitTimeout, HostKind, LifecycleLimits, MAX_WORKERS, Persistence, Policy, Readiness, RestartOrder,
};
pub use pools::{FleetEffect, FleetOrder, FleetPlan, OnDead, PoolName};
pub use ready_check::ReadyCheck;
pub use snapshot::{
    FleetGoal, HostSnapshot, InstanceSnapshot, RolloutProgress, Snapshot, WorkerSnapshot, WorkerState,
};
pub use spec::{Change, PoolSpec, diff};
pub use summary::FleetSummary;
