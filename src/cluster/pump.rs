//! Turns readiness into work: which channels are read, how much at a time, and when reading rests.
//!
//! Invariants: one call reads at most a turn's worth from each worker, so none starves another; what could not be
//! done now is either in line, or has an edge or the alarm to bring it back.

use std::mem;
use std::os::fd::AsFd;

use nix::sys::epoll::{EpollEvent, EpollFlags, EpollTimeout};

use crate::cluster::listener::ListenerId;
use crate::cluster::worker::{Standing, Watch};
use crate::cluster::{Cluster, News};
use crate::ipc::{Flow, FrameBuffer, Heard, Jam, PAUSE, Progress, Readiness, Violation};
use crate::supervisor::{InstanceId, Moment};

/// Events taken at once. Those beyond wait in the kernel, which does not tell of them a second time.
const EVENTS: usize = 64;

/// What is read from one worker in one go, give or take one read.
#[derive(Debug, Clone, Copy)]
struct Share {
    messages: usize,
    bytes: usize,
}

/// So that none starves another.
const TURN: Share = Share { messages: 256, bytes: 256 << 10 };

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Channel(InstanceId),
    /// A socket of a listener's, by its index.
    Tap(ListenerId, usize),
    Bell,
}

const TAP: u64 = 1 << 63;
const BELL: u64 = 1 << 62;

impl From<Token> for u64 {
    fn from(token: Token) -> Self {
        match token {
            Token::Channel(instance) => Self::from(instance.0),
            Token::Tap(id, index) => TAP | ((index as Self) << 32) | Self::from(id.0),
            Token::Bell => BELL,
        }
    }
}

impl From<u64> for Token {
    fn from(data: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the low half is the number")]
        let low = data as u32;
        if data & TAP != 0 {
            Self::Tap(ListenerId(low), ((data & !TAP) >> 32) as usize)
        } else if data & BELL != 0 {
            Self::Bell
        } else {
            Self::Channel(InstanceId(low))
        }
    }
}

/// How one worker's turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
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
                Token::Tap(id, index) => self.tap_event(id, index),
                Token::Bell => self.bell_rang(now),
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
                Turn::Cut => self.line_up(instance),
                Turn::Over => {}
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
                Some(until) => self.alarm.set(until),
                None => {}
            }
            match worker.outbox.jam() {
                Jam::Busy(until) if until <= now => worker.outbox.unjam(worker.channel.socket.as_fd(), now),
                Jam::Busy(until) => self.alarm.set(until),
                Jam::Clear | Jam::Full | Jam::Severed => {}
            }
            self.after_write(instance);
        }
        match self.starved {
            Some(until) if until <= now => self.starved = None,
            Some(until) => self.alarm.set(until),
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
        let wanted = match worker.outbox.jam() {
            Jam::Full => Watch::InputAndRoom,
            Jam::Busy(until) => {
                self.alarm.set(until);
                Watch::Input
            }
            Jam::Clear | Jam::Severed => Watch::Input,
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
            worker.channel.readiness = Readiness::HungUp;
        } else if events.contains(EpollFlags::EPOLLIN) && worker.channel.readiness == Readiness::Drained {
            worker.channel.readiness = Readiness::Readable;
        }
        if events.contains(EpollFlags::EPOLLOUT) {
            worker.outbox.unjam(worker.channel.socket.as_fd(), now);
            self.after_write(instance);
        }
        self.line_up(instance);
    }

    fn tap_event(&mut self, id: ListenerId, index: usize) {
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.open_tap(index);
            self.line_up_listener(id);
        }
    }

    fn bell_rang(&mut self, now: Moment) {
        // It is silenced, so that the next ring is an edge.
        let _ = self.bell.read();
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
        worker.outbox.sever();
        let share = Share { messages: usize::MAX, bytes: worker.channel.outlive() };
        match self.read(instance, share, now, news) {
            Turn::Over => {}
            Turn::Cut => {
                if let Some(worker) = self.workers.get_mut(&instance) {
                    // What there is now is not its own.
                    worker.channel.readiness = Readiness::Drained;
                }
            }
        }
    }

    /// Reads from one worker, at most its share.
    fn read(&mut self, instance: InstanceId, share: Share, now: Moment, news: &mut Vec<News>) -> Turn {
        let Some(worker) = self.workers.get_mut(&instance) else { return Turn::Over };
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
        share: Share,
        frames: &mut FrameBuffer,
        now: Moment,
        news: &mut Vec<News>,
    ) -> Turn {
        let (mut bytes, mut messages) = (0, 0);
        let turn = loop {
            if !self.workers.get(&instance).is_some_and(|worker| worker.is_heard()) {
                return Turn::Over;
            }
            match frames.next_line() {
                Ok(Some(line)) => {
                    messages += 1;
                    self.hear(instance, line, now, news);
                    if messages >= share.messages || self.is_choked(instance) {
                        break Turn::Cut;
                    }
                    continue;
                }
                Ok(None) => {}
                Err(reason) => {
                    self.break_off(instance, reason, news);
                    return Turn::Over;
                }
            }
            if bytes >= share.bytes {
                break Turn::Cut;
            }
            let Some(worker) = self.workers.get_mut(&instance).filter(|worker| worker.may_be_read()) else {
                break Turn::Over;
            };
            match worker.channel.receive(frames) {
                Ok(Heard::Bytes(count)) => bytes += count,
                Ok(Heard::Nothing) => break Turn::Over,
                Ok(Heard::End) => {
                    self.leave(instance, news);
                    return Turn::Over;
                }
                Err(reason) => {
                    self.break_off(instance, reason, news);
                    return Turn::Over;
                }
            }
        };
        self.measure(instance, bytes, messages, now, news);
        self.end_turn(instance, turn)
    }

    /// A turn cut short may leave whole lines in the buffer, of which the socket will not tell.
    fn end_turn(&mut self, instance: InstanceId, turn: Turn) -> Turn {
        if let (Turn::Cut, Some(worker)) = (turn, self.workers.get_mut(&instance))
            && worker.channel.readiness == Readiness::Drained
        {
            worker.channel.readiness = Readiness::Readable;
        }
        turn
    }

    /// Whether a worker lets our answers pile up.
    fn is_choked(&self, instance: InstanceId) -> bool {
        self.workers.get(&instance).is_some_and(|worker| worker.outbox.is_over())
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
        let flow = worker.gauge.spend(now, bytes, messages);
        match flow {
            Flow::Fair => return,
            Flow::FloodToReport => news.push(News::Flooding { instance }),
            Flow::Flood => {}
        }
        let until = now.after(PAUSE);
        worker.paused = Some(until);
        self.alarm.set(until);
    }

    /// The end of a channel, with everything before it heard.
    fn leave(&mut self, instance: InstanceId, news: &mut Vec<News>) {
        if let Some(worker) = self.workers.get_mut(&instance) {
            worker.standing = Standing::Left;
            worker.outbox.sever();
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
    pub(super) fn break_off(&mut self, instance: InstanceId, reason: Violation, news: &mut Vec<News>) {
        if let Some(worker) = self.workers.get_mut(&instance) {
            worker.standing = Standing::Broken;
            worker.channel.descriptors.clear();
        }
        if let Some(worker) = self.workers.get(&instance) {
            self.forget_channel(worker);
        }
        self.rebalance_held_by(instance);
        news.push(News::Broken { instance, reason });
    }
}
