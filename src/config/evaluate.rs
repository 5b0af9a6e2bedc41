//! Runs a configuration that is a program, in a Node of its own, and brings back its value.
//!
//! Invariants: the process is gone when [`evaluate()`] returns, whatever happened; what the program prints goes
//! to luster's own output untouched; the value comes over a separate pipe, at most [`SIZE_LIMIT`] bytes of
//! it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Deserialize;
use serde_json::Value;

use crate::config::error::{Error, ModuleFailure};
use crate::config::literal::Flavour;
use crate::config::load::Request;
use crate::config::read::SIZE_LIMIT;
use crate::config::sys;
use crate::config::written::{Odd, Written};

/// How long a configuration that is a program may take to give its value.
pub const EVALUATION_DEADLINE: Duration = Duration::from_secs(60);

/// How long the evaluator may take to leave once it has answered; it has nothing more to do.
const LEAVING: Duration = Duration::from_secs(2);

/// Values nested deeper than this are left out; only extensions can have such, and they read their own.
const DEPTH_LIMIT: usize = 64;

const EVALUATOR: &str = include_str!("evaluate.js");

/// What the configuration exported.
#[derive(Debug)]
pub(super) enum Exported {
    Object(Written),
    /// Something else, by JavaScript's name for its type.
    Other(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    r#type: Option<String>,
    #[serde(default)]
    value: Value,
    #[serde(default)]
    odd: BTreeMap<String, String>,
    threw: Option<String>,
    too_large: Option<usize>,
}

/// Runs the file and brings back its value; `name` is the file as the user would name it.
pub(super) fn evaluate(
    file: &Path,
    name: &str,
    flavour: Flavour,
    request: &Request,
) -> Result<Exported, Error> {
    let Some(node) = &request.node else { return Err(Error::NoNode { name: name.to_owned() }) };
    let start = || -> io::Result<(Evaluator, OwnedFd)> {
        let (ours, theirs) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        let child = command(node, file, flavour, request, theirs).spawn()?;
        Ok((Evaluator(child), ours))
    };
    let (evaluator, pipe) =
        start().map_err(|source| Error::NodeFailed { name: name.to_owned(), node: node.clone(), source })?;
    let answer = converse(evaluator, pipe, request.evaluation_deadline);
    answer
        .and_then(|answer| understand(&answer))
        .map_err(|failure| Error::Module { name: name.to_owned(), failure })
}

fn command(node: &Path, file: &Path, flavour: Flavour, request: &Request, pipe: OwnedFd) -> Command {
    let mut command = Command::new(node);
    // Dropping the command after the spawn closes our copy of the pipe, so that its end can be seen.
    let number = sys::give(&mut command, pipe);
    command
        .args(request.node_arguments.iter().filter(|argument| !is_inspector(argument)))
        .args(["-e", EVALUATOR, "--"])
        .args([number.to_string(), SIZE_LIMIT.to_string(), DEPTH_LIMIT.to_string()])
        .arg(&request.program)
        .arg(file)
        .arg(match flavour {
            Flavour::CommonJs => "commonjs",
            Flavour::EsModule => "es",
        })
        .args(&request.config)
        .current_dir(&request.cwd)
        .stdin(Stdio::null());
    // The configuration is read as by a master, also when luster itself is some Node program's child.
    for variable in ["NODE_UNIQUE_ID", "NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE"] {
        command.env_remove(variable);
    }
    match &request.luster_conf {
        Some(value) => command.env("LUSTER_CONF", value),
        None => command.env_remove("LUSTER_CONF"),
    };
    command
}

/// The inspector is meant for the workers; here it would take their port, or wait for a debugger for ever.
fn is_inspector(argument: &OsStr) -> bool {
    argument.to_string_lossy().starts_with("--inspect")
}

/// A running evaluator, which does not outlive this value.
struct Evaluator(Child);

impl Drop for Evaluator {
    fn drop(&mut self) {
        // Both fail only if the process has been waited for already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes the answer's body from the pipe.
fn converse(mut evaluator: Evaluator, pipe: OwnedFd, allowed: Duration) -> Result<Vec<u8>, ModuleFailure> {
    let mut incoming = Incoming { pipe: pipe.into(), deadline: Instant::now() + allowed, allowed };
    let mut bytes = Vec::new();
    loop {
        if let Some(body) = body(&bytes)? {
            incoming.deadline = Instant::now() + LEAVING;
            // Leaving by itself lets Node restore the terminal; it is killed only if it does not.
            let _ = incoming.more(&mut Vec::new());
            return Ok(body);
        }
        match incoming.more(&mut bytes)? {
            Progress::Bytes => {}
            Progress::End => {
                let status = evaluator.0.wait().map_err(|error| ModuleFailure::Garbled(error.to_string()))?;
                return Err(ModuleFailure::Ended(status));
            }
        }
    }
}

/// The body, once its whole length is there.
fn body(bytes: &[u8]) -> Result<Option<Vec<u8>>, ModuleFailure> {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return Ok(None) };
    let length = std::str::from_utf8(&bytes[..end]).ok().and_then(|text| text.parse::<usize>().ok());
    let body = &bytes[end + 1..];
    match length {
        None => Err(ModuleFailure::Garbled("its length is not a number".to_owned())),
        Some(length) if length > SIZE_LIMIT => Err(ModuleFailure::TooLarge(SIZE_LIMIT)),
        Some(length) => Ok(body.get(..length).map(<[u8]>::to_vec)),
    }
}

struct Incoming {
    pipe: std::fs::File,
    deadline: Instant,
    allowed: Duration,
}

enum Progress {
    Bytes,
    End,
}

impl Incoming {
    /// Waits for bytes or the end of the pipe, until the deadline.
    fn more(&mut self, bytes: &mut Vec<u8>) -> Result<Progress, ModuleFailure> {
        let garbled = |error: io::Error| ModuleFailure::Garbled(error.to_string());
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ModuleFailure::TimedOut(self.allowed));
            }
            // Rounded up, or the last fraction of a millisecond would be spent spinning.
            let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(0) | Err(nix::Error::EINTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(garbled(error.into())),
            }
            let mut buffer = [0; 65536];
            let length = self.pipe.read(&mut buffer).map_err(garbled)?;
            bytes.extend_from_slice(&buffer[..length]);
            return Ok(if length == 0 { Progress::End } else { Progress::Bytes });
        }
    }
}

