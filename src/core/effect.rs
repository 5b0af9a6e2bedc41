//! What the supervisor answers: effects for the driver, and notices for whoever watches.
//!
//! Invariant: an effect that touches a process names the instance it is meant for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answers::{AfterAbort, Completion, Refusal};
use super::event::{ExitStatus, ListenRefusal, OnDeath, StopCause};
use super::failure::{AbortReason, Culprit, Death, Unready};
use super::ids::{Endpoint, Generation, HostInstanceId, InstanceId, ListenAddress, RequestId, WorkerId};
use super::last_words::LastWords;
use super::observed::Departure;
use super::policy::{LifecycleLimits, RestartOrder};

/// One thing for the driver to do, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start a process; answer [`Event::NotStarted`](super::Event::NotStarted) if that fails.
    Spawn(Spawn),
    /// Ask it to run its suspend functions, and from now on to end idle connections; answer
    /// [`Event::Suspended`](super::Event::Suspended).
    Suspend(InstanceId, Haste),
    /// Have it let its connections end in their own time from now on.
    Drain(InstanceId),
    /// Offer it nothing more and tell it to close its servers, drain and leave.
    Disconnect(InstanceId),
    /// Send it a signal.
    Signal(InstanceId, Signal),
    /// It has taken over: listeners of its slot that it does not hold are given up.
    ReleaseStaleListeners(InstanceId),
    /// The slot has no process and gets none: its listeners are given up.
    ReleaseSlotListeners(WorkerId),
    /// Whatever workers listen on is closed: somebody else needs the addresses.
    ReleaseAllListeners,
    /// Read the configuration anew, with every check; answer
    /// [`Event::ConfigurationRead`](super::Event::ConfigurationRead).
    ReadConfiguration(Generation),
    /// This configuration, which was read without a fault, is in force: an extension host that is started from now on gets it, and
    /// sockets are opened as it says.
    AdoptConfiguration(Generation),
    /// No process will be started on this configuration any more.
    ForgetConfiguration(Generation),
    /// Start the extension host; answer [`HostEvent::Exited`](super::HostEvent::Exited) if that fails.
    StartHost(HostInstanceId),
    /// The host has just come: it is told what there is, as the [`Snapshot`](super::Snapshot) of now has it, as if that
    /// happened now.
    Introduce(HostInstanceId),
    /// The host is told that it is over, and how, so that it ends by itself.
    DismissHost(HostInstanceId, Outcome),
    /// End the extension host's process at once.
    KillHost(HostInstanceId),
    /// Tell whoever watches.
    Notify(Notice),
    /// Whether the request is accepted.
    Reply(RequestId, Result<(), Refusal>),
    /// What came of a request that was accepted.
    Completed(RequestId, Completion),
    /// Everything is over; nothing more is ordered after this.
    Finish(Outcome),
}

/// A process to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spawn {
    /// For which worker.
    pub worker: WorkerId,
    /// As which instance.
    pub instance: InstanceId,
    /// On which configuration.
    pub generation: Generation,
    /// What it is told to listen on: its environment variable `port`.
    pub port: Arc<str>,
}

/// Whether something waits for the end of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// No: its clients may take their time to come back once more and be told to close their connections.
    None,
    /// Clients do, because nobody else serves them meanwhile, or somebody at a terminal.
    Some,
}

/// The signals the supervisor uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// How it all ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Stopped as asked.
    Stopped,
    /// Killed by a second stop signal, this one.
    Killed(StopCause),
    /// Stopped as asked, or by the extension host, which ended with this exit code of its own.
    Chosen(u8),
    /// Every worker is dead: what each last died of.
    AllDead(Vec<Death>),
    /// The extension host ended before it was initialized, or when no worker was left: how, and what it said it died of.
    HostFailed(ExitStatus, Option<String>),
}

