//! stderr as a place that never makes us wait.
//!
//! A pipe that polls as writable takes `PIPE_BUF` bytes without blocking (pipe(7)), so lines are written in
//! pieces of that size, each after a poll that does not wait. What does not fit is dropped, and counted in the
//! next line that does.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

/// POSIX promises 512; Linux has 4096 (pipe(7)).
const PIPE_BUF: usize = 4096;

/// Lines dropped since the last that was written. One for the process, as stderr is.
static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// Writes whole log lines to stderr.
#[derive(Debug)]
pub(super) struct Stderr;

impl Stderr {
    pub(super) const fn new() -> Self {
        Self
    }
}

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let dropped = DROPPED.swap(0, Ordering::Relaxed);
        let note = match dropped {
            0 => String::new(),
            lines => format!("luster: {lines} log lines were dropped because stderr was not read\n"),
        };
        if !pass(note.as_bytes()) || !pass(line) {
            DROPPED.fetch_add(dropped + 1, Ordering::Relaxed);
        }
        // Dropping is this sink's answer to trouble; an error would make the caller complain on stderr.
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes all of `bytes` unless that would block; says whether it did.
fn pass(bytes: &[u8]) -> bool {
    let stderr = io::stderr();
    bytes.chunks(PIPE_BUF).all(|piece| {
        let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        let ready = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready == 1);
        let writable = fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLOUT));
        ready && writable && nix::unistd::write(&stderr, piece).is_ok_and(|written| written == piece.len())
    })
}
