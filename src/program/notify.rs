//! The socket by which a program says that it is ready: `NOTIFY_SOCKET` of systemd's sd_notify(3), one for each process.
//!
//! Invariants: it never makes us wait; a turn reads a bounded share; only what comes from the process's own group counts.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt};
use nix::unistd::getpgid;

use crate::core::InstanceId;
use crate::process::Pid;

/// As much of a message as is looked at, in bytes.
const MESSAGE: usize = 4096;

/// So many messages are read in a turn.
const AT_ONCE: usize = 16;

/// What a program has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProgramMessage {
    Ready,
    /// Nothing that matters here.
    Other,
}

/// One program's socket.
#[derive(Debug)]
pub(super) struct ReadinessSocket {
    socket: UnixDatagram,
    name: String,
}

impl ReadinessSocket {
    /// A socket with a name of its own and no file.
    pub(super) fn new(instance: InstanceId) -> io::Result<Self> {
        let name = format!("luster/{}/{:016x}/{}", std::process::id(), random()?, instance.0);
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::PassCred, &true)?;
        Ok(Self { socket, name: format!("@{name}") })
    }

    /// The value of `NOTIFY_SOCKET`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What has been said meanwhile by the group that this process leads.
    pub(super) fn read(&self, leader: Pid) -> ProgramMessage {
        let mut said = ProgramMessage::Other;
        for _ in 0..AT_ONCE {
            match self.read_one(leader) {
                Some(ProgramMessage::Ready) => said = ProgramMessage::Ready,
                Some(ProgramMessage::Other) => {}
                None => break,
            }
        }
        said
    }

    /// The next message; nothing if there is none.
    fn read_one(&self, leader: Pid) -> Option<ProgramMessage> {
        let mut bytes = [0; MESSAGE];
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let mut space = cmsg_space!(UnixCredentials);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), flags).ok()?;
        let length = message.bytes;
        // Descriptors that came along do not fit, and the kernel has closed them.
        let sender = message.cmsgs().ok().and_then(|mut all| {
            all.find_map(|one| match one {
                ControlMessageOwned::ScmCredentials(sender) => Some(sender.pid()),
                _ => None,
            })
        });
        let group = sender.and_then(|pid| getpgid(Some(nix::unistd::Pid::from_raw(pid))).ok());
        let is_its = group.is_some_and(|group| group.as_raw() == leader.as_raw());
        let is_ready =
            bytes[..length.min(MESSAGE)].split(|byte| *byte == b'\n').any(|line| line == b"READY=1");
        Some(if is_its && is_ready { ProgramMessage::Ready } else { ProgramMessage::Other })
    }
}

impl AsFd for ReadinessSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What nobody can guess who would take the name first.
fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}
