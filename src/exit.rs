//! The exit codes of the `luster` command: a stable, documented interface (see README, "Exit codes").

use std::process::ExitCode;

/// Why the `luster` command ended, as the number its parent sees.
///
/// Numbers from 64 on follow `sysexits.h`, so that service managers can tell a bad configuration
/// (`RestartPreventExitStatus=78`) from a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Stopped as asked, or the one-shot command did what it should.
    Stopped = 0,
    /// Every worker is dead: each died too often and is not started again.
    AllWorkersDead = 1,
    /// The command line was not understood.
    Usage = 2,
    /// A roll-out was aborted; the old workers went on serving.
    RollOutAborted = 20,
    /// The command needs a running luster and none was found.
    NotRunning = 69,
    /// A fault of luster itself.
    Internal = 70,
    /// A worker could not be started: `fork` or `exec` failed, or there is no `node`.
    ForkOrExec = 71,
    /// Not permitted: the configuration may not be read, or a listen was refused for lack of privilege.
    Permission = 77,
    /// The configuration is missing or wrong.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
