//! Who listens on what: requests to listen, and the sockets they open or share.
//!
//! Invariants: every request is answered exactly once, unless the asker was told to go; an instance holds a listener once;
//! what becomes of a listener whose holders go is in `listener_lifetime`.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use serde_json::value::RawValue;

use crate::core::{InstanceId, Moment, WorkerId};
use crate::listen::{
    self, AcceptSource, AcceptState, BindAddress, BoundSocket, FoundListener, Group, Membership, Options,
    Owner, Sharing, SourceChange, Transport,
};
use crate::node::cluster::listener::{ALIAS, BoundBy, Listener};
use crate::node::cluster::listener_id::ListenerId;
use crate::node::cluster::manner::Manner;
use crate::node::cluster::news::Obstacle;
use crate::node::cluster::query::{ListenRequest, Refusal, Target};
use crate::node::cluster::reply::{self, Granted};
use crate::node::cluster::room::ListenPolicy;
use crate::node::cluster::standing::memberships;
use crate::node::cluster::store::Kept;
use crate::node::cluster::token::Token;
use crate::node::cluster::worker::{DisconnectHandshake, PendingAck};
use crate::node::cluster::{Cluster, News};
use crate::node::ipc::{Attachment, Descriptor};

impl Cluster {
    /// A worker wants to listen.
    pub(super) fn asked(
        &mut self,
        instance: InstanceId,
        ask: ListenRequest,
        now: Moment,
        news: &mut Vec<News>,
    ) {
        let Some(worker) = self.workers.get(&instance) else { return };
        // Node's primary drops the requests of those it has told to go, too.
        if worker.handshake == DisconnectHandshake::Ours || self.listen_policy == ListenPolicy::Closed {
            return;
        }
        let Some(ask) = self.wait_for_binding(instance, ask, news) else { return };
        let joined = match &ask.target {
            Ok(target) => self.join(instance, target.clone(), &ask.data, now),
            Err(refusal) => Err(refusal.errno),
        };
        match joined {
            Ok(id) => self.grant(instance, id, ask.seq, now),
            Err(errno) => {
                if let Some(ask) = self.have_it_bound(instance, ask, errno, now, news) {
                    self.refuse(instance, ask, errno, now, news);
                }
            }
        }
        self.after_io(instance);
    }

    /// Answers a request that cannot be met.
    pub(super) fn refuse(
        &mut self,
        instance: InstanceId,
        ask: ListenRequest,
        errno: Errno,
        now: Moment,
        news: &mut Vec<News>,
    ) {
        let Some(worker) = self.workers.get_mut(&instance) else { return };
        worker.peer.post(reply::refused(&ask.seq, &ask.data, errno), None, now);
        let (endpoint, obstacle) = match ask.target {
            Ok(Target { share, .. }) => {
                (Some(share.endpoint()), self.obstacle(instance, &share.place, errno))
            }
            Err(Refusal { endpoint, .. }) => (endpoint, Obstacle::Unknown),
        };
        if let Some(endpoint) = endpoint {
            news.push(News::BindFailed { instance, endpoint, error: errno.into(), obstacle });
        }
        self.after_io(instance);
    }

    /// What is in the way of a request that was refused, as far as we know.
    pub(super) fn obstacle(&self, instance: InstanceId, place: &BindAddress, errno: Errno) -> Obstacle {
        match (errno, place) {
            (Errno::EADDRINUSE, _) => {
                let ours = self.listeners.values().find(|listener| {
                    listener.occupies(place)
                        || (listener.share.place == *place && listener.is_held_by(instance))
                });
                match (ours, place.site()) {
                    (Some(listener), _) if listener.is_held_by(instance) => {
                        Obstacle::Itself(listener.endpoint.clone())
                    }
                    (Some(listener), _) => Obstacle::Fleet(listener.endpoint.clone()),
                    (None, Some(site)) => Obstacle::Somebody(site),
                    (None, None) => Obstacle::Unknown,
                }
            }
            (Errno::EINVAL, BindAddress::Inherited { .. }) => {
                Obstacle::NotInherited(self.inherited.numbers())
            }
            (_, _) => Obstacle::Unknown,
        }
    }

