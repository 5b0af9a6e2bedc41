//! The host as the loop holds it: its link, its process if that is ours, and what is known of how
//! well it keeps up.
//!
//! Invariants: a host's process is known by its instance, so late news of an earlier one changes nothing; a host that does not
//! know the workers yet is told nothing of what they do.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use tracing::warn;

use super::exec_results::{Begun, Unstarted};
use crate::core::{HostInstanceId, InstanceId, Moment};
use crate::node::host::{HostChannel, HostLauncher, HostNews, HostNotification, NotifyOutcome};
use crate::node::ipc::{Progress, SendOutcome, UserHandle};
use crate::process::{Child, Delivery, Forked, Pid, Sealed, Signal};

/// Lost messages are told this often at most.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Whom the loop speaks with.
pub(super) struct HostHandle {
    link: HostChannel,
    process: Option<(HostInstanceId, Child)>,
    /// Who a custom master is, whose process is not ours.
    script: Option<HostInstanceId>,
    launcher: Option<HostLauncher>,
    begun: Begun,
    starts_app: StartsApp,
    /// The instance for which its script was put back.
    mended: Option<HostInstanceId>,
    /// Kept from call to call.
    news: Vec<HostNews>,
    lost: DroppedMessages,
    /// Which signals it wants to have passed on, until that is known.
    signals: Option<Vec<String>>,
    acquainted: Acquainted,
    overflowed: Overflowed,
}

/// Whether so much waits for it that nothing more was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overflowed {
    No,
    Yes,
}

/// Whether the host that is started next is the one that has the app's workers started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StartsApp {
    No,
    Yes,
}

/// Whether it has been told which workers there are; a script has started them itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acquainted {
    No,
    Yes,
}

/// Messages of workers it did not take.
#[derive(Debug, Default)]
struct DroppedMessages {
    count: u64,
    told: Option<Moment>,
}

/// Whether the other side is fit to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum HostHealth {
    Healthy,
    /// It does not even read news of workers.
    Unresponsive,
}

impl HostHandle {
    /// Nobody.
    pub(super) fn none() -> io::Result<Self> {
        HostChannel::new().map(|link| Self::with(link, Acquainted::No))
    }

    fn with(link: HostChannel, acquainted: Acquainted) -> Self {
        Self {
            link,
            process: None,
            script: None,
            launcher: None,
            begun: Begun::Yes,
            starts_app: StartsApp::No,
            mended: None,
            news: Vec::new(),
            lost: DroppedMessages::default(),
            signals: None,
            acquainted,
            overflowed: Overflowed::No,
        }
    }

    /// A custom master at the other end of this link.
    pub(super) fn script(link: HostChannel) -> Self {
        Self { script: Some(HostInstanceId::FIRST), ..Self::with(link, Acquainted::Yes) }
    }

    /// A host whose first process runs, and will send its channel through this socket.
    pub(super) fn host(launcher: HostLauncher, child: Child, socket: OwnedFd) -> io::Result<Self> {
        let mut host = Self::none()?;
        host.link.expect(socket)?;
        host.process = Some((HostInstanceId::FIRST, child));
        host.launcher = Some(launcher);
        Ok(host)
    }

    /// A host that is started when its app begins, and has the workers started.
    pub(super) fn to_be_started(launcher: HostLauncher) -> io::Result<Self> {
        let host = Self::none()?;
        Ok(Self { launcher: Some(launcher), starts_app: StartsApp::Yes, ..host })
    }

