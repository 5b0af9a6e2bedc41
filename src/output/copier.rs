//! A thread that reads what several print and writes it to one sink.
//!
//! Invariants: it is woken by what there is to read and by commands, never by a clock alone; each source gets one read in
//! a turn; it ends when its owner lets go of it, after what could be read then, and is waited for a short time only.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use chrono::Local;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::lines::Lines;
use super::sink::Sink;

/// Commands that may wait: more than these are made only while the sink is stuck.
const COMMANDS: usize = 1024;

/// What one read takes at most; what a pipe holds.
const READ: usize = 64 << 10;

/// How long an unfinished line waits for its end before it is written as it is.
const UNFINISHED: Duration = Duration::from_secs(1);

/// How long the end may take: the sink may be stuck.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The epoll datum of the wake; sources count from 1.
const CLOSE_NOTIFY: u64 = 0;

/// The owner's side of a copier.
#[derive(Debug)]
pub(super) struct Copier {
    commands: Option<SyncSender<CopierCommand>>,
    wake: Arc<EventFd>,
    /// Closed when the thread has ended.
    over: Receiver<()>,
}

/// What is read from, by a number its owner chooses, from 1 on.
pub(super) type SourceKey = u64;

/// What becomes of what a source prints.
#[derive(Debug)]
pub(super) enum Form {
    /// Lines for a log.
    Lines(Lines),
    /// As it is.
    Raw,
}

#[derive(Debug)]
enum CopierCommand {
    Take(SourceKey, OwnedFd, Form),
    Reopen,
}

/// The copier takes nothing more: its sink is stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stuck;

impl Copier {
    /// Starts the thread.
    pub(super) fn start(sink: Sink) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        epoll.add(wake.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, CLOSE_NOTIFY))?;
        let (commands, received) = sync_channel(COMMANDS);
        let (ends, over) = channel();
        let wake_inside = Arc::clone(&wake);
        let work = move || {
            let sources = BTreeMap::new();
            CopierThread { epoll, wake: wake_inside, commands: received, sources, sink, out: Vec::new() }
                .run(ends);
        };
        thread::Builder::new().name("output".into()).stack_size(256 << 10).spawn(work)?;
        Ok(Self { commands: Some(commands), wake, over })
    }

    /// Reads from this source, which must be non-blocking, until it ends.
    pub(super) fn take(&self, key: SourceKey, source: OwnedFd, form: Form) -> Result<(), Stuck> {
        self.send(CopierCommand::Take(key, source, form))
    }

    pub(super) fn reopen(&self) -> Result<(), Stuck> {
        self.send(CopierCommand::Reopen)
    }

    fn send(&self, command: CopierCommand) -> Result<(), Stuck> {
        let sent = self.commands.as_ref().map(|commands| commands.try_send(command));
        let _ = self.wake.write(1);
        if matches!(sent, Some(Ok(()))) { Ok(()) } else { Err(Stuck) }
    }

    /// Lets go of it and waits, for a short time, until what was printed has been written.
    pub(super) fn finish(&mut self) {
        self.let_go();
        // It says nothing, it only ends.
        let _ = self.over.recv_timeout(LAST_WORDS);
    }

    fn let_go(&mut self) {
        drop(self.commands.take());
        let _ = self.wake.write(1);
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// The thread's side.
struct CopierThread {
    epoll: Epoll,
    wake: Arc<EventFd>,
    commands: Receiver<CopierCommand>,
    sources: BTreeMap<SourceKey, CopySource>,
    sink: Sink,
    /// What is to be written at the end of the turn; kept from turn to turn.
    out: Vec<u8>,
}

struct CopySource {
    stream: OwnedFd,
    form: Form,
    /// Since when there is a line without its end.
    unfinished: Option<Instant>,
}

/// What a read of a source found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadResult {
    Something,
    Nothing,
    End,
}

