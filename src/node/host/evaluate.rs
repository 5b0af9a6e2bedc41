//! The conversation with a process that runs a configuration, until it is told to go or to become the extension host.
//!
//! Over its socket: it sends the length of its answer, a line feed, and the answer; it is asked, and told what becomes of
//! it, by lines of JSON.
//! Blocks: nothing else goes on before the configuration is known.
//!
//! Invariant: a process that is not promoted is gone when its [`Candidate`] is dropped.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::Value;

use crate::process::{Child, ExitStatus, wait_or_kill};

/// How long a process may take to leave when it has nothing more to do.
const LEAVING: Duration = Duration::from_secs(2);

/// Within how many bytes its length has ended.
const LENGTH_LIMIT: usize = 32;

/// A process that runs a configuration and may become the host.
#[derive(Debug)]
pub struct Candidate {
    child: Option<Child>,
    socket: File,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationFailure {
    /// It has ended.
    #[error("it ended")]
    Ended(ExitStatus),
    /// It took too long.
    #[error("it took too long")]
    TimedOut,
    /// Its answer is too large.
    #[error("its answer is too large")]
    TooLarge,
    /// What it sent is no answer.
    #[error("{0}")]
    Garbled(String),
}

impl Candidate {
    /// Takes a process that was just started, with our end of its socket.
    #[must_use]
    pub fn new(child: Child, socket: OwnedFd) -> Self {
        Self { child: Some(child), socket: socket.into() }
    }

    /// Waits for its answer, of at most so many bytes.
    ///
    /// # Errors
    /// There is none; the process is to be dropped.
    pub fn answer(&mut self, allowed: Duration, size_limit: usize) -> Result<Vec<u8>, EvaluationFailure> {
        let deadline = Instant::now() + allowed;
        let mut bytes = Vec::new();
        loop {
            if let Some(body) = body(&bytes, size_limit)? {
                return Ok(body);
            }
            if self.more(&mut bytes, deadline)? == 0 {
                return Err(self.ended());
            }
        }
    }

    /// Asks it something, and waits for its answer.
    ///
    /// # Errors
    /// There is none; the process is to be dropped.
    pub fn ask(
        &mut self,
        question: &Value,
        allowed: Duration,
        size_limit: usize,
    ) -> Result<Vec<u8>, EvaluationFailure> {
        let written = self.socket.write_all(format!("{question}\n").as_bytes());
        written.map_err(|error| EvaluationFailure::Garbled(error.to_string()))?;
        self.answer(allowed, size_limit)
    }

    /// Tells it to become the host, and how. It belongs to the caller from here on.
    ///
    /// # Errors
    /// It is gone already.
    pub fn promote_to_host(mut self, validation: &Value) -> io::Result<(Child, OwnedFd)> {
        self.socket.write_all(format!("{validation}\n").as_bytes())?;
        let socket = self.socket.try_clone()?.into();
        match self.child.take() {
            Some(child) => Ok((child, socket)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Reads once, waiting until the deadline; answers with the number of bytes.
    fn more(&mut self, bytes: &mut Vec<u8>, deadline: Instant) -> Result<usize, EvaluationFailure> {
        let garbled = |error: io::Error| EvaluationFailure::Garbled(error.to_string());
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(EvaluationFailure::TimedOut);
            }
            // Rounded up, or the last fraction of a millisecond would be spent spinning.
            let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(0) | Err(nix::Error::EINTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(garbled(error.into())),
            }
            let mut buffer = [0; 65536];
            return match self.socket.read(&mut buffer) {
                Ok(length) => {
                    bytes.extend_from_slice(&buffer[..length]);
                    Ok(length)
                }
                // It died with something of ours unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
                Err(error) => Err(garbled(error)),
            };
        }
    }

    fn ended(&mut self) -> EvaluationFailure {
        match self.child.take().map(|child| wait_or_kill(&child, LEAVING)) {
            Some(Ok(status)) => EvaluationFailure::Ended(status),
            Some(Err(error)) => EvaluationFailure::Garbled(error.to_string()),
            None => EvaluationFailure::Garbled("it is gone".into()),
        }
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            // Leaving by itself lets Node restore the terminal; it is killed only if it does not.
            let _ = self.socket.write_all(b"{\"end\":true}\n");
            let _ = wait_or_kill(&child, LEAVING);
        }
    }
}

/// The body, once its whole length is there.
fn body(bytes: &[u8], size_limit: usize) -> Result<Option<Vec<u8>>, EvaluationFailure> {
    let Some(end) = bytes.iter().take(LENGTH_LIMIT).position(|&byte| byte == b'\n') else {
        return match bytes.len() < LENGTH_LIMIT {
            true => Ok(None),
            false => Err(EvaluationFailure::Garbled("it does not begin with its length".to_owned())),
        };
    };
    let length = std::str::from_utf8(&bytes[..end]).ok().and_then(|text| text.parse::<usize>().ok());
    let body = &bytes[end + 1..];
    match length {
        None => Err(EvaluationFailure::Garbled("its length is not a number".to_owned())),
        Some(length) if length > size_limit => Err(EvaluationFailure::TooLarge),
        Some(length) => Ok(body.get(..length).map(<[u8]>::to_vec)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_only_when_it_is_whole_and_not_too_large() {
        assert!(body(b"", 9).unwrap().is_none());
        assert!(body(b"12\n{}", 99).unwrap().is_none());
        assert_eq!(body(b"2\n{}x", 9).unwrap().unwrap(), b"{}");
        assert!(matches!(body(b"x\n", 9), Err(EvaluationFailure::Garbled(_))));
        assert!(body(&[b'1'; 31], 9).unwrap().is_none());
        assert!(matches!(body(&[b'1'; 32], 9), Err(EvaluationFailure::Garbled(_))));
        assert!(matches!(body(b"10\n", 9), Err(EvaluationFailure::TooLarge)));
    }
}
