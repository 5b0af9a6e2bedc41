//! Turns what the other rooms report into the supervisor's words.

use std::io;
use std::os::fd::RawFd;

use crate::core::{Endpoint, ExitStatus, ListenRefusal, RefusalCause, StopCause, WorkerId};
use crate::node::cluster::Obstacle;
use crate::process::{self, Owner, State};

/// The number of a signal that asks for a stop.
pub(super) const fn number(cause: StopCause) -> u8 {
    match cause {
        StopCause::TerminalLost => 1,
        StopCause::Interrupt => 2,
        StopCause::Quit => 3,
        StopCause::Terminate => 15,
    }
}

pub(super) fn exit_status(status: process::ExitStatus) -> ExitStatus {
    match status {
        process::ExitStatus::Code(code) => ExitStatus::Code(code),
        process::ExitStatus::Signal { number, .. } => {
            ExitStatus::Signal(status.signal_name().map_or_else(|| format!("signal {number}"), Into::into))
        }
    }
}

/// Why a listen was refused, with what the operator can do about it.
pub(super) fn refusal(endpoint: Endpoint, error: &io::Error, obstacle: &Obstacle) -> ListenRefusal {
    let (cause, hint) = match (error.kind(), obstacle) {
        (io::ErrorKind::PermissionDenied, _) if endpoint.to_string().starts_with("unix ") => (
            RefusalCause::NotPermitted,
            "a socket path needs a folder this user may write to, and server.socketGroup a group this user is in"
                .to_owned(),
        ),
        (io::ErrorKind::PermissionDenied, _) => (RefusalCause::NotPermitted, privilege(&endpoint)),
        (io::ErrorKind::AddrInUse, Obstacle::Itself(there)) => {
            (RefusalCause::InUse, format!("the same worker listens on {there} already"))
        }
        (io::ErrorKind::AddrInUse, Obstacle::Fleet(there)) => {
            (RefusalCause::InUse, format!("other workers of this luster listen on {there}"))
        }
        (io::ErrorKind::AddrInUse, _) => {
            (RefusalCause::InUse, "another process listens there (`ss -ltnp` and `ss -lxp` show which)".to_owned())
        }
        (io::ErrorKind::AddrNotAvailable, _) => {
            (RefusalCause::Other, "this machine has no such address".to_owned())
        }
        (_, Obstacle::NotInherited(sockets)) => (RefusalCause::Other, not_inherited(sockets)),
        (_, _) => (RefusalCause::Other, String::new()),
    };
    let text = error.to_string();
    let what = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
    let reason = if hint.is_empty() { what } else { format!("{what}; {hint}") };
    ListenRefusal { endpoint, cause, reason }
}

/// What lets an ordinary user listen on a port below 1024.
fn privilege(endpoint: &Endpoint) -> String {
    let text = endpoint.to_string();
    let port = text.rsplit(':').next().and_then(|port| port.parse().ok());
    port.and_then(process::authbind_advice).unwrap_or_else(|| {
        format!(
            "ports below 1024 need CAP_NET_BIND_SERVICE: AmbientCapabilities= in a unit, or `setcap \
             cap_net_bind_service=+ep {}`, again after each installation; the same for the Node that workers run would do \
             as well",
            ourselves()
        )
    })
}

/// Our own program, which is seldom where one thinks: npm puts it deep into node_modules.
fn ourselves() -> String {
    std::env::current_exe().map_or_else(|_| "luster".to_owned(), |path| path.display().to_string())
}

fn not_inherited(sockets: &[RawFd]) -> String {
    let numbers: Vec<_> = sockets.iter().map(ToString::to_string).collect();
    let which = match numbers.as_slice() {
        [] => "it was started with none".to_owned(),
        numbers => format!("those are {}", numbers.join(", ")),
    };
    format!(
        "workers may listen only on sockets that luster was started with (systemd's Sockets=), by the numbers they had \
         there; {which}"
    )
}

/// The same, now that it is known who has the address; `worker` gives the number of the worker with a pid.
pub(super) fn refusal_by(
    refusal: ListenRefusal,
    owner: &Owner,
    worker: impl Fn(i32) -> Option<WorkerId>,
) -> ListenRefusal {
    let what = "address already in use";
    let reason = match owner {
        Owner::Process { pid, name, state } => match (worker(*pid), state) {
            (Some(worker), _) => {
                format!(
                    "{what}; worker {worker} (pid {pid}) has bound it itself (`exclusive` or `reusePort`)"
                )
            }
            (None, State::Listening) if name == "luster" => {
                format!("{what}; another luster (pid {pid}) listens there: is this one running already?")
            }
            (None, State::Listening) => format!("{what}; pid {pid} ({name}) listens there"),
            (None, State::Connected) => {
                format!("{what}; pid {pid} ({name}) has a connection that uses this port")
            }
        },
        Owner::Hidden { uid } => {
            format!(
                "{what}; a process of user {uid} listens there (as root, `ss -ltnp` and `ss -lxp` show which)"
            )
        }
        Owner::NoSocket => format!("{what}; there is a file of this name, and it is no socket"),
    };
    ListenRefusal { reason, ..refusal }
}