impl CopierThread {
    fn run(mut self, ends: Sender<()>) {
        let mut events = [EpollEvent::empty(); 64];
        let mut buffer = vec![0; READ];
        loop {
            let ready = match self.epoll.wait(&mut events, self.patience()) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => continue,
                Err(_) => break,
            };
            let mut left = Abandoned::No;
            for event in &events[..ready] {
                match event.data() {
                    CLOSE_NOTIFY => left = self.obey(),
                    key => _ = self.read(key, &mut buffer),
                }
            }
            if left == Abandoned::Yes {
                self.read_the_rest(&mut buffer);
                self.sources.values_mut().for_each(|source| source.finish(&mut self.out));
                self.write();
                break;
            }
            self.finish_overdue();
            self.write();
        }
        drop(ends);
    }

    /// Until the first unfinished line is to be written.
    fn patience(&self) -> EpollTimeout {
        let first = self.sources.values().filter_map(|source| source.unfinished).min();
        let left = first.map(|since| (since + UNFINISHED).saturating_duration_since(Instant::now()));
        // Rounded up, or the last fraction of a millisecond would be spent spinning.
        let left = left.map(|left| EpollTimeout::try_from(left + Duration::from_millis(1)));
        left.and_then(Result::ok).unwrap_or(EpollTimeout::NONE)
    }

    /// Writes the lines that have been unfinished for too long.
    fn finish_overdue(&mut self) {
        let now = Instant::now();
        for source in self.sources.values_mut() {
            if source.unfinished.is_some_and(|since| now.duration_since(since) >= UNFINISHED) {
                source.finish(&mut self.out);
            }
        }
    }

    /// Carries out the commands there are; says whether there will be no more.
    fn obey(&mut self) -> Abandoned {
        let _ = self.wake.read();
        loop {
            match self.commands.try_recv() {
                Ok(CopierCommand::Take(key, stream, form)) => {
                    let event = EpollEvent::new(EpollFlags::EPOLLIN, key);
                    // One that cannot be watched is closed, and who prints there told so by the kernel.
                    if self.epoll.add(stream.as_fd(), event).is_ok() {
                        self.sources.insert(key, CopySource { stream, form, unfinished: None });
                    }
                }
                Ok(CopierCommand::Reopen) => {
                    self.write();
                    self.sink.reopen();
                }
                Err(TryRecvError::Empty) => return Abandoned::No,
                Err(TryRecvError::Disconnected) => return Abandoned::Yes,
            }
        }
    }

    fn read(&mut self, key: SourceKey, buffer: &mut [u8]) -> ReadResult {
        let Some(source) = self.sources.get_mut(&key) else { return ReadResult::Nothing };
        match nix::unistd::read(&source.stream, buffer) {
            Ok(length @ 1..) => {
                source.take(&buffer[..length], &mut self.out);
                ReadResult::Something
            }
            Err(Errno::EAGAIN | Errno::EINTR) => ReadResult::Nothing,
            Ok(0) | Err(_) => {
                self.close(key);
                ReadResult::End
            }
        }
    }

    fn close(&mut self, key: SourceKey) {
        if let Some(mut source) = self.sources.remove(&key) {
            source.finish(&mut self.out);
            let _ = self.epoll.delete(&source.stream);
        }
    }

    /// Reads what is there now; more may come for ever.
    fn read_the_rest(&mut self, buffer: &mut [u8]) {
        let keys: Vec<SourceKey> = self.sources.keys().copied().collect();
        for key in keys {
            // A little more than what a pipe or socket holds.
            let _ = (0..16).take_while(|_| self.read(key, buffer) == ReadResult::Something).count();
        }
    }

    fn write(&mut self) {
        if !self.out.is_empty() {
            self.sink.write(&self.out);
            self.out.clear();
        }
    }
}

/// Whether the owner has let go of the copier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Abandoned {
    Yes,
    No,
}

impl CopySource {
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match &mut self.form {
            Form::Lines(lines) => {
                lines.take(bytes, &stamp(), out);
                // Another line than before, if one was finished by this.
                let is_other = bytes.contains(&b'\n');
                let since = self.unfinished.filter(|_| !is_other).unwrap_or_else(Instant::now);
                self.unfinished = lines.has_unfinished().then_some(since);
            }
            Form::Raw => out.extend_from_slice(bytes),
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.unfinished = None;
        match &mut self.form {
            Form::Lines(lines) if lines.has_unfinished() => lines.finish(&stamp(), out),
            Form::Lines(_) | Form::Raw => {}
        }
    }
}

/// Local time, as luster-log-file has it.
fn stamp() -> String {
    Local::now().format("%Y-%m-%d %H:%M:%S%.3f").to_string()
}
