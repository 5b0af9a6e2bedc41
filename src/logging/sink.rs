//! stderr as a place that never makes the loop wait: what cannot be written at once is handed to a thread.
//!
//! Asking first whether there is room would not do: workers write to the same pipe, and may fill it before we write. Nor
//! would making it non-blocking: that would be so for workers too.
//!
//! Until there is a loop, and after it, lines are written at once if there is room for them: nobody waits for us then, and
//! what comes next may be the end.
//!
//! Invariants: lines keep their order; the thread wakes only when there is something to write; what waits has a bound,
//! and what does not fit is counted and told in its place, before the next line that does.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::sys;

/// POSIX promises 512; Linux has 4096 (pipe(7)).
const PIPE_BUF: usize = 4096;

/// How much may wait to be written, in bytes: some thousand lines.
const LIMIT: usize = 256 << 10;

/// How long the end waits for what is still to be written.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// One for the process, as stderr is.
static QUEUE: Mutex<Queue> =
    Mutex::new(Queue { mode: Mode::Direct, lines: VecDeque::new(), bytes: 0, under_way: 0, dropped: 0 });

/// There is something to write.
static FILLED: Condvar = Condvar::new();

/// All has been written.
static EMPTIED: Condvar = Condvar::new();

/// What is to be written.
struct Queue {
    mode: Mode,
    lines: VecDeque<Vec<u8>>,
    /// How many bytes these lines have.
    bytes: usize,
    /// How many bytes the thread has taken and not yet written.
    under_way: usize,
    /// Lines dropped since the last that was not.
    dropped: usize,
}

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Whoever has something to say.
    Direct,
    /// The thread.
    Threaded,
}

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
        let mut queue = queue();
        match queue.mode {
            Mode::Direct => queue.write_directly(line),
            Mode::Threaded => queue.push(line),
        }
        // Dropping is this sink's answer to trouble; an error would make the caller complain on stderr.
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Has a thread write from now on: the loop is about to begin.
pub(crate) fn hand_over() {
    let thread = thread::Builder::new().name("log".into()).stack_size(64 << 10).spawn(write_for_ever);
    // Without one it stays as it is.
    if thread.is_ok() {
        queue().mode = Mode::Threaded;
    }
}

/// Waits, for a short time, until all is written that was logged. What is logged from now on is written at once.
pub(crate) fn finish() {
    let deadline = Instant::now() + LAST_WORDS;
    let mut queue = queue();
    if queue.mode == Mode::Direct {
        return;
    }
    queue.note_dropped();
    FILLED.notify_one();
    while queue.bytes + queue.under_way > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        queue = EMPTIED.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    queue.mode = Mode::Direct;
}

fn queue() -> MutexGuard<'static, Queue> {
    // A panic elsewhere costs a line at most.
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    fn push(&mut self, line: &[u8]) {
        if self.bytes + self.under_way + line.len() > LIMIT {
            self.dropped += 1;
            return;
        }
        self.note_dropped();
        // In turn, or behind those that wait.
        let is_first = self.bytes + self.under_way == 0;
        let written = if is_first { sys::write_now(io::stderr().as_fd(), line).unwrap_or(0) } else { 0 };
        if written < line.len() {
            self.append(line[written..].to_vec());
            FILLED.notify_one();
        }
    }

    fn note_dropped(&mut self) {
        if self.dropped > 0 {
            self.append(note(self.dropped));
            self.dropped = 0;
        }
    }

    fn append(&mut self, line: Vec<u8>) {
        self.bytes += line.len();
        self.lines.push_back(line);
    }

    fn write_directly(&mut self, line: &[u8]) {
        let note = if self.dropped == 0 { Vec::new() } else { note(self.dropped) };
        if pass(&note) && pass(line) {
            self.dropped = 0;
        } else {
            self.dropped += 1;
        }
    }
}

fn note(dropped: usize) -> Vec<u8> {
    format!("luster: {dropped} log lines were dropped because stderr was not read\n").into_bytes()
}

/// The thread.
fn write_for_ever() {
    let mut held = queue();
    loop {
        while held.lines.is_empty() {
            held = FILLED.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        let lines = std::mem::take(&mut held.lines);
        (held.under_way, held.bytes) = (held.bytes, 0);
        drop(held);
        for line in lines {
            write_out(&line);
            queue().under_way -= line.len();
        }
        held = queue();
        if held.lines.is_empty() {
            EMPTIED.notify_all();
        }
    }
}

/// Writes all of `bytes`, however long that takes; what cannot be written at all is lost.
fn write_out(mut bytes: &[u8]) {
    let stderr = io::stderr();
    while !bytes.is_empty() {
        match nix::unistd::write(&stderr, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::EINTR) => {}
            // Somebody who shares it has made it non-blocking.
            Err(Errno::EAGAIN) => {
                _ = poll(&mut [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE);
            }
            Err(_) => return,
        }
    }
}

/// Writes all of `bytes` if there is room; says whether it did.
fn pass(bytes: &[u8]) -> bool {
    let stderr = io::stderr();
    // What polls as writable takes `PIPE_BUF` bytes without blocking (pipe(7)), unless somebody else is faster.
    bytes.chunks(PIPE_BUF).all(|piece| {
        let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        let ready = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready == 1);
        let writable = fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLOUT));
        ready && writable && nix::unistd::write(&stderr, piece).is_ok_and(|written| written == piece.len())
    })
}
