//! The programs that run, until each is known to be ready.
//!
//! Invariants: an instance is known from `attach` to `detach`; it is told at most once that it has begun, and after that at
//! most once that it is ready.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::core::{InstanceId, Moment, ReadyCheck};
use crate::process::Exec;

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
}

#[derive(Debug)]
struct Watched {
    check: ReadyCheck,
    stage: Stage,
}

/// How far a program has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is not known whether it runs.
    Starting,
    /// It is ready then.
    Waiting(Moment),
    Ready,
}

/// How many events are taken at a time.
const AT_ONCE: usize = 64;

impl Programs {
    /// None.
    ///
    /// # Errors
    /// There are no descriptors.
    pub fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self { epoll, instances: BTreeMap::new() })
    }

    /// Readable when [`Programs::process`] has something to do.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    /// Begins to watch a process that was forked.
    ///
    /// # Errors
    /// The kernel has no room for it.
    pub fn attach(&mut self, instance: InstanceId, exec: &Exec, check: ReadyCheck) -> io::Result<()> {
        self.epoll.add(
            exec.as_fd(),
            EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT, instance.0.into()),
        )?;
        self.instances.insert(instance, Watched { check, stage: Stage::Starting });
        Ok(())
    }

    /// A process is gone, or on its way out.
    pub fn detach(&mut self, instance: InstanceId) {
        self.instances.remove(&instance);
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
            (stage @ (Stage::Waiting(_) | Stage::Ready), _) => stage,
        };
    }

    /// Tells what has happened.
    pub fn process(&mut self, news: &mut Vec<News>) {
        let mut events = [EpollEvent::empty(); AT_ONCE];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::ZERO) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                // It is asked again when it is readable.
                Err(_) => return,
            };
            for event in &events[..count] {
                let Ok(number) = u32::try_from(event.data()) else { continue };
                news.push(News::Begun(InstanceId(number)));
            }
            // Each is told once; the rest comes again.
            return;
        }
    }

    /// When [`Programs::wake`] has something to do.
    #[must_use]
    pub fn next_wake(&self) -> Option<Moment> {
        let wakes = self.instances.values().filter_map(|watched| match watched.stage {
            Stage::Waiting(at) => Some(at),
            Stage::Starting | Stage::Ready => None,
        });
        wakes.min()
    }

    /// Does what the time has come for.
    pub fn wake(&mut self, now: Moment, news: &mut Vec<News>) {
        for (instance, watched) in &mut self.instances {
            if matches!(watched.stage, Stage::Waiting(at) if at <= now) {
                watched.stage = Stage::Ready;
                news.push(News::Ready(*instance));
            }
        }
    }
}
