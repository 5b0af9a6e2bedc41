//! The room's one object, and what its owner may ask of it.
//!
//! Invariants: every descriptor of the room is owned here; an instance is known from `attach` to `detach`, and nothing is
//! said of it outside of that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{Resource, getrlimit};
use serde::Serialize;

use crate::core::{Endpoint, InstanceId, Moment, WorkerId};
use crate::listen::{Inherited, SocketAccess};
use crate::node::cluster::bind_request::Binding;
use crate::node::cluster::listener::Listener;
use crate::node::cluster::listener_id::ListenerId;
use crate::node::cluster::news::{Balance, News};
use crate::node::cluster::reply;
use crate::node::cluster::store::SocketStore;
use crate::node::cluster::token::Token;
use crate::node::cluster::wake_timer::WakeTimer;
use crate::node::cluster::worker::{DisconnectHandshake, PendingAck, ServingState, TakeoverStage, Worker};
use crate::node::ipc::{self, MAX_FRAME, Peer, Progress, SendOutcome, UserHandle};

/// How much may wait for a worker to read it before it is sent no more of the application's messages, in bytes.
pub(crate) const MESSAGES_LIMIT: usize = 32 << 20;

/// The parent's side of Node's cluster: all channels, all listeners.
///
/// Its owner watches [`Cluster::as_fd`], calls [`Cluster::process`] when that is readable or after
/// [`Progress::More`], and [`Cluster::wake`] at [`Cluster::next_wake`]. All calls return at once.
#[derive(Debug)]
pub struct Cluster {
    pub(super) balance: Balance,
    /// What the configuration says.
    configured: Balance,
    pub(super) access: SocketAccess,
    pub(super) epoll: Epoll,
    /// Rung by handles of workers' sockets when they are closed.
    pub(super) close_notify: Arc<EventFd>,
    pub(super) workers: BTreeMap<InstanceId, Worker>,
    pub(super) listeners: BTreeMap<ListenerId, Listener>,
    /// Workers to read, each at most once.
    pub(super) to_read: VecDeque<InstanceId>,
    /// Listeners that may have connections to deal out, each at most once.
    pub(super) to_balance: VecDeque<ListenerId>,
    pub(super) wake_timer: WakeTimer,
    /// No descriptors were left; until then, or until one of ours is closed, nothing is accepted.
    pub(super) starved: Option<Moment>,
    /// How many offers were made.
    pub(super) offers_made: u64,
    pub(super) next_listener: u32,
    pub(super) listen_policy: ListenPolicy,
    pub(super) inherited: Inherited,
    pub(super) store: SocketStore,
    /// What workers are binding for us.
    pub(super) bindings: Vec<Binding>,
    pub(super) next_binding: u32,
    /// How many listeners there may be, and how many one instance may hold.
    pub(super) most_listeners: usize,
}

/// Whether workers may still listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListenPolicy {
    Open,
    Closed,
}

