//! The one system call this room needs that has no safe wrapper: a peer's supplementary groups.
#![expect(unsafe_code, reason = "getsockopt with SO_PEERGROUPS")]

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::libc;

/// A user is in so many groups at most (Linux's `NGROUPS_MAX`).
const MOST_GROUPS: usize = 65_536;

/// The supplementary groups that whoever connected here had then; none if the kernel does not say.
pub(super) fn peer_groups(connection: BorrowedFd<'_>) -> Vec<u32> {
    let mut groups = vec![0_u32; 32];
    loop {
        let mut length = libc::socklen_t::try_from(size_of_val(groups.as_slice())).unwrap_or(0);
        // SAFETY: `length` says how many bytes `groups` has room for; the kernel writes no more, and says how many it wrote
        // or would have.
        let asked = unsafe {
            libc::getsockopt(
                connection.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let count = length as usize / size_of::<u32>();
        match asked {
            0 => {
                groups.truncate(count);
                return groups;
            }
            // They were more than there was room for.
            _ if count > groups.len() && count <= MOST_GROUPS => groups.resize(count, 0),
            _ => return Vec::new(),
        }
    }
}
