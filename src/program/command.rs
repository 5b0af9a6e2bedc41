//! What a program is started with.
//!
//! Invariant: of our own environment a program gets what is not meant for luster or for Node's workers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::core::{ReadyCheck, WorkerId};
use crate::process::{Change, FOR_LUSTER_ALONE};

/// A program that workers run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramCommand {
    /// Its file, or that of its interpreter.
    pub executable: PathBuf,
    /// The arguments: the interpreter's own, the app, the app's.
    pub args: Vec<OsString>,
    /// When one that runs is ready.
    pub ready: ReadyCheck,
    /// The number of the signal that asks it to end.
    pub stop_signal: i32,
    /// Whether it is started with the socket that it is to listen on.
    pub pass: Pass,
}

/// Whether a program is started with the socket that it is to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// It is, where there is a port.
    Socket,
    /// It binds its port itself.
    Nothing,
}

/// The name of the socket that a program is started with.
const SOCKET_NAME: &str = "luster";

/// What luster tells Node's workers, or has from a Node that has started it.
const NODES: [&str; 6] = [
    "NODE_CHANNEL_FD",
    "NODE_CHANNEL_SERIALIZATION_MODE",
    "NODE_UNIQUE_ID",
    "LUSTER_BOOT",
    "LUSTER_LAUNCHER",
    "LUSTER_SERIALIZATION",
];

impl ProgramCommand {
    /// How the environment of this worker's process differs from ours. `port` is `0` where none is configured; it has
    /// so many sockets, from descriptor 3 on, and finds its own number in `LISTEN_PID`.
    #[must_use]
    pub fn env(&self, worker: WorkerId, port: &str, sockets: usize) -> BTreeMap<OsString, Change> {
        let removed = FOR_LUSTER_ALONE.into_iter().chain(NODES).map(|name| (name, Change::Remove));
        let set = |value: &str| Change::Set(value.into());
        let mut env: BTreeMap<OsString, Change> =
            removed.map(|(name, change)| (name.into(), change)).collect();
        env.insert("port".into(), set(port));
        // The name that most programs know. Where no port is configured, whatever it is stays.
        if port != "0" {
            env.insert("PORT".into(), set(port));
        }
        if sockets > 0 {
            env.insert("LISTEN_FDS".into(), set(&sockets.to_string()));
            env.insert("LISTEN_FDNAMES".into(), set(&vec![SOCKET_NAME; sockets].join(":")));
        }
        env.insert("LUSTER_WID".into(), set(&worker.to_string()));
        env
    }
}
