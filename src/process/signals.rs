//! What the master itself is sent, in luster's words.
//!
//! SIGPIPE is ignored (Rust's runtime does it), SIGTTOU too ([`take_over`](super::take_over)). SIGTSTP keeps its
//! meaning: Ctrl-Z stops the master, `fg` lets it go on, and its workers live meanwhile. SIGTTIN never comes: the
//! master does not read its terminal. Workers have groups of their own, so what a terminal sends to its whole
//! foreground group reaches only the master.
//! Invariant: equal signals that arrive together count as one; the kernel keeps no more.

use std::fmt;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::terminal::Terminal;

/// Something the master was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Somebody wants something.
    Asked(Asked),
    /// SIGCHLD: a child, perhaps several, ended: see [`reap`](super::reap).
    ChildChanged,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// End, in good order the first time.
    Stop(StopCause),
    /// SIGHUP: replace the workers one by one.
    Restart,
}

/// What asked for the end, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// The signals the master listens to.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    child: Signal,
    terminal: Terminal,
}

impl Signals {
    /// Listens from now on. Before the first worker is started, or its end might be missed; within a tokio runtime.
    ///
    /// # Errors
    /// No descriptors left for tokio's own pipe.
    pub fn listen() -> io::Result<Self> {
        let terminal = Terminal::at_start();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            child: signal(SignalKind::child())?,
            terminal,
        })
    }

    /// Waits for the next signal. Cancel-safe: dropping the future loses none.
    pub async fn next(&mut self) -> Received {
        // Streams of signals never end, so their `None` needs no branch of its own.
        tokio::select! {
            _ = self.terminate.recv() => Received::Asked(Asked::Stop(StopCause::Terminate)),
            _ = self.interrupt.recv() => Received::Asked(Asked::Stop(StopCause::Interrupt)),
            _ = self.quit.recv() => Received::Asked(Asked::Stop(StopCause::Quit)),
            _ = self.hang_up.recv() => Received::Asked(hang_up_means(self.terminal)),
            _ = self.child.recv() => Received::ChildChanged,
        }
    }
}

fn hang_up_means(terminal: Terminal) -> Asked {
    if terminal.is_lost() { Asked::Stop(StopCause::TerminalLost) } else { Asked::Restart }
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
