//! Listening sockets that the service manager keeps while luster is not there, and those found again at the next start.
//!
//! Invariants: a listener is kept as a whole or not at all; what was not told is not counted on; at the end of luster what is kept
//! goes on to wait for clients, with its file, and everything else is closed; what is closed for good refuses clients at once,
//! whenever the manager gets to closing its copy.

use crate::core::Endpoint;
use crate::listen;
use crate::node::cluster::Cluster;
use crate::node::cluster::listener::{BoundBy, Listener};
use crate::node::cluster::listener_id::ListenerId;
use crate::node::cluster::store::{Kept, SocketStore};

impl Cluster {
    /// Has its listeners kept there.
    pub fn use_store(&mut self, store: SocketStore) {
        self.store = store;
    }

    /// The end of luster: closes every listener but those that the manager keeps, and answers with these. Workers that ask from
    /// now on get no answer.
    pub fn close_all_but_kept(&mut self) -> Vec<Endpoint> {
        let mut endpoints = Vec::new();
        for listener in self.listeners.values_mut() {
            match &listener.kept {
                Kept::Sockets { names, next: _ } if self.store.has(names) => {
                    endpoints.push(listener.endpoint.clone());
                    listener.kept = Kept::Never;
                    listener.file = None;
                }
                Kept::Sockets { .. } | Kept::Nothing | Kept::Never => {}
            }
        }
        self.close_all();
        endpoints
    }

    /// A listener's sockets have come to be, or become more: has them kept.
    pub(super) fn keep_sockets(&mut self, id: ListenerId) {
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        let is_ours = listener.origin == BoundBy::Fleet && listen::can_be_stored(&listener.share.place);
        if !is_ours || !self.store.exists() {
            return;
        }
        let (mut names, mut next) = match std::mem::take(&mut listener.kept) {
            Kept::Nothing => (Vec::new(), 0),
            Kept::Sockets { names, next } => (names, next),
            Kept::Never => return listener.kept = Kept::Never,
        };
        for socket in listener.sockets.sockets().skip(names.len()).cloned() {
            match self.store.keep(&listener.share.place, next, listener.file.as_ref(), socket) {
                Some((name, number)) => {
                    names.push(name);
                    next = number + 1;
                }
                None => {
                    // Half a group would take half of its clients with it.
                    self.store.forget(names);
                    self.store.tell_no_room(listener.endpoint.clone());
                    listener.kept = Kept::Never;
                    return;
                }
            }
        }
        listener.kept = Kept::Sockets { names, next };
    }

    /// A listener is closed for good.
    pub(super) fn forget_sockets(&self, listener: &mut Listener) {
        let names = listener.kept.take_names();
        if !names.is_empty() {
            listener.sockets.sockets().for_each(|socket| listen::refuse_clients(socket));
        }
        self.store.forget(names);
    }
}
