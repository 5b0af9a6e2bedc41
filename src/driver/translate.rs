//! Turns what the other rooms report into the supervisor's words.

use std::io;
use std::time::Duration;

use crate::process::{ExitStatus, StopCause};
use crate::supervisor::{Ending, Endpoint, Moment, Refusal, RefusalCause, Request};

/// One Ctrl-C may come twice: from the terminal, and from a parent that passes it on (npm does). In milliseconds.
const ECHO: Duration = Duration::from_millis(200);

/// How often a stop has been asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stops {
    /// Not yet.
    None,
    /// Once, by this and then: the next one means now.
    One(StopCause, Moment),
}

/// What a stop is now: the second one is a kill. Nothing if it is the first one's echo.
pub(super) fn stop(cause: StopCause, now: Moment, stops: &mut Stops) -> Option<Request> {
    match *stops {
        Stops::None => {
            *stops = Stops::One(cause, now);
            Some(Request::Stop)
        }
        Stops::One(StopCause::Interrupt, at) if cause == StopCause::Interrupt && now.since(at) < ECHO => None,
        Stops::One(..) => Some(Request::Kill),
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
        io::ErrorKind::PermissionDenied if endpoint.to_string().starts_with("unix ") => (
            RefusalCause::NotPermitted,
            "; a socket path needs a folder this user may write to, and server.socketGroup a group this user is in",
        ),
        io::ErrorKind::PermissionDenied => (
            RefusalCause::NotPermitted,
            "; ports below 1024 need CAP_NET_BIND_SERVICE (setcap, AmbientCapabilities=)",
        ),
        io::ErrorKind::AddrInUse => (
            RefusalCause::InUse,
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
