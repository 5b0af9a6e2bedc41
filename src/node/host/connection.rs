//! One channel to the host: read in turns, written at once or queued.
//!
//! Invariants: after the end or a protocol_error nothing more is heard; a descriptor that arrived is acknowledged once; what
//! one turn reads has a bound.

use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::sys::epoll::EpollFlags;
use nix::sys::eventfd::EventFd;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::core::{InstanceId, Moment};
use crate::node::host::HostRequest;
use crate::node::ipc::{
    self, Attachment, Channel, Descriptor, Flow, FrameBuffer, Incoming, PAUSE, Progress, ProtocolError,
    ReadOutcome, SEND_QUEUE_LIMIT, SendOutcome, SendQueue, SocketCounts, SocketReadiness, TokenBucket,
    UserHandle, Wrapper, WriteBlock,
};

/// Messages and bytes heard in one turn.
const TURN_MESSAGES: usize = 256;
const TURN_BYTES: usize = 256 << 10;

/// What came from the other side.
#[derive(Debug)]
pub enum HostNews {
    /// It asks for something.
    Asked(Box<HostRequest>),
    /// It asks for something that makes no sense; the clause says why.
    Nonsense(String),
    /// A message for a worker.
    Message {
        /// For whom.
        instance: InstanceId,
        /// What, as it was written.
        message: Box<RawValue>,
        /// The socket sent along.
        handle: Option<UserHandle>,
    },
    /// It writes more than is read from it; it is slowed down. At most once a minute.
    Flooding,
    /// It closed its end, or broke the protocol; nothing more is heard of it.
    Left(Option<ProtocolError>),
}

/// A message for a worker, as the other side writes it.
#[derive(Deserialize)]
struct WorkerMessage<'a> {
    to: u32,
    #[serde(borrow)]
    message: &'a RawValue,
}

#[derive(Debug)]
pub(super) struct Connection {
    channel: Channel,
    frames: FrameBuffer,
    send_queue: SendQueue<()>,
    /// Sockets of its own servers that it sent.
    counts: SocketCounts,
    close_notify: Arc<EventFd>,
    rate_limiter: TokenBucket,
    paused: Option<Moment>,
    over: Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    No,
    Yes,
}

