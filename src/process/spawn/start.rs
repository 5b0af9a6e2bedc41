//! What to start, turned into what exec takes.
//!
//! Invariants: everything is allocated before the fork; a worker reads the terminal never. As workers are not in
//! the terminal's foreground, one that did would steal the shell's input or be stopped, so stdin is inherited
//! unless it is a terminal, then it is `/dev/null`.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::termios::{LocalFlags, tcgetattr};

use super::error::{Failure, SpawnError, Step};
use super::sys::{self, Company, Image, Plan};
use crate::process::{Child, DescriptorLimit};

/// A worker to be started.
#[derive(Debug)]
pub struct Start {
    /// The program's path; PATH is not searched (see [`find_program`](crate::process::find_program)).
    pub program: PathBuf,
    /// The arguments after the program's own name.
    pub args: Vec<OsString>,
    /// How the worker's environment differs from ours.
    pub env: BTreeMap<OsString, Change>,
    /// The worker's end of its channel; becomes its descriptor 3 and is closed here.
    pub channel: OwnedFd,
    /// The limit on descriptors luster was started with.
    pub limit: DescriptorLimit,
}

/// What happens to one environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It gets this value.
    Set(OsString),
    /// It is not there.
    Remove,
}

impl Start {
    /// Starts the worker: in a group of its own, killed by the kernel when the master dies, with the
    /// channel as descriptor 3 and nothing else but stdio. Blocks until the program runs or could not be run.
    ///
    /// The thread that calls this must be the master's main one: the kernel takes that thread's end for the
    /// master's. A program that gains rights by exec (set-uid, file capabilities) is not killed with the
    /// master; it sees its channel close.
    ///
    /// # Errors
    /// See [`SpawnError`]; no process is left behind.
    pub fn spawn(self) -> Result<Child, SpawnError> {
        let image = self.image()?;
        self.spawn_image(&image).map_err(|failure| failure.of(&self.program))
    }

    fn spawn_image(&self, image: &Image) -> Result<Child, Failure> {
        let stdin =
            std::io::stdin().is_terminal().then(|| open("/dev/null", OFlag::O_CLOEXEC, Mode::empty()));
        let stdin = stdin.transpose().map_err(Step::Open.failed())?;
        sys::start(&Plan {
            image,
            channel: self.channel.as_fd(),
            stdin: stdin.as_ref().map(AsFd::as_fd),
            limit: self.limit,
            company: company(),
        })
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
        let mut env = Vec::new();
        for (name, value) in changed(std::env::vars_os().collect(), &self.env) {
            env.push(string("an environment variable", assignment(name, &value))?);
        }
        Ok(Image { program, args, env })
    }
}

/// Only a terminal set to stop those who write to it from the background makes a session necessary.
fn company() -> Company {
    let stops = |output: BorrowedFd<'_>| {
        tcgetattr(output).is_ok_and(|settings| settings.local_flags.contains(LocalFlags::TOSTOP))
    };
    match stops(std::io::stdout().as_fd()) || stops(std::io::stderr().as_fd()) {
        true => Company::Session,
        false => Company::Group,
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
