//! One end of a channel: read in turns, written at once or queued. What the messages mean is its owner's affair, and so is
//! how its turns alternate with those of others.
//!
//! Invariants: a turn reads a bounded share; after it the socket is known to be empty, or reading pauses until
//! [`Peer::next_wake`], or the other end has to read first, or [`Peer::begin_turn`] gives a further turn: so a turn that is
//! cut short may leave whole lines behind, of which the socket will not tell; a descriptor that arrived is acknowledged
//! exactly once; after [`Peer::close`] nothing is written.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::eventfd::EventFd;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::core::Moment;
use crate::node::ipc::channel::{Channel, ReadOutcome, SocketReadiness};
use crate::node::ipc::frame::FrameBuffer;
use crate::node::ipc::handle::{SocketCounts, UserHandle};
use crate::node::ipc::message::{Incoming, Wrapper};
use crate::node::ipc::rate_limiter::{Flow, PAUSE, TokenBucket};
use crate::node::ipc::reply;
use crate::node::ipc::send_queue::{Attachment, Descriptor, SendQueue, Sent, WriteBlock};
use crate::node::ipc::{ProtocolError, SendOutcome};

#[cfg(test)]
mod tests;

/// What is read in one turn, give or take one read, so that nobody starves others.
const TURN_MESSAGES: usize = 256;
const TURN_BYTES: usize = 256 << 10;

/// Our end. `E` is what its owner wants to remember of a descriptor that it sent until that is acknowledged.
#[derive(Debug)]
pub(crate) struct Peer<E> {
    channel: Channel,
    frames: FrameBuffer,
    send_queue: SendQueue<E>,
    rate_limiter: TokenBucket,
    /// It wrote too much, or the kernel lacked memory; until then it is not read.
    paused: Option<Moment>,
    /// Sockets of its own servers that it sent.
    counts: SocketCounts,
    /// Rung when one of those is closed.
    close_notify: Arc<EventFd>,
    watch: Watch,
    token: u64,
}

/// What the socket is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// The usual: watching for room too would wake us each time the other end reads.
    Input,
    /// While something could not be written.
    InputAndRoom,
}

/// One turn of reading. It holds what was received, so that its lines can be read while the peer is written to; it is to be
/// driven until it is over, or the peer closed.
#[derive(Debug)]
pub(crate) struct ReadTurn {
    frames: FrameBuffer,
    writer: Writer,
    most_bytes: usize,
    bytes: usize,
    messages: usize,
}

/// Whether the process at the other end lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    Alive,
    Dead,
}

/// What comes next in a turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadStep<'t> {
    /// A line, for [`Peer::interpret`].
    Line(&'t [u8]),
    /// Nothing more in this turn.
    Over(Flow),
    /// Nothing ever again: the other end is closed.
    End,
}

