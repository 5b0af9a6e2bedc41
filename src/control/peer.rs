//! Who is at the other end of a connection, and whether they may ask.
//!
//! Invariant: this is known before a byte of theirs is read.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::Uid;

use super::sys;

/// Who may ask.
#[derive(Debug, Clone)]
pub(super) struct Access {
    /// The user luster runs as.
    uid: u32,
    /// The group whose users may, too (`control.group`), as it is now; none if it is no group's number.
    group: Arc<AtomicI64>,
}

/// Who has connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its process.
    pub pid: i32,
    /// The user that runs as.
    pub uid: u32,
}

/// Whether somebody may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Granted(Peer),
    Denied(Peer),
}

impl Access {
    /// For this process's user, root, and this group.
    pub(super) fn new(group: Option<u32>) -> Self {
        let group = Arc::new(AtomicI64::new(number(group)));
        Self { uid: Uid::effective().as_raw(), group }
    }

    /// From now on it is this group, also for the thread that has a copy of this.
    pub(super) fn set_group(&self, group: Option<u32>) {
        self.group.store(number(group), Ordering::Relaxed);
    }

    /// Who has connected here, and whether they may.
    pub(super) fn admit(&self, connection: &impl AsFd) -> Admission {
        let Ok(credentials) = getsockopt(&connection, sockopt::PeerCredentials) else {
            return Admission::Denied(Peer { pid: 0, uid: u32::MAX });
        };
        let peer = Peer { pid: credentials.pid(), uid: credentials.uid() };
        let is_user = peer.uid == self.uid || peer.uid == 0;
        let is_in_group = || match u32::try_from(self.group.load(Ordering::Relaxed)).ok() {
            Some(group) => {
                credentials.gid() == group || sys::peer_groups(connection.as_fd()).contains(&group)
            }
            None => false,
        };
        if is_user || is_in_group() { Admission::Granted(peer) } else { Admission::Denied(peer) }
    }
}

fn number(group: Option<u32>) -> i64 {
    group.map_or(-1, i64::from)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_same_user_may_and_another_only_by_the_group() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let uid = Uid::effective().as_raw();
        let us = Peer { pid: i32::try_from(std::process::id()).expect("a pid"), uid };
        assert_eq!(Access::new(None).admit(&ours), Admission::Granted(us));
        let others = Access { uid: uid + 1, ..Access::new(None) }.admit(&ours);
        assert_eq!(others, if uid == 0 { Admission::Granted(us) } else { Admission::Denied(us) });
        // Every process is in its own groups, and the kernel knows them.
        let groups = nix::unistd::getgroups().expect("groups").into_iter().map(nix::unistd::Gid::as_raw);
        let mut told = sys::peer_groups(ours.as_fd());
        let mut groups: Vec<u32> = groups.collect();
        told.sort_unstable();
        groups.sort_unstable();
        assert_eq!(told, groups);
    }
}
