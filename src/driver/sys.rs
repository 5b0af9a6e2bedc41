//! The one thing here the compiler cannot check: that a watched descriptor stays what it is.
#![expect(unsafe_code, reason = "tokio asks for a promise about the descriptor")]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has tokio watch this descriptor for being readable.
///
/// # Errors
/// The kernel does not take it.
pub(super) fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names the same open file from here to its drop, and the `AsyncFd` owns it.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    watched.map_err(|error| error.into_parts().1)
}
