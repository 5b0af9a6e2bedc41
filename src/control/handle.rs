//! The control socket as the loop holds it: questions come out, and at the end it is gone.
//!
//! Invariants: the loop never waits here but at the end; without a socket everything else goes on.

use std::future::pending;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::call::Call;
use super::events::Lines;
use super::peer::Access;
use super::pointer::Pointer;
use super::socket::{Place, Socket, SocketError, Wanted};
use super::status::About;
use super::thread::{Thread, Work};

/// How many questions may wait for the loop.
const MOST_CALLS: usize = 32;

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

/// The socket, the thread behind it, and the questions it has.
#[derive(Debug)]
pub struct Control {
    serving: Option<(Socket, Thread)>,
    /// What leads to the socket, if that is not where clients look.
    pointer: Option<Pointer>,
    calls: Option<mpsc::Receiver<Call>>,
}

impl Control {
    /// None.
    #[must_use]
    pub const fn none() -> Self {
        Self { serving: None, pointer: None, calls: None }
    }

    /// Makes the socket and has a thread serve it.
    ///
    /// # Errors
    /// There cannot be one.
    pub fn begin(setup: Setup) -> Result<Self, SocketError> {
        let Some(wanted) = setup.wanted else { return Ok(Self::none()) };
        let socket = Socket::make(&wanted)?;
        let (calls, receiver) = mpsc::channel(MOST_CALLS);
        let begin = || {
            Thread::start(Work {
                listener: socket.listener()?,
                socket: socket.path().to_owned(),
                access: Access::new(wanted.group),
                about: Arc::new(setup.about),
                calls,
                lines: setup.lines,
                rest: setup.rest,
            })
        };
        match begin() {
            Ok(thread) => {
                let pointer = match &wanted.place {
                    Place::Given(_, folders) => Pointer::make(&socket, &wanted.identity, folders),
                    Place::Found(_) => None,
                };
                Ok(Self { serving: Some((socket, thread)), pointer, calls: Some(receiver) })
            }
            Err(error) => {
                socket.remove();
                Err(SocketError::Thread(error))
            }
        }
    }

    /// The socket, if there is one.
    #[must_use]
    pub fn socket(&self) -> Option<&Socket> {
        self.serving.as_ref().map(|(socket, _)| socket)
    }

    /// The next question. Cancel-safe.
    pub async fn next(&mut self) -> Call {
        let call = match &mut self.calls {
            Some(calls) => calls.recv().await,
            None => None,
        };
        match call {
            Some(call) => call,
            // The thread has ended, which it does only with us.
            None => pending().await,
        }
    }

    /// Takes the socket away; what has been answered still goes out.
    pub fn end(&mut self) {
        // Questions that nobody will answer are answered by that.
        self.calls = None;
        if let Some(pointer) = self.pointer.take() {
            pointer.remove();
        }
        if let Some((socket, thread)) = self.serving.take() {
            socket.remove();
            thread.finish();
        }
    }
}
