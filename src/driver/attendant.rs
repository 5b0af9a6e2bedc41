//! The JavaScript beside the fleet as the loop holds it: its link, its process if that is ours, and what is known of how
//! well it keeps up.
//!
//! Invariants: a host's process is known by its life, so late news of an earlier one changes nothing; a host that does not
//! know the workers yet is told nothing of what they do.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde_json::value::RawValue;
use tracing::warn;

use crate::host::{HostLauncher, HostNews, Link, Tell, Told};
use crate::ipc::{Progress, SendOutcome, UserHandle};
use crate::process::{Child, Delivery, Pid, Signal};
use crate::supervisor::{HostLife, Life, Moment};

/// Lost messages are told this often at most.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Whom the loop speaks with.
pub(super) struct Attendant {
    link: Link,
    process: Option<(HostLife, Child)>,
    launcher: Option<HostLauncher>,
    /// Kept from call to call.
    news: Vec<HostNews>,
    lost: Lost,
    /// Which signals it wants to have passed on, until that is known.
    signals: Option<Vec<String>>,
    acquainted: Acquainted,
}

/// Whether it has been told which workers there are; a script has started them itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acquainted {
    No,
    Yes,
}

/// Messages of workers it did not take.
#[derive(Debug, Default)]
struct Lost {
    count: u64,
    told: Option<Moment>,
}

/// Whether the other side is fit to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Fitness {
    Fit,
    /// It does not even read news of workers' lives.
    Unfit,
}

impl Attendant {
    /// Nobody.
    pub(super) fn none() -> io::Result<Self> {
        Link::new().map(|link| Self::with(link, Acquainted::No))
    }

    fn with(link: Link, acquainted: Acquainted) -> Self {
        Self {
            link,
            process: None,
            launcher: None,
            news: Vec::new(),
            lost: Lost::default(),
            signals: None,
            acquainted,
        }
    }

    /// A custom master at the other end of this link.
    pub(super) fn script(link: Link) -> Self {
        Self::with(link, Acquainted::Yes)
    }

    /// A host whose first process runs, and will send its channel through this socket.
    pub(super) fn host(launcher: HostLauncher, child: Child, socket: OwnedFd) -> io::Result<Self> {
        let mut attendant = Self::none()?;
        attendant.link.expect(socket)?;
        attendant.process = Some((HostLife(1), child));
        attendant.launcher = Some(launcher);
        Ok(attendant)
    }

    /// Who it is, for the log.
    pub(super) const fn name(&self) -> &'static str {
        if self.launcher.is_some() { "the extension host" } else { "the custom master" }
    }

    pub(super) fn link(&self) -> &Link {
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
        self.acquainted = Acquainted::Yes;
    }

    /// The host's life, if this is its process's number.
    pub(super) fn life_of(&self, pid: Pid) -> Option<HostLife> {
        self.process.as_ref().filter(|(_, child)| child.pid() == pid).map(|(life, _)| *life)
    }

    /// The life of the host whose process there is.
    pub(super) fn host_life(&self) -> Option<HostLife> {
        self.process.as_ref().map(|(life, _)| *life)
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

    pub(super) fn heard(&mut self, mut news: Vec<HostNews>) {
        news.clear();
        self.news = news;
    }

    /// Starts a host's process.
    pub(super) fn start(&mut self, life: HostLife) -> Result<i32, String> {
        let launcher = self.launcher.as_mut().ok_or("there is none to start")?;
        let (child, socket) = launcher.launch(HostLauncher::again()).map_err(|error| error.to_string())?;
        let pid = child.pid().as_raw();
        self.process = Some((life, child));
        self.link.expect(socket).map_err(|error| format!("its channel cannot be watched: {error}"))?;
        Ok(pid)
    }

    pub(super) fn kill(&mut self, life: HostLife) {
        let Some((_, child)) = self.process.as_ref().filter(|(known, _)| *known == life) else { return };
        match child.signal(Signal::Kill) {
            Ok(Delivery::Sent | Delivery::Gone) => {}
            Err(error) => warn!(event = "signal_failed", "the extension host cannot get SIGKILL: {error}"),
        }
    }

    /// Its process is gone.
    pub(super) fn ended(&mut self, life: HostLife) {
        if self.process.take_if(|(known, _)| *known == life).is_some() {
            self.link.hang_up();
            self.signals = Some(Vec::new());
            self.acquainted = Acquainted::No;
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
    pub(super) fn tell(&mut self, tell: &Tell<'_>, handle: Option<UserHandle>, now: Moment) -> Fitness {
        if self.attends() { fitness(self.link.tell(tell, handle, now)) } else { Fitness::Fit }
    }

    /// Tells of a signal; for that no worker need be known.
    pub(super) fn tell_signal(&mut self, name: &str, number: i32, now: Moment) -> Fitness {
        fitness(self.link.tell(&Tell::Signal { name, number }, None, now))
    }

    /// Passes on words of a worker that must not be lost, because they change what the worker is.
    pub(super) fn pass_on_surely(&mut self, from: Life, message: &RawValue, now: Moment) -> Fitness {
        if self.attends() { fitness(self.link.pass_on_surely(from, message, now)) } else { Fitness::Fit }
    }

    /// Passes a worker's message on, or counts it as lost.
    pub(super) fn pass_on(
        &mut self,
        from: Life,
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

const fn fitness(told: Told) -> Fitness {
    match told {
        Told::Taken => Fitness::Fit,
        Told::Overflow => Fitness::Unfit,
    }
}

impl Lost {
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
