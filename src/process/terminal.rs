//! Whether luster was started in the foreground of a terminal, and whether that terminal still is.
//!
//! Why: SIGHUP means "restart the workers", but it is also what a terminal sends when its window is closed. A
//! luster somebody watches there must end with it, as every program does, and not go on unseen with the port taken.
//! Invariant: only a luster that began in the foreground, without `nohup`, ever ends by a hang-up.

use std::fs::File;

use nix::unistd::{getpgrp, tcgetpgrp};

use super::sys;

/// What SIGHUP means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// Somebody watches: its loss is the end.
    Watched,
    /// No terminal, or one that is not ours to end with: a service, a container, a background job, `nohup`.
    Unwatched,
}

impl Terminal {
    /// How luster was started. To be asked before SIGHUP gets a handler and before luster leaves its group.
    #[must_use]
    pub fn at_start() -> Self {
        let foreground = File::open("/dev/tty")
            .is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp()));
        if foreground && !sys::ignores_hang_up() { Self::Watched } else { Self::Unwatched }
    }

    /// Whether a SIGHUP just received came of the terminal's loss: the kernel takes the terminal away before it
    /// sends the signal.
    pub(super) fn is_lost(self) -> bool {
        match self {
            // Exactly this error: a full descriptor table must not end luster.
            Self::Watched => {
                File::open("/dev/tty").is_err_and(|error| error.raw_os_error() == Some(nix::libc::ENXIO))
            }
            Self::Unwatched => false,
        }
    }
}
