//! What each of a worker's messages leads to.
//!
//! Invariant: an answer the worker does not owe changes nothing.

use nix::errno::Errno;
use serde_json::value::RawValue;

use crate::core::{InstanceId, Moment};
use crate::node::cluster::listener_id::ListenerId;
use crate::node::cluster::message::{self, Message, Verdict};
use crate::node::cluster::query::ListenRequest;
use crate::node::cluster::worker::{DisconnectHandshake, PendingAck};
use crate::node::cluster::{Cluster, News, reply};
use crate::node::ipc::PeerMessage;

/// A worker that loses this many connections in a row on the way cannot receive descriptors.
const REFUSING: u32 = 8;

impl Cluster {
    /// Hears one line of a worker's.
    pub(super) fn hear(&mut self, instance: InstanceId, line: &[u8], now: Moment, news: &mut Vec<News>) {
        // Of the two messages that come with every connection this is one; the other is the first `Incoming` looks for.
        if let Some(seq) = message::accepted(line) {
            return self.verdict(instance, seq, Verdict::Accepted, now);
        }
        let Some(worker) = self.workers.get_mut(&instance) else { return };
        match worker.peer.interpret(line, now) {
            Ok(PeerMessage::Acked(Some(_))) => worker.nacks = 0,
            Ok(PeerMessage::Nacked(lost)) => self.nacked(instance, lost, now, news),
            Ok(PeerMessage::Cluster(raw)) => self.hear_of_cluster(instance, raw, now, news),
            Ok(PeerMessage::User(raw, handle)) => {
                news.push(News::Said { instance, message: raw.to_owned(), handle });
            }
            Ok(PeerMessage::Acked(None) | PeerMessage::Nothing) => {}
            Err(reason) => self.break_off(instance, reason, news),
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

    /// The worker said what it did with an offer. Ours do so in place of acknowledging the descriptor (`acks.js`); an
    /// unmodified one has acknowledged it before.
    fn verdict(&mut self, instance: InstanceId, seq: u64, verdict: Verdict, now: Moment) {
        let Some(worker) = self.workers.get_mut(&instance) else { return };
        worker.peer.acked_if(|sent| matches!(sent, PendingAck::Offer(offered) if *offered == seq), now);
        worker.nacks = 0;
        self.judged(instance, seq, verdict, now);
    }

    /// A wrapper arrived bare. Of a connection no verdict will come; a listener's asker is told that it failed; a
    /// socket of the application's is lost, as it is with Node.
    fn nacked(&mut self, instance: InstanceId, lost: Option<PendingAck>, now: Moment, news: &mut Vec<News>) {
        let Some(worker) = self.workers.get_mut(&instance) else { return };
        worker.nacks += 1;
        if worker.nacks == REFUSING {
            news.push(News::Refusing { instance });
        }
        match lost {
            Some(PendingAck::Offer(seq)) => self.judged(instance, seq, Verdict::Refused, now),
            Some(PendingAck::Listener { id, seq }) => self.listener_lost(instance, id, &seq, now),
            Some(PendingAck::User) | None => {}
        }
    }

    fn leaving(&mut self, instance: InstanceId, seq: &RawValue, now: Moment, news: &mut Vec<News>) {
        let Some(worker) = self.workers.get_mut(&instance) else { return };
        match worker.handshake {
            DisconnectHandshake::None => {
                worker.handshake = DisconnectHandshake::Theirs;
                worker.peer.post(reply::released(seq), None, now);
            }
            // An acknowledgement would crash it; without one it finishes what we asked for.
            DisconnectHandshake::Ours => {}
            DisconnectHandshake::Theirs => return,
        }
        news.push(News::Leaving { instance });
        // It may have closed its servers before it said so.
        self.drain(instance);
    }

    /// The wrapper of a listening socket arrived without it: to the worker, its request is still open.
    fn listener_lost(&mut self, instance: InstanceId, id: ListenerId, seq: &RawValue, now: Moment) {
        self.give_up(instance, id);
        if let Some(worker) = self.workers.get_mut(&instance) {
            worker.peer.post(reply::refused(seq, RawValue::NULL, Errno::EMFILE), None, now);
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
}
