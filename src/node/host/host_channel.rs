//! The channel to the host, whichever process that is now.
//!
//! Invariants: what is told of workers is always taken, up to a limit beyond which the other side is unfit, and
//! messages of workers are taken only while it keeps up; without a connection everything told is forgotten.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::core::{InstanceId, Moment};
use crate::node::host::channel_handoff::{self, ChannelHandoff};
use crate::node::host::{HostNews, HostNotification};
use crate::node::ipc::{
    Flow, MAX_HOST_FRAME, Peer, PeerMessage, Progress, ProtocolError, ReadStep, ReadTurn, SEND_QUEUE_LIMIT,
    SendOutcome, UserHandle,
};

/// News that may wait to be read, in bytes: a hundred thousand instances' worth.
const TELL_LIMIT: usize = 32 << 20;

const CHANNEL: u64 = 0;
const CLOSE_NOTIFY: u64 = 1;
const ARRIVAL: u64 = 2;

/// Whether news was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum NotifyOutcome {
    /// It was, or there is nobody to tell.
    Taken,
    /// So much waits to be read that the other side is unfit.
    Overflow,
}

/// Our end of the channel. Its owner watches [`HostChannel::as_fd`] and calls [`HostChannel::process`] when that is readable or after
/// [`Progress::More`], and [`HostChannel::wake`] at [`HostChannel::next_wake`].
#[derive(Debug)]
pub struct HostChannel {
    epoll: Epoll,
    /// Rung by handles of the other side's sockets when they are closed.
    close_notify: Arc<EventFd>,
    state: ConnectionState,
}

#[derive(Debug)]
enum ConnectionState {
    /// Nobody is there.
    Vacant,
    /// A process is there that will open a channel and send it through this socket.
    Expecting(OwnedFd),
    Connected(Box<Peer<()>>),
}

