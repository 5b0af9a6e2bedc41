//! Judges the configuration key by key: every mistake at once, or the settings it means.
//!
//! Invariant: the rules of all keys are here and nowhere else; a key that is wrong is replaced by its
//! default, so that the rules after it can still be applied.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::config::app::app;
use crate::config::find;
use crate::config::inspect::{Inspector, whole};
use crate::config::keys::{SECTIONS, warn_of_near_misses};
use crate::config::load::Surroundings;
use crate::config::pm2;
use crate::config::server::server;
use crate::config::settings::{MAX_WORKERS, Settings};
use crate::config::twins::twins;
use crate::config::written::Found;
use crate::supervisor::{
    ExitTimeout, HostKind, LifecycleLimits, Persistence, Policy, Readiness, RestartOrder,
};

/// Judges everything; the settings are to be used only if the inspector noted no problem.
pub(super) fn check(inspector: &mut Inspector<'_>, surroundings: Surroundings<'_>) -> Settings {
    let Surroundings { base_dir, defaults, find_app } = surroundings;
    for section in SECTIONS {
        // JS luster takes null for an empty section.
        if !matches!(inspector.at(section), Found::Absent | Found::Plain(Value::Null | Value::Object(_))) {
            inspector.fail_type(section, "an object");
        }
    }
    let app = app(inspector, base_dir, find_app);
    let workers = workers(inspector, defaults.workers);
    let policy = policy(inspector, workers);
    let server = server(inspector, workers, defaults.balance);
    let settings = Settings {
        extensions: extensions(inspector),
        extensions_path: extensions_path(inspector, base_dir),
        extensions_load_timeout: inspector.timeout("extensionsLoadTimeout", Some(Duration::from_secs(10))),
        max_event_listeners: inspector.whole("maxEventListeners", 0..=u32::MAX).unwrap_or(100),
        master_inspect_port: master_inspect_port(inspector, policy.workers),
        twins: twins(inspector, base_dir),
        base_dir: base_dir.to_owned(),
        compile_cache: inspector.boolean("control.compileCache", true),
        app,
        policy,
        server,
    };
    warn_of_near_misses(inspector);
    pm2::warn(inspector);
    settings
}

/// How many workers were asked for. A part of one, as in `os.cpus().length * 0.75`, is one more, as in JS luster.
fn workers(inspector: &mut Inspector<'_>, default: u32) -> f64 {
    const KEY: &str = "workers";
    let default = f64::from(default.clamp(1, MAX_WORKERS));
    // Both words are other supervisors' for what is the default here.
    if let Found::Plain(Value::String(text)) = inspector.at(KEY)
        && ["max", "auto"].contains(&text.as_str())
    {
        let expected = "a number (leave it out for one worker per CPU)";
        inspector.fail_type(KEY, expected);
        return default;
    }
    let Some(number) = inspector.number(KEY) else { return default };
    if !(0.0..=f64::from(MAX_WORKERS)).contains(&number) || number == 0.0 {
        inspector.fail_value(KEY, &format!("a number from 1 to {MAX_WORKERS}"));
        return default;
    }
    if number.fract() != 0.0 {
        inspector.warn(KEY, &format!("workers is {number}, which is rounded up to {}", number.ceil()));
    }
    number
}

fn policy(inspector: &mut Inspector<'_>, workers: f64) -> Policy {
    let workers = whole(workers.ceil()).unwrap_or(MAX_WORKERS);
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
    let limits = limits(inspector);
    if limits.allowed_sequential_deaths > 0 && limits.exit_threshold.is_none() {
        inspector.warn(
            "control.allowedSequentialDeaths",
            "control.allowedSequentialDeaths has no effect without control.exitThreshold, which says what a sequential \
             death is",
        );
    }
    let policy = Policy {
        workers,
        limits,
        readiness: readiness(inspector),
        restart,
        parallel: parallel(inspector, workers),
        ready_timeout: inspector.timeout("control.readyTimeout", ready_timeout),
        exit_timeout: exit_timeout(inspector),
        // Not the configuration's to say.
        host_kind: HostKind::None,
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

fn exit_timeout(inspector: &mut Inspector<'_>) -> ExitTimeout {
    const KEY: &str = "control.exitTimeout";
    // Only looked at: it is workers that go by it.
    let _ = inspector.timeout("control.idleTimeout", None);
    match (inspector.has(KEY), inspector.timeout(KEY, None)) {
        (false, _) => ExitTimeout::Default,
        (true, None) => ExitTimeout::Never,
        (true, Some(wait)) => ExitTimeout::After(wait),
    }
}

fn limits(inspector: &mut Inspector<'_>) -> LifecycleLimits {
    LifecycleLimits {
        fork_timeout: inspector.timeout("control.forkTimeout", None),
        stop_timeout: inspector.timeout("control.stopTimeout", None),
        kill_timeout: inspector.timeout("control.killTimeout", None),
        exit_threshold: inspector.timeout("control.exitThreshold", None),
        allowed_sequential_deaths: allowed_sequential_deaths(inspector),
        persistence: Persistence::Persistent,
    }
}

/// How many workers a rolling restart replaces at a time.
fn parallel(inspector: &mut Inspector<'_>, workers: u32) -> u32 {
    const KEY: &str = "control.parallel";
    let parallel = inspector.whole(KEY, 1..=MAX_WORKERS).unwrap_or(1);
    if parallel > workers {
        let there =
            if workers == 1 { "is only 1 worker".to_owned() } else { format!("are only {workers} workers") };
        inspector.warn(KEY, &format!("control.parallel is {parallel}, but there {there}"));
    }
    parallel.min(workers)
}

/// Programs may write `Infinity` for "never give up". JS luster's reading of a negative number, that each end of a worker
/// is its last, a rolling restart's too, serves nobody.
fn allowed_sequential_deaths(inspector: &mut Inspector<'_>) -> u32 {
    const KEY: &str = "control.allowedSequentialDeaths";
    let Some(number) = inspector.number(KEY) else { return 0 };
    if number > f64::from(u32::MAX) {
        return u32::MAX;
    }
    let Some(allowed) = whole(number.floor().max(0.0)) else {
        inspector.fail_value(KEY, "a whole number, 0 or more");
        return 0;
    };
    if f64::from(allowed) != number {
        inspector.warn(KEY, &format!("{KEY} is {number}, which is taken for {allowed}"));
    }
    allowed
}

/// JS luster asks only whether the value is true as JavaScript sees it.
fn readiness(inspector: &mut Inspector<'_>) -> Readiness {
    const KEY: &str = "control.triggerReadyStateManually";
    let manual = inspector.flag(KEY, false);
    if !matches!(inspector.at(KEY), Found::Absent | Found::Plain(Value::Null | Value::Bool(_))) {
        let shown = inspector.shown(KEY);
        inspector
            .warn(KEY, &format!("{KEY} is {shown}, which is taken for {manual}; true or false is expected"));
    }
    if manual { Readiness::Manual } else { Readiness::Automatic }
}

fn extensions(inspector: &mut Inspector<'_>) -> Vec<String> {
    match inspector.at("extensions") {
        Found::Absent => Vec::new(),
        Found::Plain(Value::Object(extensions)) => extensions.keys().cloned().collect(),
        Found::Plain(_) | Found::Odd(_) => {
            inspector.fail_type("extensions", "an object");
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