/// What a line means to the peer's owner.
#[derive(Debug)]
pub(crate) enum PeerMessage<'a, E> {
    /// The descriptor sent first of those not acknowledged has arrived; `None` if there is no such.
    Acked(Option<E>),
    /// It has not, though its message has.
    Nacked(Option<E>),
    /// Of the cluster module.
    Cluster(&'a RawValue),
    /// The application's, and the socket sent along, if it is one that Node knows.
    User(&'a RawValue, Option<UserHandle>),
    /// Dealt with, or nothing to us.
    Nothing,
}

impl<E> Peer<E> {
    /// Speaks through this socket, which the epoll instance is to watch under `token`. The longest message it may send
    /// also says how many may come at once; `close_notify` is rung when sockets that it counts are closed.
    pub(crate) fn attach(
        socket: OwnedFd,
        epoll: &Epoll,
        token: u64,
        max_frame: usize,
        close_notify: Arc<EventFd>,
    ) -> io::Result<Self> {
        epoll.add(socket.as_fd(), EpollEvent::new(Watch::Input.flags(), token))?;
        Ok(Self {
            channel: Channel::new(socket),
            frames: FrameBuffer::with_limit(max_frame),
            send_queue: SendQueue::new(),
            rate_limiter: TokenBucket::for_frames_of(max_frame),
            paused: None,
            counts: SocketCounts::default(),
            close_notify,
            watch: Watch::Input,
            token,
        })
    }

    /// Takes an event of its socket.
    pub(crate) fn ready(&mut self, events: EpollFlags, now: Moment) {
        let ending = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        if events.intersects(ending) {
            self.channel.readiness = SocketReadiness::HungUp;
        } else if events.contains(EpollFlags::EPOLLIN) && self.is_drained() {
            self.channel.readiness = SocketReadiness::Readable;
        }
        if events.contains(EpollFlags::EPOLLOUT) {
            self.send_queue.unblock(self.channel.socket.as_fd(), now);
        }
    }

    /// When [`Peer::wake`] is to be called.
    pub(crate) fn next_wake(&self) -> Option<Moment> {
        let write_block = match self.send_queue.write_block() {
            WriteBlock::Busy(until) => Some(until),
            WriteBlock::Clear | WriteBlock::Full | WriteBlock::Severed => None,
        };
        [self.paused, write_block].into_iter().flatten().min()
    }

    /// Resumes what rested until now.
    pub(crate) fn wake(&mut self, now: Moment) {
        self.paused.take_if(|until| *until <= now);
        if matches!(self.send_queue.write_block(), WriteBlock::Busy(until) if until <= now) {
            self.send_queue.unblock(self.channel.socket.as_fd(), now);
        }
    }

    /// To be called after reading and writing: watches for room while something could not be written.
    pub(crate) fn watch_room(&mut self, epoll: &Epoll) {
        let wanted = match self.send_queue.write_block() {
            WriteBlock::Full => Watch::InputAndRoom,
            WriteBlock::Clear | WriteBlock::Busy(_) | WriteBlock::Severed => Watch::Input,
        };
        let mut event = EpollEvent::new(wanted.flags(), self.token);
        if wanted != self.watch && epoll.modify(self.channel.socket.as_fd(), &mut event).is_ok() {
            self.watch = wanted;
        }
    }

    /// Whether the socket is known to be empty.
    pub(crate) fn is_drained(&self) -> bool {
        self.channel.readiness == SocketReadiness::Drained
    }

    /// Whether there may be something to read, and it may be read now. What it says may need an answer, so one that does not
    /// read is not read.
    pub(crate) fn may_be_read(&self) -> bool {
        self.paused.is_none() && !self.is_drained() && !self.send_queue.is_over()
    }

    /// A turn's share to read, if it may be read.
    pub(crate) fn begin_turn(&mut self) -> Option<ReadTurn> {
        self.may_be_read().then(|| self.turn(Writer::Alive, TURN_BYTES))
    }

    /// The process at the other end is dead: a turn for all it has written, whatever limits hold for the living.
    pub(crate) fn begin_last_turn(&mut self) -> ReadTurn {
        self.paused = None;
        // Nobody reads our answers.
        self.send_queue.sever();
        let most_bytes = self.channel.outlive();
        self.turn(Writer::Dead, most_bytes)
    }

    fn turn(&mut self, writer: Writer, most_bytes: usize) -> ReadTurn {
        ReadTurn { frames: mem::take(&mut self.frames), writer, most_bytes, bytes: 0, messages: 0 }
    }

    /// Reads a line, and does what is the same whoever wrote it.
    pub(crate) fn interpret<'a>(
        &mut self,
        line: &'a [u8],
        now: Moment,
    ) -> Result<PeerMessage<'a, E>, ProtocolError> {
        Ok(match Incoming::parse(line)? {
            Incoming::Ack => PeerMessage::Acked(self.answered(now)),
            Incoming::Nack => PeerMessage::Nacked(self.answered(now)),
            Incoming::Handle(wrapper) => self.handle_arrived(&wrapper, now),
            Incoming::CountSockets { key } => {
                self.post(reply::socket_count(key, self.counts.of(key)), None, now);
                PeerMessage::Nothing
            }
            Incoming::AwaitSockets { key } => {
                self.counts.await_none(key);
                self.answer_closed_sockets(now);
                PeerMessage::Nothing
            }
            Incoming::Cluster(raw) => PeerMessage::Cluster(raw),
            Incoming::User(raw) => PeerMessage::User(raw, None),
            Incoming::Foreign => PeerMessage::Nothing,
        })
    }

    fn handle_arrived<'a>(&mut self, wrapper: &Wrapper<'a>, now: Moment) -> PeerMessage<'a, E> {
        let descriptor = self.channel.descriptors.pop_front();
        let answer = if descriptor.is_some() { reply::ACK } else { reply::NACK };
        self.post(answer.to_vec(), None, now);
        let (Some(descriptor), Some((message, key))) = (descriptor, wrapper.unwrap()) else {
            return PeerMessage::Nothing;
        };
        let counted = key.map(|key| self.counts.add(key, &self.close_notify));
        // What is no socket is closed here; the message is still the application's.
        PeerMessage::User(message, UserHandle::received(descriptor, counted).ok())
    }

    /// Whether descriptors have arrived whose message has not been interpreted.
    pub(crate) fn has_descriptors(&self) -> bool {
        !self.channel.descriptors.is_empty()
    }

    /// Tells the other end which of the sockets it waits for are closed now.
    pub(crate) fn answer_closed_sockets(&mut self, now: Moment) {
        for key in self.counts.take_closed() {
            self.post(reply::sockets_closed(&key), None, now);
        }
    }

    /// Sends a message of the application's, unless more than `limit` bytes would then wait to be read.
    pub(crate) fn send(
        &mut self,
        message: &impl Serialize,
        handle: Option<(UserHandle, E)>,
        limit: usize,
        now: Moment,
    ) -> SendOutcome {
        let bytes = match reply::user(message, handle.as_ref().map(|(handle, _)| handle.kind())) {
            Ok(bytes) => bytes,
            Err(outcome) => return outcome,
        };
        if !self.send_queue.has_room_for(bytes.len(), limit) {
            return SendOutcome::Full;
        }
        let attachment = handle
            .map(|(handle, pending_ack)| Attachment { descriptor: Descriptor::User(handle), pending_ack });
        self.post(bytes, attachment, now);
        SendOutcome::Taken
    }

    /// Writes a line, or queues it.
    pub(crate) fn post(&mut self, bytes: Vec<u8>, attachment: Option<Attachment<E>>, now: Moment) {
        self.send_queue.post(self.channel.socket.as_fd(), bytes, attachment, now);
    }

    /// Writes a short line with its descriptor, if that can be done at once; never queues it.
    pub(crate) fn post_at_once(
        &mut self,
        parts: &[&[u8]; 2],
        descriptor: BorrowedFd<'_>,
        pending_ack: E,
        now: Moment,
    ) -> Sent {
        self.send_queue.post_at_once(self.channel.socket.as_fd(), parts, descriptor, pending_ack, now)
    }

    /// Whether a descriptor could be written now, as far as we know.
    pub(crate) fn takes_descriptors(&self) -> bool {
        self.send_queue.takes_descriptors()
    }

    /// How many bytes the other end has not taken yet.
    pub(crate) fn queued(&self) -> usize {
        self.send_queue.queued()
    }

    /// Something else the other end said acknowledges the descriptor sent first, if it is this one.
    pub(crate) fn acked_if(&mut self, is_meant: impl FnOnce(&E) -> bool, now: Moment) {
        if self.send_queue.oldest_pending_ack().is_some_and(is_meant) {
            self.answered(now);
        }
    }

    fn answered(&mut self, now: Moment) -> Option<E> {
        self.send_queue.answered(self.channel.socket.as_fd(), now)
    }

    /// Nothing more is read or written. The socket is closed when the peer is dropped.
    pub(crate) fn close(&mut self, epoll: &Epoll) {
        self.send_queue.sever();
        self.channel.descriptors.clear();
        self.frames = FrameBuffer::default();
        self.watch = Watch::Input;
        // It fails only for what is not watched any more.
        let _ = epoll.delete(self.channel.socket.as_fd());
    }
}

