//! What to start, turned into what exec takes.
//!
//! Invariants: everything is allocated before the fork; a process of ours reads the terminal never. As none is in
//! the terminal's foreground, one that did would steal the shell's input or be stopped, so stdin is inherited
//! unless it is a terminal, then it is `/dev/null`.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::io::IsTerminal;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::termios::{LocalFlags, tcgetattr};

use super::error::{Failure, SpawnError, StartStep, Subject};
use super::exec::{Exec, Forked};
use super::identity::Identity;
use super::needed::Needed;
use super::sys::{self, Image, Isolation, PreparedStart};
use crate::process::{Child, DescriptorLimit};

/// The first number of what a process is given: its channel, if it has one; the caller says so in its environment.
const GIVEN: RawFd = 3;

/// The first number of what a process with a channel is given besides.
pub const FURTHER: RawFd = 4;

/// A process to be started: a worker, or the extension host.
#[derive(Debug)]
pub struct Start {
    /// The program's path; PATH is not searched (see [`find_program`](crate::process::find_program)).
    pub program: PathBuf,
    /// The arguments after the program's own name.
    pub args: Vec<OsString>,
    /// How the process's environment differs from ours.
    pub env: BTreeMap<OsString, Change>,
    /// Its working directory, if it is not ours.
    pub folder: Option<PathBuf>,
    /// Its stdin, stdout and stderr.
    pub stdio: [Stream; 3],
    /// What it is given: its descriptors from 3 on, in this order; closed here. A channel comes first.
    pub given: Vec<OwnedFd>,
    /// Whose rights it has, if they are not ours.
    pub identity: Identity,
    /// The limit on descriptors luster was started with.
    pub limit: DescriptorLimit,
    /// A file the program cannot do without.
    pub needed: Option<Needed>,
    /// An environment variable in which the process finds its own number.
    pub own_pid: Option<&'static str>,
}

/// What one of the standard descriptors becomes.
#[derive(Debug)]
pub enum Stream {
    /// What ours is (`/dev/null` for a stdin that is a terminal).
    Inherited,
    /// `/dev/null`.
    Null,
    /// This.
    Given(OwnedFd),
}

/// What happens to one environment variable. `Debug`, which log lines use, does not show the value: it may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// It gets this value.
    Set(OsString),
    /// It is not there.
    Remove,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Set(_) => "Set",
            Self::Remove => "Remove",
        })
    }
}

impl Start {
    /// Starts the process: in a group of its own, killed by the kernel when the master dies, with nothing
    /// else but stdio and what was given. Comes back at once; what becomes of it is told later.
    ///
    /// The thread that calls this must be the master's main one: the kernel takes that thread's end for the
    /// master's. A program that gains rights by exec (set-uid, file capabilities) is not killed with the
    /// master; it sees its channel close.
    ///
    /// # Errors
    /// See [`SpawnError`]; there is no process.
    pub fn fork(self) -> Result<Forked, SpawnError> {
        let image = self.image()?;
        let subject = Subject {
            program: self.program.clone(),
            folder: self.folder.clone(),
            identity: self.identity,
            needed: self.needed.as_ref().map(|needed| needed.path.clone()),
        };
        match self.fork_image(&image) {
            Ok((child, answer)) => Ok(Forked { child, exec: Exec::new(answer, subject) }),
            Err(failure) => Err(failure.of(&subject)),
        }
    }

    /// The same, and waits until the program runs or could not be run. Blocks: for what is started before the loop.
    ///
    /// # Errors
    /// See [`SpawnError`]; no process is left behind.
    pub fn spawn(self) -> Result<Child, SpawnError> {
        self.fork()?.begun()
    }

    fn fork_image(&self, image: &Image) -> Result<(Child, OwnedFd), Failure> {
        let null =
            self.needs_null().then(|| open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()));
        let null = null.transpose().map_err(StartStep::Open.failed())?;
        let mut placements = Vec::new();
        for (number, stream) in (0..).zip(&self.stdio) {
            match (stream, &null) {
                (Stream::Given(descriptor), _) => placements.push((descriptor.as_raw_fd(), number)),
                (Stream::Null, Some(null)) => placements.push((null.as_raw_fd(), number)),
                (Stream::Inherited, Some(null)) if number == 0 && stdin_is_terminal() => {
                    placements.push((null.as_raw_fd(), number));
                }
                (Stream::Null | Stream::Inherited, _) => {}
            }
        }
        placements.extend(self.given.iter().map(AsRawFd::as_raw_fd).zip(GIVEN..));
        sys::start(PreparedStart {
            image,
            placements,
            limit: self.limit,
            isolation: isolation(),
            identity: self.identity,
        })
    }

    fn needs_null(&self) -> bool {
        let null = self.stdio.iter().any(|stream| matches!(stream, Stream::Null));
        null || (matches!(self.stdio[0], Stream::Inherited) && stdin_is_terminal())
    }

    fn image(&self) -> Result<Image, SpawnError> {
        let string = |what, bytes: Vec<u8>| {
            CString::new(bytes).map_err(|_| SpawnError::ZeroByte { program: self.program.clone(), what })
        };
        let program = string("the program's path", self.program.as_os_str().as_bytes().to_vec())?;
        let mut args = vec![program.clone()];
        for arg in &self.args {
            args.push(string("an argument", arg.as_bytes().to_vec())?);
        }
        let folder = self.folder.as_ref().map(|folder| folder.as_os_str().as_bytes().to_vec());
        let folder = folder.map(|folder| string("the working directory", folder)).transpose()?;
        let mut env = Vec::new();
        for (name, value) in changed(std::env::vars_os().collect(), &self.env) {
            env.push(string("an environment variable", assignment(name, &value))?);
        }
        let needed = self.needed.as_ref().map(|needed| {
            let path = needed.path.as_os_str().as_bytes().to_vec();
            Ok((string("the path of a script", path)?, needed.clone()))
        });
        let own_pid = self.own_pid.map(|name| assignment(name.into(), OsStr::new("")));
        Ok(Image { program, args, env, folder, needed: needed.transpose()?, own_pid })
    }
}

fn stdin_is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// Only a terminal set to stop those who write to it from the background makes a session necessary.
fn isolation() -> Isolation {
    let stops = |output: BorrowedFd<'_>| {
        tcgetattr(output).is_ok_and(|settings| settings.local_flags.contains(LocalFlags::TOSTOP))
    };
    match stops(std::io::stdout().as_fd()) || stops(std::io::stderr().as_fd()) {
        true => Isolation::Session,
        false => Isolation::Group,
    }
}

fn changed(
    mut env: BTreeMap<OsString, OsString>,
    changes: &BTreeMap<OsString, Change>,
) -> BTreeMap<OsString, OsString> {
    for (name, change) in changes {
        match change {
            Change::Set(value) => env.insert(name.clone(), value.clone()),
            Change::Remove => env.remove(name),
        };
    }
    env
}

fn assignment(name: OsString, value: &OsStr) -> Vec<u8> {
    let mut bytes = name.into_vec();
    bytes.push(b'=');
    bytes.extend_from_slice(value.as_bytes());
    bytes
}
