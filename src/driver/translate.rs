//! Turns what the other rooms report into the supervisor's words.

use std::io;

use crate::process::{Asked, ExitStatus};
use crate::supervisor::{Ending, Endpoint, Refusal, RefusalCause, Request};

/// How often a stop has been asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stops {
    /// Not yet.
    None,
    /// Once: the next one means now.
    One,
}

/// What a signal to the master asks of the supervisor, if it asks anything of it. The second stop is a kill.
pub(super) const fn request(asked: Asked, stops: &mut Stops) -> Option<Request> {
    match (asked, *stops) {
        (Asked::Restart, _) => Some(Request::RollOut),
        (Asked::ReopenLogs, _) => None,
        (Asked::Stop(_), Stops::None) => {
            *stops = Stops::One;
            Some(Request::Stop)
        }
        (Asked::Stop(_), Stops::One) => Some(Request::Kill),
    }
}

pub(super) fn ending(status: ExitStatus) -> Ending {
    match status {
        ExitStatus::Code(code) => Ending::Code(code),
        ExitStatus::Signal { number, .. } => {
            Ending::Signal(status.signal_name().map_or_else(|| format!("signal {number}"), Into::into))
        }
    }
}

/// Why a listen was refused, with what the operator can do about it.
pub(super) fn refusal(endpoint: Endpoint, error: &io::Error) -> Refusal {
    let (cause, hint) = match error.kind() {
        io::ErrorKind::PermissionDenied => (
            RefusalCause::NotPermitted,
            "; ports below 1024 need CAP_NET_BIND_SERVICE (setcap, AmbientCapabilities=), and a socket path needs \
             a folder this user may write to",
        ),
        io::ErrorKind::AddrInUse => (
            RefusalCause::Other,
            "; another process listens there (`ss -ltnp` and `ss -lxp` show which), or the same worker listens \
             twice",
        ),
        io::ErrorKind::AddrNotAvailable => (RefusalCause::Other, "; this machine has no such address"),
        _ => (RefusalCause::Other, ""),
    };
    let text = error.to_string();
    let what = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
    Refusal { endpoint, cause, reason: format!("{what}{hint}") }
}
