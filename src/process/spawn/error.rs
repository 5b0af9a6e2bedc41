//! Why a worker could not be started, and what the operator can do about it.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use thiserror::Error;

use super::identity::Identity;

/// Why a worker could not be started.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// Nothing at the path, or the interpreter or loader it asks for is missing.
    #[error(
        "cannot start {}: it does not exist, or the interpreter or loader it needs does not; \
         check the path, and that it was built for this system", program.display()
    )]
    NotFound {
        /// What should have been started.
        program: PathBuf,
    },
    /// The file may not be executed, or is not a program.
    #[error(
        "cannot start {}: {source}; check that it is a program, has its x bit set, may be run by this user \
         and lies on a file system mounted without noexec", program.display()
    )]
    NotExecutable {
        /// What should have been started.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The descriptor table of this process (EMFILE) or of the system (ENFILE) is full.
    #[error(
        "cannot start {}: {source}; raise the hard limit on open files (ulimit -Hn, LimitNOFILE=) or fs.file-max",
        program.display()
    )]
    OutOfDescriptors {
        /// What should have been started.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The system or the container is out of processes (EAGAIN) or memory (ENOMEM).
    #[error(
        "cannot start {}: {source}; raise the limit on processes (ulimit -u, TasksMax=, pids.max) or free memory",
        program.display()
    )]
    OutOfProcesses {
        /// What should have been started.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A zero byte in the program's path, an argument or an environment variable.
    #[error("cannot start {}: {what} contains a zero byte; remove it", program.display())]
    ZeroByte {
        /// What should have been started.
        program: PathBuf,
        /// Where the byte is.
        what: &'static str,
    },
    /// Its working directory cannot be entered.
    #[error("cannot start {} in {}: {source}; check the working directory (cwd)", program.display(), folder.display())]
    Folder {
        /// What should have been started.
        program: PathBuf,
        /// Where.
        folder: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file it needs is gone, or another one than it was.
    #[error("cannot start {}: {} is gone or has been changed", program.display(), path.display())]
    Lacking {
        /// What should have been started.
        program: PathBuf,
        /// The file.
        path: PathBuf,
    },
    /// It cannot have these rights.
    #[error(
        "cannot start {} as {identity}: {source}; only root and processes with CAP_SETUID and CAP_SETGID may change these",
        program.display()
    )]
    Identity {
        /// What should have been started.
        program: PathBuf,
        /// Whose rights.
        identity: Identity,
        /// What the kernel said.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot start {}: {step} failed: {source}", program.display())]
    Other {
        /// What should have been started.
        program: PathBuf,
        /// What was being done.
        step: StartStep,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What is done to start a worker, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[repr(u8)]
pub enum StartStep {
    /// Opening what the start needs, in the master.
    #[error("opening descriptors")]
    Open,
    /// Splitting the process.
    #[error("fork")]
    Fork,
    /// Opening the new process's pidfd, in the master.
    #[error("pidfd_open")]
    Pidfd,
    /// Entering a process group of its own.
    #[error("setpgid")]
    Group,
    /// Looking at the file it needs.
    #[error("looking for the script")]
    Needed,
    /// Taking on another user's or group's rights.
    #[error("changing the user or group")]
    Identity,
    /// Going to its working directory.
    #[error("changing to the working directory")]
    Folder,
    /// Asking to be killed when the master dies.
    #[error("setting the parent-death signal")]
    DeathSignal,
    /// Placing stdio and the channel.
    #[error("placing the descriptors")]
    Descriptors,
    /// Going back to the limit luster was started with.
    #[error("restoring the limit on open files")]
    Limit,
    /// Becoming the program.
    #[error("exec")]
    Exec,
}

/// A step that failed; small and plain, as it crosses a pipe from the new process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) step: StartStep,
    pub(super) errno: Errno,
}

/// What an error is about.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) program: PathBuf,
    pub(super) folder: Option<PathBuf>,
    pub(super) identity: Identity,
    pub(super) needed: Option<PathBuf>,
}

impl StartStep {
    const ALL: [Self; 11] = [
        Self::Open,
        Self::Fork,
        Self::Pidfd,
        Self::Group,
        Self::Needed,
        Self::Identity,
        Self::Folder,
        Self::DeathSignal,
        Self::Descriptors,
        Self::Limit,
        Self::Exec,
    ];

    /// Attaches the step to what the kernel said.
    pub(super) fn failed(self) -> impl Fn(Errno) -> Failure {
        move |errno| Failure { step: self, errno }
    }
}

impl Failure {
    /// How many bytes a failure takes in the pipe: few enough to be written whole or not at all.
    pub(super) const SIZE: usize = 5;

    pub(super) fn to_bytes(self) -> [u8; Self::SIZE] {
        let [a, b, c, d] = (self.errno as i32).to_ne_bytes();
        [self.step as u8, a, b, c, d]
    }

    pub(super) fn from_bytes([step, errno @ ..]: [u8; Self::SIZE]) -> Self {
        let step = StartStep::ALL.into_iter().find(|known| *known as u8 == step).unwrap_or(StartStep::Exec);
        Self { step, errno: Errno::from_raw(i32::from_ne_bytes(errno)) }
    }

    /// The failure in the operator's terms.
    pub(super) fn of(self, subject: &Subject) -> SpawnError {
        let program = subject.program.clone();
        let source = io::Error::from(self.errno);
        match (self.step, self.errno) {
            (_, Errno::EMFILE | Errno::ENFILE) => SpawnError::OutOfDescriptors { program, source },
            (_, Errno::EAGAIN | Errno::ENOMEM) => SpawnError::OutOfProcesses { program, source },
            (StartStep::Needed, _) => {
                SpawnError::Lacking { program, path: subject.needed.clone().unwrap_or_default() }
            }
            (StartStep::Folder, _) => {
                let folder = subject.folder.clone().unwrap_or_default();
                SpawnError::Folder { program, folder, source }
            }
            (StartStep::Identity, _) => SpawnError::Identity { program, identity: subject.identity, source },
            (StartStep::Exec, Errno::ENOENT | Errno::ENOTDIR) => SpawnError::NotFound { program },
            (StartStep::Exec, Errno::EACCES | Errno::EPERM | Errno::ENOEXEC | Errno::EISDIR) => {
                SpawnError::NotExecutable { program, source }
            }
            (step, _) => SpawnError::Other { program, step, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, StartStep};
    use nix::errno::Errno;

    #[test]
    fn a_failure_survives_the_pipe() {
        for step in StartStep::ALL {
            let failure = Failure { step, errno: Errno::E2BIG };
            assert_eq!(Failure::from_bytes(failure.to_bytes()), failure);
        }
    }
}
