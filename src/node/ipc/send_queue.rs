//! What is written to one peer: at once if it can be, else queued whole, each message with its descriptor.
//!
//! Invariants: messages leave in order; a descriptor rides on the first byte of its own wrapper, one to a `sendmsg`;
//! behind a wrapper too long for one kernel buffer no other descriptor follows until it is acknowledged (the kernel
//! would hand them out crossed); every wrapper sent is remembered, for what it is a pending acknowledgement, until the peer answers it.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;

use crate::core::Moment;
use crate::node::ipc::{UserHandle, sys};

/// A peer that lets more than this pile up, in bytes, is not read.
pub(crate) const SEND_QUEUE_LIMIT: usize = 4 << 20;

/// The same for one whose answer is awaited.
const GATED_LIMIT: usize = 128 << 20;

/// A wrapper up to this long stays in one kernel buffer, so that another may follow at once.
const PIPELINED: usize = 32 << 10;

/// When the kernel has too many descriptors under way, it is asked again after this.
const RETRY: Duration = Duration::from_millis(10);

/// One peer's outgoing messages. `E` is what its owner wants to remember of a wrapper: answers have no number, only
/// their turn.
#[derive(Debug)]
pub(crate) struct SendQueue<E> {
    queue: VecDeque<QueuedMessage<E>>,
    queued: usize,
    unanswered: VecDeque<E>,
    gate: Gate,
    write_block: WriteBlock,
}

/// Why nothing more can be written now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteBlock {
    /// It can.
    Clear,
    /// The socket is full; it will say when it is not.
    Full,
    /// The kernel will not take descriptors until about then.
    Busy(Moment),
    /// The peer has closed its end.
    Severed,
}

/// Whether a descriptor may follow those sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// Not until all are answered.
    Closed,
}

/// A descriptor to be sent, and what for.
#[derive(Debug)]
pub(crate) struct Attachment<E> {
    pub(crate) descriptor: Descriptor,
    pub(crate) pending_ack: E,
}

/// A descriptor on its way. Our copy is closed once it is sent, unless somebody shares it: the kernel holds its own
/// until the peer takes it.
#[derive(Debug)]
pub(crate) enum Descriptor {
    Shared(Arc<OwnedFd>),
    User(UserHandle),
}

/// One message.
#[derive(Debug)]
struct QueuedMessage<E> {
    bytes: Vec<u8>,
    sent: usize,
    attachment: Option<Attachment<E>>,
}

/// Whether something was written at once.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Yes,
    No,
}

