//! Deals connections out to workers: who gets the next one, and what becomes of one that is refused.
//!
//! Invariants: a connection is accepted only when some worker can be offered it, so the rest wait in the kernel;
//! our copy is closed when a worker has taken it, and a refused or lost one goes first to the next worker, unless
//! somebody may have read from it; nothing here repeats without news from a worker, the kernel or the wake timer.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{Shutdown, shutdown};

use crate::core::{InstanceId, Moment};
use crate::listen::Accepted;
use crate::node::cluster::Cluster;
use crate::node::cluster::listener::{Listener, OfferState};
use crate::node::cluster::listener_id::ListenerId;
use crate::node::cluster::message::Verdict;
use crate::node::cluster::worker::Worker;
use crate::node::ipc::Progress;

/// Connections dealt out in one turn.
const TURN_OFFERS: usize = 256;

/// Without descriptors, accepting is tried again after this, should none of ours be closed before.
const STARVED: Duration = Duration::from_millis(100);

/// How dealing one connection of a listener went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dealt {
    One,
    /// Nobody is waiting.
    Dry,
    /// No worker can take one, or we cannot accept one.
    Stalled,
}

impl Cluster {
    /// Deals out what can be, one connection of each listener in turn.
    pub(super) fn deal(&mut self, now: Moment) -> Progress {
        let mut stalled = Vec::new();
        for _ in 0..TURN_OFFERS {
            let Some(id) = self.to_balance.pop_front() else { break };
            match self.deal_one(id, now) {
                Dealt::One => self.to_balance.push_back(id),
                Dealt::Stalled => stalled.push(id),
                Dealt::Dry => {
                    if let Some(listener) = self.listeners.get_mut(&id) {
                        listener.in_line = false;
                    }
                }
            }
        }
        let progress = if self.to_balance.is_empty() { Progress::Idle } else { Progress::More };
        // They stay in line: whatever frees a worker brings us here.
        self.to_balance.extend(stalled);
        progress
    }

    /// Puts a listener in line for its connections to be dealt out.
    pub(super) fn line_up_listener(&mut self, id: ListenerId) {
        if let Some(listener) = self.listeners.get_mut(&id).filter(|listener| !listener.in_line) {
            listener.in_line = true;
            self.to_balance.push_back(id);
        }
    }

    /// What a worker did with a connection.
    pub(super) fn judged(&mut self, instance: InstanceId, seq: u64, verdict: Verdict, now: Moment) {
        let Some(offer) = self.workers.get_mut(&instance).and_then(|worker| worker.settle(seq)) else {
            return;
        };
        let listener = self.listeners.get_mut(&offer.listener);
        match (verdict, listener) {
            (Verdict::Accepted, listener) => {
                drop(offer.connection);
                if let Some(holder) = listener.and_then(|listener| listener.holder_mut(instance)) {
                    holder.accepted();
                }
                self.descriptors_freed();
            }
            (Verdict::Refused, Some(listener)) => {
                if let Some(holder) = listener.holder_mut(instance) {
                    holder.refused(now);
                }
                listener.waiting.push_front(offer.connection);
                self.line_up_listener(offer.listener);
            }
            (Verdict::Refused, None) => self.descriptors_freed(),
        }
    }

    /// Takes back all connections an instance had not taken. Those it may have taken unheard end with it: another worker
    /// would wait for a request that has been read already, where a client can tell a closed connection.
    pub(super) fn reclaim_offers(&mut self, instance: InstanceId) {
        let Some(worker) = self.workers.get_mut(&instance) else { return };
        if !worker.is_heard_out() {
            for offer in worker.offers.drain(..) {
                // Closing would not do: somebody who inherited its channel keeps what was not taken from there.
                let _ = shutdown(offer.connection.as_raw_fd(), Shutdown::Both);
            }
            return self.descriptors_freed();
        }
        // Newest first, each to the front: the oldest is then the first again.
        while let Some(offer) = worker.offers.pop_back() {
            if let Some(listener) = self.listeners.get_mut(&offer.listener) {
                listener.waiting.push_front(offer.connection);
                if !listener.in_line {
                    listener.in_line = true;
                    self.to_balance.push_back(offer.listener);
                }
            }
        }
    }

    /// Closes what only workers of Node's could be given, of whom none is left, so that clients learn of it now.
    fn turn_away(&mut self, id: ListenerId) -> Dealt {
        let Some(listener) = self.listeners.get_mut(&id) else { return Dealt::Dry };
        listener.waiting.clear();
        match listener.accept() {
            Accepted::Connection(_) => Dealt::One,
            Accepted::Dry | Accepted::Starved => Dealt::Dry,
        }
    }

    /// A descriptor of ours was closed: accepting may go on.
    pub(super) fn descriptors_freed(&mut self) {
        self.starved = None;
    }

    fn deal_one(&mut self, id: ListenerId, now: Moment) -> Dealt {
        if self.listeners.get(&id).is_some_and(|listener| self.is_all_programs(listener)) {
            return self.turn_away(id);
        }
        let Some(listener) = self.listeners.get_mut(&id) else { return Dealt::Dry };
        let Some(chosen) = choose(listener, &self.workers, now) else {
            if let Some(until) = first_shy(listener, now) {
                self.wake_timer.set(until);
            }
            return Dealt::Stalled;
        };
        let connection = match (listener.waiting.pop_front(), self.starved) {
            (Some(connection), _) => connection,
            (None, Some(_)) => return Dealt::Stalled,
            (None, None) => match listener.accept() {
                Accepted::Connection(connection) => connection,
                Accepted::Dry => return Dealt::Dry,
                Accepted::Starved => {
                    let until = now.after(STARVED);
                    self.starved = Some(until);
                    self.wake_timer.set(until);
                    return Dealt::Stalled;
                }
            },
        };
        let instance = listener.holders[chosen].instance;
        let Some(worker) = self.workers.get_mut(&instance) else { return Dealt::Stalled };
        match worker.offer(listener, connection, now) {
            Ok(()) => {
                self.offers_made += 1;
                worker.turn = self.offers_made;
                listener.holders[chosen].offered(now);
            }
            Err(connection) => {
                // Its channel is full or closed, so it is not chosen again until that has changed; another may be.
                listener.waiting.push_front(connection);
                self.after_io(instance);
            }
        }
        Dealt::One
    }
}

/// The holder with the fewest connections on offer; of those, the one that was last offered one the longest ago. One
/// that prepares its end is the last choice.
fn choose(listener: &Listener, workers: &BTreeMap<InstanceId, Worker>, now: Moment) -> Option<usize> {
    let able = listener.holders.iter().enumerate().filter_map(|(index, holder)| {
        let worker = workers.get(&holder.instance)?;
        let willing = match holder.offer_state {
            OfferState::Willing => true,
            OfferState::RefusalBackoff { until, .. } => until <= now,
        };
        (willing && worker.has_capacity(now)).then_some((
            worker.serving_state,
            worker.offers.len(),
            worker.turn,
            index,
        ))
    });
    able.min().map(|(_, _, _, index)| index)
}

/// When the first of those that refused may be asked again.
fn first_shy(listener: &Listener, now: Moment) -> Option<Moment> {
    let shy = listener.holders.iter().filter_map(|holder| match holder.offer_state {
        OfferState::Willing => None,
        OfferState::RefusalBackoff { until, .. } => Some(until).filter(|until| *until > now),
    });
    shy.min()
}