impl HostChannel {
    /// A link to nobody.
    ///
    /// # Errors
    /// The kernel refuses what it is made of.
    pub fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let close_notify = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        epoll.add(
            close_notify.as_fd(),
            EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, CLOSE_NOTIFY),
        )?;
        Ok(Self { epoll, close_notify, state: ConnectionState::Vacant })
    }

    /// Readable when [`HostChannel::process`] has something to do.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    /// Speaks through this end of a channel from now on.
    ///
    /// # Errors
    /// It cannot be watched.
    pub fn connect(&mut self, channel: OwnedFd) -> io::Result<()> {
        self.hang_up();
        let close_notify = Arc::clone(&self.close_notify);
        let peer = Peer::attach(channel, &self.epoll, CHANNEL, MAX_HOST_FRAME, close_notify)?;
        self.state = ConnectionState::Connected(Box::new(peer));
        Ok(())
    }

    /// Speaks through the channel that comes through this socket.
    ///
    /// # Errors
    /// It cannot be watched.
    pub fn expect(&mut self, socket: OwnedFd) -> io::Result<()> {
        self.hang_up();
        self.epoll
            .add(socket.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, ARRIVAL))?;
        self.state = ConnectionState::Expecting(socket);
        Ok(())
    }

    /// Closes the channel.
    pub fn hang_up(&mut self) {
        match &mut self.state {
            ConnectionState::Vacant => return,
            // It fails only for what is not watched.
            ConnectionState::Expecting(socket) => _ = self.epoll.delete(socket.as_fd()),
            ConnectionState::Connected(peer) => peer.close(&self.epoll),
        }
        self.state = ConnectionState::Vacant;
    }

    /// Whether somebody is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self.state, ConnectionState::Connected(_))
    }

    /// Reads what there is, within bounds, and appends what was said.
    pub fn process(&mut self, now: Moment, news: &mut Vec<HostNews>) -> Progress {
        self.gather(now, news);
        if let ConnectionState::Connected(peer) = &mut self.state
            && let Some(turn) = peer.begin_turn()
        {
            self.read(turn, now, news);
        }
        match &mut self.state {
            ConnectionState::Connected(peer) => {
                peer.watch_room(&self.epoll);
                if peer.may_be_read() { Progress::More } else { Progress::Idle }
            }
            ConnectionState::Vacant | ConnectionState::Expecting(_) => Progress::Idle,
        }
    }

    /// The process at the other end is dead: appends all it has said, whatever limits hold for the living.
    pub fn hear_out(&mut self, now: Moment, news: &mut Vec<HostNews>) {
        self.gather(now, news);
        if let ConnectionState::Connected(peer) = &mut self.state {
            let turn = peer.begin_last_turn();
            self.read(turn, now, news);
        }
    }

    /// When [`HostChannel::wake`] is to be called.
    #[must_use]
    pub fn next_wake(&self) -> Option<Moment> {
        match &self.state {
            ConnectionState::Connected(peer) => peer.next_wake(),
            ConnectionState::Vacant | ConnectionState::Expecting(_) => None,
        }
    }

    /// Does what the time has come for.
    pub fn wake(&mut self, now: Moment, news: &mut Vec<HostNews>) -> Progress {
        if let ConnectionState::Connected(peer) = &mut self.state {
            peer.wake(now);
        }
        self.process(now, news)
    }

    /// Tells news of workers.
    pub fn tell(
        &mut self,
        tell: &HostNotification<'_>,
        handle: Option<UserHandle>,
        now: Moment,
    ) -> NotifyOutcome {
        self.send_surely(tell, handle, now)
    }

    /// Passes on what a worker says of its instance: taken as what we tell of it ourselves is.
    pub fn pass_on_surely(&mut self, from: InstanceId, message: &RawValue, now: Moment) -> NotifyOutcome {
        self.send_surely(&ForwardedMessage { from: from.0, message }, None, now)
    }

    fn send_surely(
        &mut self,
        message: &impl Serialize,
        handle: Option<UserHandle>,
        now: Moment,
    ) -> NotifyOutcome {
        let ConnectionState::Connected(peer) = &mut self.state else { return NotifyOutcome::Taken };
        if peer.queued() > TELL_LIMIT {
            return NotifyOutcome::Overflow;
        }
        // It is ours or has been parsed, so it can be written.
        let _ = peer.send(message, handle.map(|handle| (handle, ())), usize::MAX, now);
        peer.watch_room(&self.epoll);
        NotifyOutcome::Taken
    }

    /// Passes a worker's message on.
    pub fn pass_on(
        &mut self,
        from: InstanceId,
        message: &RawValue,
        handle: Option<UserHandle>,
        now: Moment,
    ) -> SendOutcome {
        let ConnectionState::Connected(peer) = &mut self.state else {
            return SendOutcome::Unreachable;
        };
        let (message, handle) =
            (ForwardedMessage { from: from.0, message }, handle.map(|handle| (handle, ())));
        let outcome = peer.send(&message, handle, SEND_QUEUE_LIMIT, now);
        peer.watch_room(&self.epoll);
        outcome
    }

    fn gather(&mut self, now: Moment, news: &mut Vec<HostNews>) {
        let mut events = [EpollEvent::empty(); 3];
        // It fails only when interrupted, and then there is a next time.
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        for event in &events[..count] {
            match (event.data(), &mut self.state) {
                (ARRIVAL, ConnectionState::Expecting(socket)) => {
                    match channel_handoff::receive(socket.as_fd()) {
                        ChannelHandoff::Channel(channel) => match self.connect(channel) {
                            // It waits for this before it runs anything that might end it.
                            Ok(()) => _ = self.tell(&HostNotification::Connected, None, now),
                            Err(error) => {
                                news.push(HostNews::Nonsense(format!(
                                    "its channel cannot be watched: {error}"
                                )));
                            }
                        },
                        ChannelHandoff::NotYet => {}
                        // Its end will be reported by whoever waits for the process.
                        ChannelHandoff::Never => self.hang_up(),
                    }
                }
                (CHANNEL, ConnectionState::Connected(peer)) => peer.ready(event.events(), now),
                (CLOSE_NOTIFY, state) => {
                    let _ = self.close_notify.read();
                    if let ConnectionState::Connected(peer) = state {
                        peer.answer_closed_sockets(now);
                    }
                }
                // Of a channel or socket that is not there any more.
                (
                    _,
                    ConnectionState::Vacant | ConnectionState::Expecting(_) | ConnectionState::Connected(_),
                ) => {}
            }
        }
    }

    /// Reads one turn's worth; at the end of the channel, or if it breaks the protocol, we hang up.
    fn read(&mut self, mut turn: ReadTurn, now: Moment, news: &mut Vec<HostNews>) {
        let ConnectionState::Connected(peer) = &mut self.state else { return };
        let protocol_error = loop {
            let line = match turn.next(peer, now) {
                Ok(ReadStep::Line(line)) => line,
                Ok(ReadStep::Over(Flow::FloodToReport)) => return news.push(HostNews::Flooding),
                Ok(ReadStep::Over(Flow::Fair | Flow::Flood)) => return,
                Ok(ReadStep::End) => break None,
                // Its descriptors would be taken for those of other messages.
                Err(ProtocolError::FrameTooLong) if !peer.has_descriptors() => {
                    let limit = MAX_HOST_FRAME >> 20;
                    let why = format!("a message of more than {limit} MiB, which is passed over");
                    news.push(HostNews::Nonsense(why));
                    continue;
                }
                Err(protocol_error) => break Some(protocol_error),
            };
            match peer.interpret(line, now) {
                Ok(PeerMessage::User(raw, handle)) => news.push(HostNews::of(raw, handle)),
                Ok(PeerMessage::Acked(_) | PeerMessage::Nacked(_)) => {}
                Ok(PeerMessage::Cluster(_) | PeerMessage::Nothing) => {}
                Err(protocol_error) => break Some(protocol_error),
            }
        };
        news.push(HostNews::Left(protocol_error));
        self.hang_up();
    }
}

/// A worker's message, as it is passed on.
#[derive(Serialize)]
struct ForwardedMessage<'a> {
    from: u32,
    message: &'a RawValue,
}
