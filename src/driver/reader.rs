//! Reads the configuration anew, in a thread: a file system that hangs or a program that never ends holds up nobody.
//!
//! Invariants: the loop forks whatever processes the reading needs, because the kernel would take the end of another thread
//! for luster's; one reading at a time; what comes of one that nobody waits for changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::builtin_extensions::BuiltinExtensions;
use super::launch::Configured;
use crate::control::{Prepared, Wanted};
use crate::core::{FleetPlan, Generation, PoolName, PoolSpec};
use crate::node::cluster::{Balance, SocketAccess};
use crate::node::host::{HostLaunchError, HostLauncher};
use crate::process::{Child, Forked, Sealed, SpawnError, Start};

/// Reads the configuration with every check; a refusal is told as it is.
pub type Read = Arc<dyn Fn(&Starter) -> Result<FleetReading, String> + Send + Sync>;

/// What was read, for all apps.
#[derive(Debug)]
pub struct FleetReading {
    /// Each app's.
    pub apps: BTreeMap<PoolName, Reading>,
    /// Which apps there are to be, and in which order.
    pub plan: FleetPlan,
}

/// What was read of one app.
#[derive(Debug)]
pub struct Reading {
    /// How workers get it.
    pub configured: Configured,
    /// What it means to everything else.
    pub in_force: InForce,
    /// What it wants of the fleet.
    pub spec: PoolSpec,
    /// The control socket, if it is to be another one: it is listened on, and nobody is answered yet.
    pub socket: Option<Prepared>,
    /// How an extension host is started, if one is wanted.
    pub host_launcher: Option<Box<HostLauncher>>,
    /// What is done in place of extensions, where the app does not run yet.
    pub builtins: Option<BuiltinExtensions>,
    /// What looked odd.
    pub warnings: Vec<String>,
    /// The keys whose change needs a full restart.
    pub unapplied: Vec<&'static str>,
}

/// What one reading of the configuration means to all but workers.
#[derive(Debug)]
pub struct InForce {
    /// How an extension host that is started later gets it: what its script is told, and what is data.
    pub host: (Value, Option<Sealed>),
    /// Who may connect to unix sockets.
    pub access: SocketAccess,
    /// How connections are shared among workers.
    pub balance: Balance,
    /// The control socket, if there is to be one.
    pub control: Option<Wanted>,
}

/// Has processes started where they must be: by the loop.
#[derive(Debug)]
pub struct Starter {
    words: UnboundedSender<(Generation, Word)>,
    generation: Generation,
    running: NowRunning,
}

/// What runs while something is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NowRunning {
    /// The apps that run.
    pub apps: BTreeSet<PoolName>,
    /// Whether there is a host, which then has the channel of luster's parent.
    pub host: bool,
    /// The control socket that was asked for last, whether it could be had or not.
    pub control: Option<Wanted>,
    /// The control sockets that are served.
    pub sockets: Vec<Wanted>,
}

/// What the thread says.
#[derive(Debug)]
pub(super) enum Word {
    Start(Box<Start>, Sender<Result<Forked, SpawnError>>),
    Done(Box<Result<FleetReading, String>>),
}

/// The reading of configurations, as the loop holds it.
pub(super) struct Reader {
    read: Option<Read>,
    words: UnboundedReceiver<(Generation, Word)>,
    sender: UnboundedSender<(Generation, Word)>,
}

/// The readings that are waited for.
#[derive(Debug, Default)]
pub(super) struct Readings {
    /// The reading begun last.
    pub(super) last: Generation,
    /// What the one under way is for.
    pub(super) under_way: Option<ReadingPurpose>,
    /// What has been asked for since it began.
    pub(super) waiting: ReadingPurpose,
}

/// What a reading is for.
#[derive(Debug, Default)]
pub(super) struct ReadingPurpose {
    /// Apps that wait for it, each under a number of its own.
    pub(super) apps: BTreeMap<PoolName, Generation>,
    /// Apps that are over and are to run again on it.
    pub(super) again: BTreeSet<PoolName>,
    /// Whether it is for all: apps are added and taken away as it says.
    pub(super) extent: Extent,
}

/// Whether a reading is for all apps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Extent {
    #[default]
    Named,
    Whole,
}

impl Readings {
    /// This app waits for a reading, under this number of its own.
    pub(super) fn want(&mut self, name: PoolName, generation: Generation) {
        self.waiting.apps.insert(name, generation);
    }

    /// Whether something has been asked for and nothing is being read.
    pub(super) fn are_due(&self) -> bool {
        let ReadingPurpose { apps, again, extent } = &self.waiting;
        let is_asked = !apps.is_empty() || !again.is_empty() || *extent == Extent::Whole;
        is_asked && self.under_way.is_none()
    }

    /// What has been asked for, if something has and nothing is being read.
    pub(super) fn next(&mut self) -> Option<ReadingPurpose> {
        self.are_due().then(|| std::mem::take(&mut self.waiting))
    }
}

impl Starter {
    /// What runs meanwhile.
    #[must_use]
    pub const fn running(&self) -> &NowRunning {
        &self.running
    }

    /// Starts a process; waits until it runs.
    ///
    /// # Errors
    /// It could not be started, or everything ends.
    pub fn start(&self, start: Start) -> Result<Child, HostLaunchError> {
        let over = || HostLaunchError::Socket(io::Error::other("luster is stopping"));
        let (answer, answered) = channel();
        let word = Word::Start(Box::new(start), answer);
        self.words.send((self.generation, word)).map_err(|_| over())?;
        Ok(answered.recv().map_err(|_| over())??.begun()?)
    }
}

#[cfg(test)]
impl Starter {
    /// For tests of what reads: its loop does nothing but start processes.
    pub(crate) fn alone() -> Self {
        let (words, mut heard) = unbounded_channel();
        std::thread::spawn(move || {
            while let Some((_, word)) = heard.blocking_recv() {
                match word {
                    // Whoever asked may have gone.
                    Word::Start(start, answer) => drop(answer.send(start.fork())),
                    Word::Done(_) => {}
                }
            }
        });
        Self { words, generation: Generation::default(), running: NowRunning::default() }
    }
}

impl Reader {
    pub(super) fn new(read: Option<Read>) -> Self {
        let (sender, words) = unbounded_channel();
        Self { read, words, sender }
    }

    /// Begins to read.
    pub(super) fn begin(&self, generation: Generation, running: NowRunning) -> io::Result<()> {
        let Some(read) = self.read.clone() else {
            return Err(io::Error::other("there is no configuration file"));
        };
        let starter = Starter { words: self.sender.clone(), generation, running };
        let thread = std::thread::Builder::new().name("configuration".to_owned());
        thread.spawn(move || {
            // A panic has been told by now; whoever waits is to hear of it, too.
            let fault = |_| Err("luster failed to read it, by a fault of its own".to_owned());
            let result = catch_unwind(AssertUnwindSafe(|| read(&starter))).unwrap_or_else(fault);
            let _ = starter.words.send((generation, Word::Done(Box::new(result))));
        })?;
        Ok(())
    }

    /// The thread's next word. Cancel-safe.
    pub(super) async fn next(&mut self) -> (Generation, Word) {
        match self.words.recv().await {
            Some(word) => word,
            // We hold a sender ourselves.
            None => std::future::pending().await,
        }
    }
}
