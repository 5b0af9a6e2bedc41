//! Who holds a listener, who is awaited for it, and when it closes.
//!
//! Invariants: a listener closes when nobody holds it and nobody is awaited, and not before; one that its last holder
//! closed by itself, and that clients may count on, closes when that holder is seen to live on, because it may be about
//! to end; whatever is only kept, or waits for nobody but the asker itself, makes way at once for what is asked for.

use std::time::Duration;

use crate::core::{Closing, InstanceId, Moment, WorkerId};
use crate::listen::BindAddress;
use crate::node::cluster::listener::{Closed, Listener};
use crate::node::cluster::listener_id::ListenerId;
use crate::node::cluster::worker::{TakeoverStage, Worker};
use crate::node::cluster::{Cluster, News};

/// How long a listener that its last holder closed is kept at most, in case that holder ends: long enough to finish
/// ordinary requests before `process.exit()`, short enough for clients of a port that is closed for good. Usually it is
/// far shorter: the holder says when the last connection has ended and it goes on all the same.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// How many listeners that it has closed are kept for one instance.
const MOST_KEPT: usize = 64;

impl Cluster {
    /// A worker closed one of its servers.
    pub(super) fn server_closed(
        &mut self,
        instance: InstanceId,
        key: &str,
        now: Moment,
        news: &mut Vec<News>,
    ) {
        let Some(id) = key.parse().ok().map(ListenerId) else { return };
        let Some(listener) = self.listeners.get(&id).filter(|listener| listener.is_held_by(instance)) else {
            return;
        };
        let endpoint = listener.endpoint.clone();
        let closing = if self.workers.get(&instance).is_some_and(Worker::is_stopping) {
            self.pass_on(instance, id);
            Closing::Perhaps
        } else {
            self.close_for_now(instance, id, now)
        };
        news.push(News::Closed { instance, endpoint, closing });
    }

    /// An instance that is not stopping has closed a listener. If it was the last to hold it and there are clients, what it
    /// meant by that is not clear yet; they wait meanwhile.
    fn close_for_now(&mut self, instance: InstanceId, id: ListenerId, now: Moment) -> Closing {
        self.let_go(instance, id);
        let last = |listener: &&mut Listener| listener.holders.is_empty() && listener.awaited.is_empty();
        if let Some(listener) = self.listeners.get_mut(&id).filter(last) {
            if !listener.may_have_clients(now) {
                self.close_listener(id);
                return Closing::ForGood;
            }
            let until = now.after(CLOSE_GRACE);
            listener.closed = Some(Closed { by: instance, until });
            self.wake_timer.set(until);
        }
        self.rebalance(id);
        self.keep_few(instance);
        Closing::Perhaps
    }

    /// Of those closed by an instance only the latest are kept.
    fn keep_few(&mut self, instance: InstanceId) {
        let kept: Vec<_> = self.kept_of(instance).collect();
        for id in &kept[..kept.len().saturating_sub(MOST_KEPT)] {
            self.close_listener(*id);
        }
    }

    /// An instance has closed servers, their connections have ended, and it goes on: it meant it.
    pub fn lives_on(&mut self, instance: InstanceId) {
        for id in self.kept_of(instance).collect::<Vec<_>>() {
            self.close_listener(id);
        }
    }

    fn kept_of(&self, instance: InstanceId) -> impl Iterator<Item = ListenerId> {
        let kept = move |listener: &&Listener| listener.closed.is_some_and(|closed| closed.by == instance);
        self.listeners.values().filter(kept).map(|listener| listener.id)
    }

    /// Closes what nobody serves where a slot wants to listen: what is only kept, and what waits for that very slot,
    /// which has come and wants something else. Says whether there was any.
    pub(super) fn makes_way(&mut self, slot: WorkerId, place: &BindAddress) -> bool {
        let idle = |listener: &&Listener| {
            listener.holders.is_empty() && listener.awaited.iter().all(|awaited| *awaited == slot)
        };
        let in_the_way = self.listeners.values().filter(idle).filter(|listener| listener.occupies(place));
        let in_the_way: Vec<_> = in_the_way.map(|listener| listener.id).collect();
        in_the_way.iter().for_each(|id| self.close_listener(*id));
        !in_the_way.is_empty()
    }

