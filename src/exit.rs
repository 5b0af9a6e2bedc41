//! The exit codes of the `luster` command: a stable, documented interface (see README, "Exit codes").

use std::process::ExitCode;

/// Why the `luster` command ended, as the number its parent sees.
///
/// Numbers from 64 on follow `sysexits.h`, so that service managers can tell a bad configuration
/// (`RestartPreventExitStatus=78`) from a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Stopped as asked, or the one-shot command did what it should.
    Stopped,
    /// Every worker is dead: each died too often and is not started again.
    AllWorkersDead,
    /// The command line was not understood.
    Usage,
    /// What was asked of a running luster was not done: it was aborted, taken back, refused or overruled.
    NotDone,
    /// The command needs a running luster and none was found.
    NotRunning,
    /// A fault of luster itself.
    Internal,
    /// A worker could not be started: `fork` or `exec` failed, or there is no `node`.
    ForkOrExec,
    /// A running luster has too much to do to answer; nothing was changed.
    Busy,
    /// Not permitted: the running luster is another user's, the configuration may not be read, or a listen was refused for lack of privilege.
    Permission,
    /// The configuration is missing or wrong.
    Config,
    /// What was asked of a running luster takes longer than one would wait; it goes on.
    TimedOut,
    /// Ctrl-C ended the wait for what was asked of a running luster; that goes on.
    Interrupted,
    /// A second stop signal, with this number, killed everything.
    Killed(u8),
    /// What the host ended its process with while luster stopped.
    Chosen(u8),
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Stopped => 0,
            Self::AllWorkersDead => 1,
            Self::Usage => 2,
            Self::NotDone => 20,
            Self::NotRunning => 69,
            Self::Internal => 70,
            Self::ForkOrExec => 71,
            Self::Busy => 75,
            Self::Permission => 77,
            Self::Config => 78,
            // That of timeout(1).
            Self::TimedOut => 124,
            Self::Interrupted => 130,
            Self::Killed(signal) => 128 + signal,
            Self::Chosen(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
