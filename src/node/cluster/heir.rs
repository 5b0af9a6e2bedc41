//! Connections that wait on a port which is given up because workers listen on another one now: a server of theirs on the
//! new port takes them.
//!
//! Invariants: only what stopping workers leave is inherited, never what a worker has closed by itself; workers had that one
//! port and have that other one, at the same address, so that nobody is let in who could not have come in there.

use crate::core::{InstanceId, Moment};
use crate::listen::BindAddress;
use crate::node::cluster::Cluster;
use crate::node::cluster::listener::{LastHolder, Listener};
use crate::node::cluster::listener_id::ListenerId;
use crate::node::cluster::worker::{ServingState, Worker};

impl Cluster {
    /// Closes a listener that nobody wants any more since workers have stopped; who waits there is served elsewhere.
    pub(super) fn close_left(&mut self, id: ListenerId) {
        if !self.is_unwanted(id) {
            return;
        }
        if let Some(heir) = self.heir_of(id)
            && let Some(listener) = self.listeners.get_mut(&id)
        {
            let accepted = std::mem::take(&mut listener.waiting);
            let last = listener.sockets.take_last();
            if let Some(heir) = self.listeners.get_mut(&heir) {
                heir.waiting.extend(accepted.into_iter().chain(last));
            }
            self.line_up_listener(heir);
            // Nothing else may happen that has them dealt out.
            self.wake_timer.set(Moment(0));
        }
        self.close_listener(id);
    }

    /// A stopping instance leaves this listener; whether it has been its only one.
    pub(super) fn note_last_holder(&mut self, instance: InstanceId, id: ListenerId) {
        let sole = self.workers.get(&instance).is_some_and(|worker| worker.most_held == 1);
        let had = if sole { LastHolder::HadNoOther } else { LastHolder::HadOthers };
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.left_by = had;
        }
    }

    fn heir_of(&self, id: ListenerId) -> Option<ListenerId> {
        let left = self.listeners.get(&id).filter(|listener| listener.left_by == LastHolder::HadNoOther)?;
        let serves = |instance: &InstanceId| {
            let worker = self.workers.get(instance);
            // A program cannot be dealt what others have left.
            let takes = |it: &Worker| !it.is_program() && it.serving_state == ServingState::Serving;
            worker.is_some_and(|it| it.most_held == 1 && takes(it))
        };
        let is_heir = |listener: &&Listener| {
            is_moved(&left.share.place, &listener.share.place)
                && listener.holders.iter().any(|holder| serves(&holder.instance))
        };
        self.listeners.values().rfind(is_heir).map(|heir| heir.id)
    }
}

/// Whether one place is the other but for its port.
fn is_moved(from: &BindAddress, to: &BindAddress) -> bool {
    match (from, to) {
        (
            BindAddress::Tcp { host, port, families },
            BindAddress::Tcp { host: other, port: moved, families: as_well },
        ) => host == other && families == as_well && port != moved,
        (
            BindAddress::TcpAnywhere { port, families },
            BindAddress::TcpAnywhere { port: moved, families: as_well },
        ) => families == as_well && port != moved,
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
