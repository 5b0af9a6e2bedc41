//! The system calls this room needs that have no safe wrapper: descriptors in and out of messages.
//!
//! Invariant: a descriptor the kernel hands us is owned from the first moment, so none leaks.
#![expect(unsafe_code, reason = "recvmsg, sendmsg, getsockopt and ioctl on raw structures")]

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc;

/// Room for 80 descriptors in one message; Node sends one, and the kernel closes what does not fit.
const CONTROL_WORDS: usize = 42;

/// What one `receive` brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReceivedBytes {
    /// Bytes; zero is the end of the stream.
    pub(crate) len: usize,
    /// Descriptors pushed to the caller's queue.
    pub(crate) descriptors: usize,
}

/// Reads once, without waiting. Descriptors that came along are pushed to `descriptors`, close-on-exec.
///
/// A truncated control message is not an error: the wrapper that lost its descriptor is answered with a NACK.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    into: &mut [u8],
    descriptors: &mut VecDeque<OwnedFd>,
) -> Result<ReceivedBytes, Errno> {
    let mut control = [0_u64; CONTROL_WORDS];
    let mut part = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: msghdr is plain data, for which all zeros is a valid value.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = mem::size_of_val(&control) as _;
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: the header points at `into` and `control`, both alive and of the lengths given.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    let len = usize::try_from(Errno::result(len)?).unwrap_or(0);
    let before = descriptors.len();
    if header.msg_controllen > 0 {
        collect_descriptors(&header, descriptors);
    }
    Ok(ReceivedBytes { len, descriptors: descriptors.len() - before })
}

/// How many bytes wait to be read.
pub(crate) fn unread(socket: BorrowedFd<'_>) -> Result<usize, Errno> {
    let mut count: libc::c_int = 0;
    // SAFETY: the call writes one integer to `count`.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut count) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Takes ownership of the descriptors in a received control message.
fn collect_descriptors(header: &libc::msghdr, descriptors: &mut VecDeque<OwnedFd>) {
    // SAFETY: the header was filled by recvmsg and its control buffer is still alive.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !message.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return null or a pointer to a whole header in the buffer.
        let current = unsafe { &*message };
        if current.cmsg_level == libc::SOL_SOCKET && current.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: `current` lies in the control buffer, and its data follows it there.
            let data = unsafe { libc::CMSG_DATA(message) };
            // SAFETY: pure arithmetic.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = (current.cmsg_len as usize).saturating_sub(head) / mem::size_of::<RawFd>();
            for index in 0..count {
                // SAFETY: the kernel wrote `count` descriptors there; the data may be unaligned.
                let raw = unsafe { ptr::read_unaligned(data.cast::<RawFd>().add(index)) };
                // SAFETY: the kernel has just installed this descriptor for us; nobody else owns it.
                descriptors.push_back(unsafe { OwnedFd::from_raw_fd(raw) });
            }
        }
        // SAFETY: as for CMSG_FIRSTHDR; `message` is a header of this buffer.
        message = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
}

/// Writes once, without waiting and without SIGPIPE. The descriptor rides on the first byte.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<usize, Errno> {
    let mut control = [0_u64; 4];
    // SAFETY: msghdr is plain data, for which all zeros is a valid value.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    // The kernel only reads through this pointer; IoSlice is guaranteed to have iovec's layout.
    header.msg_iov = parts.as_ptr().cast::<libc::iovec>().cast_mut();
    header.msg_iovlen = parts.len() as _;
    if let Some(descriptor) = descriptor {
        const SIZE: u32 = mem::size_of::<RawFd>() as u32;
        header.msg_control = control.as_mut_ptr().cast();
        // SAFETY: pure arithmetic.
        header.msg_controllen = unsafe { libc::CMSG_SPACE(SIZE) } as _;
        // SAFETY: the control buffer is 32 bytes, aligned to 8, and holds one header and one descriptor.
        unsafe {
            let message = libc::CMSG_FIRSTHDR(&raw const header);
            (*message).cmsg_level = libc::SOL_SOCKET;
            (*message).cmsg_type = libc::SCM_RIGHTS;
            (*message).cmsg_len = libc::CMSG_LEN(SIZE) as _;
            ptr::write_unaligned(libc::CMSG_DATA(message).cast::<RawFd>(), descriptor.as_raw_fd());
        }
    }
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the header points at `parts` and `control`, both alive and of the lengths given.
    let len = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, flags) };
    Ok(usize::try_from(Errno::result(len)?).unwrap_or(0))
}

/// What kind of socket a descriptor is: its domain, type, and whether it listens.
pub(crate) fn socket_kind(socket: BorrowedFd<'_>) -> Result<(i32, i32, i32), Errno> {
    let read = |name: i32| {
        let mut value: libc::c_int = 0;
        let mut len = mem::size_of_val(&value) as libc::socklen_t;
        // SAFETY: `value` and `len` are alive and of the size the kernel is told.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                name,
                (&raw mut value).cast(),
                &raw mut len,
            )
        };
        Errno::result(result).map(|_| value)
    };
    Ok((read(libc::SO_DOMAIN)?, read(libc::SO_TYPE)?, read(libc::SO_ACCEPTCONN)?))
}
