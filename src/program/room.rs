//! The programs that run, until each is known to be ready.
//!
//! Invariants: an instance is known from `attach` to `detach`; it is told at most once that it has begun, and after that at
//! most once that it is ready.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::core::{InstanceId, Moment, ReadyCheck};
use crate::process::{Forked, Pid};
use crate::program::notify::{ProgramMessage, ReadinessSocket};

/// What has happened to a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It runs, or could not be run: its [`Exec`] knows.
    Begun(InstanceId),
    /// It is ready.
    Ready(InstanceId),
}

/// The programs that run.
///
/// Its owner watches [`Programs::as_fd`], calls [`Programs::process`] when that is readable, and [`Programs::wake`] at
/// [`Programs::next_wake`]. All calls return at once.
#[derive(Debug)]
pub struct Programs {
    epoll: Epoll,
    instances: BTreeMap<InstanceId, Watched>,
    /// Those that are ready at some moment, the next one first: exactly those of [`Stage::Waiting`].
    due: BTreeSet<(Moment, InstanceId)>,
    /// The socket of one that is about to be started.
    prepared: Option<(InstanceId, ReadinessSocket)>,
}

#[derive(Debug)]
struct Watched {
    check: ReadyCheck,
    stage: Stage,
    leader: Pid,
    /// Where it says what it has to say.
    notify: Option<ReadinessSocket>,
}

/// How far a program has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is not known whether it runs.
    Starting,
    /// It is ready then.
    Waiting(Moment),
    /// It is ready when it says so.
    Listening,
    Ready,
}

/// What tells a notify socket's events from those of a start.
const NOTIFY: u64 = 1 << 32;

/// How often is looked for more in one call: often enough to empty a socket's queue.
const TURNS: usize = 64;

/// How many events are taken at a time.
const AT_ONCE: usize = 64;

impl Programs {
    /// None.
    ///
    /// # Errors
    /// There are no descriptors.
    pub fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self { epoll, instances: BTreeMap::new(), due: BTreeSet::new(), prepared: None })
    }

    /// Readable when [`Programs::process`] has something to do.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    /// Makes what this instance is to be started with: the value of its `NOTIFY_SOCKET`, if it is to have one.
    ///
    /// # Errors
    /// The kernel has no room for it.
    pub fn prepare(&mut self, instance: InstanceId, check: &ReadyCheck) -> io::Result<Option<String>> {
        self.prepared = match check {
            ReadyCheck::After(_) => None,
            ReadyCheck::Notify => Some((instance, ReadinessSocket::new(instance)?)),
        };
        Ok(self.prepared.as_ref().map(|(_, socket)| socket.name().to_owned()))
    }

    /// Begins to watch a process that was forked.
    ///
    /// # Errors
    /// The kernel has no room for it.
    pub fn attach(&mut self, instance: InstanceId, forked: &Forked, check: ReadyCheck) -> io::Result<()> {
        let notify =
            self.prepared.take().filter(|(prepared, _)| *prepared == instance).map(|(_, socket)| socket);
        if let Some(socket) = &notify {
            self.epoll
                .add(socket.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, NOTIFY | u64::from(instance.0)))?;
        }
        let exec = &forked.exec;
        self.epoll.add(
            exec.as_fd(),
            EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT, instance.0.into()),
        )?;
        let leader = forked.child.pid();
        self.instances.insert(instance, Watched { check, stage: Stage::Starting, leader, notify });
        Ok(())
    }

    /// A process is gone, or on its way out.
    pub fn detach(&mut self, instance: InstanceId) {
        let gone = self.instances.remove(&instance);
        if let Some(Watched { stage: Stage::Waiting(at), .. }) = gone {
            self.due.remove(&(at, instance));
        }
    }

    /// Whether it is ready, or was.
    #[must_use]
    pub fn is_ready(&self, instance: InstanceId) -> bool {
        self.instances.get(&instance).is_some_and(|watched| watched.stage == Stage::Ready)
    }

    /// It runs.
    pub fn runs(&mut self, instance: InstanceId, now: Moment) {
        let Some(watched) = self.instances.get_mut(&instance) else { return };
        watched.stage = match (watched.stage, &watched.check) {
            (Stage::Starting, ReadyCheck::After(wait)) => Stage::Waiting(now.after(*wait)),
            (Stage::Starting, ReadyCheck::Notify) => Stage::Listening,
            (stage @ (Stage::Waiting(_) | Stage::Listening | Stage::Ready), _) => stage,
        };
        if let Stage::Waiting(at) = watched.stage {
            self.due.insert((at, instance));
        }
    }

    /// Tells what has happened. To be asked again as long as there is news.
    pub fn process(&mut self, news: &mut Vec<News>) {
        let mut events = [EpollEvent::empty(); AT_ONCE];
        for _ in 0..TURNS {
            let count = match self.epoll.wait(&mut events, EpollTimeout::ZERO) {
                Ok(0) => return,
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                // It is asked again when it is readable.
                Err(_) => return,
            };
            for event in &events[..count] {
                let Ok(number) = u32::try_from(event.data() & !NOTIFY) else { continue };
                let instance = InstanceId(number);
                match event.data() & NOTIFY {
                    // Each is told once.
                    0 => news.push(News::Begun(instance)),
                    _ => self.listen(instance, news),
                }
            }
            if !news.is_empty() {
                return;
            }
        }
    }

    /// Reads what a program says. Before it is known that it runs that waits.
    fn listen(&mut self, instance: InstanceId, news: &mut Vec<News>) {
        let Some(watched) = self.instances.get_mut(&instance).filter(|one| one.stage != Stage::Starting)
        else {
            return;
        };
        let said =
            watched.notify.as_ref().map_or(ProgramMessage::Other, |socket| socket.read(watched.leader));
        if said == ProgramMessage::Ready && watched.stage == Stage::Listening {
            watched.stage = Stage::Ready;
            news.push(News::Ready(instance));
        }
    }

    /// When [`Programs::wake`] has something to do.
    #[must_use]
    pub fn next_wake(&self) -> Option<Moment> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Does what the time has come for.
    pub fn wake(&mut self, now: Moment, news: &mut Vec<News>) {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, instance)) = self.due.pop_first() else { return };
            if let Some(watched) = self.instances.get_mut(&instance) {
                watched.stage = Stage::Ready;
                news.push(News::Ready(instance));
            }
        }
    }
}
