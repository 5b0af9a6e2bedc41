//! Who serves each socket of a listener, by those who hold the listener.
//!
//! Invariants: pure, in one pass over the holders; holders that are dealt connections have no socket, so theirs is ours to
//! accept from.

use std::collections::BTreeMap;

use crate::core::InstanceId;
use crate::listen::{Membership, Owner};
use crate::node::cluster::listener::Holder;
use crate::node::cluster::manner::Manner;
use crate::node::cluster::worker::Worker;

/// What each of a listener's sockets is to its group; those that are not told of have no holder.
pub(super) fn memberships(
    holders: &[Holder],
    workers: &BTreeMap<InstanceId, Worker>,
) -> BTreeMap<Owner, Membership> {
    let mut memberships = BTreeMap::new();
    for holder in holders {
        let Some(worker) = workers.get(&holder.instance) else { continue };
        let membership = memberships.entry(holder.manner.owner(worker.slot)).or_insert(Membership::Draining);
        let serving = usize::from(worker.takes_new());
        *membership = match (*membership, holder.manner) {
            (Membership::Dealt(others), _) => Membership::Dealt(others + serving),
            (Membership::Serving(others), Manner::Dealt) => Membership::Dealt(others + serving),
            (
                Membership::Serving(others),
                Manner::Handed | Manner::Grouped | Manner::Passed | Manner::PassedOwn,
            ) => Membership::Serving(others + serving),
            (Membership::Draining | Membership::Orphaned, Manner::Dealt) => Membership::Dealt(serving),
            (
                Membership::Draining | Membership::Orphaned,
                Manner::Handed | Manner::Grouped | Manner::Passed | Manner::PassedOwn,
            ) => match serving {
                0 => Membership::Draining,
                serving => Membership::Serving(serving),
            },
        };
    }
    memberships
}
