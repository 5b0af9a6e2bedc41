//! Log lines as JSON for whoever listens besides stderr: the readers of the control socket's events.
//!
//! Invariants: while nobody listens nothing is written for them; who reads slowly misses the oldest lines and knows how many;
//! whoever logs never waits for a reader.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast::{self, Receiver, Sender};

/// How many lines are kept for the slowest listener.
const KEPT: usize = 1024;

/// Where lines go, if anybody listens.
static LINES: Mutex<Option<Sender<Arc<str>>>> = Mutex::new(None);

/// Whether anybody does, to be looked at for each line.
static LISTENED: AtomicBool = AtomicBool::new(false);

/// The lines from now on.
pub(crate) fn listen() -> Receiver<Arc<str>> {
    let mut lines = lines();
    LISTENED.store(true, Ordering::Relaxed);
    match &*lines {
        Some(sender) => sender.subscribe(),
        None => {
            let (sender, receiver) = broadcast::channel(KEPT);
            *lines = Some(sender);
            receiver
        }
    }
}

/// Whether anybody listens.
pub(super) fn is_listened() -> bool {
    LISTENED.load(Ordering::Relaxed)
}

fn lines() -> MutexGuard<'static, Option<Sender<Arc<str>>>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes whole log lines to listeners.
#[derive(Debug)]
pub(super) struct Listeners;

impl Listeners {
    pub(super) const fn new() -> Self {
        Self
    }
}

impl Write for Listeners {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = lines();
        let heard = lines.as_ref().is_some_and(|sender| {
            let line = String::from_utf8_lossy(line);
            sender.send(Arc::from(&*line)).is_ok()
        });
        if !heard {
            // The last of them has gone.
            *lines = None;
            LISTENED.store(false, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
