//! What reading a configuration needs from outside, and how far it may go.
//!
//! Invariant: nothing is taken from the environment but what the [`ConfigRequest`] holds, so that tests can give it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, io};

use crate::config::settings::Balance;

/// The largest configuration file, and the largest value a program may give as JSON, in bytes.
pub const SIZE_LIMIT: usize = 16 * 1024 * 1024;

/// How long a configuration that is a program may take to give its value.
pub const EVALUATION_DEADLINE: Duration = Duration::from_secs(60);

/// What [`load()`] needs from outside.
#[derive(Debug, Clone)]
pub struct ConfigRequest {
    /// The command line's CONFIG.
    pub config: Option<PathBuf>,
    /// The working directory, absolute.
    pub cwd: PathBuf,
    /// The environment variable `LUSTER_CONF`.
    pub luster_conf: Option<OsString>,
    /// What holds where the configuration says nothing.
    pub defaults: Defaults,
    /// How long such programs may take.
    pub evaluation_deadline: Duration,
    /// Whether Node follows symbolic links to where files really are.
    pub links: Links,
    /// Finds programs.
    pub find_program: FindProgram,
}

/// Finds a program by its name, in PATH.
pub type FindProgram = fn(&OsStr) -> Option<PathBuf>;

impl ConfigRequest {
    /// A request from this process's surroundings.
    ///
    /// # Errors
    /// There is no working directory.
    pub fn from_environment(config: Option<PathBuf>, find_program: FindProgram) -> io::Result<Self> {
        Ok(Self {
            config,
            cwd: env::current_dir()?,
            luster_conf: env::var_os("LUSTER_CONF"),
            defaults: Defaults::from_environment(),
            evaluation_deadline: EVALUATION_DEADLINE,
            links: Links::Followed,
            find_program,
        })
    }
}

/// What becomes of symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// They are followed, as Node does: a release that a link leads to when the configuration is read stays that release.
    Followed,
    /// They stay, as `--preserve-symlinks` has it.
    Kept,
}

impl Links {
    pub(super) fn real(self, path: &Path) -> PathBuf {
        match self {
            Self::Followed => path.canonicalize().unwrap_or_else(|_| path.to_owned()),
            Self::Kept => path.to_owned(),
        }
    }

    /// The same, but for the last name.
    pub(super) fn real_folder(self, path: &Path) -> PathBuf {
        match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) => self.real(folder).join(name),
            _ => path.to_owned(),
        }
    }
}

/// Defaults that are not the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// The number of workers.
    pub workers: u32,
    /// How connections are shared.
    pub balance: Balance,
}

impl Defaults {
    /// As many workers as CPUs that this process may use (by affinity and the cgroup's quota, unlike JS luster), and Node's
    /// own variable for how its cluster module shares connections.
    pub(super) fn from_environment() -> Self {
        let none = env::var_os("NODE_CLUSTER_SCHED_POLICY").is_some_and(|policy| policy == "none");
        Self {
            workers: u32::try_from(num_cpus::get()).unwrap_or(1),
            balance: if none { Balance::Shared } else { Balance::RoundRobin },
        }
    }
}
