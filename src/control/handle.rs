//! The control socket as the loop holds it: questions come out, and at the end it is gone. A reload may move it: then there are
//! two for a while.
//!
//! Invariants: the loop never waits here but at the end; without a socket everything else goes on; a new socket is served before
//! an old one is taken away, and whoever has connected to that is answered.

use std::future::pending;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::call::Call;
use super::events::Lines;
use super::peer::Access;
use super::pointer::Pointer;
use super::prepared::Prepared;
use super::socket::{Place, Socket, SocketError, Wanted};
use super::status::About;
use super::thread::{Thread, ThreadState};

/// How many questions may wait for the loop.
const MOST_CALLS: usize = 32;

/// So many threads may still have somebody to answer at sockets that are gone.
const MOST_RETIRED: usize = 4;

/// What is to be served, and where.
#[derive(Debug)]
pub struct Setup {
    /// Where; nothing if there is to be no socket.
    pub wanted: Option<Wanted>,
    /// Who answers.
    pub about: About,
    /// What is logged, from now on.
    pub lines: fn() -> Lines,
    /// Gives back memory, when nobody has asked for a while.
    pub rest: fn(),
}

/// The sockets, the threads behind them, and the questions they have.
#[derive(Debug)]
pub struct Control {
    about: Arc<About>,
    lines: fn() -> Lines,
    rest: fn(),
    /// Those that are served; the one in force is the last, if one is.
    served: Vec<Served>,
    in_force: Option<Wanted>,
    /// What was asked for last, whether there is one or not.
    asked: Option<Wanted>,
    /// Those of sockets that are gone.
    retired: Vec<Thread>,
    sender: mpsc::Sender<Call>,
    calls: Option<mpsc::Receiver<Call>>,
}

/// A socket that is served.
#[derive(Debug)]
struct Served {
    wanted: Wanted,
    socket: Socket,
    thread: Thread,
    access: Access,
    /// What leads to the socket, if that is not where clients look.
    pointer: Option<Pointer>,
}

impl Control {
    /// None yet.
    #[must_use]
    pub fn new(about: Arc<About>, lines: fn() -> Lines, rest: fn()) -> Self {
        let (sender, calls) = mpsc::channel(MOST_CALLS);
        let (served, retired) = (Vec::new(), Vec::new());
        Self { about, lines, rest, served, in_force: None, asked: None, retired, sender, calls: Some(calls) }
    }

    /// The socket that is wanted from now on, which may have been made already. Those before stay until [`Self::keep`].
    ///
    /// # Errors
    /// It is not there, or not open to its group; what is served stays.
    pub fn serve(&mut self, wanted: Option<Wanted>, made: Option<Prepared>) -> Result<(), SocketError> {
        if self.asked == wanted {
            return Ok(());
        }
        self.asked.clone_from(&wanted);
        if let Some(wanted) = &wanted {
            match self.served.iter().position(|served| served.wanted.place == wanted.place) {
                Some(at) => {
                    let mut served = self.served.remove(at);
                    let changed = served.set_group(wanted);
                    self.served.push(served);
                    changed?;
                }
                None => {
                    let served = self.start(wanted, made.unwrap_or_default())?;
                    self.served.push(served);
                }
            }
        }
        self.in_force = wanted;
        Ok(())
    }

    /// What was asked for last.
    #[must_use]
    pub const fn asked(&self) -> Option<&Wanted> {
        self.asked.as_ref()
    }

    /// What is served: there is no need to make it.
    #[must_use]
    pub fn places(&self) -> Vec<Wanted> {
        self.served.iter().map(|served| served.wanted.clone()).collect()
    }

    /// Takes away the sockets that are neither in force nor wanted by any of these.
    pub fn keep<'a>(&mut self, wanted: impl Iterator<Item = &'a Wanted>) {
        let mut places: Vec<_> = wanted.map(|wanted| wanted.place.clone()).collect();
        places.extend(self.in_force.iter().map(|wanted| wanted.place.clone()));
        let (kept, gone) = std::mem::take(&mut self.served)
            .into_iter()
            .partition::<Vec<_>, _>(|served| places.contains(&served.wanted.place));
        self.served = kept;
        for old in gone {
            if let Some(heir) = self.served.last_mut() {
                heir.take_names_of(&old);
            }
            let Served { socket, pointer, thread, .. } = old;
            pointer.inspect(Pointer::remove);
            socket.remove();
            thread.retire();
            self.retired.push(thread);
        }
        self.retired.retain(|thread| !thread.is_over());
        while self.retired.len() > MOST_RETIRED {
            drop(self.retired.remove(0));
        }
    }

    /// Makes the socket and has a thread serve it.
    fn start(&self, wanted: &Wanted, made: Prepared) -> Result<Served, SocketError> {
        let socket = match made.take() {
            Some(socket) => socket,
            None => Socket::make(wanted)?,
        };
        let access = Access::new(wanted.group);
        let begin = || {
            Thread::start(ThreadState {
                listener: socket.listener()?,
                access: access.clone(),
                about: self.about.clone(),
                calls: self.sender.clone(),
                lines: self.lines,
                rest: self.rest,
            })
        };
        match begin() {
            Ok(thread) => {
                let pointer = match &wanted.place {
                    Place::Given(_, folders) => Pointer::make(&socket, &wanted.identity, folders),
                    Place::Found(_) => None,
                };
                Ok(Served { wanted: wanted.clone(), socket, thread, access, pointer })
            }
            Err(error) => {
                socket.remove();
                Err(SocketError::Thread(error))
            }
        }
    }

    /// The socket in force, if there is one.
    #[must_use]
    pub fn socket(&self) -> Option<&Socket> {
        self.served.last().filter(|_| self.in_force.is_some()).map(|served| &served.socket)
    }

    /// The next question. Cancel-safe.
    pub async fn next(&mut self) -> Call {
        let call = match &mut self.calls {
            Some(calls) => calls.recv().await,
            None => None,
        };
        match call {
            Some(call) => call,
            // It is all over.
            None => pending().await,
        }
    }

    /// Takes the sockets away; what has been answered still goes out.
    pub fn end(&mut self) {
        // Questions that nobody will answer are answered by that.
        self.calls = None;
        let mut threads = std::mem::take(&mut self.retired);
        for Served { socket, pointer, thread, .. } in self.served.drain(..) {
            pointer.inspect(Pointer::remove);
            socket.remove();
            threads.push(thread);
        }
        threads.into_iter().for_each(Thread::finish);
    }
}

impl Served {
    /// It may be another group's from now on.
    fn set_group(&mut self, wanted: &Wanted) -> Result<(), SocketError> {
        if self.wanted.group == wanted.group {
            return Ok(());
        }
        self.socket.set_group(wanted)?;
        self.access.set_group(wanted.group);
        self.wanted.group = wanted.group;
        Ok(())
    }

    /// Takes the names it is to have, where this one that goes has them.
    fn take_names_of(&mut self, old: &Self) {
        let has = |path: &std::path::Path| {
            old.socket.is_at(path) || old.pointer.as_ref().is_some_and(|pointer| pointer.is_at(path))
        };
        if self.socket.next_path.as_deref().is_some_and(has) {
            self.socket.take_next_path();
        }
        let Some(pointer) = &mut self.pointer else { return };
        pointer.follow(&self.socket);
        if pointer.next_path().is_some_and(has) {
            pointer.take_next_path();
        }
    }
}
