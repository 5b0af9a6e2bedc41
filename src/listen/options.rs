//! How to bind and listen.
//!
//! Invariant: these are values; whoever opens a socket heeds those that have a meaning for its kind.

/// How to bind and listen; of several askers the first one's hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) backlog: i32,
    pub(crate) reuse: Reuse,
    /// Permission bits to add to a unix socket's file.
    pub(crate) mode: u32,
    /// Who may connect there besides.
    pub(crate) access: SocketAccess,
}

/// Whether a UDP address may be shared with other sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    No,
    Address,
}

/// What the files of unix sockets are made with, besides what workers ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketAccess {
    /// The permission bits in place of the umask's.
    pub mode: Option<u32>,
    /// The group in place of ours.
    pub group: Option<u32>,
}
