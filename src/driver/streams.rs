//! The streams of workers that do not go where ours go: to the host, or into log files.
//!
//! Invariants: our end never makes us wait, and closes at exec; a stream that an extension host reads is read by us while
//! there is no host.

use std::io;
use std::os::fd::OwnedFd;

use tracing::warn;

use super::builtin_extensions::{BuiltinExtensions, log_streams};
use super::spawn_overrides::StreamOverride;
use super::state::{Driver, Process, Relayed};
use crate::core::{InstanceId, WorkerId};
use crate::node::ipc;
use crate::output::{OutputStream, Relay};
use crate::process::Stream;

/// A process's stdin, stdout and stderr as they are to be.
#[derive(Debug)]
pub(super) struct Streams {
    /// Our ends of what is piped to JavaScript.
    pub(super) ours: [Option<OwnedFd>; 3],
    pub(super) theirs: [Stream; 3],
}

/// Makes what is wished for; what is not wished for goes to log files if there are any.
pub(super) fn make(
    overrides: [StreamOverride; 3],
    builtins: &BuiltinExtensions,
    worker: WorkerId,
    instance: InstanceId,
) -> io::Result<Streams> {
    let mut streams = Streams {
        ours: [None, None, None],
        theirs: [Stream::Inherited, Stream::Inherited, Stream::Inherited],
    };
    if let Some(files) = builtins.log() {
        let [stdout, stderr] = log_streams(files, worker, instance)?;
        streams.theirs[1] = stdout.map_or(Stream::Null, Stream::Given);
        streams.theirs[2] = stderr.map_or(Stream::Null, Stream::Given);
    }
    for (number, wish) in overrides.into_iter().enumerate() {
        match wish {
            StreamOverride::Inherited => {}
            StreamOverride::Null => streams.theirs[number] = Stream::Null,
            StreamOverride::Piped => {
                if number > 0 && builtins.log().is_some() {
                    builtins.tell_rival();
                }
                // As Node makes them: one that is handed over must be a socket.
                let (end, given) = ipc::pair()?;
                streams.ours[number] = Some(end);
                streams.theirs[number] = Stream::Given(given);
            }
        }
    }
    Ok(streams)
}

impl Driver {
    /// Has what these processes print go to our own streams until [`Self::stop_relaying`].
    pub(super) fn relay_all(&mut self) {
        for process in self.children.values_mut() {
            relay(&mut self.relay, process);
        }
    }

    /// The same for a process that was started while there is no host.
    pub(super) fn relay_of(&mut self, instance: InstanceId) {
        if let Some(process) = self.children.get_mut(&instance) {
            relay(&mut self.relay, process);
        }
    }

    /// Leaves the streams to a host.
    pub(super) fn stop_relaying(&mut self) {
        self.relay = Relay::default();
        self.children.values_mut().for_each(|process| process.relayed = Relayed::No);
    }
}

fn relay(relay: &mut Relay, process: &mut Process) {
    if process.relayed == Relayed::Yes {
        return;
    }
    process.relayed = Relayed::Yes;
    let [_, stdout, stderr] = &process.streams;
    for (which, stream) in [(OutputStream::Stdout, stdout), (OutputStream::Stderr, stderr)] {
        let Some(stream) = stream else { continue };
        if let Err(error) = stream.try_clone().and_then(|stream| relay.take(which, stream)) {
            let (wid, pid) = (process.spawn.worker.0, process.child.pid().as_raw());
            warn!(event = "unread", wid, pid, "worker {wid} (pid {pid}) is not read: {error}");
        }
    }
}