impl<E> SendQueue<E> {
    pub(crate) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            queued: 0,
            unanswered: VecDeque::new(),
            gate: Gate::Open,
            write_block: WriteBlock::Clear,
        }
    }

    /// Writes a message, or queues it.
    pub(crate) fn post(
        &mut self,
        socket: BorrowedFd<'_>,
        bytes: Vec<u8>,
        attachment: Option<Attachment<E>>,
        now: Moment,
    ) {
        if self.write_block == WriteBlock::Severed {
            return;
        }
        self.queued += bytes.len();
        self.queue.push_back(QueuedMessage { bytes, sent: 0, attachment });
        if self.queue.len() == 1 {
            self.flush(socket, now);
        }
    }

    /// Writes a short wrapper, given in parts, with its descriptor, if that can be done at once; never queues it.
    pub(crate) fn post_at_once(
        &mut self,
        socket: BorrowedFd<'_>,
        parts: &[&[u8]; 2],
        descriptor: BorrowedFd<'_>,
        pending_ack: E,
        now: Moment,
    ) -> Sent {
        if !self.takes_descriptors() {
            return Sent::No;
        }
        match sys::send(socket, &parts.map(IoSlice::new), Some(descriptor)) {
            Ok(sent) => {
                self.unanswered.push_back(pending_ack);
                self.finish(parts, sent);
                Sent::Yes
            }
            Err(errno) => {
                self.jammed_by(errno, now);
                Sent::No
            }
        }
    }

    /// Whether a descriptor could be written now, as far as we know.
    pub(crate) fn takes_descriptors(&self) -> bool {
        self.queue.is_empty() && self.write_block == WriteBlock::Clear && self.gate == Gate::Open
    }

    /// Writes what is queued, as far as it goes.
    pub(crate) fn flush(&mut self, socket: BorrowedFd<'_>, now: Moment) {
        while self.write_block == WriteBlock::Clear {
            let Some(letter) = self.queue.front_mut() else { return };
            if letter.attachment.is_some() && self.gate == Gate::Closed {
                return;
            }
            let descriptor = letter.attachment.as_ref().map(|attachment| attachment.descriptor.as_fd());
            match sys::send(socket, &[IoSlice::new(&letter.bytes[letter.sent..])], descriptor) {
                Ok(sent) => self.sent_of_front(sent),
                Err(errno) => self.jammed_by(errno, now),
            }
        }
    }

    /// The socket may have room again, or the kernel.
    pub(crate) fn unblock(&mut self, socket: BorrowedFd<'_>, now: Moment) {
        match self.write_block {
            WriteBlock::Severed => {}
            WriteBlock::Clear | WriteBlock::Full | WriteBlock::Busy(_) => {
                self.write_block = WriteBlock::Clear;
                self.flush(socket, now);
            }
        }
    }

    /// The oldest wrapper without an answer.
    pub(crate) fn oldest_pending_ack(&self) -> Option<&E> {
        self.unanswered.front()
    }

    /// The peer answered its oldest wrapper. `None` if it owes no answer.
    pub(crate) fn answered(&mut self, socket: BorrowedFd<'_>, now: Moment) -> Option<E> {
        let pending_ack = self.unanswered.pop_front();
        if self.unanswered.is_empty() && self.gate == Gate::Closed {
            self.gate = Gate::Open;
            self.flush(socket, now);
        }
        if matches!(self.write_block, WriteBlock::Busy(_)) {
            // One descriptor fewer is under way.
            self.unblock(socket, now);
        }
        pending_ack
    }

    pub(crate) fn write_block(&self) -> WriteBlock {
        self.write_block
    }

    /// How many bytes wait to be written.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Whether so much is queued that the peer should not be read. While its answer is awaited before more can be written,
    /// that takes more: whatever the application may have queued by then.
    pub(crate) fn is_over(&self) -> bool {
        match self.gate {
            Gate::Open => self.queued > SEND_QUEUE_LIMIT,
            Gate::Closed => self.queued > GATED_LIMIT,
        }
    }

    /// Whether one more message of the application's may be queued, where so many bytes may wait.
    pub(crate) fn has_room_for(&self, len: usize, limit: usize) -> bool {
        self.queue.is_empty() || self.queued + len <= limit
    }

    /// Forgets everything unwritten.
    pub(crate) fn sever(&mut self) {
        self.write_block = WriteBlock::Severed;
        self.queue.clear();
        self.queued = 0;
    }

    /// Accounts for bytes of the first letter that were written.
    fn sent_of_front(&mut self, sent: usize) {
        let Some(letter) = self.queue.front_mut() else { return };
        letter.sent += sent;
        self.queued -= sent;
        let whole = letter.sent == letter.bytes.len();
        if let Some(attachment) = letter.attachment.take() {
            self.unanswered.push_back(attachment.pending_ack);
            if !whole || letter.bytes.len() > PIPELINED {
                self.gate = Gate::Closed;
            }
        }
        if whole {
            self.queue.pop_front();
        }
    }

    /// Queues what is left of a message cut short: the kernel does not do that to short ones, but nothing says so.
    fn finish(&mut self, parts: &[&[u8]; 2], sent: usize) {
        if sent < parts[0].len() + parts[1].len() {
            let bytes = parts.concat().split_off(sent);
            self.queued += bytes.len();
            self.queue.push_back(QueuedMessage { bytes, sent: 0, attachment: None });
            self.gate = Gate::Closed;
        }
    }

    fn jammed_by(&mut self, errno: Errno, now: Moment) {
        match errno {
            Errno::EINTR => {}
            Errno::EAGAIN => self.write_block = WriteBlock::Full,
            Errno::ETOOMANYREFS | Errno::ENOBUFS | Errno::ENOMEM => {
                self.write_block = WriteBlock::Busy(now.after(RETRY))
            }
            // Whatever else it is, it will not pass; the end of the stream will be read in its turn.
            _ => self.sever(),
        }
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Shared(descriptor) => descriptor.as_fd(),
            Self::User(handle) => handle.as_fd(),
        }
    }
}
