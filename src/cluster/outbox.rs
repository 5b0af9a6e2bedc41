//! What is written to one worker: at once if it can be, else queued whole, each message with its descriptor.
//!
//! Invariants: messages leave in order; a descriptor rides on the first byte of its own wrapper, one to a `sendmsg`;
//! behind a wrapper too long for one kernel buffer no other descriptor follows until it is acknowledged (the kernel
//! would hand them out crossed); every wrapper sent is remembered until the worker answers it.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use serde_json::value::RawValue;

use crate::cluster::UserHandle;
use crate::cluster::listener::ListenerId;
use crate::cluster::{reply, sys};
use crate::supervisor::Moment;

/// A worker that lets more than this pile up is not read, nor sent the application's messages.
pub(super) const OUTBOX_LIMIT: usize = 4 << 20;

/// A wrapper up to this long stays in one kernel buffer, so that another may follow at once.
const PIPELINED: usize = 32 << 10;

/// When the kernel has too many descriptors under way, it is asked again after this.
const RETRY: Duration = Duration::from_millis(10);

/// One worker's outgoing messages.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: VecDeque<Letter>,
    queued: usize,
    unanswered: VecDeque<Errand>,
    gate: Gate,
    jam: Jam,
}

/// Why nothing more can be written now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Jam {
    /// It can.
    Clear,
    /// The socket is full; it will say when it is not.
    Full,
    /// The kernel will not take descriptors until about then.
    Busy(Moment),
    /// The worker has closed its end.
    Severed,
}

/// Whether a descriptor may follow those sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// Not until all are answered.
    Closed,
}

/// What a wrapper was for: its answer has no number, only its turn.
#[derive(Debug)]
pub(super) enum Errand {
    /// A connection, offered under this number.
    Offer(u64),
    /// A listening socket, in answer to this request.
    Listener { id: ListenerId, seq: Box<RawValue> },
    /// The application's.
    User,
}

/// A descriptor on its way.
#[derive(Debug)]
pub(super) enum Cargo {
    Listener { socket: Arc<OwnedFd>, id: ListenerId, seq: Box<RawValue> },
    User(UserHandle),
}

