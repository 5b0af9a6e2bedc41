//! Lets what workers print go to luster's own streams while there is nobody to read it: the extension host that did is
//! gone, and its successor is not there yet.
//!
//! Invariant: no worker waits for a host that does not exist, and none learns that it does not.

use std::io;
use std::os::fd::OwnedFd;

use super::OutputStream;
use super::copier::{Copier, Form, SourceKey};
use super::sink::Sink;

/// Reads what is printed, as long as it exists.
#[derive(Debug, Default)]
pub struct Relay {
    stdout: Option<Copier>,
    stderr: Option<Copier>,
    /// The source taken last.
    last: SourceKey,
}

impl Relay {
    /// Copies what could be read until now, for a short time at most; then nothing more is copied.
    pub fn finish(&mut self) {
        for mut copier in [self.stdout.take(), self.stderr.take()].into_iter().flatten() {
            copier.finish();
        }
    }

    /// Copies what comes from this end of a worker's stream, which must be non-blocking, to luster's own.
    ///
    /// # Errors
    /// The kernel refuses what it takes, or luster's own stream is stuck.
    pub fn take(&mut self, which: OutputStream, stream: OwnedFd) -> io::Result<()> {
        let copier = match which {
            OutputStream::Stdout => &mut self.stdout,
            OutputStream::Stderr => &mut self.stderr,
        };
        let copier = match copier {
            Some(copier) => copier,
            None => copier.insert(Copier::start(Sink::stream(which.own()?, OutputStream::Stderr.own()?))?),
        };
        self.last += 1;
        copier.take(self.last, stream, Form::Raw).map_err(|_| io::ErrorKind::TimedOut.into())
    }
}
