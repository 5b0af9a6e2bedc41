//! Sockets that are passed to programs: how they are when one gets them, and when they are ours again.
//!
//! A program shares with us not the socket alone but the open file: whoever makes that wait makes it wait for all. So what is
//! passed is accepted from by programs only, or by us only; should one be left that we do not know of, accepting waits for
//! [`LEFTOVERS`] at most.
//!
//! Invariant: while a program may have a socket, nothing is changed about it.

use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;
use socket2::SockRef;

/// How long accepting waits at most on a socket that a program has made wait.
const LEFTOVERS: Duration = Duration::from_millis(1);

/// As programs expect it (sd_listen_fds(3), with `NonBlocking=no`): one that wants to be told of each connection says so.
pub(crate) fn prepare(socket: &OwnedFd) -> Result<(), Errno> {
    let socket = SockRef::from(socket);
    socket.set_read_timeout(None).and_then(|()| socket.set_nonblocking(false)).map_err(|_| Errno::EINVAL)
}

/// As it has to be for us to accept from it.
pub(crate) fn take_back(socket: &OwnedFd) -> Result<(), Errno> {
    let socket = SockRef::from(socket);
    socket
        .set_read_timeout(Some(LEFTOVERS))
        .and_then(|()| socket.set_nonblocking(true))
        .map_err(|_| Errno::EINVAL)
}
