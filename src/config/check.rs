//! Judges the configuration key by key: every mistake at once, or the settings it means.
//!
//! Invariant: the rules of all keys are here and nowhere else; a key that is wrong is replaced by its
//! default, so that the rules after it can still be applied.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::config::app::app;
use crate::config::apps::warn_of_ignored;
use crate::config::builtin_extensions::builtins;
use crate::config::find;
use crate::config::hints::Kind;
use crate::config::keys::{SECTIONS, warn_of_near_misses};
use crate::config::pm2;
use crate::config::raw::ValueAt;
use crate::config::request::{Defaults, FindProgram};
use crate::config::server::server;
use crate::config::settings::{Balance, Settings};
use crate::config::socket;
use crate::config::validator::Validator;
use crate::core::{
    Canary, ExitTimeout, HostKind, LifecycleLimits, MAX_WORKERS, Persistence, Policy, Readiness,
    RestartOrder, whole,
};

/// What a configuration's meaning depends on besides itself.
pub(super) struct Surroundings<'a> {
    pub(super) base_dir: &'a Path,
    pub(super) defaults: Defaults,
    /// See [`Evaluate::find_app`].
    pub(super) find_app: &'a mut dyn FnMut(&Path) -> Option<PathBuf>,
    pub(super) find_program: FindProgram,
}

/// Judges everything; the settings are to be used only if the validator noted no problem.
pub(super) fn check(validator: &mut Validator<'_>, surroundings: Surroundings<'_>) -> Settings {
    let Surroundings { base_dir, defaults, find_app, find_program } = surroundings;
    for section in SECTIONS {
        // JS luster takes null for an empty section.
        if !matches!(validator.at(section), ValueAt::Absent | ValueAt::Plain(Value::Null | Value::Object(_)))
        {
            validator.fail_type_of(section, Kind::of_section(section), "an object");
        }
    }
    let (app, program) = app(validator, base_dir, find_app, find_program);
    let workers = workers(validator, defaults.workers);
    let policy = policy(validator, workers, program.is_some());
    let balance = if program.is_some() { Balance::Shared } else { defaults.balance };
    let server = server(validator, workers, balance);
    let settings = Settings {
        extensions: extensions(validator),
        extensions_path: extensions_path(validator, base_dir),
        extensions_load_timeout: validator.timeout("extensionsLoadTimeout", Some(Duration::from_secs(10))),
        max_event_listeners: validator.whole("maxEventListeners", 0..=u32::MAX).unwrap_or(100),
        master_inspect_port: master_inspect_port(validator, policy.workers),
        builtins: builtins(validator, base_dir),
        base_dir: base_dir.to_owned(),
        control_socket: socket::control(validator, base_dir),
        control_group: socket::group(validator, "control.group"),
        compile_cache: validator.boolean("control.compileCache", true),
        app,
        program,
        policy,
        server,
    };
    warn_of_near_misses(validator);
    warn_of_ignored(validator);
    pm2::warn(validator, settings.program.is_some());
    settings
}

/// How many workers were asked for. A part of one, as in `os.cpus().length * 0.75`, is one more, as in JS luster.
fn workers(validator: &mut Validator<'_>, default: u32) -> f64 {
    const KEY: &str = "workers";
    let default = f64::from(default.clamp(1, MAX_WORKERS));
    let Some(number) = validator.number_of(KEY, Kind::Workers) else { return default };
    if !(0.0..=f64::from(MAX_WORKERS)).contains(&number) || number == 0.0 {
        validator.fail_value_of(KEY, Kind::Workers, &format!("a number from 1 to {MAX_WORKERS}"));
        return default;
    }
    if number.fract() != 0.0 {
        validator.warn(KEY, &format!("workers is {number}, which is rounded up to {}", number.ceil()));
    }
    number
}

/// How long a canary serves where that is not said.
const WATCH: Duration = Duration::from_secs(30);
/// How long a program may take to end: unlike a worker of Node's it cannot be asked whether it still answers somebody.
const PROGRAM_KILL: Duration = Duration::from_secs(10);
/// How long a replacement may take: a new one that never gets ready must be given up some time.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

fn policy(validator: &mut Validator<'_>, workers: f64, is_program: bool) -> Policy {
    let workers = whole(workers.ceil()).unwrap_or(MAX_WORKERS);
    let restart = validator
        .choice(
            "control.restart",
            &[("stop-first", RestartOrder::StopFirst), ("start-first", RestartOrder::StartFirst)],
        )
        .unwrap_or(RestartOrder::StopFirst);
    let mut limits = limits(validator);
    if is_program && !validator.has("control.killTimeout") {
        limits.kill_timeout = Some(PROGRAM_KILL.saturating_add(limits.stop_timeout.unwrap_or_default()));
    }
    if limits.allowed_sequential_deaths > 0 && limits.exit_threshold.is_none() {
        validator.warn(
            "control.allowedSequentialDeaths",
            "control.allowedSequentialDeaths has no effect without control.exitThreshold, which says what a sequential \
             death is",
        );
    }
    let ready_timeout = validator.timeout("control.readyTimeout", Some(READY_TIMEOUT));
    let policy = Policy {
        workers,
        limits,
        readiness: if is_program { Readiness::Checked } else { readiness(validator) },
        restart,
        parallel: parallel(validator, workers),
        ready_timeout,
        start_timeout: ready_timeout.filter(|_| validator.has("control.readyTimeout")),
        canary: canary(validator, workers),
        exit_timeout: exit_timeout(validator),
        // Not the configuration's to say.
        host_kind: HostKind::None,
    };
    if let (Some(stop), Some(kill)) = (policy.limits.stop_timeout, policy.limits.kill_timeout)
        && stop > kill
    {
        validator.warn(
            "control.stopTimeout",
            "control.stopTimeout is longer than control.killTimeout, so workers get SIGKILL before SIGTERM",
        );
    }
    policy
}

