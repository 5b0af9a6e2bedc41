//! The socket to one peer: how it is made, and how it is read.
//!
//! Invariant: after an edge of readiness it is read until it is known to be empty, so no edge is ever missed.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};

use crate::node::ipc::ProtocolError;
use crate::node::ipc::frame::FrameBuffer;
use crate::node::ipc::sys;

/// The default holds some 280 short messages, for the kernel counts its own overhead.
const SEND_BUFFER: usize = 1 << 20;

/// Descriptors without a message that may be waiting; Node never has more than one.
const MAX_STRAY: usize = 16;

/// The reading side of a channel.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) socket: OwnedFd,
    /// Arrived, and not yet claimed by a wrapper.
    pub(crate) descriptors: VecDeque<OwnedFd>,
    pub(crate) readiness: SocketReadiness,
}

/// What is known of the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SocketReadiness {
    /// Empty: there will be an edge.
    Drained,
    /// There may be something.
    Readable,
    /// There may be something, and then the end; there will be no further edge.
    HungUp,
}

/// What one read brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// Nothing ever again.
    End,
    /// The kernel lacks what reading takes: there is something, for later.
    Starved(Errno),
}

/// A socket pair for a peer: ours, non-blocking, and the peer's. Both close on exec.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair()?;
    // Each end has its own flags; the peer sets its own end as it likes.
    ours.set_nonblocking(true)?;
    for end in [&ours, &theirs] {
        // The system's limit holds for those without privileges. A smaller buffer only means more waiting.
        if setsockopt(end, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
            let _ = setsockopt(end, sockopt::SndBuf, &SEND_BUFFER);
        }
    }
    Ok((ours.into(), theirs.into()))
}

impl Channel {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, descriptors: VecDeque::new(), readiness: SocketReadiness::Drained }
    }

    /// The peer is dead: how many bytes to read until all is known that it has written, its end included. Whoever else
    /// writes, having inherited its end, is not waited for.
    pub(crate) fn outlive(&mut self) -> usize {
        self.readiness = SocketReadiness::HungUp;
        // It fails for no socket. One more than there are, so that the end is met.
        sys::unread(self.socket.as_fd()).unwrap_or(SEND_BUFFER) + 1
    }

    /// Reads once.
    pub(crate) fn receive(&mut self, frames: &mut FrameBuffer) -> Result<ReadOutcome, ProtocolError> {
        let space = frames.space();
        let room = space.len();
        let received = match sys::receive(self.socket.as_fd(), space, &mut self.descriptors) {
            Ok(received) => received,
            Err(Errno::EAGAIN) => {
                self.readiness = SocketReadiness::Drained;
                return Ok(ReadOutcome::Nothing);
            }
            Err(Errno::EINTR) => return Ok(ReadOutcome::Bytes(0)),
            // The peer died with our words unread.
            Err(Errno::ECONNRESET) => return Ok(ReadOutcome::End),
            // Not the peer's doing; nothing was taken from the socket.
            Err(errno @ (Errno::ENOMEM | Errno::ENOBUFS)) => return Ok(ReadOutcome::Starved(errno)),
            Err(errno) => return Err(ProtocolError::Unreadable(errno)),
        };
        if received.len == 0 {
            return Ok(ReadOutcome::End);
        }
        frames.filled(received.len);
        if self.descriptors.len() > MAX_STRAY {
            return Err(ProtocolError::StrayDescriptors);
        }
        // A short read means empty, but the kernel also stops behind a descriptor, and the end gives no second edge.
        if received.len < room && received.descriptors == 0 && self.readiness == SocketReadiness::Readable {
            self.readiness = SocketReadiness::Drained;
        }
        Ok(ReadOutcome::Bytes(received.len))
    }
}
