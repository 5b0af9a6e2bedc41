//! Log files: workers' stdout and stderr, and luster's own, line by line (what the extension luster-log-file does).
//!
//! Invariant: once they are taken over, what luster and its extension host print goes the same way as what workers print;
//! afterwards luster's streams are what they were.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{dup2_stderr, dup2_stdout, pipe2};
use thiserror::Error;

use super::copier::{Copier, Form, SourceKey, Stuck};
use super::lines::{Lines, Objects};
use super::sink::Sink;

/// What a pipe holds, in bytes: Node drops what does not fit when a worker ends by `process.exit()`. As much as in the
/// socket that JS luster's workers print into, and few enough for a hundred of them (pipe(7), `pipe-user-pages-soft`).
const LAST_WORDS: i32 = 256 << 10;
/// The key of luster's own output; workers' instances count from 1.
const OWN: SourceKey = SourceKey::MAX;

/// Where one stream's output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To the end of this file.
    File(PathBuf),
    /// To luster's own stream, as it was at the start.
    Own,
    /// Nowhere; luster's own output stays as it is.
    Nothing,
}

/// One of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A log file cannot be used.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It cannot be opened.
    #[error(
        "the log file {} ({key}) cannot be opened: {source}; check that its folder can be made and written by this user",
        path.display()
    )]
    File {
        /// The configuration's key.
        key: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refuses what it takes besides.
    #[error("log files cannot be written: {0}")]
    Other(#[from] io::Error),
}

/// Open log files.
#[derive(Debug)]
pub struct LogFiles {
    stdout: Option<Log>,
    stderr: Option<Log>,
    /// What becomes of objects among luster's own lines.
    own_objects: Objects,
}

/// Where one stream goes.
#[derive(Debug)]
struct Log {
    which: OutputStream,
    /// The file, if it is one.
    path: Option<PathBuf>,
    /// luster's own stream, as it was; given back at the end.
    original: OwnedFd,
    copier: Copier,
}

impl LogFiles {
    /// Opens them. Where `own_objects` are to stay untouched, luster's own log lines, as JSON, are a program's to read.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(stdout: &Destination, stderr: &Destination, own_objects: Objects) -> Result<Self, OpenError> {
        let log = |which, destination: &Destination| -> Result<Option<Log>, OpenError> {
            let path = match destination {
                Destination::File(path) => Some(path.clone()),
                Destination::Own | Destination::Nothing => None,
            };
            Ok(sink(which, destination)?.map(|sink| Log::start(which, path, sink)).transpose()?)
        };
        Ok(Self {
            stdout: log(OutputStream::Stdout, stdout)?,
            stderr: log(OutputStream::Stderr, stderr)?,
            own_objects,
        })
    }

    /// Sends luster's own output there, and that of processes started from now on that inherit its streams.
    ///
    /// # Errors
    /// The kernel gives no pipe; luster's own output is as it was.
    pub fn take_over(&self) -> io::Result<()> {
        for log in [&self.stdout, &self.stderr].into_iter().flatten() {
            log.redirect(&log.source(OWN, Lines::marked("[master]".to_owned(), self.own_objects))?)?;
        }
        Ok(())
    }

    /// What a process of this worker prints to: the end of a pipe, or nothing if it is to be `/dev/null`. `instance` is a
    /// number from 1 on that no other process has.
    ///
    /// # Errors
    /// The kernel gives no pipe, or a log file is stuck: its disk does not answer.
    pub fn stream(&self, which: OutputStream, worker: u32, instance: u32) -> io::Result<Option<OwnedFd>> {
        let log = match which {
            OutputStream::Stdout => &self.stdout,
            OutputStream::Stderr => &self.stderr,
        };
        log.as_ref()
            .map(|log| {
                log.source(
                    SourceKey::from(instance),
                    Lines::marked(format!("[work:{worker}]"), Objects::Marked),
                )
            })
            .transpose()
    }

    /// What goes where, for people; nothing if nothing goes to a file.
    #[must_use]
    pub fn shown(&self) -> Option<String> {
        let of = |log: &Option<Log>| log.as_ref().and_then(|log| log.path.clone());
        match (of(&self.stdout), of(&self.stderr)) {
            (Some(out), Some(err)) if out == err => Some(out.display().to_string()),
            (Some(out), Some(err)) => {
                Some(format!("{} (stdout) and {} (stderr)", out.display(), err.display()))
            }
            (Some(out), None) => Some(format!("{} (stdout)", out.display())),
            (None, Some(err)) => Some(format!("{} (stderr)", err.display())),
            (None, None) => None,
        }
    }

    /// Opens the files anew.
    pub fn reopen(&self) {
        for log in [&self.stdout, &self.stderr].into_iter().flatten() {
            // One that is stuck has more trouble than an old name.
            let _ = log.copier.reopen();
        }
    }
}

fn sink(which: OutputStream, destination: &Destination) -> Result<Option<Sink>, OpenError> {
    let complaints = OutputStream::Stderr.own()?;
    match destination {
        Destination::Nothing => Ok(None),
        Destination::Own => Ok(Some(Sink::stream(which.own()?, complaints))),
        Destination::File(path) => match Sink::file(path, complaints) {
            Ok(sink) => Ok(Some(sink)),
            Err(source) => Err(OpenError::File { key: which.key(), path: path.clone(), source }),
        },
    }
}

impl OutputStream {
    /// A duplicate of luster's own stream.
    pub(super) fn own(self) -> io::Result<OwnedFd> {
        match self {
            Self::Stdout => io::stdout().as_fd().try_clone_to_owned(),
            Self::Stderr => io::stderr().as_fd().try_clone_to_owned(),
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Stdout => "extensions.luster-log-file.stdout",
            Self::Stderr => "extensions.luster-log-file.stderr",
        }
    }
}

impl Log {
    fn start(which: OutputStream, path: Option<PathBuf>, sink: Sink) -> io::Result<Self> {
        Ok(Self { which, path, original: which.own()?, copier: Copier::start(sink)? })
    }

    /// A pipe whose lines are logged like this: its end for writing.
    fn source(&self, key: SourceKey, lines: Lines) -> io::Result<OwnedFd> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        // Where a user has many pipes already the kernel refuses, and it stays as it is.
        let _ = fcntl(&reader, FcntlArg::F_SETPIPE_SZ(LAST_WORDS));
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        match self.copier.take(key, reader, Form::Lines(lines)) {
            Ok(()) => Ok(writer),
            Err(Stuck) => Err(io::Error::new(io::ErrorKind::TimedOut, "the log file cannot be written")),
        }
    }

    /// Makes luster's own stream this one.
    fn redirect(&self, stream: &OwnedFd) -> io::Result<()> {
        match self.which {
            OutputStream::Stdout => dup2_stdout(stream)?,
            OutputStream::Stderr => dup2_stderr(stream)?,
        }
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // First, so that what is in the pipe is all there is.
        let _ = self.redirect(&self.original);
        self.copier.finish();
    }
}
