//! What the host is told, as it is written.
//!
//! Invariant: whatever is told of a process names its instance.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::core::LifecycleLimits;

/// One piece of news.
#[derive(Debug, Serialize)]
#[serde(tag = "tell", rename_all = "camelCase")]
pub enum HostNotification<'a> {
    /// What a host says is heard from now on; the first it is told.
    Connected,
    /// A process was started in a worker's slot.
    Fork {
        /// Whose slot.
        wid: u32,
        /// Its instance.
        instance: u32,
        /// What it is told to listen on.
        port: &'a str,
        /// Its number.
        pid: i32,
        /// The program.
        file: &'a str,
        /// The command line.
        args: &'a [String],
        /// Whether its messages are in V8's own form (`npm/lib/shared/advanced.js`).
        advanced: bool,
    },
    /// A process could not be started, or could not run Node.
    Unstarted {
        /// Whose.
        wid: u32,
        /// Which, if it was told of.
        instance: u32,
        /// Why.
        reason: &'a str,
        /// What follows.
        then: ExitThen,
    },
    /// Our end of a stream of a process told next; the socket comes along.
    Stream {
        /// Whose.
        instance: u32,
        /// Which of 0, 1 and 2.
        fd: usize,
    },
    /// Its Node is up.
    Online {
        /// Whose.
        instance: u32,
    },
    /// It listens.
    Listening {
        /// Who.
        instance: u32,
        /// On what, as Node's `listening` event has it.
        address: &'a RawValue,
    },
    /// A direct channel to it; the socket comes along.
    Line {
        /// To whom.
        instance: u32,
    },
    /// It is being stopped.
    Stopping {
        /// Who.
        instance: u32,
        /// Whether because another takes its place.
        replaced: bool,
    },
    /// Its channel is closed.
    Disconnect {
        /// Whose.
        instance: u32,
        /// Whether that was asked for, by it or by us.
        voluntary: bool,
    },
    /// It has ended.
    Exit {
        /// Who.
        instance: u32,
        /// Its exit code.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<&'a str>,
        /// What follows.
        then: ExitThen,
    },
    /// A worker has no process now; said to a host that has just come.
    Vacant {
        /// Which.
        wid: u32,
        /// What follows.
        then: ExitThen,
    },
    /// There is this worker, perhaps since now; its settings.
    Worker {
        /// Which.
        wid: u32,
        /// What it is told to listen on.
        port: &'a str,
        /// Its limits.
        limits: NotifiedLimits,
    },
    /// There is no such worker any more.
    Removed {
        /// Which.
        wid: u32,
    },
    /// All that there was has been told to a host that has just come.
    Present {
        /// The highest number of a worker.
        workers: u32,
    },
    /// A rolling restart is complete.
    RolledOut {
        /// Whether it was one of all workers.
        all: bool,
    },
    /// A rolling restart has been given up.
    RolloutAborted {
        /// Whose replacement failed; nothing if the configuration was refused.
        wid: Option<u32>,
        /// Why.
        reason: &'a str,
    },
    /// What became of a request that was made under a number, as the control socket has it; or how everything stands.
    Answer {
        /// The number.
        id: u64,
        /// The answer.
        answer: &'a RawValue,
    },
    /// Every worker is dead.
    AllDead {
        /// luster's exit code for that.
        exit: u8,
    },
    /// A signal was received that it wants to have passed on.
    Signal {
        /// Its name.
        name: &'a str,
        /// Its number.
        number: i32,
    },
    /// Everything is being stopped; that it is over will be told.
    Ending,
    /// Everything is over.
    End {
        /// luster's exit code, if a second stop signal has killed everything.
        exit: Option<u8>,
    },
}

/// A worker's limits as a WorkerWrapper's options have them: in milliseconds, and nothing where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotifiedLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    fork_timeout: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_timeout: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kill_timeout: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_threshold: Option<u64>,
    allowed_sequential_deaths: u32,
}

impl From<LifecycleLimits> for NotifiedLimits {
    fn from(limits: LifecycleLimits) -> Self {
        let millis = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1);
        Self {
            fork_timeout: limits.fork_timeout.map(millis),
            stop_timeout: limits.stop_timeout.map(millis),
            kill_timeout: limits.kill_timeout.map(millis),
            exit_threshold: limits.exit_threshold.map(millis),
            allowed_sequential_deaths: limits.allowed_sequential_deaths,
        }
    }
}

/// What follows the end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ExitThen {
    /// There will be another, now or after a pause.
    Again,
    /// The slot stays empty.
    Rest,
    /// The worker is dead.
    Dead,
}