    /// Recomputes who serves, for all listeners an instance holds.
    pub(super) fn rebalance_held_by(&mut self, instance: InstanceId) {
        let held = self.listeners.values().filter(|listener| listener.is_held_by(instance));
        for id in held.map(|listener| listener.id).collect::<Vec<_>>() {
            self.rebalance(id);
        }
    }

    /// Makes an instance a holder of what it asked for.
    pub(super) fn join(
        &mut self,
        instance: InstanceId,
        target: Target,
        data: &RawValue,
        now: Moment,
    ) -> Result<ListenerId, Errno> {
        let worker = self.workers.get(&instance).ok_or(Errno::ESRCH)?;
        let (slot, held) = (worker.slot, worker.held);
        if held >= self.most_listeners {
            return Err(Errno::EMFILE);
        }
        let known = self.listeners.values().find(|listener| listener.share == target.share);
        let id = match known {
            // A second server of one worker's on one port: it would be so outside of a cluster, too.
            Some(listener) if listener.is_held_by(instance) => return Err(Errno::EADDRINUSE),
            Some(listener) => listener.id,
            None => match self.open(instance, slot, target.clone(), data, now) {
                Err(Errno::EADDRINUSE) if self.makes_way(slot, &target.share.place) => {
                    self.open(instance, slot, target.clone(), data, now)?
                }
                outcome => outcome?,
            },
        };
        let manner = self.manner(instance, &target.share);
        let manner = match self.take_part((slot, manner), id, &target) {
            Ok(manner) => manner,
            Err(errno) => {
                self.close_if_unwanted(id);
                return Err(errno);
            }
        };
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.hold(instance, slot, manner);
        }
        if let Some(worker) = self.workers.get_mut(&instance) {
            worker.held += 1;
            worker.most_held = worker.most_held.max(worker.held);
        }
        self.rebalance(id);
        self.line_up_listener(id);
        Ok(id)
    }

    /// Sees to it that a slot has its part in an open listener, as connections are shared now.
    fn take_part(
        &mut self,
        (slot, manner): (WorkerId, Manner),
        id: ListenerId,
        target: &Target,
    ) -> Result<Manner, Errno> {
        let listener = self.listeners.get_mut(&id).ok_or(Errno::ESRCH)?;
        let manner = match listener.origin {
            BoundBy::Starter => manner.alone(),
            BoundBy::Fleet => manner,
        };
        match (&listener.share.place, listener.origin) {
            (BindAddress::Path(path), BoundBy::Fleet) => listen::widen_access(path, target.options.mode)?,
            (_, BoundBy::Fleet | BoundBy::Starter) => {}
        }
        let owner = manner.owner(slot);
        let sockets = &mut listener.sockets;
        if sockets.socket_of(owner).is_some() || sockets.claim(owner).is_some() {
            return Ok(manner);
        }
        sockets.open_up()?;
        let first = sockets.first_socket().ok_or(Errno::EINVAL)?;
        match listen::open_beside(first, &listener.share.place, listener.options) {
            Ok(socket) => {
                sockets.add(owner, socket);
                self.keep_sockets(id);
                Ok(manner)
            }
            // A worker has bound the one there is, and we may not bind another.
            Err(Errno::EACCES | Errno::EPERM) if sockets.socket_of(Owner::Common).is_some() => {
                Ok(Manner::Handed)
            }
            Err(errno) => Err(errno),
        }
    }

    fn open(
        &mut self,
        instance: InstanceId,
        slot: WorkerId,
        target: Target,
        data: &RawValue,
        now: Moment,
    ) -> Result<ListenerId, Errno> {
        if self.listeners.len() >= self.most_listeners {
            return Err(Errno::EMFILE);
        }
        let manner = self.manner(instance, &target.share);
        let sharing = match manner {
            Manner::Dealt | Manner::Handed | Manner::Passed => Sharing::Alone,
            Manner::Grouped | Manner::PassedOwn => Sharing::Group,
        };
        let given = match target.share.place {
            BindAddress::Inherited { number, transport } => Some(self.inherited.open(number, transport)),
            _ => self.inherited.bound_at(&target.share.place),
        };
        if let Some(given) = given {
            let bound = BoundSocket::without_file(given?);
            let id = self.install(slot, target, data, (manner.alone(), bound), now)?;
            if let Some(listener) = self.listeners.get_mut(&id) {
                listener.origin = BoundBy::Starter;
            }
            return Ok(id);
        }
        let options = Options { access: self.access, ..target.options };
        if let Some(found) = self.store.take(&target.share.place, options) {
            return self.install_found(slot, target, data, (manner, found), now);
        }
        let bound = match listen::open(&target.share.place, options, sharing) {
            Err(Errno::EADDRINUSE) if self.store.makes_way(&target.share.place) => {
                listen::open(&target.share.place, options, sharing)?
            }
            outcome => outcome?,
        };
        let id = self.install(slot, target, data, (manner, bound), now)?;
        self.keep_sockets(id);
        Ok(id)
    }

    /// Goes on with what a former luster has left, all of which is bound at one place.
    fn install_found(
        &mut self,
        slot: WorkerId,
        target: Target,
        data: &RawValue,
        (manner, found): (Manner, FoundListener),
        now: Moment,
    ) -> Result<ListenerId, Errno> {
        let mut sockets = found.sockets.into_iter();
        let first = sockets.next().ok_or(Errno::EINVAL)?;
        let bound = BoundSocket { socket: first, file: found.file, alias: None };
        let id = self.install(slot, target, data, (manner, bound), now)?;
        if let Some(listener) = self.listeners.get_mut(&id) {
            sockets.for_each(|socket| listener.sockets.add(Owner::Unclaimed, socket));
            listener.kept = Kept::found(found.names, found.next);
        }
        Ok(id)
    }

    /// Takes a socket that exists already, and that there is only one of.
    pub(super) fn install_alone(
        &mut self,
        slot: WorkerId,
        target: Target,
        data: &RawValue,
        bound: BoundSocket,
        now: Moment,
    ) -> Result<ListenerId, Errno> {
        let manner = Manner::of(self.balance, &target.share.place).alone();
        self.install(slot, target, data, (manner, bound), now)
    }

    fn install(
        &mut self,
        slot: WorkerId,
        target: Target,
        data: &RawValue,
        (manner, bound): (Manner, BoundSocket),
        now: Moment,
    ) -> Result<ListenerId, Errno> {
        let BoundSocket { socket, file, alias } = bound;
        let id = ListenerId(self.next_listener);
        let flow = match manner {
            Manner::Dealt => {
                self.watch(&socket, id, 0)?;
                AcceptState::Dry
            }
            Manner::Handed | Manner::Grouped | Manner::Passed | Manner::PassedOwn => AcceptState::Shut,
        };
        let sockets = Group::new(manner.owner(slot), AcceptSource::new(Arc::new(socket), flow));
        self.next_listener += 1;
        let mut listener = Listener::new(id, target.share, data.to_owned(), target.options, sockets, now);
        listener.file = file;
        if let Some(alias) = alias {
            self.watch(&alias, id, ALIAS)?;
            listener.alias = Some(AcceptSource::new(Arc::new(alias), AcceptState::Dry));
        }
        self.listeners.insert(id, listener);
        Ok(id)
    }

    /// Answers a request with its listener.
    fn grant(&mut self, instance: InstanceId, id: ListenerId, seq: Box<RawValue>, now: Moment) {
        let (Some(worker), Some(listener)) = (self.workers.get_mut(&instance), self.listeners.get(&id))
        else {
            return;
        };
        let granted = Granted { seq: &seq, key: &listener.key, data: &listener.data };
        let holder = listener.holders.iter().find(|holder| holder.instance == instance);
        let socket = match holder.map(|holder| holder.manner) {
            Some(Manner::Dealt) | None => {
                return worker.peer.post(granted.dealt(listener.address), None, now);
            }
            Some(manner @ (Manner::Handed | Manner::Grouped | Manner::Passed | Manner::PassedOwn)) => {
                listener.sockets.socket_of(manner.owner(worker.slot))
            }
        };
        let kind = match listener.share.place {
            BindAddress::Udp { .. } | BindAddress::Inherited { transport: Transport::Datagram, .. } => {
                "dgram.Native"
            }
            BindAddress::Tcp { .. }
            | BindAddress::TcpAnywhere { .. }
            | BindAddress::Path(_)
            | BindAddress::Abstract(_)
            | BindAddress::Inherited { transport: Transport::Stream, .. } => "net.Native",
        };
        let bytes = granted.handed(kind);
        let attachment = socket.map(|socket| Attachment {
            descriptor: Descriptor::Shared(Arc::clone(socket)),
            pending_ack: PendingAck::Listener { id, seq: seq.clone() },
        });
        worker.peer.post(bytes, attachment, now);
    }

    /// Recomputes which of a listener's sockets serve, drain, or are left to us.
    pub(super) fn rebalance(&mut self, id: ListenerId) {
        let known = self.listeners.get(&id);
        let is_programs = known.is_some_and(|listener| self.is_left_to_programs(listener));
        let is_undealt = known.is_some_and(|listener| self.is_all_programs(listener));
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        let memberships = memberships(&listener.holders, &self.workers);
        let (awaited, sockets) = (&listener.awaited, &mut listener.sockets);
        let emptied =
            sockets.owners().filter(|owner| is_emptied(awaited, sockets, *owner)).collect::<Vec<_>>();
        let membership = |owner| match memberships.get(&owner).copied().unwrap_or(Membership::Orphaned) {
            Membership::Dealt(instances) if is_programs => Membership::Serving(instances),
            // Its next program empties it.
            Membership::Orphaned if is_undealt && emptied.contains(&owner) => Membership::Draining,
            membership => membership,
        };
        let changes = sockets.rebalance(membership);
        for change in changes {
            match change {
                SourceChange::Open { index, socket } => {
                    // Should it not be watched, its queue is still emptied once, now.
                    let _ = self.watch(&socket, id, index);
                }
                SourceChange::Shut { socket } => self.unwatch(&socket),
            }
        }
        self.line_up_listener(id);
    }

    fn watch(&self, socket: &OwnedFd, id: ListenerId, index: usize) -> Result<(), Errno> {
        let edge = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        self.epoll.add(socket.as_fd(), EpollEvent::new(edge, Token::AcceptSource(id, index).into()))
    }

    pub(super) fn unwatch(&self, socket: &OwnedFd) {
        // It fails only for what is not watched.
        let _ = self.epoll.delete(socket.as_fd());
    }
}

/// Whether the next program of a slot is expected to go on with this socket: with one of Node's only if there is no other.
fn is_emptied(awaited: &BTreeSet<WorkerId>, sockets: &Group, owner: Owner) -> bool {
    match owner {
        Owner::Programs | Owner::Unclaimed => !awaited.is_empty(),
        Owner::Common => !awaited.is_empty() && sockets.socket_of(Owner::Programs).is_none(),
        Owner::ProgramsOf(slot) => awaited.contains(&slot),
        Owner::Slot(slot) => awaited.contains(&slot) && sockets.socket_of(Owner::ProgramsOf(slot)).is_none(),
    }
}
