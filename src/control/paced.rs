//! A connection that is not waited for for ever: for the head of a request, for the next request, for somebody to read.
//!
//! Invariant: while a request is being answered nothing is demanded of its client but that it reads; at every other time there
//! is a deadline.

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// From the connection, or the first byte of a later request, to the end of the request's head.
const HEAD: Duration = Duration::from_secs(5);

/// From an answer to the next request.
const IDLE: Duration = Duration::from_secs(30);

/// How long a client may read nothing while there is something to read.
const UNREAD: Duration = Duration::from_secs(60);

/// What a connection is waited for, as its reader, its writer and those who answer see it.
#[derive(Debug, Clone)]
pub(super) struct Pace(Rc<Waits>);

#[derive(Debug)]
struct Waits {
    stage: Cell<Stage>,
    /// Until when somebody is to read what a write waits with.
    unread: Cell<Option<Instant>>,
    changed: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The rest of a head.
    Head { until: Instant },
    /// The next request.
    Idle { until: Instant },
    /// A request is being answered.
    Answering,
}

/// A connection that tells its pace what comes and goes.
#[derive(Debug)]
pub(super) struct Paced {
    stream: UnixStream,
    pace: Pace,
}

impl Pace {
    /// That of a connection that was just made.
    pub(super) fn new() -> Self {
        let stage = Cell::new(Stage::Head { until: Instant::now() + HEAD });
        Self(Rc::new(Waits { stage, unread: Cell::new(None), changed: Notify::new() }))
    }

    /// A whole head has been read.
    pub(super) fn begin_answer(&self) {
        self.enter(Stage::Answering);
    }

    /// The answer is complete.
    pub(super) fn end_answer(&self) {
        self.enter(Stage::Idle { until: Instant::now() + IDLE });
    }

    /// Ready when the client has taken too long.
    pub(super) async fn overdue(self) {
        loop {
            let deadline = self.deadline();
            let reached = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.0.changed.notified() => {}
                () = reached => return,
            }
        }
    }

    fn enter(&self, stage: Stage) {
        self.0.stage.set(stage);
        self.0.changed.notify_one();
    }

    fn bytes_came(&self) {
        match self.0.stage.get() {
            Stage::Idle { .. } => self.enter(Stage::Head { until: Instant::now() + HEAD }),
            Stage::Head { .. } | Stage::Answering => {}
        }
    }

    /// A write has got on, or waits.
    fn wrote(&self, is_waiting: bool) {
        let before = self.0.unread.get();
        let unread = is_waiting.then(|| before.unwrap_or_else(|| Instant::now() + UNREAD));
        if unread != before {
            self.0.unread.set(unread);
            self.0.changed.notify_one();
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let stage = match self.0.stage.get() {
            Stage::Head { until } | Stage::Idle { until } => Some(until),
            Stage::Answering => None,
        };
        stage.into_iter().chain(self.0.unread.get()).min()
    }
}

impl Paced {
    pub(super) const fn new(stream: UnixStream, pace: Pace) -> Self {
        Self { stream, pace }
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.pace.bytes_came();
        }
        outcome
    }
}

impl AsyncWrite for Paced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.pace.wrote(outcome.is_pending());
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_has_its_deadline_and_bytes_that_trickle_in_do_not_move_it() {
        let pace = Pace::new();
        let about = |expected: Duration| {
            let left = pace.deadline().expect("a deadline").duration_since(Instant::now());
            assert!(left <= expected && left + Duration::from_secs(2) > expected, "{left:?} {expected:?}");
        };
        about(HEAD);
        let first = pace.deadline();
        pace.bytes_came();
        assert_eq!(pace.deadline(), first);
        pace.begin_answer();
        assert_eq!(pace.deadline(), None);
        pace.wrote(true);
        about(UNREAD);
        let unread = pace.deadline();
        pace.wrote(true);
        assert_eq!(pace.deadline(), unread);
        pace.wrote(false);
        assert_eq!(pace.deadline(), None);
        pace.end_answer();
        about(IDLE);
        pace.bytes_came();
        about(HEAD);
        let next = pace.deadline();
        pace.bytes_came();
        assert_eq!(pace.deadline(), next);
    }
}
