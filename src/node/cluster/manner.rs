//! How a holder of a listener gets its connections.
//!
//! Invariant: a holder keeps the manner it has begun in; holders of one listener may differ in it after a change of the
//! balance, and then each gets its share.

use crate::core::WorkerId;
use crate::listen::{BindAddress, Owner, Transport};
use crate::node::cluster::Balance;

/// How connections get to a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// We accept, and deal them out.
    Dealt,
    /// It has the socket that others have, too.
    Handed,
    /// It has its slot's own socket.
    Grouped,
    /// It is a program, and has the socket that other programs have, too.
    Passed,
    /// It is a program, and has its slot's own socket.
    PassedOwn,
}

impl Manner {
    pub(super) fn of(balance: Balance, place: &BindAddress) -> Self {
        match (place, balance) {
            // Datagrams cannot be accepted.
            (BindAddress::Udp { .. } | BindAddress::Inherited { transport: Transport::Datagram, .. }, _)
            | (_, Balance::Shared) => Self::Handed,
            (_, Balance::RoundRobin) => Self::Dealt,
            (BindAddress::Tcp { .. } | BindAddress::TcpAnywhere { .. }, Balance::Reuseport) => Self::Grouped,
            // A path cannot be bound twice, nor what others have bound.
            (
                BindAddress::Path(_) | BindAddress::Abstract(_) | BindAddress::Inherited { .. },
                Balance::Reuseport,
            ) => Self::Handed,
        }
    }

    /// The same for a program, which is dealt nothing, and shares no socket with Node where there can be another one.
    pub(super) fn passed(self, place: &BindAddress) -> Self {
        match (place, self) {
            (BindAddress::Tcp { .. } | BindAddress::TcpAnywhere { .. }, Self::Grouped | Self::PassedOwn) => {
                Self::PassedOwn
            }
            (
                BindAddress::Tcp { .. } | BindAddress::TcpAnywhere { .. },
                Self::Dealt | Self::Handed | Self::Passed,
            ) => Self::Passed,
            (
                BindAddress::Udp { .. }
                | BindAddress::Path(_)
                | BindAddress::Abstract(_)
                | BindAddress::Inherited { .. },
                _,
            ) => Self::Handed,
        }
    }

    /// The same where there can be only one socket.
    pub(super) const fn alone(self) -> Self {
        match self {
            Self::Grouped | Self::Passed | Self::PassedOwn => Self::Handed,
            Self::Dealt | Self::Handed => self,
        }
    }

    /// Whose socket it is by which a holder in this slot is served.
    pub(super) fn owner(self, slot: WorkerId) -> Owner {
        match self {
            Self::Dealt | Self::Handed => Owner::Common,
            Self::Grouped => Owner::Slot(slot),
            Self::Passed => Owner::Programs,
            Self::PassedOwn => Owner::ProgramsOf(slot),
        }
    }
}
