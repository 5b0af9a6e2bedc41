//! Who serves a socket of a listener, by those who hold the listener.
//!
//! Invariant: pure; holders that are dealt connections have no socket, so theirs is ours to accept from.

use std::collections::BTreeMap;

use crate::core::InstanceId;
use crate::listen::{Membership, Owner};
use crate::node::cluster::listener::Holder;
use crate::node::cluster::manner::Manner;
use crate::node::cluster::worker::{ServingState, Worker};

/// What a listener's socket is to its group.
pub(super) fn membership(
    owner: Owner,
    holders: &[Holder],
    workers: &BTreeMap<InstanceId, Worker>,
) -> Membership {
    let instances = || {
        holders.iter().filter_map(|holder| Some((holder.manner, workers.get(&holder.instance)?))).filter(
            |(manner, worker)| match (owner, manner) {
                (Owner::Common, Manner::Dealt | Manner::Handed) => true,
                (Owner::Slot(slot), Manner::Grouped) => worker.slot == slot,
                (Owner::Common, Manner::Grouped) | (Owner::Slot(_), Manner::Dealt | Manner::Handed) => false,
            },
        )
    };
    let serving = instances().filter(|(_, worker)| worker.serving_state == ServingState::Serving).count();
    if instances().any(|(manner, _)| manner == Manner::Dealt) {
        Membership::Dealt(serving)
    } else if serving > 0 {
        Membership::Serving(serving)
    } else if instances().next().is_some() {
        Membership::Draining
    } else {
        Membership::Orphaned
    }
}
