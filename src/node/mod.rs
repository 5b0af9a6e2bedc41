//! All that knows Node: its IPC channel, its cluster protocol, the processes that run luster's own JavaScript, and that
//! JavaScript itself.
//!
//! Invariant: nothing outside of this room reads or writes a line of Node's protocols.

pub mod cluster;
pub mod host;
pub mod ipc;
pub mod scripts;
