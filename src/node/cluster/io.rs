//! Turns readiness into work: which channels are read, how much at a time, and when reading rests.
//!
//! Invariants: one call reads at most a turn's worth from each worker, so none starves another; what could not be
//! done now is either in line, or has an edge or the wake timer to bring it back.

use std::mem;
use std::os::fd::AsFd;

use nix::sys::epoll::{EpollEvent, EpollFlags, EpollTimeout};

use crate::core::{InstanceId, Moment};
use crate::node::cluster::listener_id::ListenerId;
use crate::node::cluster::token::Token;
use crate::node::cluster::worker::{ServingState, Watch};
use crate::node::cluster::{Cluster, News};
use crate::node::ipc::{
    Flow, FrameBuffer, PAUSE, Progress, ProtocolError, ReadOutcome, SocketReadiness, WriteBlock,
};

/// Events taken at once. Those beyond wait in the kernel, which does not tell of them a second time.
const EVENTS: usize = 64;

/// What is read from one worker in one go, give or take one read.
#[derive(Debug, Clone, Copy)]
struct ReadShare {
    messages: usize,
    bytes: usize,
}

/// So that none starves another.
const TURN: ReadShare = ReadShare { messages: 256, bytes: 256 << 10 };

/// How one worker's turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadTurn {
    /// Its share was used up.
    Cut,
    /// There is no more for now.
    Over,
}

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
            }
            match self.read(instance, TURN, now, news) {
                ReadTurn::Cut => self.line_up(instance),
                ReadTurn::Over => {}
            }
        }
        let dealing = self.deal(now);
        if self.to_read.is_empty() { dealing } else { Progress::More }
    }

    /// Resumes what rested until now or later.
    pub(super) fn rouse(&mut self, now: Moment) {
        for instance in self.workers.keys().copied().collect::<Vec<_>>() {
            let Some(worker) = self.workers.get_mut(&instance) else { continue };
            match worker.paused {
                Some(until) if until <= now => worker.paused = None,
                Some(until) => self.wake_timer.set(until),
                None => {}
            }
            match worker.send_queue.write_block() {
                WriteBlock::Busy(until) if until <= now => {
                    worker.send_queue.unblock(worker.channel.socket.as_fd(), now)
                }
                WriteBlock::Busy(until) => self.wake_timer.set(until),
                WriteBlock::Clear | WriteBlock::Full | WriteBlock::Severed => {}
            }
            self.after_write(instance);
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
            && worker.may_be_read()
        {
            worker.in_line = true;
            self.to_read.push_back(instance);
        }
    }

    /// To be called after anything was written to a worker: arranges for the rest, and for reading to go on.
    pub(super) fn after_write(&mut self, instance: InstanceId) {
        let Some(worker) = self.workers.get_mut(&instance) else { return };
        let wanted = match worker.send_queue.write_block() {
            WriteBlock::Full => Watch::InputAndRoom,
            WriteBlock::Busy(until) => {
                self.wake_timer.set(until);
                Watch::Input
            }
            WriteBlock::Clear | WriteBlock::Severed => Watch::Input,
        };
        if wanted != worker.watch && worker.is_heard() {
            let input = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
            let flags = match wanted {
                Watch::Input => input,
                Watch::InputAndRoom => input | EpollFlags::EPOLLOUT,
            };
            let mut event = EpollEvent::new(flags, Token::Channel(instance).into());
            // It fails only if the channel is not watched, and then it is not heard either.
            if self.epoll.modify(worker.channel.socket.as_fd(), &mut event).is_ok() {
                worker.watch = wanted;
            }
        }
        self.line_up(instance);
    }

    fn channel_event(&mut self, instance: InstanceId, events: EpollFlags, now: Moment) {
        let Some(worker) = self.workers.get_mut(&instance) else { return };
        let ending = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        if events.intersects(ending) {
            worker.channel.readiness = SocketReadiness::HungUp;
        } else if events.contains(EpollFlags::EPOLLIN) && worker.channel.readiness == SocketReadiness::Drained
        {
            worker.channel.readiness = SocketReadiness::Readable;
        }
        if events.contains(EpollFlags::EPOLLOUT) {
            worker.send_queue.unblock(worker.channel.socket.as_fd(), now);
            self.after_write(instance);
        }
        self.line_up(instance);
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
            self.answer_closed_sockets(instance, now);
        }
    }

    /// An instance's process is dead: hears all it has written, whatever limits hold for the living. To be called before
    /// [`Cluster::detach`]: it may have taken connections and said so as the last thing it did.
    pub fn hear_out(&mut self, instance: InstanceId, now: Moment, news: &mut Vec<News>) {
        let Some(worker) = self.workers.get_mut(&instance).filter(|worker| worker.is_heard()) else { return };
        worker.paused = None;
        // Nobody reads our answers.
        worker.send_queue.sever();
        let share = ReadShare { messages: usize::MAX, bytes: worker.channel.outlive() };
        match self.read(instance, share, now, news) {
            ReadTurn::Over => {}
            ReadTurn::Cut => {
                if let Some(worker) = self.workers.get_mut(&instance) {
                    // What there is now is not its own.
                    worker.channel.readiness = SocketReadiness::Drained;
                }
            }
        }
    }

    /// Reads from one worker, at most its share.
    fn read(
        &mut self,
        instance: InstanceId,
        share: ReadShare,
        now: Moment,
        news: &mut Vec<News>,
    ) -> ReadTurn {
        let Some(worker) = self.workers.get_mut(&instance) else { return ReadTurn::Over };
        // Taken out while its lines are read, because hearing them changes the worker.
        let mut frames = mem::take(&mut worker.frames);
        let turn = self.read_frames(instance, share, &mut frames, now, news);
        if let Some(worker) = self.workers.get_mut(&instance) {
            worker.frames = frames;
        }
        turn
    }

    fn read_frames(
        &mut self,
        instance: InstanceId,
        share: ReadShare,
        frames: &mut FrameBuffer,
        now: Moment,
        news: &mut Vec<News>,
    ) -> ReadTurn {
        let (mut bytes, mut messages) = (0, 0);
        let turn = loop {
            if !self.workers.get(&instance).is_some_and(|worker| worker.is_heard()) {
                return ReadTurn::Over;
            }
            match frames.next_line() {
                Ok(Some(line)) => {
                    messages += 1;
                    self.hear(instance, line, now, news);
                    if messages >= share.messages || self.is_choked(instance) {
                        break ReadTurn::Cut;
                    }
                    continue;
                }
                Ok(None) => {}
                Err(reason) => {
                    self.break_off(instance, reason, news);
                    return ReadTurn::Over;
                }
            }
            if bytes >= share.bytes {
                break ReadTurn::Cut;
            }
            let Some(worker) = self.workers.get_mut(&instance).filter(|worker| worker.may_be_read()) else {
                break ReadTurn::Over;
            };
            match worker.channel.receive(frames) {
                Ok(ReadOutcome::Bytes(count)) => bytes += count,
                Ok(ReadOutcome::Nothing) => break ReadTurn::Over,
                Ok(ReadOutcome::End) => {
                    self.leave(instance, news);
                    return ReadTurn::Over;
                }
                Err(reason) => {
                    self.break_off(instance, reason, news);
                    return ReadTurn::Over;
                }
            }
        };
        self.measure(instance, bytes, messages, now, news);
        self.end_turn(instance, turn)
    }

    /// A turn cut short may leave whole lines in the buffer, of which the socket will not tell.
    fn end_turn(&mut self, instance: InstanceId, turn: ReadTurn) -> ReadTurn {
        if let (ReadTurn::Cut, Some(worker)) = (turn, self.workers.get_mut(&instance))
            && worker.channel.readiness == SocketReadiness::Drained
        {
            worker.channel.readiness = SocketReadiness::Readable;
        }
        turn
    }

    /// Whether a worker lets our answers pile up.
    fn is_choked(&self, instance: InstanceId) -> bool {
        self.workers.get(&instance).is_some_and(|worker| worker.send_queue.is_over())
    }

    /// Slows a worker down that writes too much.
    fn measure(
        &mut self,
        instance: InstanceId,
        bytes: usize,
        messages: usize,
        now: Moment,
        news: &mut Vec<News>,
    ) {
        let Some(worker) = self.workers.get_mut(&instance) else { return };
        let flow = worker.rate_limiter.spend(now, bytes, messages);
        match flow {
            Flow::Fair => return,
            Flow::FloodToReport => news.push(News::Flooding { instance }),
            Flow::Flood => {}
        }
        let until = now.after(PAUSE);
        worker.paused = Some(until);
        self.wake_timer.set(until);
    }

    /// The end of a channel, with everything before it heard.
    fn leave(&mut self, instance: InstanceId, news: &mut Vec<News>) {
        if let Some(worker) = self.workers.get_mut(&instance) {
            worker.serving_state = ServingState::Left;
            worker.send_queue.sever();
            worker.channel.descriptors.clear();
        }
        if let Some(worker) = self.workers.get(&instance) {
            self.forget_channel(worker);
        }
        self.release(instance);
        self.forget_bindings(instance);
        news.push(News::Left { instance });
    }

    /// Hears no more of a worker. Its connections stay with it until its process is gone.
    pub(super) fn break_off(&mut self, instance: InstanceId, reason: ProtocolError, news: &mut Vec<News>) {
        if let Some(worker) = self.workers.get_mut(&instance) {
            worker.serving_state = ServingState::Broken;
            worker.channel.descriptors.clear();
        }
        if let Some(worker) = self.workers.get(&instance) {
            self.forget_channel(worker);
        }
        self.rebalance_held_by(instance);
        news.push(News::Broken { instance, reason });
    }
}
