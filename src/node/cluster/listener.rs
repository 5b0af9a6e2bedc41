//! A listening socket that outlives the workers who serve it.
//!
//! Invariants: it is open as long as an instance holds it, a slot's next instance is awaited, or it is not clear yet whether
//! its last holder ends; a connection in `waiting` has been accepted and is owed to some worker.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::value::RawValue;

use crate::core::{Endpoint, InstanceId, Moment, WorkerId};
use crate::listen::{
    AcceptSource, AcceptState, Accepted, BindAddress, Group, Options, SocketFile, address_of,
};
use crate::node::cluster::listener_id::ListenerId;
use crate::node::cluster::listener_key::ListenerKey;
use crate::node::cluster::manner::Manner;
use crate::node::cluster::reply;
use crate::node::cluster::store::Kept;

/// A holder that refused is asked again after this at first, then ever later, up to [`REFUSAL_BACKOFF_MOST`].
const REFUSAL_BACKOFF_FIRST: Duration = Duration::from_millis(1);
const REFUSAL_BACKOFF_MOST: Duration = Duration::from_millis(64);

/// A socket that workers accept from and that was open for less than this was only tried out: `portfinder` and its like
/// listen, close, and listen again.
const TRIED_OUT: Duration = Duration::from_secs(1);

/// The index by which a listener's alias is known, where members of a group have theirs.
pub(super) const ALIAS: usize = 0x3fff_ffff;

/// One thing workers listen on.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) id: ListenerId,
    pub(super) share: ListenerKey,
    pub(super) endpoint: Endpoint,
    /// The first asker's, given to all.
    pub(super) data: Box<RawValue>,
    pub(super) options: Options,
    /// Where TCP and UDP are really bound.
    pub(super) address: Option<SocketAddr>,
    /// As JSON.
    pub(super) key: String,
    /// An offer, up to its number.
    pub(super) newconn: Box<[u8]>,
    pub(super) holders: Vec<Holder>,
    /// Slots whose next instance is expected to take it over.
    pub(super) awaited: BTreeSet<WorkerId>,
    /// What its last holder that stopped had besides.
    pub(super) left_by: LastHolder,
    /// The last holder closed it without saying why.
    pub(super) closed: Option<Closed>,
    opened: Moment,
    traffic: Traffic,
    /// Accepted, and refused or lost by a worker.
    pub(super) waiting: VecDeque<OwnedFd>,
    pub(super) sockets: Group,
    pub(super) file: Option<SocketFile>,
    pub(super) origin: BoundBy,
    pub(super) kept: Kept,
    /// A second socket whose connections are dealt out, whichever way those of the first go.
    pub(super) alias: Option<AcceptSource>,
    /// Whether it is in line for its connections to be dealt out.
    pub(super) in_line: bool,
}

/// Who has bound what a listener listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BoundBy {
    /// Luster, or a worker in its place.
    Fleet,
    /// Whoever has started luster: there is one socket, whose file and rights are not ours.
    Starter,
}

/// Whether a connection was ever accepted, as far as that is ours to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Traffic {
    None,
    /// Workers have accepted by themselves, or not.
    Unknown,
    Seen,
}

/// What the last holder of a listener that stopped had listened on, ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastHolder {
    HadOthers,
    HadNoOther,
}

/// A listener that nobody holds because its last holder closed it: it means it, or it is about to end, as in
/// `server.close(() => process.exit(1))`. Which one shows within a while.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed {
    pub(super) by: InstanceId,
    /// Until then its end would mean that its slot's next instance is awaited.
    pub(super) until: Moment,
}

/// An instance that listens.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) instance: InstanceId,
    pub(super) manner: Manner,
    pub(super) offer_state: OfferState,
}

/// How a holder took what it was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OfferState {
    Willing,
    /// It refused: full, or closing. Not before `until`.
    RefusalBackoff {
        until: Moment,
        delay: Duration,
    },
}

impl Listener {
    pub(super) fn new(
        id: ListenerId,
        share: ListenerKey,
        data: Box<RawValue>,
        options: Options,
        sockets: Group,
        opened: Moment,
    ) -> Self {
        let key = format!("\"{}\"", id.0);
        Self {
            id,
            endpoint: share.endpoint(),
            share,
            data,
            options,
            address: sockets.first_socket().and_then(|socket| address_of(socket)),
            newconn: reply::newconn_head(&key),
            key,
            holders: Vec::new(),
            awaited: BTreeSet::new(),
            left_by: LastHolder::HadOthers,
            closed: None,
            opened,
            traffic: Traffic::None,
            waiting: VecDeque::new(),
            sockets,
            file: None,
            origin: BoundBy::Fleet,
            kept: Kept::Nothing,
            alias: None,
            in_line: false,
        }
    }

    pub(super) fn is_held_by(&self, instance: InstanceId) -> bool {
        self.holders.iter().any(|holder| holder.instance == instance)
    }

    pub(super) fn holder_mut(&mut self, instance: InstanceId) -> Option<&mut Holder> {
        self.holders.iter_mut().find(|holder| holder.instance == instance)
    }

