//! Judges `server.*`: what workers listen on, and in which groups.
//!
//! Invariant: numbers that JS luster makes sense of - a count that was computed from the number of CPUs, say - mean here
//! what they mean there, with a warning; the rest is a mistake.

use serde_json::Value;

use crate::config::hints::Kind;
use crate::config::raw::ValueAt;
use crate::config::settings::{Balance, Server};
use crate::config::socket;
use crate::config::validator::Validator;
use crate::core::{MAX_WORKERS, Port, divide, whole};

/// What `server.port` may be.
const PORT: &str = "a port from 1 to 65535 or the path of a unix socket (\"run/app.sock\")";

/// The most bytes of a unix socket's path: the kernel's 108 less the closing zero.
const MAX_UNIX_PATH: usize = 107;

/// Judges it. `workers` may be a fraction, the number that was written.
pub(super) fn server(validator: &mut Validator<'_>, workers: f64, balance: Balance) -> Server {
    let port = port(validator);
    let (groups_written, groups) = groups(validator, workers);
    let choices = [
        ("round-robin", Balance::RoundRobin),
        ("shared", Balance::Shared),
        ("reuseport", Balance::Reuseport),
    ];
    let server = Server {
        port,
        groups,
        workers_written: workers,
        groups_written,
        ports_per_group: ports_per_group(validator, groups),
        balance: validator.choice("server.balance", &choices).unwrap_or(balance),
        socket_mode: socket::mode(validator),
        socket_group: socket::group(validator, "server.socketGroup"),
    };
    if server.balance == Balance::Reuseport && matches!(server.port, Some(Port::Unix(_))) {
        validator.warn(
            "server.balance",
            "server.balance \"reuseport\" is for TCP ports; the workers of a socket's path share one listening socket",
        );
    }
    check_ports(validator, &server);
    server
}

/// How many groups were asked for, and how many there are.
fn groups(validator: &mut Validator<'_>, workers: f64) -> (f64, u32) {
    const KEY: &str = "server.groups";
    let wanted = match validator.number_of(KEY, Kind::Groups) {
        None => 1.0,
        Some(wanted) if (0.0..=f64::from(MAX_WORKERS)).contains(&wanted) => wanted,
        Some(_) => {
            validator.fail_value_of(
                KEY,
                Kind::Groups,
                &format!("a number of groups from 1 to {MAX_WORKERS}"),
            );
            1.0
        }
    };
    let (groups, per_group) = divide(workers, wanted);
    if whole(wanted) == Some(groups) {
        return (wanted, groups);
    }
    let (s, count) = (if groups == 1 { "" } else { "s" }, workers.ceil());
    let warning = if wanted < 1.0 {
        format!("server.groups is {wanted}, which is taken for 1 (leave it out for one group)")
    } else if wanted > workers {
        let counted =
            if validator.has("workers") { "" } else { " (the number of CPUs this process may use)" };
        format!(
            "server.groups is {wanted}, but there are only {count} workers{counted}: there will be {groups} group{s}, of \
             one worker each"
        )
    } else {
        format!(
            "{workers} workers do not divide into {wanted} groups: there will be {groups} group{s} of at least {per_group}"
        )
    };
    validator.warn(KEY, &warning);
    (wanted, groups)
}

fn ports_per_group(validator: &mut Validator<'_>, groups: u32) -> u32 {
    const KEY: &str = "server.portsPerGroup";
    let distance = validator.whole(KEY, 0..=u32::from(u16::MAX)).unwrap_or(1);
    if distance == 0 && groups > 1 {
        validator.warn(KEY, &format!("server.portsPerGroup is 0, so all {groups} groups have the same port"));
    }
    distance
}

