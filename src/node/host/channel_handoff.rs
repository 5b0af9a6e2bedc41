//! How a channel comes to us: the process that opens it has a helper of ours (`luster __link`) send our end through a
//! socket it was started with, because Node opens channels only to its own children.
//!
//! Invariant: what arrives is owned from the first moment.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;

use crate::node::ipc;

/// What came through the socket.
#[derive(Debug)]
pub(super) enum ChannelHandoff {
    Channel(OwnedFd),
    NotYet,
    /// The socket is closed.
    Never,
}

/// Receives the channel, if it is there.
pub(super) fn receive(socket: BorrowedFd<'_>) -> ChannelHandoff {
    let mut byte = [0; 1];
    let mut descriptors = VecDeque::new();
    match ipc::receive(socket, &mut byte, &mut descriptors) {
        Ok(received) if received.len == 0 => ChannelHandoff::Never,
        Ok(_) => descriptors.pop_front().map_or(ChannelHandoff::NotYet, ChannelHandoff::Channel),
        Err(Errno::EAGAIN | Errno::EINTR) => ChannelHandoff::NotYet,
        Err(_) => ChannelHandoff::Never,
    }
}

/// Sends the channel through the socket: what the helper does.
///
/// # Errors
/// The other end is gone.
pub fn hand_over(channel: BorrowedFd<'_>, socket: BorrowedFd<'_>) -> Result<(), Errno> {
    ipc::send(socket, &[IoSlice::new(&[0])], Some(channel)).map(drop)
}