impl ReadTurn {
    /// What comes next. After a line that was too long there may be more; any other error is the end.
    pub(crate) fn next<E>(&mut self, peer: &mut Peer<E>, now: Moment) -> Result<ReadStep<'_>, ProtocolError> {
        loop {
            if self.messages >= self.most_messages() || peer.send_queue.is_over() {
                return Ok(self.cut(peer, now));
            }
            if let Some(line) = self.frames.next_line()? {
                self.messages += 1;
                return Ok(ReadStep::Line(self.frames.line(line)));
            }
            if peer.is_drained() {
                return Ok(self.finish(peer, now));
            }
            if self.bytes >= self.most_bytes {
                return Ok(self.cut(peer, now));
            }
            match peer.channel.receive(&mut self.frames)? {
                ReadOutcome::Bytes(count) => self.bytes += count,
                ReadOutcome::Nothing => {}
                ReadOutcome::End => return Ok(ReadStep::End),
                ReadOutcome::Starved(errno) => match self.writer {
                    Writer::Alive => {
                        peer.paused = Some(now.after(PAUSE));
                        return Ok(self.finish(peer, now));
                    }
                    // There is no later for it.
                    Writer::Dead => return Err(ProtocolError::Unreadable(errno)),
                },
            }
        }
    }

    fn most_messages(&self) -> usize {
        match self.writer {
            Writer::Alive => TURN_MESSAGES,
            Writer::Dead => usize::MAX,
        }
    }

    /// The share is used up: there may be more in the socket, or whole lines in the buffer, of which the socket will not tell.
    fn cut<E>(&mut self, peer: &mut Peer<E>, now: Moment) -> ReadStep<'static> {
        peer.channel.readiness = match (self.writer, peer.channel.readiness) {
            (Writer::Alive, SocketReadiness::HungUp) => SocketReadiness::HungUp,
            (Writer::Alive, SocketReadiness::Drained | SocketReadiness::Readable) => {
                SocketReadiness::Readable
            }
            // What there is now is not its own.
            (Writer::Dead, _) => SocketReadiness::Drained,
        };
        self.finish(peer, now)
    }

    /// Gives back what was received, and slows the other end down if it writes too much.
    fn finish<E>(&mut self, peer: &mut Peer<E>, now: Moment) -> ReadStep<'static> {
        peer.frames = mem::take(&mut self.frames);
        peer.frames.rest();
        let flow = peer.rate_limiter.spend(now, self.bytes, self.messages);
        match flow {
            Flow::Fair => {}
            Flow::Flood | Flow::FloodToReport => peer.paused = Some(now.after(PAUSE)),
        }
        ReadStep::Over(flow)
    }
}

impl Watch {
    fn flags(self) -> EpollFlags {
        let input = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        match self {
            Self::Input => input,
            Self::InputAndRoom => input | EpollFlags::EPOLLOUT,
        }
    }
}