    /// Who it is, for the log.
    pub(super) const fn name(&self) -> &'static str {
        if self.is_host() { "the extension host" } else { "the custom master" }
    }

    pub(super) fn link(&self) -> &HostChannel {
        &self.link
    }

    pub(super) fn next_wake(&self) -> Option<Moment> {
        self.link.next_wake()
    }

    /// Whether it is there and knows which workers there are.
    pub(super) fn attends(&self) -> bool {
        self.link.is_connected() && self.acquainted == Acquainted::Yes
    }

    /// It is about to be told which workers there are.
    pub(super) fn meets_workers(&mut self) {
        self.begun = Begun::Yes;
        self.acquainted = Acquainted::Yes;
    }

    /// The host's process, if there is one.
    pub(super) fn process(&self) -> Option<(HostInstanceId, Pid)> {
        self.process.as_ref().map(|(instance, child)| (*instance, child.pid()))
    }

    /// Who it is that speaks and is spoken to.
    pub(super) fn instance(&self) -> Option<HostInstanceId> {
        self.process.as_ref().map(|(instance, _)| *instance).or(self.script)
    }

    /// What it said; to be given back by [`Self::heard`].
    pub(super) fn listen(&mut self, now: Moment) -> (Vec<HostNews>, Progress) {
        let mut news = std::mem::take(&mut self.news);
        let progress = match self.link.next_wake() {
            Some(at) if at <= now => self.link.wake(now, &mut news),
            Some(_) | None => self.link.process(now, &mut news),
        };
        (news, progress)
    }

    /// The last it said, its process being dead; to be given back by [`Self::heard`].
    pub(super) fn hear_out(&mut self, now: Moment) -> Vec<HostNews> {
        let mut news = std::mem::take(&mut self.news);
        self.link.hear_out(now, &mut news);
        news
    }

    pub(super) fn heard(&mut self, mut news: Vec<HostNews>) {
        news.clear();
        self.news = news;
    }

    /// Starts a host's process, which begins with workers that are told to listen on these.
    pub(super) fn start(&mut self, instance: HostInstanceId, ports: &[String]) -> Result<i32, String> {
        let launcher = self.launcher.as_mut().ok_or("there is none to start")?;
        let more = match std::mem::replace(&mut self.starts_app, StartsApp::No) {
            StartsApp::No => HostLauncher::again(ports),
            StartsApp::Yes => HostLauncher::first(ports),
        };
        let (forked, socket) = launcher.fork(&more).map_err(|error| error.to_string())?;
        let Forked { child, exec } = forked;
        if let Err(error) = self.link.expect(socket) {
            child.discard();
            return Err(format!("its channel cannot be watched: {error}"));
        }
        let pid = child.pid().as_raw();
        self.process = Some((instance, child));
        self.begun = Begun::Unknown(exec);
        Ok(pid)
    }

    /// Why its process, which has ended, could not run Node.
    pub(super) fn unstarted(&mut self) -> Option<Unstarted> {
        self.begun.settle().cloned()
    }

    /// Puts its script back, once in an instance; false if that is no use.
    pub(super) fn mend(&mut self, instance: HostInstanceId) -> bool {
        let first = self.mended.replace(instance) != Some(instance);
        first && self.launcher.as_mut().is_some_and(|launcher| launcher.mend().is_ok())
    }

    /// A host that is started from now on gets this configuration.
    pub(super) fn configure(&mut self, about: &Value, data: Option<Sealed>) {
        if let Some(launcher) = &mut self.launcher {
            launcher.configure(about, data);
        }
    }

    /// A first host can be started in this way; one that was there is started as it was.
    pub(super) fn may_be_started_by(&mut self, launcher: Option<Box<HostLauncher>>) {
        if self.launcher.is_none() {
            self.launcher = launcher.map(|launcher| *launcher);
        }
    }

    /// Whether it is a process of ours, if there is one at all.
    pub(super) const fn is_host(&self) -> bool {
        self.script.is_none()
    }

    pub(super) fn kill(&mut self, instance: HostInstanceId) {
        let Some((_, child)) = self.process.as_ref().filter(|(known, _)| *known == instance) else { return };
        match child.signal(Signal::Kill) {
            Ok(Delivery::Sent | Delivery::Gone) => {}
            Err(error) => warn!(event = "signal_failed", "the extension host cannot get SIGKILL: {error}"),
        }
    }

    /// Its process is gone.
    pub(super) fn ended(&mut self, instance: HostInstanceId) {
        if self.process.take_if(|(known, _)| *known == instance).is_some() {
            self.link.hang_up();
            self.signals = Some(Vec::new());
            self.acquainted = Acquainted::No;
            self.overflowed = Overflowed::No;
        }
    }

    pub(super) fn wants_signals(&mut self, names: Vec<String>) {
        self.signals = Some(names);
    }

    /// The signals it wants, by name, if that has changed.
    pub(super) fn signals_wanted(&mut self) -> Option<Vec<String>> {
        self.signals.take()
    }

    /// Tells something of workers, if it knows them.
    pub(super) fn tell(
        &mut self,
        tell: &HostNotification<'_>,
        handle: Option<UserHandle>,
        now: Moment,
    ) -> HostHealth {
        if !self.attends() {
            return HostHealth::Healthy;
        }
        let told = self.link.tell(tell, handle, now);
        self.health(told)
    }

    /// Tells of a signal; for that no worker need be known.
    pub(super) fn tell_signal(&mut self, name: &str, number: i32, now: Moment) -> HostHealth {
        let told = self.link.tell(&HostNotification::Signal { name, number }, None, now);
        self.health(told)
    }

    /// Answers what it has asked; for that no worker need be known.
    pub(super) fn answer(&mut self, id: u64, answer: &RawValue, now: Moment) -> HostHealth {
        let told = self.link.tell(&HostNotification::Answer { id, answer }, None, now);
        self.health(told)
    }

    /// Passes on words of a worker that must not be lost, because they change what the worker is.
    pub(super) fn pass_on_surely(&mut self, from: InstanceId, message: &RawValue, now: Moment) -> HostHealth {
        if !self.attends() {
            return HostHealth::Healthy;
        }
        let told = self.link.pass_on_surely(from, message, now);
        self.health(told)
    }

    /// Passes a worker's message on, or counts it as lost.
    pub(super) fn pass_on(
        &mut self,
        from: InstanceId,
        message: &RawValue,
        handle: Option<UserHandle>,
        now: Moment,
    ) {
        if !self.attends() {
            return;
        }
        match self.link.pass_on(from, message, handle, now) {
            SendOutcome::Taken | SendOutcome::Unreachable => {}
            SendOutcome::Full
            | SendOutcome::Reserved
            | SendOutcome::TooLong
            | SendOutcome::Unserializable => self.lost.one(self.name(), now),
        }
    }
}

impl HostHandle {
    /// Unfit once: what follows from that has begun then.
    fn health(&mut self, told: NotifyOutcome) -> HostHealth {
        match told {
            NotifyOutcome::Taken => HostHealth::Healthy,
            NotifyOutcome::Overflow if self.overflowed == Overflowed::Yes => HostHealth::Healthy,
            NotifyOutcome::Overflow => {
                self.overflowed = Overflowed::Yes;
                HostHealth::Unresponsive
            }
        }
    }
}

impl DroppedMessages {
    fn one(&mut self, whose: &str, now: Moment) {
        self.count += 1;
        if self.told.is_none_or(|told| now.since(told) >= TELL_EVERY) {
            self.told = Some(now);
            let count = self.count;
            warn!(
                event = "messages_lost",
                count, "{whose} does not read its messages fast enough; messages lost: {count}"
            );
        }
    }
}