impl Connection {
    pub(super) fn new(socket: OwnedFd, close_notify: Arc<EventFd>) -> Self {
        Self {
            channel: Channel::new(socket),
            frames: FrameBuffer::with_limit(ipc::MAX_FRAME_BESIDE),
            send_queue: SendQueue::new(),
            counts: SocketCounts::default(),
            close_notify,
            rate_limiter: TokenBucket::beside(),
            paused: None,
            over: Over::No,
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.socket.as_fd()
    }

    /// Takes an event of its socket.
    pub(super) fn ready(&mut self, events: EpollFlags, now: Moment) {
        let ending = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        if events.intersects(ending) {
            self.channel.readiness = SocketReadiness::HungUp;
        } else if events.contains(EpollFlags::EPOLLIN) && self.channel.readiness == SocketReadiness::Drained {
            self.channel.readiness = SocketReadiness::Readable;
        }
        if events.contains(EpollFlags::EPOLLOUT) {
            self.send_queue.unblock(self.channel.socket.as_fd(), now);
        }
    }

    pub(super) fn next_wake(&self) -> Option<Moment> {
        let write_block = match self.send_queue.write_block() {
            WriteBlock::Busy(until) => Some(until),
            WriteBlock::Clear | WriteBlock::Full | WriteBlock::Severed => None,
        };
        [self.paused, write_block].into_iter().flatten().min()
    }

    pub(super) fn wake(&mut self, now: Moment) {
        self.paused.take_if(|until| *until <= now);
        if matches!(self.send_queue.write_block(), WriteBlock::Busy(until) if until <= now) {
            self.send_queue.unblock(self.channel.socket.as_fd(), now);
        }
    }

    pub(super) fn waits_for_room(&self) -> bool {
        self.send_queue.write_block() == WriteBlock::Full
    }

    /// How many bytes it has not taken yet.
    pub(super) fn queued(&self) -> usize {
        self.send_queue.queued()
    }

    /// Whether it reads fast enough for one more message.
    pub(super) fn keeps_up(&self, length: usize) -> bool {
        self.send_queue.has_room_for(length, SEND_QUEUE_LIMIT)
    }

    /// Writes a message, or queues it.
    pub(super) fn send(
        &mut self,
        message: &impl Serialize,
        handle: Option<UserHandle>,
        now: Moment,
    ) -> SendOutcome {
        match ipc::user(message, handle.as_ref().map(UserHandle::kind)) {
            Ok(bytes) => {
                self.post(bytes, handle, now);
                SendOutcome::Taken
            }
            Err(outcome) => outcome,
        }
    }

    fn post(&mut self, bytes: Vec<u8>, handle: Option<UserHandle>, now: Moment) {
        let attachment =
            handle.map(|handle| Attachment { descriptor: Descriptor::User(handle), pending_ack: () });
        self.send_queue.post(self.channel.socket.as_fd(), bytes, attachment, now);
    }

    /// Tells it which of the sockets it waits for are closed now.
    pub(super) fn answer_closed_sockets(&mut self, now: Moment) {
        for key in self.counts.take_closed() {
            self.post(ipc::sockets_closed(&key), None, now);
        }
    }

    /// Reads one turn's worth.
    pub(super) fn read(&mut self, now: Moment, news: &mut Vec<HostNews>) -> Progress {
        self.read_within(TURN_MESSAGES, TURN_BYTES, now, news)
    }

    /// Reads all that the other side, which is dead, has written.
    pub(super) fn hear_out(&mut self, now: Moment, news: &mut Vec<HostNews>) {
        self.paused = None;
        // Nobody reads our answers.
        self.send_queue.sever();
        let bytes = self.channel.outlive();
        // If there is more, it is not its own.
        let _ = self.read_within(usize::MAX, bytes, now, news);
    }

    fn read_within(
        &mut self,
        most_messages: usize,
        most_bytes: usize,
        now: Moment,
        news: &mut Vec<HostNews>,
    ) -> Progress {
        // Taken out while its lines are read, because hearing them changes us.
        let mut frames = mem::take(&mut self.frames);
        let (mut bytes, mut messages) = (0, 0);
        let mut progress = Progress::Idle;
        while self.over == Over::No && progress == Progress::Idle {
            match frames.next_line() {
                Ok(Some(line)) => {
                    messages += 1;
                    self.hear(line, now, news);
                    if messages >= most_messages {
                        progress = Progress::More;
                    }
                }
                Ok(None) if bytes >= most_bytes => progress = Progress::More,
                Ok(None) if self.may_be_read() => bytes += self.receive(&mut frames, news),
                Ok(None) => break,
                // Its descriptors would be taken for those of other messages.
                Err(ProtocolError::FrameTooLong) if self.channel.descriptors.is_empty() => {
                    let limit = ipc::MAX_FRAME_BESIDE >> 20;
                    news.push(HostNews::Nonsense(format!(
                        "a message of more than {limit} MiB, which is passed over"
                    )));
                }
                Err(protocol_error) => self.leave(Some(protocol_error), news),
            }
        }
        // Whole lines may be left in the buffer, of which the socket will not tell.
        if progress == Progress::More && self.channel.readiness == SocketReadiness::Drained {
            self.channel.readiness = SocketReadiness::Readable;
        }
        self.frames = frames;
        self.measure(bytes, messages, now, news);
        if self.paused.is_some() { Progress::Idle } else { progress }
    }

    /// What it says may need an answer, so one that does not read is not read.
    fn may_be_read(&self) -> bool {
        self.paused.is_none()
            && self.channel.readiness != SocketReadiness::Drained
            && !self.send_queue.is_over()
    }

    /// Reads once; answers with the number of bytes.
    fn receive(&mut self, frames: &mut FrameBuffer, news: &mut Vec<HostNews>) -> usize {
        match self.channel.receive(frames) {
            Ok(ReadOutcome::Bytes(count)) => return count,
            Ok(ReadOutcome::Nothing) => {}
            Ok(ReadOutcome::End) => self.leave(None, news),
            Err(protocol_error) => self.leave(Some(protocol_error), news),
        }
        0
    }

    fn measure(&mut self, bytes: usize, messages: usize, now: Moment, news: &mut Vec<HostNews>) {
        match self.rate_limiter.spend(now, bytes, messages) {
            Flow::Fair => return,
            Flow::FloodToReport => news.push(HostNews::Flooding),
            Flow::Flood => {}
        }
        self.paused = Some(now.after(PAUSE));
    }

    fn hear(&mut self, line: &[u8], now: Moment, news: &mut Vec<HostNews>) {
        match Incoming::parse(line) {
            Err(protocol_error) => self.leave(Some(protocol_error), news),
            Ok(Incoming::Ack | Incoming::Nack) => {
                self.send_queue.answered(self.channel.socket.as_fd(), now);
            }
            Ok(Incoming::Handle(wrapper)) => self.handle_arrived(&wrapper, now, news),
            Ok(Incoming::CountSockets { key }) => {
                let reply = ipc::socket_count(key, self.counts.of(key));
                self.post(reply, None, now);
            }
            Ok(Incoming::AwaitSockets { key }) => {
                self.counts.await_none(key);
                self.answer_closed_sockets(now);
            }
            Ok(Incoming::Cluster(_) | Incoming::Foreign) => {}
            Ok(Incoming::User(raw)) => news.push(understand(raw, None)),
        }
    }

    fn handle_arrived(&mut self, wrapper: &Wrapper<'_>, now: Moment, news: &mut Vec<HostNews>) {
        let descriptor = self.channel.descriptors.pop_front();
        let answer = if descriptor.is_some() { ipc::ACK } else { ipc::NACK };
        self.post(answer.to_vec(), None, now);
        let (Some(descriptor), Some((message, key))) = (descriptor, wrapper.unwrap()) else { return };
        let counted = key.map(|key| self.counts.add(key, &self.close_notify));
        let handle = UserHandle::received(descriptor, counted).ok();
        news.push(understand(message, handle));
    }

    fn leave(&mut self, protocol_error: Option<ProtocolError>, news: &mut Vec<HostNews>) {
        self.over = Over::Yes;
        self.send_queue.sever();
        news.push(HostNews::Left(protocol_error));
    }
}

fn understand(raw: &RawValue, handle: Option<UserHandle>) -> HostNews {
    if let Ok(WorkerMessage { to, message }) = serde_json::from_str(raw.get()) {
        return HostNews::Message { instance: InstanceId(to), message: message.to_owned(), handle };
    }
    match serde_json::from_str(raw.get()) {
        Ok(ask) => HostNews::Asked(ask),
        Err(error) => HostNews::Nonsense(nonsense(raw, &error)),
    }
}

/// Why a request is none. serde's own words quote what is there, which may be a secret.
fn nonsense(raw: &RawValue, error: &serde_json::Error) -> String {
    #[derive(Deserialize)]
    struct Named {
        ask: String,
    }
    match serde_json::from_str::<Named>(raw.get()) {
        Ok(Named { ask }) => {
            let name: String = ask.chars().take(32).collect();
            format!(
                "a request {name:?} that this version does not know in this form (column {})",
                error.column()
            )
        }
        Err(_) => format!("{} bytes that are no request", raw.get().len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_not_quoted() {
        for (json, named) in [
            (r#"{"ask":"env","set":{"TOKEN":["hunter2"]},"unset":[]}"#, "\"env\""),
            (r#"{"ask":"env","set":"hunter2","unset":[]}"#, "\"env\""),
            (r#"{"ask":"setup","settings":{"uid":"hunter2"}}"#, "\"setup\""),
            (r#"{"ask":"hibernate","token":"hunter2"}"#, "\"hibernate\""),
            (r#""hunter2""#, "9 bytes"),
        ] {
            let HostNews::Nonsense(why) = understand(&RawValue::from_string(json.into()).unwrap(), None)
            else {
                panic!("{json}")
            };
            assert!(why.contains(named) && !why.contains("hunter2"), "{why}");
        }
        let json = r#"{"ask":"env","set":{"TOKEN":"hunter2"},"unset":["OLD"]}"#;
        let HostNews::Asked(ask) = understand(&RawValue::from_string(json.into()).unwrap(), None) else {
            panic!()
        };
        assert_eq!(format!("{ask:?}"), r#"Env(EnvChanges { set: ["TOKEN"], unset: ["OLD"] })"#);
    }
}
