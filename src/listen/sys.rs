//! The system calls this room needs that have no safe wrapper: accepting without an extra `fcntl`, a listen backlog of
//! any size, and the program that spreads a reuseport group.
//!
//! Invariant: a descriptor the kernel hands us is owned from the first moment, so none leaks.
#![expect(unsafe_code, reason = "accept4, listen and setsockopt on raw structures")]

use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc;

/// Accepts one connection, non-blocking and close-on-exec, without asking for the peer's address.
pub(super) fn accept(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: null address pointers are allowed and mean that the address is not wanted.
    let raw = unsafe { libc::accept4(socket.as_raw_fd(), ptr::null_mut(), ptr::null_mut(), flags) };
    let raw = Errno::result(raw)?;
    // SAFETY: accept4 has just made this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Puts a socket into the listening state; the kernel caps the backlog.
pub(crate) fn listen(socket: BorrowedFd<'_>, backlog: i32) -> Result<(), Errno> {
    // SAFETY: takes no pointers.
    Errno::result(unsafe { libc::listen(socket.as_raw_fd(), backlog) }).map(drop)
}

/// Has the kernel drop every request for a new connection; those begun before go on.
pub(super) fn drop_requests(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    // What a filter sees begins with TCP's header; its byte 13 has the flags.
    let program = [
        instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, 13),
        instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, SYN_AND_ACK),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, SYN),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ];
    attach(socket, libc::SO_ATTACH_FILTER, &program)
}

const SYN: u32 = 0x02;
const SYN_AND_ACK: u32 = 0x12;

/// Lets `program` choose the member of this socket's reuseport group for each new connection.
pub(super) fn attach_chooser(socket: BorrowedFd<'_>, program: &[libc::sock_filter]) -> Result<(), Errno> {
    attach(socket, libc::SO_ATTACH_REUSEPORT_CBPF, program)
}

/// One instruction of a classic BPF program.
pub(super) const fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

fn attach(socket: BorrowedFd<'_>, what: libc::c_int, program: &[libc::sock_filter]) -> Result<(), Errno> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies the program during the call and only reads it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            what,
            (&raw const program).cast(),
            mem::size_of_val(&program) as libc::socklen_t,
        )
    };
    Errno::result(result).map(drop)
}
