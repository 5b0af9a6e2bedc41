//! Shows the settings in force, and where each came from, for `--print-config`.
//!
//! Invariant: the output is valid JSON: dotted keys in the order of the documentation, then unknown keys as
//! written, each with its `value` and `from`.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Map, Value, json};

use crate::config::keys::{KEYS, unknown};
use crate::config::load::{Loaded, LoadedFleet};
use crate::config::settings::{Balance, ControlSocket, ProgramSettings};
use crate::core::{ExitTimeout, Port, Readiness, ReadyCheck, RestartOrder};

/// The settings in force as a JSON object, ended by a line feed: those of each app, where there are several. `null` stands for
/// "none".
#[must_use]
pub fn render(fleet: &LoadedFleet) -> String {
    if let Some(loaded) = fleet.only() {
        return format!("{:#}\n", Value::Object(entries(loaded)));
    }
    let apps: Map<_, _> =
        fleet.apps.iter().map(|(name, loaded)| (name.to_string(), entries(loaded).into())).collect();
    let pools = fleet.plan.pools.iter().filter(|(_, on)| !on.is_empty());
    let depends: Map<_, _> = pools.map(|(name, on)| (name.to_string(), json!(on))).collect();
    let of_all = json!({ "apps": apps, "depends": depends, "onDead": fleet.plan.on_dead });
    format!("{of_all:#}\n")
}

fn entries(loaded: &Loaded) -> Map<String, Value> {
    let known = KEYS.iter().map(|&key| (key.to_owned(), in_force(loaded, key)));
    let others = unknown(&loaded.raw).into_iter().map(|path| {
        let value = path.split('.').try_fold(&loaded.raw, |value, name| value.get(name));
        let value = value.cloned().unwrap_or_default();
        (path, value)
    });
    known
        .chain(others)
        .map(|(key, value)| {
            let from = loaded.origin(&key).to_string();
            let mut entry = json!({ "value": value, "from": from });
            if let Some(real) = real(loaded, &key) {
                entry["real"] = json!(real.to_string_lossy());
            }
            (key, entry)
        })
        .collect()
}

/// Where the file is that this key names, if a symbolic link leads there.
fn real<'a>(loaded: &'a Loaded, key: &str) -> Option<&'a Path> {
    let (settings, real) = (&loaded.settings, &loaded.real);
    let (given, real) = match key {
        "app" => (&settings.app, &real.app),
        "extensionsPath" => (&settings.extensions_path, &real.extensions),
        _ => return None,
    };
    (given != real).then_some(real)
}

/// The keys whose values in force differ and that a reload does not apply.
#[must_use]
pub fn changed_keys(before: &Loaded, now: &Loaded) -> Vec<&'static str> {
    let differs = |key: &&'static str| match *key {
        "app" | "interpreter" | "args" | "workers" | "maxEventListeners" => false,
        "server.port"
        | "server.groups"
        | "server.portsPerGroup"
        | "server.balance"
        | "server.pass"
        | "server.socketMode"
        | "server.socketGroup" => false,
        control if control.starts_with("control.") => false,
        // Those that luster does the work of are not keys.
        "extensions" | "extensionsPath" | "extensionsLoadTimeout" | "properties.masterInspectPort" => false,
        key => in_force(before, key) != in_force(now, key),
    };
    KEYS.iter().copied().filter(|key| differs(key)).collect()
}

/// The value that luster goes by.
fn in_force(loaded: &Loaded, key: &str) -> Value {
    let settings = &loaded.settings;
    let (policy, server) = (&settings.policy, &settings.server);
    match key {
        "app" => json!(settings.app.to_string_lossy()),
        "workers" => json!(policy.workers),
        "control.forkTimeout" => millis(policy.limits.fork_timeout),
        "control.stopTimeout" => millis(policy.limits.stop_timeout),
        "control.killTimeout" => millis(policy.limits.kill_timeout),
        "control.exitTimeout" => match policy.exit_timeout {
            ExitTimeout::Default if policy.limits.stop_timeout.is_none() => json!(2000),
            ExitTimeout::Default | ExitTimeout::Never => Value::Null,
            ExitTimeout::After(wait) => millis(Some(wait)),
        },
        "control.idleTimeout" => match loaded.raw.pointer("/control/idleTimeout") {
            None => json!(2000),
            Some(value) => json!(value.as_f64().filter(|millis| *millis > 0.0)),
        },
        "control.exitThreshold" => millis(policy.limits.exit_threshold),
        "control.allowedSequentialDeaths" => json!(policy.limits.allowed_sequential_deaths),
        "control.triggerReadyStateManually" => json!(policy.readiness == Readiness::Manual),
        "control.restart" => json!(match policy.restart {
            RestartOrder::StopFirst => "stop-first",
            RestartOrder::StartFirst => "start-first",
        }),
        "control.parallel" => json!(policy.parallel),
        "control.readyTimeout" => millis(policy.ready_timeout),
        "control.canary" => policy.canary.map_or(
            Value::Null,
            |canary| json!({ "workers": canary.workers, "watch": millis(Some(canary.watch)) }),
        ),
        "control.compileCache" => json!(settings.compile_cache),
        "control.socket" => match &settings.control_socket {
            ControlSocket::Default => json!(true),
            ControlSocket::Path(path) => json!(path.to_string_lossy()),
            ControlSocket::None => json!(false),
        },
        "control.group" => json!(settings.control_group),
        "server.port" => match &server.port {
            None => Value::Null,
            Some(Port::Tcp(port)) => json!(port),
            Some(Port::Unix(path)) => json!(path),
        },
        "server.groups" => json!(server.groups),
        "server.portsPerGroup" => json!(server.ports_per_group),
        "server.balance" => json!(match server.balance {
            Balance::RoundRobin => "round-robin",
            Balance::Shared => "shared",
            Balance::Reuseport => "reuseport",
        }),
        "server.socketMode" => json!(server.socket_mode.map(|mode| format!("{mode:04o}"))),
        "server.socketGroup" => json!(server.socket_group),
        "extensions" => loaded.raw.get(key).cloned().unwrap_or_else(|| json!({})),
        "extensionsPath" => json!(settings.extensions_path.to_string_lossy()),
        "extensionsLoadTimeout" => millis(settings.extensions_load_timeout),
        "maxEventListeners" => json!(settings.max_event_listeners),
        "properties.masterInspectPort" => json!(settings.master_inspect_port),
        key => settings.program.as_ref().map_or(Value::Null, |program| of_program(program, key)),
    }
}

/// What only a program that is not Node's has.
fn of_program(program: &ProgramSettings, key: &str) -> Value {
    match key {
        "interpreter" => json!(Some(&program.interpreter).filter(|words| !words.is_empty())),
        "args" => json!(program.args),
        "server.pass" => json!(program.pass),
        "control.ready" => ready(&program.ready),
        "control.stopSignal" => signal(program.stop_signal),
        _ => Value::Null,
    }
}

/// Its name, or its number if it has none.
fn signal(number: i32) -> Value {
    match Signal::try_from(number) {
        Ok(signal) => json!(signal.as_str()),
        Err(_) => json!(number),
    }
}

fn ready(check: &ReadyCheck) -> Value {
    match check {
        ReadyCheck::Notify => json!("notify"),
        ReadyCheck::After(wait) => json!({ "after": millis(Some(*wait)) }),
    }
}

fn millis(time: Option<Duration>) -> Value {
    json!(time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}