/// One message.
#[derive(Debug)]
struct Letter {
    bytes: Vec<u8>,
    sent: usize,
    cargo: Option<Cargo>,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            queued: 0,
            unanswered: VecDeque::new(),
            gate: Gate::Open,
            jam: Jam::Clear,
        }
    }

    /// Writes a message, or queues it.
    pub(super) fn post(&mut self, socket: BorrowedFd<'_>, bytes: Vec<u8>, cargo: Option<Cargo>, now: Moment) {
        if self.jam == Jam::Severed {
            return;
        }
        self.queued += bytes.len();
        self.queue.push_back(Letter { bytes, sent: 0, cargo });
        if self.queue.len() == 1 {
            self.flush(socket, now);
        }
    }

    /// Writes a connection's offer, if that can be done at once; it is never queued, for another worker may be free.
    pub(super) fn offer(
        &mut self,
        socket: BorrowedFd<'_>,
        head: &[u8],
        seq: u64,
        connection: &OwnedFd,
        now: Moment,
    ) -> Offered {
        if !self.takes_offers() {
            return Offered::Held;
        }
        let mut tail = [0_u8; 32];
        let room = tail.len();
        let mut rest = tail.as_mut_slice();
        // Twenty digits and three bytes always fit.
        let written: io::Result<()> =
            write!(rest, "{seq}").and_then(|()| rest.write_all(reply::NEWCONN_TAIL));
        let tail_len = room - rest.len();
        if written.is_err() {
            return Offered::Held;
        }
        let parts = [IoSlice::new(head), IoSlice::new(&tail[..tail_len])];
        match sys::send(socket, &parts, Some(connection.as_fd())) {
            Ok(sent) => {
                self.unanswered.push_back(Errand::Offer(seq));
                self.finish(head, &tail[..tail_len], sent);
                Offered::Sent
            }
            Err(errno) => {
                self.jammed_by(errno, now);
                Offered::Held
            }
        }
    }

    /// Whether an offer could be written now, as far as we know.
    pub(super) fn takes_offers(&self) -> bool {
        self.queue.is_empty() && self.jam == Jam::Clear && self.gate == Gate::Open
    }

    /// Writes what is queued, as far as it goes.
    pub(super) fn flush(&mut self, socket: BorrowedFd<'_>, now: Moment) {
        while self.jam == Jam::Clear {
            let Some(letter) = self.queue.front_mut() else { return };
            if letter.cargo.is_some() && self.gate == Gate::Closed {
                return;
            }
            let descriptor = letter.cargo.as_ref().map(Cargo::descriptor);
            match sys::send(socket, &[IoSlice::new(&letter.bytes[letter.sent..])], descriptor) {
                Ok(sent) => self.sent_of_front(sent),
                Err(errno) => self.jammed_by(errno, now),
            }
        }
    }

    /// The socket may have room again, or the kernel.
    pub(super) fn unjam(&mut self, socket: BorrowedFd<'_>, now: Moment) {
        match self.jam {
            Jam::Severed => {}
            Jam::Clear | Jam::Full | Jam::Busy(_) => {
                self.jam = Jam::Clear;
                self.flush(socket, now);
            }
        }
    }

    /// The worker answered its oldest wrapper. `None` if it owes no answer.
    pub(super) fn answered(&mut self, socket: BorrowedFd<'_>, now: Moment) -> Option<Errand> {
        let errand = self.unanswered.pop_front();
        if self.unanswered.is_empty() && self.gate == Gate::Closed {
            self.gate = Gate::Open;
            self.flush(socket, now);
        }
        if matches!(self.jam, Jam::Busy(_)) {
            // One descriptor fewer is under way.
            self.unjam(socket, now);
        }
        errand
    }

    /// The worker said what it did with an offer. Ours do so in place of acknowledging the descriptor
    /// (`npm/worker/acks.js`); an unmodified one has acknowledged it before.
    pub(super) fn answered_by_verdict(&mut self, socket: BorrowedFd<'_>, seq: u64, now: Moment) {
        if matches!(self.unanswered.front(), Some(Errand::Offer(offered)) if *offered == seq) {
            self.answered(socket, now);
        }
    }

    pub(super) fn jam(&self) -> Jam {
        self.jam
    }

    /// Whether so much is queued that the worker should not be read.
    pub(super) fn is_over(&self) -> bool {
        self.queued > OUTBOX_LIMIT
    }

    /// Whether one more message of the application's may be queued.
    pub(super) fn has_room_for(&self, len: usize) -> bool {
        self.queue.is_empty() || self.queued + len <= OUTBOX_LIMIT
    }

    /// Forgets everything unwritten.
    pub(super) fn sever(&mut self) {
        self.jam = Jam::Severed;
        self.queue.clear();
        self.queued = 0;
    }

    /// Accounts for bytes of the first letter that were written.
    fn sent_of_front(&mut self, sent: usize) {
        let Some(letter) = self.queue.front_mut() else { return };
        letter.sent += sent;
        self.queued -= sent;
        let whole = letter.sent == letter.bytes.len();
        if let Some(cargo) = letter.cargo.take() {
            self.unanswered.push_back(cargo.into_errand());
            if !whole || letter.bytes.len() > PIPELINED {
                self.gate = Gate::Closed;
            }
        }
        if whole {
            self.queue.pop_front();
        }
    }

    /// Queues what is left of an offer cut short: the kernel does not do that to short messages, but nothing says so.
    fn finish(&mut self, head: &[u8], tail: &[u8], sent: usize) {
        if sent < head.len() + tail.len() {
            let bytes = [head, tail].concat().split_off(sent);
            self.queued += bytes.len();
            self.queue.push_back(Letter { bytes, sent: 0, cargo: None });
            self.gate = Gate::Closed;
        }
    }

    fn jammed_by(&mut self, errno: Errno, now: Moment) {
        match errno {
            Errno::EINTR => {}
            Errno::EAGAIN => self.jam = Jam::Full,
            Errno::ETOOMANYREFS | Errno::ENOBUFS | Errno::ENOMEM => self.jam = Jam::Busy(now.after(RETRY)),
            // Whatever else it is, it will not pass; the end of the stream will be read in its turn.
            _ => self.sever(),
        }
    }
}

/// Whether an offer was written.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    Sent,
    Held,
}

impl Cargo {
    fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Self::Listener { socket, .. } => socket.as_fd(),
            Self::User(handle) => handle.as_fd(),
        }
    }

    /// Our copy is closed here, unless it is a listener's: the kernel holds its own until the worker takes it.
    fn into_errand(self) -> Errand {
        match self {
            Self::Listener { id, seq, .. } => Errand::Listener { id, seq },
            Self::User(_) => Errand::User,
        }
    }
}
