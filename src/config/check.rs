//! Judges the configuration key by key: every mistake at once, or the settings it means.
//!
//! Invariant: the rules of all keys are here and nowhere else; a key that is wrong is replaced by its
//! default, so that the rules after it can still be applied.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::config::find::{self, NotFound};
use crate::config::inspect::{Inspector, whole};
use crate::config::keys::{SECTIONS, warn_of_near_misses};
use crate::config::load::Surroundings;
use crate::config::settings::{Balance, MAX_WORKERS, Port, Server, Settings};
use crate::config::socket;
use crate::config::twins::twins;
use crate::config::written::Found;
use crate::supervisor::{Attendance, Limits, Persistence, Policy, Readiness, RestartOrder};

/// The most bytes of a unix socket's path: the kernel's 108 less the closing zero.
const MAX_UNIX_PATH: usize = 107;

const NUMBER_OR_STRING: &str = "number or string";

/// Judges everything; the settings are to be used only if the inspector noted no problem.
pub(super) fn check(inspector: &mut Inspector<'_>, surroundings: Surroundings<'_>) -> Settings {
    let Surroundings { base_dir, defaults, find_app } = surroundings;
    for section in SECTIONS {
        // JS luster takes null for an empty section.
        if !matches!(inspector.at(section), Found::Absent | Found::Plain(Value::Null | Value::Object(_))) {
            inspector.fail_type(section, "object");
        }
    }
    let app = app(inspector, base_dir, find_app);
    let policy = policy(inspector, defaults.workers);
    let server = server(inspector, policy.workers, defaults.balance);
    let settings = Settings {
        extensions: extensions(inspector),
        extensions_path: extensions_path(inspector, base_dir),
        extensions_load_timeout: inspector.timeout("extensionsLoadTimeout", Some(Duration::from_secs(10))),
        max_event_listeners: inspector.whole("maxEventListeners", 0..=u32::MAX).unwrap_or(100),
        master_inspect_port: master_inspect_port(inspector, policy.workers),
        twins: twins(inspector, base_dir),
        base_dir: base_dir.to_owned(),
        app,
        policy,
        server,
    };
    warn_of_near_misses(inspector);
    settings
}

fn app(
    inspector: &mut Inspector<'_>,
    base_dir: &Path,
    find_app: &mut dyn FnMut(&Path) -> Option<PathBuf>,
) -> PathBuf {
    if !inspector.has("app") {
        inspector.fail("app", "Required property \"app\" is absent".to_owned());
        return PathBuf::new();
    }
    let Some(app) = inspector.text("app") else { return PathBuf::new() };
    if app.is_empty() || app.contains('\0') {
        inspector.fail_value("app", "the path of the worker's main module");
        return PathBuf::new();
    }
    let wanted = find::resolve(base_dir, Path::new(app));
    match find::find(&wanted, find::APP_EXTENSIONS) {
        Ok(app) => return app,
        Err(NotFound::Missing(tried)) => {
            if let Some(app) = find_app(&wanted) {
                return app;
            }
            let tried: String = tried.iter().map(|path| format!("\n  {}", path.display())).collect();
            let message = format!(
                "Property \"app\" is {}, but there is no such file; looked for{tried}",
                inspector.shown("app")
            );
            inspector.fail("app", message);
        }
        Err(NotFound::Denied(path, error)) => {
            inspector.fail("app", format!("Property \"app\": {} cannot be read: {error}", path.display()));
        }
    }
    PathBuf::new()
}

