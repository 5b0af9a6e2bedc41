//! Descriptors we were started with and are told of: Node's channel to our parent, and those of luster's own helpers.
//!
//! Invariant: a number from outside is believed only if a socket is behind it, and owned only once.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use nix::sys::socket::{SockType, getsockopt, sockopt};

use super::sys;

/// The channel that a Node parent gave us (`NODE_CHANNEL_FD`), closing at exec. To be asked once.
#[must_use]
pub fn inherited_channel() -> Option<OwnedFd> {
    inherited(std::env::var("NODE_CHANNEL_FD").ok()?.parse().ok()?)
}

/// The stream socket that we were started with under this number, closing at exec. To be asked once for each.
#[must_use]
pub fn inherited(number: RawFd) -> Option<OwnedFd> {
    // 0 to 2 are not ours to own.
    let descriptor = sys::duplicate_at_exec_closed(Some(number).filter(|number| *number > 2)?).ok()?;
    is_stream_socket(descriptor.as_fd()).then(|| {
        sys::close(number);
        descriptor
    })
}

fn is_stream_socket(descriptor: BorrowedFd<'_>) -> bool {
    getsockopt(&descriptor, sockopt::SockType).is_ok_and(|kind| kind == SockType::Stream)
}
