//! The bodies of answers: a whole one, or events as they come.
//!
//! Invariant: the connection's pace hears of an answer's end however it ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::mpsc::Receiver;

use super::paced::Pace;

/// A body.
#[derive(Debug)]
pub(super) struct Answering {
    content: Content,
    pace: Pace,
}

/// What is in it.
#[derive(Debug)]
pub(super) enum Content {
    /// This.
    Whole(Bytes),
    /// What comes, until whoever sends it is gone.
    Stream(Receiver<Bytes>),
}

impl Answering {
    pub(super) const fn new(content: Content, pace: Pace) -> Self {
        Self { content, pace }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.pace.end_answer();
    }
}

impl Body for Answering {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.content {
            Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Stream(chunks) => {
                chunks.poll_recv(context).map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.content, Content::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(_) => SizeHint::default(),
        }
    }
}