    /// Whether a worker that says it listens on `share` means this one. Port 0 has become a real one by then.
    pub(super) fn is_meant_by(&self, share: &ListenerKey, index: u64) -> bool {
        if *share == self.share {
            return true;
        }
        let mut asked = share.place.clone();
        match &mut asked {
            BindAddress::Tcp { port, .. }
            | BindAddress::TcpAnywhere { port, .. }
            | BindAddress::Udp { port, .. } => {
                if self.address.is_none_or(|address| address.port() != *port) {
                    return false;
                }
                *port = 0;
            }
            BindAddress::Path(_) | BindAddress::Abstract(_) | BindAddress::Inherited { .. } => return false,
        }
        self.share == ListenerKey::of(asked, index)
    }

    /// An instance listens, in this manner.
    pub(super) fn hold(&mut self, instance: InstanceId, slot: WorkerId, manner: Manner) {
        self.holders.push(Holder::new(instance, manner));
        self.awaited.remove(&slot);
        self.closed = None;
        match (manner, self.traffic) {
            (Manner::Dealt, _) => {}
            (Manner::Handed | Manner::Grouped | Manner::Passed | Manner::PassedOwn, Traffic::None) => {
                self.traffic = Traffic::Unknown
            }
            (
                Manner::Handed | Manner::Grouped | Manner::Passed | Manner::PassedOwn,
                Traffic::Unknown | Traffic::Seen,
            ) => {}
        }
    }

    /// Takes the next connection from the kernel.
    pub(super) fn accept(&mut self) -> Accepted {
        let accepted = match (self.sockets.accept(), &mut self.alias) {
            (Accepted::Dry, Some(alias)) => alias.accept(),
            (Accepted::Dry, None) => Accepted::Dry,
            (accepted @ (Accepted::Connection(_) | Accepted::Starved), _) => accepted,
        };
        if matches!(accepted, Accepted::Connection(_)) {
            self.traffic = Traffic::Seen;
        }
        accepted
    }

    /// Whether there may be clients who count on it. Where somebody has only looked whether a port is free there are
    /// none, and of a random port none can know.
    pub(super) fn may_have_clients(&self, now: Moment) -> bool {
        let used = match self.traffic {
            Traffic::None => false,
            Traffic::Unknown => now.since(self.opened) >= TRIED_OUT,
            Traffic::Seen => true,
        };
        self.share.index.is_none() && (used || self.has_pending())
    }

    /// Whether something has arrived that nobody has taken.
    fn has_pending(&self) -> bool {
        let sockets = self.sockets.sockets().chain(self.alias.iter().map(|alias| &alias.socket));
        let mut polled: Vec<_> =
            sockets.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Whether it keeps `place` from being bound.
    pub(super) fn occupies(&self, place: &BindAddress) -> bool {
        let has_port = |port: u16| port != 0 && self.address.is_some_and(|address| address.port() == port);
        match (place, &self.share.place) {
            (
                BindAddress::Tcp { port, .. } | BindAddress::TcpAnywhere { port, .. },
                BindAddress::Tcp { .. } | BindAddress::TcpAnywhere { .. },
            )
            | (BindAddress::Udp { port, .. }, BindAddress::Udp { .. }) => has_port(*port),
            (BindAddress::Path(path), BindAddress::Path(_)) => {
                self.file.as_ref().is_some_and(|file| file.is_at(path))
            }
            (BindAddress::Abstract(name), BindAddress::Abstract(ours)) => name == ours,
            (
                BindAddress::Tcp { .. }
                | BindAddress::TcpAnywhere { .. }
                | BindAddress::Udp { .. }
                | BindAddress::Path(_)
                | BindAddress::Abstract(_)
                | BindAddress::Inherited { .. },
                _,
            ) => false,
        }
    }

    /// Notes that one of its sockets may have connections.
    pub(super) fn open_source(&mut self, index: usize) {
        let source = match index {
            ALIAS => self.alias.as_mut(),
            index => self.sockets.source_mut(index),
        };
        if let Some(source) = source.filter(|source| source.flow == AcceptState::Dry) {
            source.flow = AcceptState::Running;
        }
    }
}

impl Holder {
    pub(super) fn new(instance: InstanceId, manner: Manner) -> Self {
        Self { instance, manner, offer_state: OfferState::Willing }
    }

    /// It is being offered a connection: a shy one gets just that one for now.
    pub(super) fn offered(&mut self, now: Moment) {
        if let OfferState::RefusalBackoff { until, delay } = &mut self.offer_state {
            *until = now.after(*delay);
        }
    }

    pub(super) fn accepted(&mut self) {
        self.offer_state = OfferState::Willing;
    }

    pub(super) fn refused(&mut self, now: Moment) {
        let delay = match self.offer_state {
            OfferState::Willing => REFUSAL_BACKOFF_FIRST,
            OfferState::RefusalBackoff { delay, .. } => (delay * 2).min(REFUSAL_BACKOFF_MOST),
        };
        self.offer_state = OfferState::RefusalBackoff { until: now.after(delay), delay };
    }
}
