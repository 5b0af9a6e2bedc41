//! What the thread asks of the loop, in the loop's words.
//!
//! Invariant: each question is answered once at most; one that is dropped unanswered is answered by that.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::peer::Peer;
use super::schema::{Answer, AppState, HostKind};
use crate::core::{InstanceId, Moment, PoolName, Snapshot, WorkerId};

/// A question.
#[derive(Debug)]
pub enum Call {
    /// How everything stands.
    Status(oneshot::Sender<Vec<AppLive>>),
    /// Something is to be done.
    Ask(Ask),
}

/// How one app stands; the only one of a configuration without `apps` has no name.
#[derive(Debug, Clone)]
pub struct AppLive {
    /// Its name.
    pub name: PoolName,
    /// Where it stands.
    pub stage: AppState,
    /// The apps that it waits for.
    pub waits_for: Vec<PoolName>,
    /// Everything else.
    pub state: LiveState,
}

/// How everything stands, as the loop holds it.
#[derive(Debug, Clone)]
pub struct LiveState {
    /// What the core knows.
    pub snapshot: Arc<Snapshot>,
    /// What time it is; the snapshot may have been made earlier.
    pub now: Moment,
    /// The processes of instances, by their numbers.
    pub pids: Vec<(InstanceId, i32)>,
    /// The host, and its process.
    pub host: Option<(HostKind, Option<i32>)>,
    /// Where the configuration really is.
    pub config_real: Option<PathBuf>,
    /// What workers run.
    pub app: PathBuf,
    /// The control socket; empty if there is none.
    pub socket: PathBuf,
}

/// Something that is to be done, and who waits for what comes of it.
#[derive(Debug)]
pub struct Ask {
    /// Which app is meant, if one is named.
    pub app: Option<PoolName>,
    /// What.
    pub order: Order,
    /// Who asks.
    pub by: Peer,
    /// Whether it is accepted; if not, why.
    pub reply: oneshot::Sender<Result<(), Answer>>,
    /// What came of it, if it was accepted.
    pub completed: oneshot::Sender<Answer>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Read the configuration anew and replace all workers.
    Reload,
    /// Replace workers.
    Restart(Whom),
    /// Stop workers; all of them is the end.
    Stop(Whom),
    /// Start workers that have no process.
    Start(Whom),
    /// Have this many workers.
    Scale(Target),
    /// Have workers dead no longer, but stopped.
    Revive(Whom),
}

/// Which workers are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// All.
    All,
    /// These.
    Some(Vec<WorkerId>),
}

/// How many workers there are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// So many.
    Count(i64),
    /// So many more, or fewer.
    Change(i64),
}