/// What JavaScript takes for a number is a TCP port, all else is a path. Port 0 is no port: that is what
/// workers are told without one.
fn port(validator: &mut Validator<'_>) -> Option<Port> {
    const KEY: &str = "server.port";
    if let Some(unset) = unset_variable(validator.at(KEY)) {
        validator.warn(KEY, &format!("server.port is {unset}, so workers get no port"));
        return None;
    }
    let number = match validator.at(KEY) {
        ValueAt::Absent => return None,
        ValueAt::Plain(Value::String(path)) => match javascript_number(path) {
            Some(number) => number,
            None if path.contains('\0') => {
                validator.fail_value(KEY, "a path without zero bytes");
                return None;
            }
            None => {
                if is_no_likely_path(path) {
                    let taken = format!(
                        "server.port is {}, which is taken for the path of a unix socket",
                        validator.shown(KEY)
                    );
                    validator.warn(KEY, &format!("{taken}; for a TCP port write the number alone"));
                }
                return Some(Port::Unix(path.clone()));
            }
        },
        ValueAt::Plain(Value::Number(_)) | ValueAt::NonJsonValue(_)
            if validator.at(KEY).type_name() == "number" =>
        {
            validator.number(KEY)?
        }
        ValueAt::Plain(_) | ValueAt::NonJsonValue(_) => {
            validator.fail_type_of(KEY, Kind::Port, PORT);
            return None;
        }
    };
    match whole(number).map(u16::try_from) {
        Some(Ok(0)) => None,
        Some(Ok(port)) => Some(Port::Tcp(port)),
        Some(Err(_)) | None => {
            validator.fail_value_of(KEY, Kind::Port, PORT);
            None
        }
    }
}

/// What `process.env.PORT` is where nobody has set it, or set it to nothing.
fn unset_variable(found: ValueAt<'_>) -> Option<&'static str> {
    match found {
        ValueAt::NonJsonValue(odd) if odd.is_undefined() => {
            Some("undefined (an environment variable that is not set?)")
        }
        ValueAt::Plain(Value::String(text)) if text.trim().is_empty() => {
            Some("an empty string (an environment variable that is empty?)")
        }
        ValueAt::Absent | ValueAt::Plain(_) | ValueAt::NonJsonValue(_) => None,
    }
}

/// What was meant for a TCP port, in all likelihood: `localhost:8080`, `:8080`, `8080/tcp`, `http://localhost:8080/`.
fn is_no_likely_path(path: &str) -> bool {
    let is_file = path.starts_with(['/', '.']) || path.contains(".sock");
    let after_colon = path.rsplit_once(':').map(|(_, port)| port.trim_end_matches('/'));
    let has_port =
        after_colon.is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    !is_file && (has_port || path.trim_start().starts_with(|c: char| c.is_ascii_digit()))
}

/// JavaScript's `Number(text)` where `isNaN(text)` is false.
fn javascript_number(text: &str) -> Option<f64> {
    let text = text.trim();
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let digits = Some(digits).filter(|digits| digits.bytes().all(|b| b.is_ascii_alphanumeric()));
            return digits.and_then(|digits| u32::from_str_radix(digits, radix).ok()).map(f64::from);
        }
    }
    match text {
        "" => Some(0.0),
        "Infinity" | "+Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        // Rust also reads "inf" and "nan", which are paths here.
        _ => text.parse().ok().filter(|_| text.ends_with(|c: char| c.is_ascii_digit() || c == '.')),
    }
}

/// Checks each group's port, of which the last is the first to be out of bounds.
fn check_ports(validator: &mut Validator<'_>, server: &Server) {
    const KEY: &str = "server.port";
    let groups = server.groups;
    let last = server.port_of_group(groups - 1);
    match &server.port {
        None => {
            if groups > 1
                && !matches!(validator.at(KEY), ValueAt::Absent)
                && !matches!(validator.at(KEY), ValueAt::NonJsonValue(odd) if odd.is_undefined())
                && validator.problems.iter().all(|problem| problem.key.as_deref() != Some(KEY))
            {
                validator.fail_value(KEY, "a port from 1 to 65535, as there are several groups");
            }
        }
        Some(Port::Tcp(_)) => {
            if last.parse::<u16>().is_err() {
                let message = format!(
                    "\"{KEY}\" gives the last of {groups} groups port {last}, but at most 65535 is possible"
                );
                validator.fail(KEY, message);
            }
        }
        Some(Port::Unix(path)) => {
            if last.len() > MAX_UNIX_PATH {
                let message = format!(
                    "\"{KEY}\" gives a socket path of {} bytes, but at most {MAX_UNIX_PATH} are possible: {last}",
                    last.len()
                );
                validator.fail(KEY, message);
            }
            if groups > 1 && !path.contains('*') {
                validator
                    .warn(KEY, &format!("server.port has no \"*\", so all {groups} groups share one socket"));
            }
        }
    }
}
