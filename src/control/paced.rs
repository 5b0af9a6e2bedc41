//! A connection that does not wait for ever: for the head of a request, for the next request, for somebody to read.
//!
//! Invariant: while a request is being answered nothing is demanded of its client but that it reads; at every other time there
//! is a deadline.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// From the connection, or the first byte of a later request, to the end of the request's head.
const HEAD: Duration = Duration::from_secs(5);

/// From an answer to the next request.
const IDLE: Duration = Duration::from_secs(30);

/// How long a client may read nothing while there is something to read.
const UNREAD: Duration = Duration::from_secs(60);

/// What a connection is waited for, as its reader, its writer and those who answer see it.
#[derive(Debug, Clone)]
pub(super) struct Phase(Rc<Cell<Stage>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The rest of a head.
    Head { until: Instant },
    /// The next request.
    Idle { until: Instant },
    /// A request is being answered.
    Answering,
}

/// A connection with its deadlines.
#[derive(Debug)]
pub(super) struct Paced {
    stream: UnixStream,
    phase: Phase,
    /// Wakes us when a read is late.
    reading: Option<Pin<Box<Sleep>>>,
    /// Since when a write waits.
    writing: Option<Pin<Box<Sleep>>>,
}

impl Phase {
    pub(super) fn new() -> Self {
        Self(Rc::new(Cell::new(Stage::Head { until: Instant::now() + HEAD })))
    }

    /// A whole head has been read.
    pub(super) fn begin_answer(&self) {
        self.0.set(Stage::Answering);
    }

    /// The answer is complete.
    pub(super) fn end_answer(&self) {
        self.0.set(Stage::Idle { until: Instant::now() + IDLE });
    }

    fn bytes_came(&self) {
        match self.0.get() {
            Stage::Idle { .. } => self.0.set(Stage::Head { until: Instant::now() + HEAD }),
            Stage::Head { .. } | Stage::Answering => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.0.get() {
            Stage::Head { until } | Stage::Idle { until } => Some(until),
            Stage::Answering => None,
        }
    }
}

impl Paced {
    pub(super) const fn new(stream: UnixStream, phase: Phase) -> Self {
        Self { stream, phase, reading: None, writing: None }
    }
}

/// Ready with an error once it is past `deadline`.
fn expire(
    timer: &mut Option<Pin<Box<Sleep>>>,
    deadline: Instant,
    context: &mut Context<'_>,
) -> Poll<io::Error> {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
    if timer.deadline() != deadline {
        timer.as_mut().reset(deadline);
    }
    timer.as_mut().poll(context).map(|()| io::ErrorKind::TimedOut.into())
}

impl AsyncRead for Paced {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(outcome) => {
                if buffer.filled().len() > before {
                    this.phase.bytes_came();
                }
                Poll::Ready(outcome)
            }
            Poll::Pending => match this.phase.deadline() {
                Some(deadline) => expire(&mut this.reading, deadline, context).map(Err),
                None => Poll::Pending,
            },
        }
    }
}

impl Paced {
    /// What became of a write, or that it has waited for too long.
    fn written<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.writing = None;
            return outcome;
        }
        let deadline =
            self.writing.as_ref().map_or_else(|| Instant::now() + UNREAD, |timer| timer.deadline());
        let error = ready!(expire(&mut self.writing, deadline, context));
        Poll::Ready(Err(error))
    }
}

impl AsyncWrite for Paced {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.written(context, outcome)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
