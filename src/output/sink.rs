//! What a copier writes to: a file, or one of the streams luster was started with.
//!
//! Invariants: lines are appended, so that several writers share a file; what is lost is counted, told once, and noted
//! in the file when it can be written again; only a file of the plain kind is opened anew.

use std::fs::{File, OpenOptions, create_dir_all};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// What a pipe that polls as writable takes without blocking (pipe(7)).
const PIPE_BUF: usize = 4096;

/// Where bytes are written to.
#[derive(Debug)]
pub(super) struct Sink {
    file: File,
    /// Where it is opened anew, if it is.
    path: Option<PathBuf>,
    /// Where trouble is told.
    complaints: OwnedFd,
    lost: DroppedLines,
}

/// Whether what was written last has arrived.
#[derive(Debug)]
enum DroppedLines {
    Nothing,
    Lines(u64),
}

impl Sink {
    /// The end of the file with this path; missing folders are made. Trouble is told to `complaints`.
    ///
    /// # Errors
    /// It cannot be opened for writing.
    pub(super) fn file(path: &Path, complaints: OwnedFd) -> io::Result<Self> {
        let file = open(path)?;
        let path = file.metadata()?.is_file().then(|| path.to_owned());
        Ok(Self { file, path, complaints, lost: DroppedLines::Nothing })
    }

    /// An open stream.
    pub(super) fn stream(stream: OwnedFd, complaints: OwnedFd) -> Self {
        Self { file: stream.into(), path: None, complaints, lost: DroppedLines::Nothing }
    }

    /// Writes everything, and waits as long as that takes, or counts it as lost.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if let DroppedLines::Lines(count) = self.lost {
            let note = format!("\nluster: lines lost because they could not be written: {count}\n");
            if write_all(&self.file, note.as_bytes()).is_ok() {
                self.lost = DroppedLines::Nothing;
            }
        }
        match (write_all(&self.file, bytes), &mut self.lost) {
            (Ok(()), _) => {}
            (Err(_), DroppedLines::Lines(count)) => *count += lines(bytes),
            (Err(error), DroppedLines::Nothing) => {
                self.lost = DroppedLines::Lines(lines(bytes));
                // A reader that has gone away wants no more lines, and no complaint.
                if error.kind() != io::ErrorKind::BrokenPipe {
                    self.complain(&format!("cannot be written: {error}; lines are lost until it can"));
                }
            }
        }
    }

    /// Opens the file anew, so that one that was renamed is left to whoever did it. One that cannot be opened is told,
    /// and the old one kept.
    pub(super) fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        match open(path) {
            // A name such as /dev/stdout is by now another file: our own pipe.
            Ok(file) if !file.metadata().is_ok_and(|metadata| metadata.is_file()) => {}
            Ok(file) => self.file = file,
            Err(error) => {
                self.complain(&format!("cannot be reopened: {error}; lines go to the one that was open"));
            }
        }
    }

    /// Says what is wrong where it can be read, unless that would block.
    fn complain(&self, what: &str) {
        let name = self.path.as_deref().map_or("(a stream)".into(), Path::to_string_lossy);
        let text = format!("luster: the log file {name} {what}\n");
        let mut fds = [PollFd::new(self.complaints.as_fd(), PollFlags::POLLOUT)];
        if poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready == 1) {
            let text = &text.as_bytes()[..text.len().min(PIPE_BUF)];
            // Where complaining fails there is nobody left to tell.
            let _ = nix::unistd::write(&self.complaints, text);
        }
    }
}

fn lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// Opens for appending, and makes missing folders. What is no plain file must not make us wait for a reader.
fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    let opened = options.append(true).create(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(nix::libc::ENXIO) => io::Error::other("it is a pipe that nobody reads"),
        Some(_) | None => error,
    })?;
    // From here on waiting is right: it slows down who prints too much.
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(file)
}

/// Like the standard library's, and with a stream that somebody else has set to non-blocking, too.
fn write_all(mut file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn complaints() -> (io::PipeReader, OwnedFd) {
        let (reader, writer) = io::pipe().unwrap();
        (reader, writer.into())
    }

    #[test]
    fn a_renamed_file_is_left_alone_after_it_was_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("deep/down.log"), folder.path().join("deep/down.log.1"));
        let mut sink = Sink::file(&path, complaints().1).unwrap();
        sink.write(b"one\n");
        fs::rename(&path, &old).unwrap();
        sink.write(b"two\n");
        sink.reopen();
        sink.write(b"three\n");
        assert_eq!(fs::read_to_string(old).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");

        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        sink.reopen();
        sink.write(b"four\n");
        assert_eq!(fs::read_to_string(path).unwrap(), "four\n");
    }

    #[test]
    fn a_full_disk_is_told_once_and_noted_in_the_file_afterwards() {
        use std::io::Read;
        let (mut reader, writer) = complaints();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut sink = Sink::stream(full.into(), writer);
        sink.write(b"one\ntwo\n");
        sink.write(b"three\n");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        sink.file = open(&path).unwrap();
        sink.write(b"four\n");
        drop(sink);
        let mut told = String::new();
        reader.read_to_string(&mut told).unwrap();
        assert_eq!(told.matches("cannot be written: No space left on device").count(), 1, "{told}");
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(text, "\nluster: lines lost because they could not be written: 3\nfour\n");
    }

    #[test]
    fn a_folder_that_is_a_file_and_a_pipe_nobody_reads_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(Sink::file(&folder.path().join("file/x.log"), complaints().1).is_err());
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = Sink::file(&pipe, complaints().1).unwrap_err();
        assert_eq!(error.to_string(), "it is a pipe that nobody reads");
    }
}
