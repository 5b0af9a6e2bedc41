//! What one app wants done that is not its own business: it is done by the loop, for all apps.
//!
//! Invariant: it is taken up when everything is performed that the app was told to do.

use crate::control::schema::Answer;
use crate::control::{Prepared, Wanted};
use crate::core::Generation;

/// Something for the loop to do.
#[derive(Debug)]
pub(super) enum Demand {
    /// Read the configuration anew.
    Read(Generation),
    /// This control socket is in force, and may have been made.
    Socket(Option<Wanted>, Option<Prepared>),
    /// A reading is forgotten: sockets that only it names are not needed any more.
    Forgotten,
    /// This has come of its part in what was asked of several apps.
    Answered(u64, Answer),
}
