//! Listening sockets for programs, which have no channel to ask for them by: each gets its socket when it is started.
//!
//! A program holds its listener as a worker of Node's does, so what is true of listeners - who is awaited, when they close, what
//! becomes of connections that wait - is true for both, also where one takes over from the other.
//!
//! Invariants: a program that is not ready gets no connection that another one could have; what it is passed is not accepted
//! from by us as long as a program has it.

use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use serde_json::json;
use serde_json::value::RawValue;

use crate::core::{Endpoint, InstanceId, ListenAddress, Moment, WorkerId};
use crate::listen::{self, BindAddress, Families, Options, Owner, Reuse, SocketAccess};
use crate::node::cluster::listener::{Holder, Listener};
use crate::node::cluster::listener_key::ListenerKey;
use crate::node::cluster::manner::Manner;
use crate::node::cluster::news::Obstacle;
use crate::node::cluster::query::{DEFAULT_BACKLOG, Target};
use crate::node::cluster::{Cluster, listener_id::ListenerId};

/// Where a program is to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassAddress {
    /// A TCP port, at all addresses.
    Port(u16),
    /// An absolute path.
    Path(String),
    /// A name without a file.
    Name(String),
}

/// A socket for a program.
#[derive(Debug)]
pub struct PassedSocket {
    /// It.
    pub socket: OwnedFd,
    /// What it is.
    pub endpoint: Endpoint,
    /// The same in Node's words.
    pub address: ListenAddress,
}

/// Why there is none.
#[derive(Debug)]
pub struct NotPassed {
    /// What was to be listened on.
    pub endpoint: Endpoint,
    /// Why not.
    pub error: io::Error,
    /// What is in the way.
    pub obstacle: Obstacle,
}

impl Cluster {
    /// Begins with an instance that is a program: it listens where it is passed something. Ended by [`Cluster::detach`].
    pub fn attach_program(&mut self, slot: WorkerId, instance: InstanceId) -> io::Result<()> {
        let (ours, theirs) = Self::channel_pair()?;
        self.attach(slot, instance, ours)?;
        if let Some(worker) = self.workers.get_mut(&instance) {
            // Nobody is at its other end; it is kept open, so that nobody leaves it.
            worker.silent = Some(theirs);
        }
        Ok(())
    }

    /// The socket that an attached program is to be started with.
    ///
    /// # Errors
    /// It cannot be had; nothing of it is left.
    pub fn pass(
        &mut self,
        instance: InstanceId,
        address: &PassAddress,
        now: Moment,
    ) -> Result<PassedSocket, NotPassed> {
        let place = address.place();
        let share = ListenerKey::of(place.clone(), 0);
        let endpoint = share.endpoint();
        let options =
            Options { backlog: DEFAULT_BACKLOG, reuse: Reuse::No, mode: 0, access: SocketAccess::default() };
        let target = Target { share, index: 0, options };
        let joined = self.join(instance, target, RawValue::NULL, now);
        match joined.and_then(|id| self.duplicate_for(instance, id)) {
            Ok(socket) => Ok(PassedSocket { socket, endpoint, address: address.in_words() }),
            Err(errno) => {
                let obstacle = self.obstacle(instance, &place, errno);
                Err(NotPassed { endpoint, error: errno.into(), obstacle })
            }
        }
    }

    fn duplicate_for(&self, instance: InstanceId, id: ListenerId) -> Result<OwnedFd, Errno> {
        let listener = self.listeners.get(&id).ok_or(Errno::EINVAL)?;
        let slot = self.workers.get(&instance).ok_or(Errno::ESRCH)?.slot;
        let holder =
            listener.holders.iter().find(|holder| holder.instance == instance).ok_or(Errno::ESRCH)?;
        let owner = holder.manner.owner(slot);
        let socket = listener.sockets.socket_of(owner).ok_or(Errno::EINVAL)?;
        let others = |other: &Holder| {
            let slot = self.workers.get(&other.instance).map(|worker| worker.slot);
            other.instance != instance && slot.is_some_and(|slot| other.manner.owner(slot) == owner)
        };
        // Whoever has it already has made it what it needs.
        if !listener.holders.iter().any(others) {
            listen::prepare_to_pass(socket)?;
        }
        socket.try_clone().map_err(|_| Errno::EMFILE)
    }

    /// How connections get to this instance where it listens on that. A program goes on with the socket that Node's workers
    /// have left, if they have: clients wait there.
    pub(super) fn manner(&self, instance: InstanceId, share: &ListenerKey) -> Manner {
        let manner = Manner::of(self.balance, &share.place);
        let Some(worker) = self.workers.get(&instance).filter(|worker| worker.is_program()) else {
            return manner;
        };
        let passed = manner.passed(&share.place);
        let Some(listener) = self.listeners.values().find(|listener| listener.share == *share) else {
            return passed;
        };
        let (ours, nodes) = match passed {
            Manner::Passed => (Owner::Programs, Manner::Handed),
            Manner::PassedOwn => (Owner::ProgramsOf(worker.slot), Manner::Grouped),
            Manner::Dealt | Manner::Handed | Manner::Grouped => return passed,
        };
        let left = nodes.owner(worker.slot);
        let is_left = listener.sockets.socket_of(ours).is_none()
            && listener.sockets.socket_of(left).is_some()
            && !self.is_held_by_node(listener, Some(left));
        if is_left { nodes } else { passed }
    }

    /// Whether a worker of Node's has this socket of a listener, or any.
    fn is_held_by_node(&self, listener: &Listener, owner: Option<Owner>) -> bool {
        listener.holders.iter().any(|holder| {
            let node = self.workers.get(&holder.instance).filter(|worker| !worker.is_program());
            node.is_some_and(|node| owner.is_none_or(|owner| holder.manner.owner(node.slot) == owner))
        })
    }

    /// Whether connections that are ours to accept could not be given to anybody: all who serve are programs.
    pub(super) fn is_all_programs(&self, listener: &Listener) -> bool {
        !listener.holders.is_empty() && !self.is_held_by_node(listener, None)
    }

    /// Whether a program has a socket of this listener that has no other: then it is the programs'.
    pub(super) fn is_left_to_programs(&self, listener: &Listener) -> bool {
        listener.holders.iter().any(|holder| {
            let is_program = self.workers.get(&holder.instance).is_some_and(|worker| worker.is_program());
            is_program && holder.manner == Manner::Handed
        })
    }
}

impl PassAddress {
    /// What a worker is told to listen on, seen from this folder; nothing if that is nothing.
    #[must_use]
    pub fn of(port: &str, folder: &std::path::Path) -> Option<Self> {
        match port.parse::<u16>() {
            Ok(0) => None,
            Ok(port) => Some(Self::Port(port)),
            Err(_) => match port.split_once('\0') {
                Some((_, name)) => Some(Self::Name(name.to_owned())),
                None => folder.join(port).to_str().map(|path| Self::Path(path.to_owned())),
            },
        }
    }

    fn place(&self) -> BindAddress {
        match self {
            Self::Port(port) => BindAddress::TcpAnywhere { port: *port, families: Families::Both },
            Self::Path(path) => BindAddress::Path(path.clone()),
            Self::Name(name) => BindAddress::Abstract(name.clone()),
        }
    }

    fn in_words(&self) -> ListenAddress {
        let address = match self {
            Self::Port(port) => json!({"addressType": 4, "address": null, "port": port}),
            Self::Path(path) => json!({"addressType": -1, "address": path, "port": -1}),
            Self::Name(name) => json!({"addressType": -1, "address": format!("\0{name}"), "port": -1}),
        };
        ListenAddress::new(&address.to_string())
    }
}
