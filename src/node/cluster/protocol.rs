//! What each of a worker's messages leads to.
//!
//! Invariants: a descriptor that arrived is answered at once and exactly once, whatever comes of it; an answer the
//! worker does not owe changes nothing.

use std::os::fd::AsFd;

use nix::errno::Errno;
use serde_json::value::RawValue;

use crate::core::{InstanceId, Moment};
use crate::node::cluster::listener_id::ListenerId;
use crate::node::cluster::message::{self, Message, Verdict};
use crate::node::cluster::query::ListenRequest;
use crate::node::cluster::worker::{DisconnectHandshake, PendingAck, ServingState};
use crate::node::cluster::{Cluster, News, reply};
use crate::node::ipc::{self, Incoming, UserHandle, Wrapper};

/// A worker that loses this many connections in a row on the way cannot receive descriptors.
const REFUSING: u32 = 8;

impl Cluster {
    /// Hears one line of a worker's.
    pub(super) fn hear(&mut self, instance: InstanceId, line: &[u8], now: Moment, news: &mut Vec<News>) {
        // Of the two messages that come with every connection this is one; the other is the first `Incoming` looks for.
        if let Some(seq) = message::accepted(line) {
            return self.verdict(instance, seq, Verdict::Accepted, now);
        }
        let incoming = match Incoming::parse(line) {
            Ok(incoming) => incoming,
            Err(reason) => return self.break_off(instance, reason, news),
        };
        match incoming {
            Incoming::Ack => self.acked(instance, now),
            Incoming::Nack => self.nacked(instance, now, news),
            Incoming::Handle(wrapper) => self.handle_arrived(instance, &wrapper, now, news),
            Incoming::CountSockets { key } => self.count_sockets(instance, key, now),
            Incoming::AwaitSockets { key } => self.await_sockets(instance, key, now),
            Incoming::Cluster(raw) => self.hear_of_cluster(instance, raw, now, news),
            Incoming::Foreign => {}
            Incoming::User(raw) => news.push(News::Said { instance, message: raw.to_owned(), handle: None }),
        }
    }

    fn hear_of_cluster(&mut self, instance: InstanceId, raw: &RawValue, now: Moment, news: &mut Vec<News>) {
        let Some(message) = Message::read(raw) else { return };
        match message {
            Message::Verdict { seq, verdict } => self.verdict(instance, seq, verdict, now),
            Message::Online => news.push(News::Online { instance }),
            Message::Query(ask) => self.asked(instance, *ask, now, news),
            Message::Listening(ask, address) => self.listening(instance, &ask, address, news),
            Message::Close { key } => self.server_closed(instance, &key, now, news),
            Message::Leaving { seq } => self.leaving(instance, seq, now, news),
        }
    }

    fn verdict(&mut self, instance: InstanceId, seq: u64, verdict: Verdict, now: Moment) {
        self.acked_by_verdict(instance, seq, now);
        self.judged(instance, seq, verdict, now);
    }

    /// Tells a worker which of the sockets it waits for are closed now.
    pub(super) fn answer_closed_sockets(&mut self, instance: InstanceId, now: Moment) {
        let Some(worker) = self.workers.get_mut(&instance) else { return };
        for key in worker.counts.take_closed() {
            worker.post(ipc::sockets_closed(&key), None, now);
        }
        self.after_write(instance);
    }

    fn acked(&mut self, instance: InstanceId, now: Moment) {
        let Some(worker) = self.workers.get_mut(&instance) else { return };
        match worker.send_queue.answered(worker.channel.socket.as_fd(), now) {
            Some(PendingAck::Offer(_) | PendingAck::Listener { .. } | PendingAck::User) => worker.nacks = 0,
            None => {}
        }
        self.written_if_jammed(instance);
    }

    fn acked_by_verdict(&mut self, instance: InstanceId, seq: u64, now: Moment) {
        let Some(worker) = self.workers.get_mut(&instance) else { return };
        worker.answered_by_verdict(seq, now);
        worker.nacks = 0;
        self.written_if_jammed(instance);
    }