fn understand(answer: &[u8]) -> Result<Exported, ModuleFailure> {
    let reply: Reply =
        serde_json::from_slice(answer).map_err(|error| ModuleFailure::Garbled(error.to_string()))?;
    if let Some(stack) = reply.threw {
        return Err(ModuleFailure::Threw(stack));
    }
    if reply.too_large.is_some() {
        return Err(ModuleFailure::TooLarge(SIZE_LIMIT));
    }
    match reply.r#type.as_deref() {
        Some("object") => {
            let odd = reply.odd.into_iter().map(|(path, word)| (path, Odd::from_word(&word))).collect();
            Ok(Exported::Object(Written { value: reply.value, odd }))
        }
        Some(other) => Ok(Exported::Other(other.to_owned())),
        None => Err(ModuleFailure::Garbled("it has no type".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_evaluator_is_nobodys_worker_and_sees_the_requests_variable() {
        let mut request = Request::from_surroundings(None, None, Vec::new()).unwrap();
        request.luster_conf = Some("a=1".into());
        let (_ours, theirs) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
        let command = command(Path::new("node"), Path::new("/c.js"), Flavour::CommonJs, &request, theirs);
        let variable = |name: &str| command.get_envs().find(|(key, _)| *key == name).map(|(_, value)| value);
        assert_eq!(variable("NODE_UNIQUE_ID"), Some(None));
        assert_eq!(variable("NODE_CHANNEL_FD"), Some(None));
        assert_eq!(variable("LUSTER_CONF"), Some(Some(OsStr::new("a=1"))));
    }

    #[test]
    fn an_answer_is_taken_only_when_it_is_whole_and_not_too_large() {
        assert!(body(b"").unwrap().is_none());
        assert!(body(b"12\n{}").unwrap().is_none());
        assert_eq!(body(b"2\n{}x").unwrap().unwrap(), b"{}");
        assert!(matches!(body(b"x\n"), Err(ModuleFailure::Garbled(_))));
        assert!(matches!(body(b"99999999999\n"), Err(ModuleFailure::TooLarge(_))));
    }
}