/// Something worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An instance is online.
    Online(WorkerId, InstanceId),
    /// An instance listens.
    Listening(WorkerId, InstanceId, Endpoint, ListenAddress),
    /// An instance was refused a listen.
    Refused(WorkerId, InstanceId, ListenRefusal),
    /// An instance has called itself ready, and the host has not heard it.
    SaidReady(WorkerId, InstanceId),
    /// An instance has closed its channel.
    Disconnected(WorkerId, InstanceId, Departure),
    /// An instance is ready, this long after its fork.
    Ready(WorkerId, InstanceId, Duration),
    /// An instance has not said for so long that it is ready, which it is to say itself.
    Unready(WorkerId, InstanceId, Duration),
    /// An instance counts as ready although it does not listen on these, which its predecessor did.
    ReadyWithout(WorkerId, InstanceId, BTreeSet<Endpoint>),
    /// An instance is being stopped.
    Stopping(WorkerId, InstanceId, StopReason),
    /// An instance did not answer the request to suspend in time and is disconnected anyway.
    SuspendUnanswered(WorkerId, InstanceId),
    /// An instance that is to end has had something under way for so long, and nothing limits it.
    StillBusy(WorkerId, InstanceId, Duration),
    /// An instance got a signal because the deadline for something passed.
    Signalled(WorkerId, InstanceId, Signal, Overdue),
    /// An instance ended. What follows is said with it.
    Exited {
        /// Whose slot.
        worker: WorkerId,
        /// Which instance.
        instance: InstanceId,
        /// How it ended.
        status: ExitStatus,
        /// How long it was online; `None` if it never was.
        uptime: Option<Duration>,
        /// Who wanted that.
        cause: ExitCause,
        /// What comes now.
        then: NextAction,
    },
    /// A rollout began over this many workers.
    RolloutBegan(usize, RestartOrder),
    /// A request to restart joined the rollout under way; this many workers are still to come.
    RolloutExtended(usize),
    /// A rollout is complete.
    RolloutFinished {
        /// Of whom.
        scope: Scope,
        /// How many replacements were made.
        replaced: usize,
        /// How long it took.
        took: Duration,
    },
    /// Everyone runs again what they ran before the rollout that was given up; so many were replaced for that.
    TakenBack {
        /// How many replacements were made.
        replaced: usize,
        /// How long it took.
        took: Duration,
    },
    /// A rollout was stopped by a failing replacement; workers not yet replaced are untouched.
    RolloutAborted {
        /// Who failed.
        culprit: Culprit,
        /// Why.
        reason: AbortReason,
        /// How many workers had been replaced before.
        replaced: usize,
        /// What becomes of them.
        then: AfterAbort,
    },
    /// A replacement failed, and the rollout waits for that worker and leaves the others alone.
    RolloutHeld {
        /// Whose.
        worker: WorkerId,
        /// The replacement that failed.
        instance: InstanceId,
        /// How it ended.
        status: ExitStatus,
        /// What it said it died of.
        words: Option<LastWords>,
        /// How many workers wait for their turn.
        waiting: usize,
        /// Whether it waits for as long as it takes.
        on_death: OnDeath,
    },
    /// The configuration was read anew and is refused, for this reason: nobody is restarted.
    ConfigurationRefused(String),
    /// A rollout was cut short by a stop.
    RolloutCancelled,
    /// Every worker is dead, of this.
    AllDead(Vec<Death>),
    /// The extension host is initialized, this long after its start.
    HostReady(HostInstanceId, Duration),
    /// The extension host is given up and killed; the clause says why.
    HostGivenUp(HostInstanceId, String),
    /// The extension host ended.
    HostExited {
        /// Which.
        instance: HostInstanceId,
        /// How.
        status: ExitStatus,
        /// What it said it died of.
        fault: Option<String>,
        /// What comes now.
        then: HostThen,
    },
    /// There is this worker, perhaps since now, and it has these limits and is told to listen there.
    Settings(WorkerId, LifecycleLimits, Arc<str>),
    /// There is no such worker any more.
    Removed(WorkerId),
    /// Everything is being stopped; this many processes are left.
    ShuttingDown(usize),
    /// Everything is being killed; this many processes are left.
    Killing(usize),
}

/// Why an instance is being stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// luster stops.
    Shutdown,
    /// It is being replaced.
    Replaced,
    /// It did not come online within `control.forkTimeout`.
    LaunchTimedOut(Duration),
    /// It was not ready within `control.readyTimeout`.
    NotReady(Duration, Unready),
    /// There are to be fewer workers.
    Removed,
    /// It was to replace another and was given up.
    GivenUp,
    /// It broke the protocol.
    Broken(String),
    /// An extension or a custom master asked for just this.
    Asked,
}

/// Whom a rollout is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Every worker.
    All,
    /// Only some, each asked for by itself; the first of them.
    One(WorkerId),
}

/// Which deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overdue {
    /// To end, since it was told to or began to.
    Stop(Duration),
    /// To exit, since it left its channel.
    Exit(Duration),
    /// To say anything, since it was told to close its servers: its event loop is blocked.
    Answer(Duration),
}

/// Who wanted an instance to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCause {
    /// We did, or whoever asked us.
    Asked,
    /// Nobody: it left, crashed or was killed, by us only because it failed.
    ItsOwn,
}

/// What follows an exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextAction {
    /// It was asked for, or the instance was on its way out already.
    Nothing,
    /// The worker stays stopped until it is asked to start.
    Stop,
    /// Its replacement is started at once.
    StartAtOnce,
    /// Its replacement is started after a pause, because it keeps dying young.
    StartAfter(Duration),
    /// It died too often: this many sequential deaths.
    Dead(u32),
    /// It died this often after it was refused a listen, and nobody has served yet.
    NeverServed(u32),
}

/// What follows the end of the extension host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostThen {
    /// Nothing: it is all over.
    Nothing,
    /// Nothing: no extension has a master's side any more.
    NotNeeded,
    /// It is started again at once; workers go on meanwhile.
    StartAtOnce,
    /// It is started again after a pause, because it keeps dying young.
    StartAfter(Duration),
}
