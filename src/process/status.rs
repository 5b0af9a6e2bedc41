//! How a process ended, in our words and in the user's.

use std::borrow::Cow;
use std::fmt;

use nix::libc;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// It exited by itself with this code, 0..=255.
    Code(i32),
    /// A signal killed it.
    Signal {
        /// The signal's number, 1..=64.
        number: i32,
        /// Whether the kernel wrote a core file.
        core: CoreDump,
    },
}

/// Whether a killed process left a core file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CoreDump {
    /// It did.
    Written,
    /// It did not.
    None,
}

impl ExitStatus {
    /// The exit code, if the process exited by itself: what Node passes as `code`.
    #[must_use]
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal { .. } => None,
        }
    }

    /// The signal's name, if one killed the process: what Node passes as `signal`.
    #[must_use]
    pub fn signal_name(self) -> Option<Cow<'static, str>> {
        match self {
            Self::Code(_) => None,
            Self::Signal { number, .. } => Some(signal_name(number)),
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal { number, core } => {
                write!(f, "was killed by {}", signal_name(number))?;
                match core {
                    CoreDump::Written => f.write_str(" (core dumped)"),
                    CoreDump::None => Ok(()),
                }
            }
        }
    }
}

/// Real-time signals have no entry in any table of names; bash's notation is used for them.
#[must_use]
pub fn signal_name(number: i32) -> Cow<'static, str> {
    match nix::sys::signal::Signal::try_from(number) {
        Ok(signal) => Cow::Borrowed(signal.as_str()),
        Err(_) if number == libc::SIGRTMIN() => Cow::Borrowed("SIGRTMIN"),
        Err(_) if (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number) => {
            Cow::Owned(format!("SIGRTMIN+{}", number - libc::SIGRTMIN()))
        }
        Err(_) => Cow::Owned(format!("signal {number}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{CoreDump, ExitStatus};

    #[test]
    fn a_status_reads_as_the_end_of_a_sentence() {
        let killed = |number, core| ExitStatus::Signal { number, core }.to_string();
        assert_eq!(ExitStatus::Code(1).to_string(), "exited with code 1");
        assert_eq!(killed(9, CoreDump::None), "was killed by SIGKILL");
        assert_eq!(killed(6, CoreDump::Written), "was killed by SIGABRT (core dumped)");
        assert_eq!(killed(nix::libc::SIGRTMIN() + 2, CoreDump::None), "was killed by SIGRTMIN+2");
        assert_eq!(killed(32, CoreDump::None), "was killed by signal 32");
    }

    #[test]
    fn node_sees_either_a_code_or_a_signal() {
        assert_eq!(ExitStatus::Code(7).code(), Some(7));
        assert_eq!(ExitStatus::Code(7).signal_name(), None);
        let killed = ExitStatus::Signal { number: 15, core: CoreDump::None };
        assert_eq!(killed.code(), None);
        assert_eq!(killed.signal_name().as_deref(), Some("SIGTERM"));
    }
}
