//! The sockets of one place: the one that all share, or one per slot with the kernel spreading connections over them, and
//! the program that chooses; both while workers change from one to the other.
//!
//! Invariants: a member is never closed before the group, so its index (the order of `listen`) never changes; a
//! connection is given only to members that somebody serves, as long as there is one; those left behind in the queue of
//! a member nobody has any more are ours to accept.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

use crate::core::WorkerId;
use crate::listen::accept::{AcceptSource, AcceptState, Accepted};
use crate::listen::passing;
use crate::listen::sys::{self, instruction};

/// The sockets of one place; more than one are a reuseport group.
#[derive(Debug)]
pub(crate) struct Group {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    owner: Owner,
    source: AcceptSource,
}

/// Whose a socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// That of all who have none of their own.
    Common,
    Slot(WorkerId),
    /// It was found at the start, and nobody has claimed it yet.
    Unclaimed,
    /// That of all programs, which others may not share: what one does to a descriptor happens to whoever shares it.
    Programs,
    /// That of a slot's programs.
    ProgramsOf(WorkerId),
}

/// What a member is to its group at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Membership {
    /// So many instances have the socket and take new connections.
    Serving(usize),
    /// We accept from it; so many instances take new connections.
    Dealt(usize),
    /// Instances still have the socket, and empty its queue.
    Draining,
    /// Nobody has the socket but us.
    Orphaned,
}

/// A change of what we accept from.
#[derive(Debug)]
pub(crate) enum SourceChange {
    Open { index: usize, socket: Arc<OwnedFd> },
    Shut { socket: Arc<OwnedFd> },
}

impl Group {
    /// With its first socket, already listening.
    pub(crate) fn new(owner: Owner, source: AcceptSource) -> Self {
        Self { members: vec![Member { owner, source }] }
    }

    /// Adds a socket, already listening.
    pub(crate) fn add(&mut self, owner: Owner, socket: OwnedFd) {
        self.members.push(Member { owner, source: AcceptSource::new(Arc::new(socket), AcceptState::Shut) });
    }

    /// Gives a socket that nobody has claimed to this owner, if there is one.
    pub(crate) fn claim(&mut self, owner: Owner) -> Option<&Arc<OwnedFd>> {
        let member = self.members.iter_mut().find(|member| member.owner == Owner::Unclaimed)?;
        member.owner = owner;
        Some(&member.source.socket)
    }

    pub(crate) fn first_socket(&self) -> Option<&Arc<OwnedFd>> {
        self.members.first().map(|member| &member.source.socket)
    }

    /// Lets others be bound beside its sockets. The kernel takes what listens into a group as soon as another joins it.
    pub(crate) fn open_up(&self) -> Result<(), Errno> {
        self.sockets().try_for_each(|socket| setsockopt(socket, sockopt::ReusePort, &true))
    }

    pub(crate) fn sockets(&self) -> impl Iterator<Item = &Arc<OwnedFd>> {
        self.members.iter().map(|member| &member.source.socket)
    }

    pub(crate) fn socket_of(&self, owner: Owner) -> Option<&Arc<OwnedFd>> {
        self.members.iter().find(|member| member.owner == owner).map(|member| &member.source.socket)
    }

    pub(crate) fn owners(&self) -> impl Iterator<Item = Owner> {
        self.members.iter().map(|member| member.owner)
    }

    pub(crate) fn source_mut(&mut self, index: usize) -> Option<&mut AcceptSource> {
        self.members.get_mut(index).map(|member| &mut member.source)
    }

    /// Accepts from whichever member is ours to accept from.
    pub(crate) fn accept(&mut self) -> Accepted {
        for member in &mut self.members {
            match member.source.accept() {
                Accepted::Dry => {}
                accepted @ (Accepted::Connection(_) | Accepted::Starved) => return accepted,
            }
        }
        Accepted::Dry
    }

