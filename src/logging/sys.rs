//! The one system call this room needs that has no safe wrapper: a write that never waits, whoever shares the file.
#![expect(unsafe_code, reason = "pwritev2 with RWF_NOWAIT")]

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;

/// Writes what can be written without waiting; answers with how much that was. Fails where the kernel does not know how
/// for this kind of file: EOPNOTSUPP for terminals, for pipes before Linux 6.4.
pub(super) fn write_now(file: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    let part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: one part, which the kernel only reads and which outlives the call; -1 is the file's own position.
    let written = unsafe {
        libc::syscall(
            libc::SYS_pwritev2,
            file.as_raw_fd(),
            &raw const part,
            1,
            -1_i64,
            -1_i64,
            libc::RWF_NOWAIT,
        )
    };
    Errno::result(written).map(|written| usize::try_from(written).unwrap_or(0))
}
