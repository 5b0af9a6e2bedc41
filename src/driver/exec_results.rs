//! Whether a process that was forked runs its program: known when it is heard of, or has ended; nobody waits for it.

use crate::process::{Exec, SpawnError};

/// Whether a process runs its program.
#[derive(Debug)]
pub(super) enum Begun {
    /// Nobody has asked.
    Unknown(Exec),
    Yes,
    /// It could not; its end is near.
    Not(Unstarted),
}

/// Why a process could not run its program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unstarted {
    /// Its script is gone, which can be mended.
    Lacking(String),
    Failed(String),
}

/// Whether a process has been started anew because its script was gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mended {
    No,
    Once,
}

impl Begun {
    /// Whether its Node is known to be up.
    pub(super) const fn is_certain(&self) -> bool {
        matches!(self, Self::Yes)
    }

    /// Asks, now that there is an answer: the process has closed its channel, or has ended.
    pub(super) fn settle(&mut self) -> Option<&Unstarted> {
        if let Self::Unknown(exec) = self {
            match exec.outcome() {
                None => {}
                Some(Ok(())) => *self = Self::Yes,
                Some(Err(error)) => *self = Self::Not(Unstarted::of(&error)),
            }
        }
        match self {
            Self::Not(unstarted) => Some(unstarted),
            Self::Unknown(_) | Self::Yes => None,
        }
    }
}

impl Unstarted {
    fn of(error: &SpawnError) -> Self {
        let reason = error.to_string();
        match error {
            SpawnError::Lacking { .. } => Self::Lacking(reason),
            _ => Self::Failed(reason),
        }
    }
}