    /// A wrapper arrived bare. Of a connection no verdict will come; a listener's asker is told that it failed; a
    /// socket of the application's is lost, as it is with Node.
    fn nacked(&mut self, instance: InstanceId, now: Moment, news: &mut Vec<News>) {
        let Some(worker) = self.workers.get_mut(&instance) else { return };
        let pending_ack = worker.send_queue.answered(worker.channel.socket.as_fd(), now);
        worker.nacks += 1;
        if worker.nacks == REFUSING {
            news.push(News::Refusing { instance });
        }
        match pending_ack {
            Some(PendingAck::Offer(seq)) => self.judged(instance, seq, Verdict::Refused, now),
            Some(PendingAck::Listener { id, seq }) => self.listener_lost(instance, id, &seq, now),
            Some(PendingAck::User) | None => {}
        }
        self.after_write(instance);
    }

    fn handle_arrived(
        &mut self,
        instance: InstanceId,
        wrapper: &Wrapper<'_>,
        now: Moment,
        news: &mut Vec<News>,
    ) {
        let Some(worker) = self.workers.get_mut(&instance) else { return };
        let Some(descriptor) = worker.channel.descriptors.pop_front() else {
            worker.post(ipc::NACK.to_vec(), None, now);
            return self.after_write(instance);
        };
        worker.post(ipc::ACK.to_vec(), None, now);
        if let Some((message, key)) = wrapper.unwrap() {
            let counted = key.map(|key| worker.counts.add(key, &self.close_notify));
            // What is no socket is closed here; the message is still the application's.
            let handle = UserHandle::received(descriptor, counted).ok();
            news.push(News::Said { instance, message: message.to_owned(), handle });
        }
        self.after_write(instance);
    }

    fn leaving(&mut self, instance: InstanceId, seq: &RawValue, now: Moment, news: &mut Vec<News>) {
        let Some(worker) = self.workers.get_mut(&instance) else { return };
        match worker.handshake {
            DisconnectHandshake::None => {
                worker.handshake = DisconnectHandshake::Theirs;
                worker.post(reply::released(seq), None, now);
            }
            // An acknowledgement would crash it; without one it finishes what we asked for.
            DisconnectHandshake::Ours => {}
            DisconnectHandshake::Theirs => return,
        }
        worker.serving_state = worker.serving_state.max(ServingState::Draining);
        news.push(News::Leaving { instance });
        self.rebalance_held_by(instance);
        self.after_write(instance);
    }

    fn count_sockets(&mut self, instance: InstanceId, key: &RawValue, now: Moment) {
        let Some(worker) = self.workers.get_mut(&instance) else { return };
        let count = worker.counts.of(key);
        worker.post(ipc::socket_count(key, count), None, now);
        self.after_write(instance);
    }

    fn await_sockets(&mut self, instance: InstanceId, key: &RawValue, now: Moment) {
        if let Some(worker) = self.workers.get_mut(&instance) {
            worker.counts.await_none(key);
        }
        self.answer_closed_sockets(instance, now);
    }

    /// The wrapper of a listening socket arrived without it: to the worker, its request is still open.
    fn listener_lost(&mut self, instance: InstanceId, id: ListenerId, seq: &RawValue, now: Moment) {
        self.give_up(instance, id);
        if let Some(worker) = self.workers.get_mut(&instance) {
            worker.post(reply::refused(seq, RawValue::NULL, Errno::EMFILE), None, now);
        }
    }

    fn listening(
        &mut self,
        instance: InstanceId,
        ask: &ListenRequest,
        address: Box<RawValue>,
        news: &mut Vec<News>,
    ) {
        let Ok(target) = &ask.target else { return };
        let held = self.listeners.values().filter(|listener| listener.is_held_by(instance));
        let meant = held.into_iter().find(|listener| listener.is_meant_by(&target.share, target.index));
        if let Some(listener) = meant {
            news.push(News::Listening { instance, endpoint: listener.endpoint.clone(), address });
        }
    }

    /// An answer may have let more be written; on the hot path there is nothing to do.
    fn written_if_jammed(&mut self, instance: InstanceId) {
        if self.workers.get(&instance).is_some_and(|worker| !worker.send_queue.takes_descriptors()) {
            self.after_write(instance);
        }
    }
}