/// The replacements that a new version is tried with, where the configuration wants that.
fn canary(validator: &mut Validator<'_>, workers: u32) -> Option<Canary> {
    const KEY: &str = "control.canary";
    if !validator.has(KEY) {
        return None;
    }
    let ValueAt::Plain(Value::Object(members)) = validator.at(KEY) else {
        validator.fail_type(KEY, "an object, such as { \"workers\": 1, \"watch\": 30000 }");
        return None;
    };
    let odd = members.keys().find(|key| !["workers", "watch"].contains(&key.as_str())).cloned();
    if let Some(odd) = odd {
        validator.warn(KEY, &format!("control.canary.{odd} has no effect; it knows workers and watch"));
    }
    let canaries = validator.whole("control.canary.workers", 1..=workers.max(1)).unwrap_or(1);
    let watch = validator.timeout("control.canary.watch", Some(WATCH));
    Some(Canary { workers: canaries, watch: watch? })
}

fn exit_timeout(validator: &mut Validator<'_>) -> ExitTimeout {
    const KEY: &str = "control.exitTimeout";
    // Only looked at: it is workers that go by it.
    let _ = validator.timeout("control.idleTimeout", None);
    match (validator.has(KEY), validator.timeout(KEY, None)) {
        (false, _) => ExitTimeout::Default,
        (true, None) => ExitTimeout::Never,
        (true, Some(wait)) => ExitTimeout::After(wait),
    }
}

fn limits(validator: &mut Validator<'_>) -> LifecycleLimits {
    LifecycleLimits {
        fork_timeout: validator.timeout("control.forkTimeout", None),
        stop_timeout: validator.timeout("control.stopTimeout", None),
        kill_timeout: validator.timeout("control.killTimeout", None),
        exit_threshold: validator.timeout("control.exitThreshold", None),
        allowed_sequential_deaths: allowed_sequential_deaths(validator),
        persistence: Persistence::Persistent,
    }
}

/// How many workers a rolling restart replaces at a time.
fn parallel(validator: &mut Validator<'_>, workers: u32) -> u32 {
    const KEY: &str = "control.parallel";
    let parallel = validator.whole(KEY, 1..=MAX_WORKERS).unwrap_or(1);
    if parallel > workers {
        let there =
            if workers == 1 { "is only 1 worker".to_owned() } else { format!("are only {workers} workers") };
        validator.warn(KEY, &format!("control.parallel is {parallel}, but there {there}"));
    }
    parallel.min(workers)
}

/// Programs may write `Infinity` for "never give up". JS luster's reading of a negative number, that each end of a worker
/// is its last, a rolling restart's too, serves nobody.
fn allowed_sequential_deaths(validator: &mut Validator<'_>) -> u32 {
    const KEY: &str = "control.allowedSequentialDeaths";
    let Some(number) = validator.number(KEY) else { return 0 };
    if number > f64::from(u32::MAX) {
        return u32::MAX;
    }
    let Some(allowed) = whole(number.floor().max(0.0)) else {
        validator.fail_value(KEY, "a whole number, 0 or more");
        return 0;
    };
    if f64::from(allowed) != number {
        validator.warn(KEY, &format!("{KEY} is {number}, which is taken for {allowed}"));
    }
    allowed
}

/// JS luster asks only whether the value is true as JavaScript sees it.
fn readiness(validator: &mut Validator<'_>) -> Readiness {
    const KEY: &str = "control.triggerReadyStateManually";
    let manual = validator.flag(KEY, false);
    if !matches!(validator.at(KEY), ValueAt::Absent | ValueAt::Plain(Value::Null | Value::Bool(_))) {
        let shown = validator.shown(KEY);
        validator
            .warn(KEY, &format!("{KEY} is {shown}, which is taken for {manual}; true or false is expected"));
    }
    if manual { Readiness::Manual } else { Readiness::Automatic }
}

fn extensions(validator: &mut Validator<'_>) -> Vec<String> {
    match validator.at("extensions") {
        ValueAt::Absent => Vec::new(),
        ValueAt::Plain(Value::Object(extensions)) => extensions.keys().cloned().collect(),
        ValueAt::Plain(_) | ValueAt::NonJsonValue(_) => {
            validator.fail_type_of("extensions", Kind::Extensions, "an object");
            Vec::new()
        }
    }
}

fn extensions_path(validator: &mut Validator<'_>, base_dir: &Path) -> PathBuf {
    if let Some(path) = validator.text("extensionsPath", "the path of a folder") {
        return find::resolve(base_dir, Path::new(path));
    }
    // The folder of what was written, not of the file found for it, as in JS luster.
    match validator.at("app") {
        ValueAt::Plain(Value::String(app)) => {
            let app = find::resolve(base_dir, Path::new(app));
            app.parent().unwrap_or(&app).to_owned()
        }
        ValueAt::Absent | ValueAt::Plain(_) | ValueAt::NonJsonValue(_) => base_dir.to_owned(),
    }
}

fn master_inspect_port(validator: &mut Validator<'_>, workers: u32) -> Option<u16> {
    const KEY: &str = "properties.masterInspectPort";
    // JS luster never looked at the type, so "not set" has been written in these ways too.
    if matches!(validator.at(KEY), ValueAt::Plain(Value::Null | Value::Bool(false))) {
        return None;
    }
    let most = u32::from(u16::MAX).saturating_sub(workers);
    validator.whole(KEY, 0..=most).and_then(|port| u16::try_from(port).ok())
}
