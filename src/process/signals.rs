//! What the master itself is sent, in luster's words.
//!
//! SIGPIPE is ignored (Rust's runtime does it), SIGTTOU too ([`sanitize_inherited`](super::sanitize_inherited)). SIGTSTP keeps its
//! meaning: Ctrl-Z stops the master, `fg` lets it go on, and its workers live meanwhile. SIGTTIN never comes: the
//! master does not read its terminal. Workers have groups of their own, so what a terminal sends to its whole
//! foreground group reaches only the master.
//! Invariants: equal signals that arrive together count as one; the kernel keeps no more. What somebody beside wants to
//! hear of is passed on, and of those with a meaning of ours only SIGHUP loses it by that.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use nix::sys::signal::Signal as Name;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::sys;
use super::terminal::Terminal;
use crate::core::StopCause;

/// Something the master was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceivedSignal {
    /// Somebody wants something; to be passed on too, if that is wanted.
    Asked(Asked, Option<Passed>),
    /// A signal that means nothing to us, for somebody who wants it.
    Passed(Passed),
    /// SIGCHLD: a child, perhaps several, ended: see [`reap`](super::reap()).
    ChildChanged,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// End.
    Stop(StopCause),
    /// SIGHUP: replace the workers one by one.
    Restart,
    /// SIGUSR1: open the log files anew.
    ReopenLogs,
}

/// A signal to be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// Its number.
    pub number: i32,
    /// Its name, such as `SIGUSR2`.
    pub name: &'static str,
}

/// The signals the master listens to.
#[derive(Debug)]
pub struct Signals {
    /// All that are listened to, by number.
    streams: BTreeMap<i32, Signal>,
    /// Which of them somebody wants to have passed on.
    wanted: Vec<i32>,
    terminal: Terminal,
}

/// Those that mean something to us.
const OURS: [Name; 6] =
    [Name::SIGTERM, Name::SIGINT, Name::SIGQUIT, Name::SIGHUP, Name::SIGUSR1, Name::SIGCHLD];

/// Those that ask to end, whoever we are.
const STOPS: [Name; 3] = [Name::SIGTERM, Name::SIGINT, Name::SIGQUIT];

/// Lets a signal end this process at once as long as nobody listens: PID 1 would not hear it, the kernel's default not being
/// for that one. To be called before anything that may take long.
pub fn stop_at_once() {
    if std::process::id() == 1 {
        sys::end_at(&STOPS.map(|name| name as i32));
    }
}

impl Signals {
    /// Listens from now on; the terminal says what SIGHUP means. Before the first worker is started, or its end might be missed; within a tokio runtime.
    ///
    /// # Errors
    /// No descriptors left for tokio's own pipe.
    pub fn listen(terminal: Terminal) -> io::Result<Self> {
        let mut signals = Self { streams: BTreeMap::new(), wanted: Vec::new(), terminal };
        for name in OURS {
            signals.add(name as i32)?;
        }
        sys::stops_are_heard();
        Ok(signals)
    }

    /// Passes these signals on, by their names, in place of those wanted before. What cannot be caught or is no signal's
    /// name is left out.
    pub fn pass_on(&mut self, names: &[String]) {
        let numbers = names.iter().filter_map(|name| name.parse::<Name>().ok()).map(|name| name as i32);
        self.wanted = numbers.filter(|number| self.add(*number).is_ok()).collect();
    }

    /// Waits for the next signal. Cancel-safe: dropping the future loses none.
    pub async fn next(&mut self) -> ReceivedSignal {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ReceivedSignal> {
        for (number, stream) in &mut self.streams {
            // Streams of signals never end, so what comes needs no look.
            while stream.poll_recv(context).is_ready() {
                let wanted = self.wanted.contains(number);
                if let Some(received) = meaning(*number, wanted, self.terminal) {
                    return Poll::Ready(received);
                }
            }
        }
        Poll::Pending
    }

    fn add(&mut self, number: i32) -> io::Result<()> {
        if let Entry::Vacant(place) = self.streams.entry(number) {
            place.insert(signal(SignalKind::from_raw(number))?);
        }
        Ok(())
    }
}

/// What a signal means; nothing if it was listened to for somebody who no longer wants it.
fn meaning(number: i32, wanted: bool, terminal: Terminal) -> Option<ReceivedSignal> {
    let name = Name::try_from(number).ok()?;
    let passed = wanted.then_some(Passed { number, name: name.as_str() });
    let asked = match name {
        Name::SIGCHLD => return Some(ReceivedSignal::ChildChanged),
        Name::SIGTERM => Asked::Stop(StopCause::Terminate),
        Name::SIGINT => Asked::Stop(StopCause::Interrupt),
        Name::SIGQUIT => Asked::Stop(StopCause::Quit),
        Name::SIGHUP if terminal.is_lost() => Asked::Stop(StopCause::TerminalLost),
        // Whoever handles these decides what they mean.
        Name::SIGHUP if !wanted => Asked::Restart,
        Name::SIGUSR1 if !wanted => Asked::ReopenLogs,
        _ => return passed.map(ReceivedSignal::Passed),
    };
    Some(ReceivedSignal::Asked(asked, passed))
}
