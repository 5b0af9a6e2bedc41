//! System calls of the master that fail: `strace` at its main thread, which is the loop.
//!
//! Only failures that the kernel may answer with are to be used. An EAGAIN where the kernel has promised an edge is none:
//! whoever waits for readiness by edges must be able to rely on it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::tool;

/// A strace that is attached.
#[derive(Debug)]
pub(crate) struct Injection(Child);

impl Injection {
    /// Has calls fail: the `first` from now on, and from there each `step`th.
    pub(crate) fn attach(pid: i32, calls: &str, error: &str, first: u64, step: u64) -> Result<Self, String> {
        let when = format!("inject={calls}:error={error}:when={first}+{step}");
        let mut child = tool("strace", "strace")
            .command()
            .args(["-p", &pid.to_string(), "-e", &format!("trace={calls}"), "-e", &when])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut lines = BufReader::new(child.stderr.take().expect("piped"));
        let mut first = String::new();
        lines.read_line(&mut first).map_err(|error| error.to_string())?;
        // It must not wait for somebody who reads.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        if first.contains("attached") {
            return Ok(Self(child));
        }
        let _ = child.wait();
        Err(first.trim().to_owned())
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).expect("a pid"));
        // It lets go of whom it is attached to, and ends.
        let _ = kill(pid, Signal::SIGINT);
        let _ = self.0.wait();
    }
}
