//! Who holds a listener, who is awaited for it, and when it closes.
//!
//! Invariants: a listener closes when nobody holds it and nobody is awaited, and not before; one that its last holder
//! closed by itself closes a while later, because that holder may be about to end.

use std::time::Duration;

use crate::cluster::listener::{Closed, Listener, ListenerId, Way};
use crate::cluster::worker::Stage;
use crate::cluster::{Cluster, News};
use crate::supervisor::{Life, Moment, WorkerId};

/// How long a listener that its last holder closed is kept, in case that holder ends: long enough to finish ordinary
/// requests before `process.exit()`, short enough for clients of a port that is closed for good.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

impl Cluster {
    /// A worker closed one of its servers.
    pub(super) fn server_closed(&mut self, life: Life, key: &str, now: Moment, news: &mut Vec<News>) {
        let Some(id) = key.parse().ok().map(ListenerId) else { return };
        let Some(listener) = self.listeners.get(&id).filter(|listener| listener.is_held_by(life)) else {
            return;
        };
        news.push(News::Closed { life, endpoint: listener.endpoint.clone() });
        match self.workers.get(&life).is_some_and(|worker| worker.is_stopping()) {
            true => self.pass_on(life, id),
            false => self.close_for_now(life, id, now),
        }
    }

    /// A life that is not stopping has closed a listener. If it was the last to hold it, what it meant by that is not
    /// clear yet; clients wait meanwhile.
    fn close_for_now(&mut self, life: Life, id: ListenerId, now: Moment) {
        self.let_go(life, id);
        let last = |listener: &&mut Listener| listener.holders.is_empty() && listener.awaited.is_empty();
        if let Some(listener) = self.listeners.get_mut(&id).filter(last) {
            let until = now.after(CLOSE_GRACE);
            listener.closed = Some(Closed { by: life, until });
            self.alarm.set(until);
        }
        self.rebalance(id);
    }

    /// A life that closed listeners is ending: its slot's next one is awaited for them.
    pub(super) fn explain_closed(&mut self, life: Life) {
        let Some(slot) = self.workers.get(&life).map(|worker| worker.slot) else { return };
        for listener in self.listeners.values_mut() {
            if listener.closed.take_if(|closed| closed.by == life).is_some() {
                listener.awaited.insert(slot);
            }
        }
    }

    /// Closes for good what was closed long enough ago.
    pub(super) fn close_overdue(&mut self, now: Moment) {
        for id in self.listeners.keys().copied().collect::<Vec<_>>() {
            let Some(listener) = self.listeners.get_mut(&id) else { continue };
            match listener.closed {
                Some(Closed { until, .. }) if until <= now => {
                    listener.closed = None;
                    self.close_if_unwanted(id);
                }
                Some(Closed { until, .. }) => self.alarm.set(until),
                None => {}
            }
        }
    }

    /// A life will hold nothing any more: its slot's next one is awaited.
    pub(super) fn release(&mut self, life: Life) {
        self.explain_closed(life);
        self.reclaim_offers(life);
        let held = self.listeners.values().filter(|listener| listener.is_held_by(life));
        for id in held.map(|listener| listener.id).collect::<Vec<_>>() {
            self.pass_on(life, id);
        }
    }

    /// A life holds a listener no more, and its slot wants it no more.
    pub(super) fn give_up(&mut self, life: Life, id: ListenerId) {
        self.let_go(life, id);
        self.rebalance(id);
        self.close_if_unwanted(id);
    }

    /// A slot's next life is not awaited any more.
    pub(super) fn drop_claims(&mut self, slot: WorkerId) {
        for id in self.listeners.keys().copied().collect::<Vec<_>>() {
            if self.listeners.get_mut(&id).is_some_and(|listener| listener.awaited.remove(&slot)) {
                self.close_if_unwanted(id);
            }
        }
    }

    /// Closes a listener, and with it the connections that wait for a worker.
    pub(super) fn close_listener(&mut self, id: ListenerId) {
        let Some(listener) = self.listeners.remove(&id) else { return };
        for holder in &listener.holders {
            if let Some(worker) = self.workers.get_mut(&holder.life) {
                worker.held = worker.held.saturating_sub(1);
            }
        }
        match &listener.way {
            Way::Dealt(tap) => self.unwatch(&tap.socket),
            Way::Handed(_) => {}
            Way::Grouped(group) => group.open_taps().for_each(|socket| self.unwatch(socket)),
        }
        if let Some(alias) = &listener.alias {
            self.unwatch(&alias.socket);
        }
        if let Some(file) = listener.file {
            file.remove();
        }
        self.descriptors_freed();
    }

    /// A life holds a listener no more; its slot's next life does, unless one is there that had its chance.
    fn pass_on(&mut self, life: Life, id: ListenerId) {
        let Some(slot) = self.let_go(life, id) else { return };
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        let mut others = self.workers.iter().filter(|(other, worker)| **other != life && worker.slot == slot);
        let settled = others.any(|(other, worker)| {
            let took_over = *other > life && worker.stage == Stage::Ready;
            worker.is_heard() && (listener.is_held_by(*other) || took_over)
        });
        if !settled {
            listener.awaited.insert(slot);
        }
        self.rebalance(id);
        self.close_if_unwanted(id);
    }

    fn let_go(&mut self, life: Life, id: ListenerId) -> Option<WorkerId> {
        let worker = self.workers.get_mut(&life)?;
        let listener = self.listeners.get_mut(&id)?;
        listener.holders.retain(|holder| holder.life != life);
        worker.held = worker.held.saturating_sub(1);
        Some(worker.slot)
    }

    pub(super) fn close_if_unwanted(&mut self, id: ListenerId) {
        let unwanted = |listener: &Listener| {
            listener.holders.is_empty() && listener.awaited.is_empty() && listener.closed.is_none()
        };
        if self.listeners.get(&id).is_some_and(unwanted) {
            self.close_listener(id);
        }
    }
}