    /// An instance that closed listeners is ending: its slot's next one is awaited for them.
    pub(super) fn explain_closed(&mut self, instance: InstanceId) {
        let Some(slot) = self.workers.get(&instance).map(|worker| worker.slot) else { return };
        for listener in self.listeners.values_mut() {
            if listener.closed.take_if(|closed| closed.by == instance).is_some() {
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
                Some(Closed { until, .. }) => self.wake_timer.set(until),
                None => {}
            }
        }
    }

    /// An instance will hold nothing any more: its slot's next one is awaited.
    pub(super) fn release(&mut self, instance: InstanceId) {
        self.explain_closed(instance);
        self.reclaim_offers(instance);
        let held = self.listeners.values().filter(|listener| listener.is_held_by(instance));
        for id in held.map(|listener| listener.id).collect::<Vec<_>>() {
            self.pass_on(instance, id);
        }
        if let Some(slot) = self.workers.get(&instance).map(|worker| worker.slot) {
            self.await_few(slot);
        }
    }

    /// A slot that never comes up, and listens elsewhere each time, is awaited only for the latest.
    fn await_few(&mut self, slot: WorkerId) {
        let awaited = self.listeners.values().filter(|listener| listener.awaited.contains(&slot));
        let awaited: Vec<_> = awaited.map(|listener| listener.id).collect();
        for id in &awaited[..awaited.len().saturating_sub(self.most_listeners)] {
            if let Some(listener) = self.listeners.get_mut(id) {
                listener.awaited.remove(&slot);
            }
            self.close_if_unwanted(*id);
        }
    }

    /// An instance holds a listener no more, and its slot wants it no more.
    pub(super) fn give_up(&mut self, instance: InstanceId, id: ListenerId) {
        self.let_go(instance, id);
        self.rebalance(id);
        self.close_if_unwanted(id);
    }

    /// A slot's next instance is not awaited any more.
    pub(super) fn drop_claims(&mut self, slot: WorkerId) {
        for id in self.listeners.keys().copied().collect::<Vec<_>>() {
            if self.listeners.get_mut(&id).is_some_and(|listener| listener.awaited.remove(&slot)) {
                self.close_left(id);
            }
        }
    }

    /// Closes a listener, and with it the connections that wait for a worker.
    pub(super) fn close_listener(&mut self, id: ListenerId) {
        let Some(mut listener) = self.listeners.remove(&id) else { return };
        self.forget_sockets(&mut listener);
        for holder in &listener.holders {
            if let Some(worker) = self.workers.get_mut(&holder.instance) {
                worker.held = worker.held.saturating_sub(1);
            }
        }
        listener.sockets.open_sources().for_each(|socket| self.unwatch(socket));
        if let Some(alias) = &listener.alias {
            self.unwatch(&alias.socket);
        }
        if let Some(file) = listener.file {
            file.remove();
        }
        self.descriptors_freed();
    }

    /// An instance holds a listener no more; its slot's next instance does, unless one is there that had its chance.
    fn pass_on(&mut self, instance: InstanceId, id: ListenerId) {
        self.note_last_holder(instance, id);
        let Some(slot) = self.let_go(instance, id) else { return };
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        let mut others =
            self.workers.iter().filter(|(other, worker)| **other != instance && worker.slot == slot);
        let settled = others.any(|(other, worker)| {
            let took_over = *other > instance && worker.stage == TakeoverStage::Ready;
            worker.is_heard() && (listener.is_held_by(*other) || took_over)
        });
        if !settled {
            listener.awaited.insert(slot);
        }
        self.rebalance(id);
        self.close_left(id);
    }

    fn let_go(&mut self, instance: InstanceId, id: ListenerId) -> Option<WorkerId> {
        let worker = self.workers.get_mut(&instance)?;
        let listener = self.listeners.get_mut(&id)?;
        listener.holders.retain(|holder| holder.instance != instance);
        worker.held = worker.held.saturating_sub(1);
        Some(worker.slot)
    }

    pub(super) fn close_if_unwanted(&mut self, id: ListenerId) {
        if self.is_unwanted(id) {
            self.close_listener(id);
        }
    }

    pub(super) fn is_unwanted(&self, id: ListenerId) -> bool {
        let unwanted = |listener: &Listener| {
            listener.holders.is_empty() && listener.awaited.is_empty() && listener.closed.is_none()
        };
        self.listeners.get(&id).is_some_and(unwanted)
    }
}
