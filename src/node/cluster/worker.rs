//! What is known of one instance: its channel, what it was offered, and how far its disconnect handshake has gone.
//!
//! Invariant: at most one disconnect handshake per instance, begun by one side (a second crashes the worker): see [`DisconnectHandshake`].

use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use serde_json::value::RawValue;

use crate::core::{Moment, WorkerId};
use crate::node::cluster::listener::Listener;
use crate::node::cluster::listener_id::ListenerId;
use crate::node::cluster::reply;
use crate::node::ipc::{Peer, Sent};

/// How many connections a worker may have on offer. More than one hides the time a reply takes to come back and be
/// read; many would move the queue to where it cannot be shared out again.
const WINDOW: usize = 4;

/// A worker whose oldest offer has waited this long is busy elsewhere, and gets no more.
const RESPONSIVE: Duration = Duration::from_millis(10);

/// One instance, as the room sees it.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) slot: WorkerId,
    pub(super) peer: Peer<PendingAck>,
    pub(super) offers: VecDeque<Offer>,
    pub(super) serving_state: ServingState,
    pub(super) handshake: DisconnectHandshake,
    pub(super) stage: TakeoverStage,
    /// How many listeners it holds.
    pub(super) held: usize,
    /// How many it held at most at a time.
    pub(super) most_held: usize,
    /// When it was last offered a connection, counted in offers.
    pub(super) turn: u64,
    /// Wrappers refused since one was taken.
    pub(super) nacks: u32,
    /// Whether it is in line to be read.
    pub(super) in_line: bool,
    /// The other end of the channel of a program, which has none.
    pub(super) silent: Option<OwnedFd>,
    next_seq: u64,
}

/// A connection offered and not yet taken.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) seq: u64,
    pub(super) listener: ListenerId,
    pub(super) connection: OwnedFd,
    at: Moment,
}

/// What a wrapper was for.
#[derive(Debug)]
pub(super) enum PendingAck {
    /// A connection, offered under this number.
    Offer(u64),
    /// A listening socket, in answer to this request.
    Listener { id: ListenerId, seq: Box<RawValue> },
    /// The application's.
    User,
}

/// What an instance is good for, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ServingState {
    /// New connections.
    Serving,
    /// New connections, while nobody else takes them: it prepares its end.
    Suspending,
    /// Those it has: it is on its way out.
    Draining,
    /// Nothing: it has closed its channel.
    Left,
    /// Nothing: it broke the protocol.
    Broken,
}

/// Who began the disconnect handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DisconnectHandshake {
    /// Nobody.
    None,
    /// We did: its own announcement is then never acknowledged, and its requests are not answered.
    Ours,
    /// It did, and was acknowledged: it is then never told to disconnect.
    Theirs,
}

/// Whether an instance has taken over all it is going to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakeoverStage {
    Starting,
    Ready,
}

impl Worker {
    pub(super) fn new(slot: WorkerId, peer: Peer<PendingAck>) -> Self {
        Self {
            slot,
            peer,
            offers: VecDeque::new(),
            serving_state: ServingState::Serving,
            handshake: DisconnectHandshake::None,
            stage: TakeoverStage::Starting,
            held: 0,
            most_held: 0,
            turn: 0,
            nacks: 0,
            in_line: false,
            silent: None,
            next_seq: 1,
        }
    }

    /// Whether it is a program that is not Node's.
    pub(super) const fn is_program(&self) -> bool {
        self.silent.is_some()
    }

    /// Whether new connections are for it: for a program only once it is ready, because it has its socket from the start.
    pub(super) fn takes_new(&self) -> bool {
        let is_up = !self.is_program() || self.stage == TakeoverStage::Ready;
        is_up && self.serving_state == ServingState::Serving
    }

    /// Whether it is still heard.
    pub(super) fn is_heard(&self) -> bool {
        match self.serving_state {
            ServingState::Serving | ServingState::Suspending | ServingState::Draining => true,
            ServingState::Left | ServingState::Broken => false,
        }
    }

    /// Whether all it has written is known, its answers to offers included.
    pub(super) fn is_heard_out(&self) -> bool {
        match self.serving_state {
            ServingState::Serving | ServingState::Suspending | ServingState::Draining => {
                self.peer.is_drained()
            }
            ServingState::Left => true,
            ServingState::Broken => false,
        }
    }

    /// Whether its end has been begun, so that what it closes waits for its successor.
    pub(super) fn is_stopping(&self) -> bool {
        self.serving_state != ServingState::Serving || self.handshake != DisconnectHandshake::None
    }

    /// Whether it may be offered one more connection.
    pub(super) fn has_capacity(&self, now: Moment) -> bool {
        let responsive = match self.offers.front() {
            None => true,
            Some(oldest) => self.offers.len() < WINDOW && now.since(oldest.at) < RESPONSIVE,
        };
        let serves = match self.serving_state {
            ServingState::Serving | ServingState::Suspending => true,
            ServingState::Draining | ServingState::Left | ServingState::Broken => false,
        };
        responsive && serves && !self.is_program() && self.peer.takes_descriptors()
    }

    /// Offers a connection; gives it back if it could not be written.
    pub(super) fn offer(
        &mut self,
        listener: &Listener,
        connection: OwnedFd,
        now: Moment,
    ) -> Result<(), OwnedFd> {
        let seq = self.next_seq;
        let mut tail = [0_u8; 32];
        let room = tail.len();
        let mut rest = tail.as_mut_slice();
        // Twenty digits and three bytes always fit.
        if write!(rest, "{seq}").and_then(|()| rest.write_all(reply::NEWCONN_TAIL)).is_err() {
            return Err(connection);
        }
        let length = room - rest.len();
        let parts = [&*listener.newconn, &tail[..length]];
        match self.peer.post_at_once(&parts, connection.as_fd(), PendingAck::Offer(seq), now) {
            Sent::No => Err(connection),
            Sent::Yes => {
                self.next_seq += 1;
                self.offers.push_back(Offer { seq, listener: listener.id, connection, at: now });
                Ok(())
            }
        }
    }

    /// Takes back the offer with this number, if it is still out.
    pub(super) fn settle(&mut self, seq: u64) -> Option<Offer> {
        // Answers come in the order of the offers.
        let index = self.offers.iter().position(|offer| offer.seq == seq)?;
        self.offers.remove(index)
    }
}
