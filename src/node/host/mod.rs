//! The host - the extension host, or a custom master's script - as the supervisor speaks with it:
//! what it may ask, what it is told, and the messages between it and workers.
//!
//! It is at the other end of a Node IPC channel, of which ours is the child's end. `host_channel` reads
//! and writes, `news` is what comes, `request` what can be asked, `notification` what is told, `channel_handoff` how the
//! channel comes to us. `launch` starts the host's process, and
//! `evaluate` has it run the configuration first.
//!
//! Invariants: it is driven (no waiting, no clock, no thread) once its channel is open; whatever the other side writes or
//! does not read costs at most that side; it decides nothing.

mod channel_handoff;
mod evaluate;
mod host_channel;
mod launch;
mod news;
mod notification;
mod request;

pub use channel_handoff::hand_over;
pub use evaluate::{Candidate, EvaluationFailure};
pub use host_channel::{HostChannel, NotifyOutcome};
pub(crate) use launch::needed;
pub use launch::{HostLaunchError, HostLauncher};
pub use news::HostNews;
pub use notification::{ExitThen, HostNotification};
pub use request::{
    ConfigValue, CustomMasterSpec, EnvChanges, Hello, HostRequest, ScriptSettings, Setup, WorkerRequestKind,
    WorkerSettings,
};