fn policy(inspector: &mut Inspector<'_>, workers: u32) -> Policy {
    let workers = inspector.whole("workers", 1..=MAX_WORKERS).unwrap_or(workers.clamp(1, MAX_WORKERS));
    let restart = inspector
        .choice(
            "control.restart",
            &[("stop-first", RestartOrder::StopFirst), ("start-first", RestartOrder::StartFirst)],
        )
        .unwrap_or(RestartOrder::StopFirst);
    let ready_timeout = match restart {
        RestartOrder::StopFirst => None,
        // The old worker stays until then, so a new one that never gets ready must be given up some time.
        RestartOrder::StartFirst => Some(Duration::from_secs(60)),
    };
    let policy = Policy {
        workers,
        limits: limits(inspector),
        readiness: readiness(inspector),
        restart,
        parallel: inspector.whole("control.parallel", 1..=workers).unwrap_or(1),
        ready_timeout: inspector.timeout("control.readyTimeout", ready_timeout),
        // Not the configuration's to say.
        attendance: Attendance::Alone,
    };
    if let (Some(stop), Some(kill)) = (policy.limits.stop_timeout, policy.limits.kill_timeout)
        && stop > kill
    {
        inspector.warn(
            "control.stopTimeout",
            "control.stopTimeout is longer than control.killTimeout, so workers get SIGKILL before SIGTERM",
        );
    }
    policy
}

fn limits(inspector: &mut Inspector<'_>) -> Limits {
    Limits {
        fork_timeout: inspector.timeout("control.forkTimeout", None),
        stop_timeout: inspector.timeout("control.stopTimeout", None),
        kill_timeout: inspector.timeout("control.killTimeout", None),
        exit_threshold: inspector.timeout("control.exitThreshold", None),
        allowed_sequential_deaths: allowed_sequential_deaths(inspector),
        persistence: Persistence::Persistent,
    }
}

/// Programs may write `Infinity` for "never give up".
fn allowed_sequential_deaths(inspector: &mut Inspector<'_>) -> u32 {
    const KEY: &str = "control.allowedSequentialDeaths";
    match inspector.number(KEY) {
        None => 0,
        Some(number) if number > f64::from(u32::MAX) => u32::MAX,
        Some(number) => whole(number).unwrap_or_else(|| {
            inspector.fail_value(KEY, "a whole number, 0 or more,");
            0
        }),
    }
}

/// JS luster asks only whether the value is true as JavaScript sees it.
fn readiness(inspector: &mut Inspector<'_>) -> Readiness {
    const KEY: &str = "control.triggerReadyStateManually";
    let manual = inspector.flag(KEY, false);
    if !matches!(inspector.at(KEY), Found::Absent | Found::Plain(Value::Null | Value::Bool(_))) {
        let shown = inspector.shown(KEY);
        inspector.warn(
            KEY,
            &format!("Property \"{KEY}\" is {shown}, which is taken for {manual}; boolean is expected"),
        );
    }
    if manual { Readiness::Manual } else { Readiness::Automatic }
}

fn server(inspector: &mut Inspector<'_>, workers: u32, balance: Balance) -> Server {
    let port = port(inspector);
    let groups = groups(inspector, workers);
    let choices = [
        ("round-robin", Balance::RoundRobin),
        ("shared", Balance::Shared),
        ("reuseport", Balance::Reuseport),
    ];
    let server = Server {
        port,
        groups,
        ports_per_group: inspector.whole("server.portsPerGroup", 1..=u32::from(u16::MAX)).unwrap_or(1),
        balance: inspector.choice("server.balance", &choices).unwrap_or(balance),
        socket_mode: socket::mode(inspector),
        socket_group: socket::group(inspector),
    };
    let used = server.groups_used(workers);
    if used != groups {
        inspector.warn(
            "server.groups",
            &format!(
                "{workers} workers do not divide into {groups} groups: there will be {used} groups of at least {}",
                workers / groups
            ),
        );
    }
    check_ports(inspector, &server, used);
    server
}

fn groups(inspector: &mut Inspector<'_>, workers: u32) -> u32 {
    let Some(groups) = inspector.whole("server.groups", 1..=MAX_WORKERS) else { return 1 };
    if groups <= workers {
        return groups;
    }
    let counted = if inspector.has("workers") { "" } else { " (the number of CPUs this process may use)" };
    inspector.fail_value("server.groups", &format!("at most the number of workers, {workers}{counted},"));
    1
}

