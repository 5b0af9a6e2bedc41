//! The news the supervisor takes: what happened to which instance, and what the operator asks.
//!
//! Invariant: news about a process always carries its [`InstanceId`], so that late news changes nothing.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::{Endpoint, Generation, HostInstanceId, InstanceId, ListenAddress, RequestId, WorkerId};
use super::last_words::LastWords;
use super::policy::LifecycleLimits;
use super::spec::PoolSpec;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody asks for something: [`Effect::Reply`](super::Effect::Reply) and, if it is accepted,
    /// [`Effect::Completed`](super::Effect::Completed) answer.
    Asked(RequestId, Request),
    /// The instance ordered by `Spawn` could not be started.
    NotStarted {
        /// The instance that never was.
        instance: InstanceId,
        /// One clause for the operator: what failed.
        reason: String,
    },
    /// Its Node is up; user code has not run yet.
    Online(InstanceId),
    /// Its app has loaded and it calls itself ready.
    SaidReady(InstanceId, Audience),
    /// It listens on an endpoint.
    Listening(InstanceId, Endpoint, ListenAddress),
    /// It closed an endpoint.
    Closed(InstanceId, Endpoint, Closing),
    /// It wants to listen there, and whether it can is not known yet: it listens next, or is refused.
    AsksToListen(InstanceId, Endpoint),
    /// It has closed servers, their connections have ended, and it goes on.
    LivesOn(InstanceId),
    /// It was refused an endpoint it asked for.
    Refused(InstanceId, ListenRefusal),
    /// It has answered our request to suspend.
    Suspended(InstanceId),
    /// It began to leave by itself: it drains and will exit.
    Leaving(InstanceId),
    /// It is about to close its channel, its servers are closed, and no connection of theirs is open.
    Drained(InstanceId),
    /// It closed its channel: nothing more can be said to it.
    Left(InstanceId),
    /// It broke the protocol; the clause says how.
    Broken(InstanceId, String),
    /// It says what it is about to die of.
    LastWords(InstanceId, LastWords),
    /// Its process has ended and was reaped.
    Exited(InstanceId, ExitStatus),
    /// The configuration has been read anew, or is refused: why, for the operator.
    ConfigurationRead(Generation, Result<Box<PoolSpec>, String>),
    /// The host.
    Host(HostInstanceId, HostEvent),
}

/// Who has heard what a worker says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// We alone.
    Luster,
    /// The host, too, from the worker itself.
    HostToo,
}

/// What happened to the host. To a custom master, which is not ours to judge, only its leaving matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostEvent {
    /// Its extensions are configured.
    Initialized,
    /// It closed its channel, as at the end of every process; nothing more can be said to it.
    Left,
    /// What it would have died of, a clause, should it end now; nothing if that is empty.
    CrashReason(String),
    /// It cannot go on as it is; the clause says why. It is killed.
    Unfit(String),
    /// It has told its extensions that all workers are dead, and none of them has changed that.
    AllDeadAcknowledged,
    /// Its process has ended and was reaped, or could not be started.
    Exited(ExitStatus),
}

/// What can be asked, by an operator or by the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Start every worker that has not been stopped on request and is not dead.
    Start,
    /// Read the configuration again and replace every worker, [`Policy::parallel`](super::Policy::parallel) at a time, by one on it.
    Reload(OnDeath),
    /// Replace every worker as a rollout does, on the configuration that it runs on.
    Replace,
    /// Replace every worker, all at once.
    RestartAll,
    /// Stop every worker gracefully, then finish. Wins over everything asked before and after.
    Stop,
    /// As `Stop`, by a signal. Another one soon after it is its echo; a later one is a `Kill`.
    StopBy(StopCause),
    /// Kill every process at once, then finish.
    Kill,
    /// One worker.
    One(WorkerId, OneRequest),
    /// There is to be this worker, with limits of its own; it is not started. One that is there already only gets its limits.
    /// Numbers are given one after the other, so one that would leave a gap is nobody's.
    Add(WorkerId, LifecycleLimits, Arc<str>),
    /// So many workers, until a configuration with another number of them is read.
    Scale(u32),
    /// Have this process close its servers and leave, as if it did so by itself.
    Disconnect(InstanceId),
}

/// The signal that asks for a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopCause {
    /// SIGTERM.
    Terminate,
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGQUIT: Ctrl-\.
    Quit,
    /// SIGHUP, because the terminal luster was started in is gone.
    TerminalLost,
}

impl fmt::Display for StopCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::Quit => "SIGQUIT",
            Self::TerminalLost => "the loss of its terminal",
        })
    }
}

/// What a rollout does when a replacement keeps dying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnDeath {
    /// It stands still and leaves the other workers alone; the replacement is tried on, whatever its limits say.
    Hold,
    /// It goes on with the next worker once that one is dead, as JS luster's `softRestart()`.
    Continue,
}

/// What can be asked about one worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OneRequest {
    /// Start it, if it has no process, also if it is dead.
    Start,
    /// Stop it and leave it stopped.
    Stop,
    /// Replace it now, whatever else is being replaced.
    Restart,
    /// Replace it in a rollout, its own or the one under way. A new one goes on past deaths.
    Rollout,
    /// Replace it in a rollout, on the configuration that was read last.
    Replace,
    /// It is no longer dead, but still stopped.
    Revive,
    /// It has these limits from now on, and what is started next is told to listen on this.
    Limit(LifecycleLimits, Arc<str>),
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It called `exit` with this code.
    Code(i32),
    /// A signal ended it; the name is for the operator (`SIGKILL`).
    Signal(String),
    /// It never started; the clause says why.
    NotStarted(String),
}

/// What a worker meant by closing a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// That it is closed: nobody has ever used it.
    ForGood,
    /// That, or it is about to end, as in `server.close(() => process.exit(1))`.
    Perhaps,
}

/// A listen that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenRefusal {
    /// What it wanted to listen on.
    pub endpoint: Endpoint,
    /// What stands in the way.
    pub cause: RefusalCause,
    /// One clause for the operator.
    pub reason: String,
}

/// The kinds of refusal that lead to different exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCause {
    /// The kernel did not permit it.
    NotPermitted,
    /// Somebody else listens there.
    InUse,
    /// Anything else: no such address, no such folder, …
    Other,
}
