//! Turns readiness into work: which channels are read, how much at a time, and when reading rests.
//!
//! Invariants: one call reads at most a turn's worth from each worker, so none starves another; what could not be
//! done now is either in line, or has an edge or the wake timer to bring it back.

use nix::sys::epoll::{EpollEvent, EpollFlags, EpollTimeout};

use crate::core::{InstanceId, Moment};
use crate::node::cluster::listener_id::ListenerId;
use crate::node::cluster::token::Token;
use crate::node::cluster::worker::ServingState;
use crate::node::cluster::{Cluster, News};
use crate::node::ipc::{Flow, Progress, ProtocolError, ReadStep, ReadTurn};

/// Events taken at once. Those beyond wait in the kernel, which does not tell of them a second time.
const EVENTS: usize = 64;

impl Cluster {
    /// Takes the kernel's events and notes what they make possible; says whether there may be more of them.
    pub(super) fn gather(&mut self, now: Moment) -> Progress {
        let mut events = [EpollEvent::empty(); EVENTS];
        // It fails only when interrupted, and then there is a next time.
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        for event in &events[..count] {
            match Token::from(event.data()) {
                Token::Channel(instance) => self.channel_event(instance, event.events(), now),
                Token::AcceptSource(id, index) => self.accept_event(id, index),
                Token::CloseNotify => self.closed_notified(now),
            }
        }
        if count == EVENTS { Progress::More } else { Progress::Idle }
    }

    /// Reads and deals, one turn each.
    pub(super) fn pump(&mut self, now: Moment, news: &mut Vec<News>) -> Progress {
        for _ in 0..self.to_read.len() {
            let Some(instance) = self.to_read.pop_front() else { break };
            if let Some(worker) = self.workers.get_mut(&instance) {
                worker.in_line = false;
                if let Some(turn) = worker.peer.begin_turn() {
                    self.read(instance, turn, now, news);
                }
            }
        }
        let dealing = self.deal(now);
        if self.to_read.is_empty() { dealing } else { Progress::More }
    }

    /// Resumes what rested until now or later.
    pub(super) fn rouse(&mut self, now: Moment) {
        for instance in self.workers.keys().copied().collect::<Vec<_>>() {
            if let Some(worker) = self.workers.get_mut(&instance) {
                worker.peer.wake(now);
            }
            self.after_io(instance);
        }
        match self.starved {
            Some(until) if until <= now => self.starved = None,
            Some(until) => self.wake_timer.set(until),
            None => {}
        }
        self.close_overdue(now);
    }

    /// Puts a worker in line to be read, if it may be.
    pub(super) fn line_up(&mut self, instance: InstanceId) {
        if let Some(worker) = self.workers.get_mut(&instance)
            && !worker.in_line
            && worker.is_heard()
            && worker.peer.may_be_read()
        {
            worker.in_line = true;
            self.to_read.push_back(instance);
        }
    }

    /// To be called after a worker was read or written to: arranges for the rest, and for reading to go on.
    pub(super) fn after_io(&mut self, instance: InstanceId) {
        let Some(worker) = self.workers.get_mut(&instance).filter(|worker| worker.is_heard()) else { return };
        worker.peer.watch_room(&self.epoll);
        if let Some(at) = worker.peer.next_wake() {
            self.wake_timer.set(at);
        }
        self.line_up(instance);
    }

    fn channel_event(&mut self, instance: InstanceId, events: EpollFlags, now: Moment) {
        if let Some(worker) = self.workers.get_mut(&instance) {
            worker.peer.ready(events, now);
            self.after_io(instance);
        }
    }

    fn accept_event(&mut self, id: ListenerId, index: usize) {
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.open_source(index);
            self.line_up_listener(id);
        }
    }

    fn closed_notified(&mut self, now: Moment) {
        // It is silenced, so that the next ring is an edge.
        let _ = self.close_notify.read();
        self.descriptors_freed();
        for instance in self.workers.keys().copied().collect::<Vec<_>>() {
            if let Some(worker) = self.workers.get_mut(&instance) {
                worker.peer.answer_closed_sockets(now);
                self.after_io(instance);
            }
        }
    }

    /// An instance's process is dead: hears all it has written, whatever limits hold for the living. To be called before
    /// [`Cluster::detach`]: it may have taken connections and said so as the last thing it did.
    pub fn hear_out(&mut self, instance: InstanceId, now: Moment, news: &mut Vec<News>) {
        let Some(worker) = self.workers.get_mut(&instance).filter(|worker| worker.is_heard()) else { return };
        let turn = worker.peer.begin_last_turn();
        self.read(instance, turn, now, news);
    }

    /// Reads from one worker, at most its share.
    fn read(&mut self, instance: InstanceId, mut turn: ReadTurn, now: Moment, news: &mut Vec<News>) {
        while let Some(worker) = self.workers.get_mut(&instance).filter(|worker| worker.is_heard()) {
            match turn.next(&mut worker.peer, now) {
                Ok(ReadStep::Line(line)) => self.hear(instance, line, now, news),
                Ok(ReadStep::Over(flow)) => {
                    match flow {
                        Flow::FloodToReport => news.push(News::Flooding { instance }),
                        Flow::Fair | Flow::Flood => {}
                    }
                    return self.after_io(instance);
                }
                Ok(ReadStep::End) => self.leave(instance, news),
                Err(reason) => self.break_off(instance, reason, news),
            }
        }
    }

    /// The end of a channel, with everything before it heard.
    fn leave(&mut self, instance: InstanceId, news: &mut Vec<News>) {
        if let Some(worker) = self.workers.get_mut(&instance) {
            worker.serving_state = ServingState::Left;
            worker.peer.close(&self.epoll);
        }
        self.release(instance);
        self.forget_bindings(instance);
        news.push(News::Left { instance });
    }

    /// Hears no more of a worker. Its connections stay with it until its process is gone.
    pub(super) fn break_off(&mut self, instance: InstanceId, reason: ProtocolError, news: &mut Vec<News>) {
        if let Some(worker) = self.workers.get_mut(&instance) {
            worker.serving_state = ServingState::Broken;
            worker.peer.close(&self.epoll);
        }
        self.rebalance_held_by(instance);
        news.push(News::Broken { instance, reason });
    }
}