impl Cluster {
    /// A cluster without workers.
    pub fn new(balance: Balance) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let close_notify = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let edge = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        epoll.add(close_notify.as_fd(), EpollEvent::new(edge, Token::CloseNotify.into()))?;
        Ok(Self {
            balance,
            configured: balance,
            access: SocketAccess::default(),
            epoll,
            close_notify,
            workers: BTreeMap::new(),
            listeners: BTreeMap::new(),
            to_read: VecDeque::new(),
            to_balance: VecDeque::new(),
            wake_timer: WakeTimer::default(),
            starved: None,
            offers_made: 0,
            next_listener: 0,
            listen_policy: ListenPolicy::Open,
            inherited: Inherited::default(),
            store: SocketStore::default(),
            bindings: Vec::new(),
            next_binding: 0,
            most_listeners: most_listeners(),
        })
    }

    /// Shares connections this way from now on, with those who begin to listen; those who listen already go on as they have
    /// begun, on the same places.
    pub fn share_by(&mut self, balance: Balance) {
        self.balance = balance;
    }

    /// Shares connections as the configuration says. What others have said holds until it says something else than before.
    pub fn share_as_configured(&mut self, balance: Balance) {
        if std::mem::replace(&mut self.configured, balance) != balance {
            self.share_by(balance);
        }
    }

    /// Makes the files of unix sockets this way from now on, and those that there are; answers with those it fails for.
    #[must_use]
    pub fn give_access(&mut self, access: SocketAccess) -> Vec<(Endpoint, io::Error)> {
        if std::mem::replace(&mut self.access, access) == access {
            return Vec::new();
        }
        let give = |listener: &Listener| {
            let given = listener.file.as_ref()?.give_access(access, listener.options.mode);
            given.err().map(|errno| (listener.endpoint.clone(), errno.into()))
        };
        self.listeners.values().filter_map(give).collect()
    }

    /// Lets workers listen on these sockets, which luster was started with, by their numbers.
    pub fn lend(&mut self, sockets: BTreeMap<RawFd, OwnedFd>) {
        self.inherited = Inherited::new(sockets);
    }

    /// What is listened on, and which slots' instances do.
    #[must_use]
    pub fn endpoints(&self) -> Vec<(Endpoint, BTreeSet<WorkerId>)> {
        let slot = |instance: &InstanceId| self.workers.get(instance).map(|worker| worker.slot);
        let holders = |listener: &Listener| {
            listener.holders.iter().filter_map(|holder| slot(&holder.instance)).collect::<BTreeSet<_>>()
        };
        let all = self.listeners.values().map(|listener| (listener.endpoint.clone(), holders(listener)));
        all.filter(|(_, workers)| !workers.is_empty()).collect()
    }

    /// Readable when [`Cluster::process`] has something to do.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    /// A channel for a worker to be: our end, for [`Cluster::attach`], and the end the worker inherits, which still
    /// closes on exec and is to be put in place with `dup2`.
    pub fn channel_pair() -> io::Result<(OwnedFd, OwnedFd)> {
        ipc::pair()
    }

    /// Begins to speak with an instance of a slot. Two instances of one slot may be attached at once.
    pub fn attach(&mut self, slot: WorkerId, instance: InstanceId, channel: OwnedFd) -> io::Result<()> {
        let (token, close_notify) = (Token::Channel(instance).into(), Arc::clone(&self.close_notify));
        let peer = Peer::attach(channel, &self.epoll, token, MAX_FRAME, close_notify)?;
        self.workers.insert(instance, Worker::new(slot, peer));
        Ok(())
    }

    /// Does the I/O that is ready, within bounds, and appends what happened.
    pub fn process(&mut self, now: Moment, news: &mut Vec<News>) -> Progress {
        let gathered = self.gather(now);
        let pumped = self.pump(now, news);
        if gathered == Progress::More { gathered } else { pumped }
    }

    /// When [`Cluster::wake`] is to be called; `None` as long as nothing waits for time to pass.
    #[must_use]
    pub fn next_wake(&self) -> Option<Moment> {
        self.wake_timer.at()
    }

    /// Does what the time has come for. Waking too early is harmless.
    pub fn wake(&mut self, now: Moment, news: &mut Vec<News>) -> Progress {
        if self.wake_timer.take_due(now).is_some() {
            self.rouse(now);
            self.end_overdue_bindings(now, news);
        }
        self.pump(now, news)
    }

    /// Sends a message of the application's, unless so much waits for the worker to read it that nothing more is taken.
    /// Before a worker's own code listens for messages they are lost in it.
    pub fn send(
        &mut self,
        instance: InstanceId,
        message: &impl Serialize,
        handle: Option<UserHandle>,
        now: Moment,
    ) -> SendOutcome {
        self.send_within(MESSAGES_LIMIT, instance, message, handle, now)
    }

    /// Sends a short message that must not be lost; for what is sent once in an instance.
    pub fn send_surely(
        &mut self,
        instance: InstanceId,
        message: &impl Serialize,
        now: Moment,
    ) -> SendOutcome {
        self.send_within(usize::MAX, instance, message, None, now)
    }

    fn send_within(
        &mut self,
        limit: usize,
        instance: InstanceId,
        message: &impl Serialize,
        handle: Option<UserHandle>,
        now: Moment,
    ) -> SendOutcome {
        let Some(worker) = self.workers.get_mut(&instance).filter(|worker| worker.is_heard()) else {
            return SendOutcome::Unreachable;
        };
        let handle = handle.map(|handle| (handle, PendingAck::User));
        let outcome = worker.peer.send(message, handle, limit, now);
        self.after_io(instance);
        outcome
    }

    /// An instance's end begins: what it closes from now on waits for the slot's next instance, and it is offered connections
    /// only while nobody else takes them.
    pub fn suspend(&mut self, instance: InstanceId) {
        self.lower(instance, ServingState::Suspending);
    }

    /// An instance is offered no further connection, and what it closes from now on waits for the slot's next instance.
    pub fn drain(&mut self, instance: InstanceId) {
        self.lower(instance, ServingState::Draining);
    }

    /// Tells an instance to close its servers, finish its connections and go. Does nothing the second time, or when it
    /// has announced that it leaves.
    pub fn disconnect(&mut self, instance: InstanceId, now: Moment) {
        self.drain(instance);
        let Some(worker) = self.workers.get_mut(&instance) else { return };
        match (worker.handshake, worker.is_heard()) {
            (DisconnectHandshake::None, true) => {
                worker.handshake = DisconnectHandshake::Ours;
                worker.peer.post(reply::DISCONNECT.to_vec(), None, now);
                self.after_io(instance);
            }
            (DisconnectHandshake::None, false)
            | (DisconnectHandshake::Ours | DisconnectHandshake::Theirs, _) => {}
        }
    }

    /// An instance's process is gone. Connections it had not taken go to other workers; what it listened on waits for the
    /// slot's next instance.
    ///
    /// What it wrote last is lost unless it was heard out.
    pub fn detach(&mut self, instance: InstanceId) {
        self.release(instance);
        self.forget_bindings(instance);
        if let Some(mut worker) = self.workers.remove(&instance) {
            worker.peer.close(&self.epoll);
            self.descriptors_freed();
        }
    }

    /// An instance has taken over what it is going to: its slot's claims on anything else expire.
    pub fn instance_ready(&mut self, instance: InstanceId) {
        let Some(worker) = self.workers.get_mut(&instance) else { return };
        worker.stage = TakeoverStage::Ready;
        let (slot, is_program) = (worker.slot, worker.is_program());
        if is_program {
            // From now on it gets its part.
            self.rebalance_held_by(instance);
        }
        self.drop_claims(slot);
    }

    /// A slot gets no further instance: its claims are dropped.
    pub fn slot_abandoned(&mut self, slot: WorkerId) {
        self.drop_claims(slot);
    }

    /// Closes every listener and removes their socket files. Workers that ask from now on get no answer.
    pub fn close_all(&mut self) {
        self.listen_policy = ListenPolicy::Closed;
        for id in self.listeners.keys().copied().collect::<Vec<_>>() {
            self.close_listener(id);
        }
    }

    fn lower(&mut self, instance: InstanceId, serving_state: ServingState) {
        if let Some(worker) =
            self.workers.get_mut(&instance).filter(|worker| worker.serving_state < serving_state)
        {
            worker.serving_state = serving_state;
            self.explain_closed(instance);
            self.rebalance_held_by(instance);
        }
    }
}

/// Three of four descriptors this process may have: the rest is for channels, for connections on their way and for
/// starting workers.
fn most_listeners() -> usize {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((FEW_DESCRIPTORS, FEW_DESCRIPTORS));
    usize::try_from(soft / 4 * 3).unwrap_or(usize::MAX)
}

/// The usual limit where the kernel does not tell one.
const FEW_DESCRIPTORS: u64 = 1024;