/// What JavaScript takes for a number is a TCP port, all else is a path. Port 0 is no port: that is what
/// workers are told without one.
fn port(inspector: &mut Inspector<'_>) -> Option<Port> {
    const KEY: &str = "server.port";
    let number = match inspector.at(KEY) {
        Found::Absent => return None,
        Found::Plain(Value::String(path)) => match javascript_number(path) {
            Some(number) => number,
            None if path.contains('\0') => {
                inspector.fail_value(KEY, "a path without zero bytes");
                return None;
            }
            None => return Some(Port::Unix(path.clone())),
        },
        Found::Plain(Value::Number(_)) | Found::Odd(_) if inspector.at(KEY).type_name() == "number" => {
            inspector.number(KEY)?
        }
        Found::Plain(_) | Found::Odd(_) => {
            inspector.fail_type(KEY, NUMBER_OR_STRING);
            return None;
        }
    };
    match whole(number).map(u16::try_from) {
        Some(Ok(0)) => None,
        Some(Ok(port)) => Some(Port::Tcp(port)),
        Some(Err(_)) | None => {
            inspector.fail_value(KEY, "a port from 1 to 65535");
            None
        }
    }
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
fn check_ports(inspector: &mut Inspector<'_>, server: &Server, groups: u32) {
    const KEY: &str = "server.port";
    let last = server.port_of_group(groups - 1);
    match &server.port {
        None => {
            if groups > 1
                && inspector.has(KEY)
                && inspector.problems.iter().all(|problem| problem.key.as_deref() != Some(KEY))
            {
                inspector.fail_value(KEY, "a port from 1 to 65535, since there are several groups,");
            }
        }
        Some(Port::Tcp(_)) => {
            if last.parse::<u16>().is_err() {
                let message = format!(
                    "Property \"{KEY}\" gives the last of {groups} groups port {last}, but at most 65535 is possible"
                );
                inspector.fail(KEY, message);
            }
        }
        Some(Port::Unix(path)) => {
            if last.len() > MAX_UNIX_PATH {
                let message = format!(
                    "Property \"{KEY}\" gives a socket path of {} bytes, but at most {MAX_UNIX_PATH} are possible: {last}",
                    last.len()
                );
                inspector.fail(KEY, message);
            }
            if groups > 1 && !path.contains('*') {
                inspector
                    .warn(KEY, &format!("server.port has no \"*\", so all {groups} groups share one socket"));
            }
        }
    }
}

fn extensions(inspector: &mut Inspector<'_>) -> Vec<String> {
    match inspector.at("extensions") {
        Found::Absent => Vec::new(),
        Found::Plain(Value::Object(extensions)) => extensions.keys().cloned().collect(),
        Found::Plain(_) | Found::Odd(_) => {
            inspector.fail_type("extensions", "object");
            Vec::new()
        }
    }
}

fn extensions_path(inspector: &mut Inspector<'_>, base_dir: &Path) -> PathBuf {
    if let Some(path) = inspector.text("extensionsPath") {
        return find::resolve(base_dir, Path::new(path));
    }
    // The folder of what was written, not of the file found for it, as in JS luster.
    match inspector.at("app") {
        Found::Plain(Value::String(app)) => {
            let app = find::resolve(base_dir, Path::new(app));
            app.parent().unwrap_or(&app).to_owned()
        }
        Found::Absent | Found::Plain(_) | Found::Odd(_) => base_dir.to_owned(),
    }
}

fn master_inspect_port(inspector: &mut Inspector<'_>, workers: u32) -> Option<u16> {
    const KEY: &str = "properties.masterInspectPort";
    // JS luster never looked at the type, so "not set" has been written in these ways too.
    if matches!(inspector.at(KEY), Found::Plain(Value::Null | Value::Bool(false))) {
        return None;
    }
    let most = u32::from(u16::MAX).saturating_sub(workers);
    inspector.whole(KEY, 0..=most).and_then(|port| u16::try_from(port).ok())
}
