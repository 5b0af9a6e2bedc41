//! What shows that a worker which says nothing itself is ready.
//!
//! Invariant: these are values; whoever runs workers looks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When a program that runs is ready [`control.ready`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadyCheck {
    /// When it has run for so long.
    After(Duration),
    /// When it says so (sd_notify(3), `READY=1`).
    Notify,
}