    /// Makes the kernel choose among those that serve, each by how many instances do, and returns which sockets we start and
    /// stop accepting from.
    ///
    /// With none serving the choice stays as it was: connections wait in some member's queue for its next instance, or for
    /// any other, whichever is first.
    pub(crate) fn rebalance(&mut self, membership: impl Fn(Owner) -> Membership) -> Vec<SourceChange> {
        let standings: Vec<Membership> = self.members.iter().map(|member| membership(member.owner)).collect();
        let choices = choices(&standings);
        if self.members.len() > 1
            && let (false, Some(first)) = (choices.is_empty(), self.first_socket())
        {
            // Without the program the kernel's hash spreads over all members; none is lost, for we empty the orphans.
            let _ = sys::attach_chooser(first.as_fd(), &chooser(&choices));
        }
        let mut changes = Vec::new();
        for (index, (member, standing)) in self.members.iter_mut().zip(standings).enumerate() {
            let ours = match standing {
                Membership::Dealt(_) => true,
                Membership::Orphaned => !choices.is_empty(),
                Membership::Serving(_) | Membership::Draining => false,
            };
            let socket = Arc::clone(&member.source.socket);
            match (member.source.flow, ours) {
                (AcceptState::Shut, true) => {
                    let _ = passing::take_back(&socket);
                    member.source.flow = AcceptState::Running;
                    changes.push(SourceChange::Open { index, socket });
                }
                (AcceptState::Dry | AcceptState::Running, false) => {
                    member.source.flow = AcceptState::Shut;
                    changes.push(SourceChange::Shut { socket });
                }
                (AcceptState::Shut, false) | (AcceptState::Dry | AcceptState::Running, true) => {}
            }
        }
        changes
    }

    /// Takes no further connection, and answers with those that wait: nobody else is to take them, and it is to be closed.
    pub(crate) fn take_last(&mut self) -> Vec<OwnedFd> {
        let mut last = Vec::new();
        for member in &mut self.members {
            // Without the filter one that comes between the last look and the end is reset.
            let _ = sys::drop_requests(member.source.socket.as_fd());
            let _ = passing::take_back(&member.source.socket);
            member.source.flow = AcceptState::Running;
            while let Accepted::Connection(connection) = member.source.accept() {
                last.push(connection);
            }
            // As it is watched, whatever it was.
            member.source.flow = AcceptState::Dry;
        }
        last
    }

    /// The sockets we accept from.
    pub(crate) fn open_sources(&self) -> impl Iterator<Item = &Arc<OwnedFd>> {
        self.members
            .iter()
            .filter(|member| member.source.flow != AcceptState::Shut)
            .map(|member| &member.source.socket)
    }
}

/// More members than this would not fit in a program; the rest then get nothing from it.
const MAX_CHOICES: usize = 2000;

/// The members that serve, each as often as instances serve there.
fn choices(standings: &[Membership]) -> Vec<u32> {
    let weight = |standing: &Membership| match standing {
        Membership::Serving(instances) | Membership::Dealt(instances) => *instances,
        Membership::Draining | Membership::Orphaned => 0,
    };
    // One that very many share leaves room for the others.
    let weights = (0..).zip(standings.iter().map(|standing| weight(standing).min(MAX_CHOICES / 2)));
    weights.flat_map(|(index, weight)| std::iter::repeat_n(index, weight)).collect()
}

/// A classic BPF program that returns one of the `choices` at random.
fn chooser(choices: &[u32]) -> Vec<libc::sock_filter> {
    let choices = &choices[..choices.len().min(MAX_CHOICES)];
    let random = (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM) as u32;
    let count = choices.len() as u32;
    let mut program = vec![
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, random),
        instruction(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, 0, 0, count.max(1)),
    ];
    for (nth, choice) in (0..).zip(choices) {
        program.push(instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, nth));
        program.push(instruction(libc::BPF_RET | libc::BPF_K, 0, 0, *choice));
    }
    // Never reached: the remainder is one of them.
    program.push(instruction(libc::BPF_RET | libc::BPF_K, 0, 0, choices.first().copied().unwrap_or(0)));
    program
}
