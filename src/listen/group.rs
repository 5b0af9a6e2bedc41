//! The sockets of a port that the kernel spreads connections over: one per slot, and the program that chooses.
//!
//! Invariants: a member is never closed before the group, so its index (the order of `listen`) never changes; a
//! connection is given only to members whose slot serves, as long as there is one; those left behind in the queue of
//! a member nobody has any more are ours to accept.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::libc;

use crate::core::WorkerId;
use crate::listen::accept::{AcceptSource, AcceptState, Accepted};
use crate::listen::sys;

/// A reuseport group.
#[derive(Debug)]
pub(crate) struct Group {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    slot: WorkerId,
    source: AcceptSource,
}

/// What a slot is to its group at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Membership {
    /// An instance of it takes new connections.
    Serving,
    /// An instance of it still has the socket, and empties its queue.
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
    pub(crate) fn new(slot: WorkerId, socket: OwnedFd) -> Self {
        let mut group = Self { members: Vec::new() };
        group.add(slot, socket);
        group
    }

    /// Adds a slot's socket, already listening.
    pub(crate) fn add(&mut self, slot: WorkerId, socket: OwnedFd) {
        self.members.push(Member { slot, source: AcceptSource::new(Arc::new(socket), AcceptState::Shut) });
    }

    pub(crate) fn first_socket(&self) -> Option<&Arc<OwnedFd>> {
        self.members.first().map(|member| &member.source.socket)
    }

    pub(crate) fn sockets(&self) -> impl Iterator<Item = &Arc<OwnedFd>> {
        self.members.iter().map(|member| &member.source.socket)
    }

    pub(crate) fn socket_of(&self, slot: WorkerId) -> Option<&Arc<OwnedFd>> {
        self.members.iter().find(|member| member.slot == slot).map(|member| &member.source.socket)
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

    /// Makes the kernel choose among those that serve, and returns which sockets we start and stop accepting from.
    ///
    /// With none serving the choice stays as it was: connections wait in some member's queue for its next instance, or for
    /// any other, whichever is first.
    pub(crate) fn rebalance(&mut self, membership: impl Fn(WorkerId) -> Membership) -> Vec<SourceChange> {
        let standings: Vec<Membership> = self.members.iter().map(|member| membership(member.slot)).collect();
        let serving: Vec<u32> = (0..)
            .zip(&standings)
            .filter(|(_, serving_state)| **serving_state == Membership::Serving)
            .map(|(index, _)| index)
            .collect();
        if let (false, Some(first)) = (serving.is_empty(), self.first_socket()) {
            // Without the program the kernel's hash spreads over all members; none is lost, for we empty the orphans.
            let _ = sys::attach_chooser(first.as_fd(), &chooser(&serving));
        }
        let mut changes = Vec::new();
        for (index, (member, serving_state)) in self.members.iter_mut().zip(standings).enumerate() {
            let ours = serving_state == Membership::Orphaned && !serving.is_empty();
            let socket = Arc::clone(&member.source.socket);
            match (member.source.flow, ours) {
                (AcceptState::Shut, true) => {
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

/// A classic BPF program that returns one of the `choices` at random.
fn chooser(choices: &[u32]) -> Vec<libc::sock_filter> {
    let choices = &choices[..choices.len().min(MAX_CHOICES)];
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let random = (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM) as u32;
    let count = choices.len() as u32;
    let mut program = vec![
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, random),
        step(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, 0, 0, count.max(1)),
    ];
    for (nth, choice) in (0..).zip(choices) {
        program.push(step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, nth));
        program.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, *choice));
    }
    // Never reached: the remainder is one of them.
    program.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, choices.first().copied().unwrap_or(0)));
    program
}
