//! `luster __attach`: supervises the workers of a custom master, a script that has started us with a channel.
//!
//! Invariants: it ends when the script does, and its workers with it; a terminal's signals reach the script only, which
//! passes on what they mean.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;
use tracing::{error, warn};

use super::builtin_extensions;
use super::generation::utf8;
use super::generation::worker_boot;
use super::run_spec::{self, Program};
use crate::cli;
use crate::cli::{LogFormat, Output};
use crate::config::{self, Held};
use crate::control::place::Identity;
use crate::core::{HostKind, Moment, PoolName};
use crate::driver::{self, Configured, HostSetup, NodeBoot, RunSpec, Runs, SettingsFrom, SpawnOverrides};
use crate::exit::Exit;
use crate::logging;
use crate::node::host::{CustomMasterSpec, Hello, HostChannel, HostNews, HostRequest, WorkerSettings};
use crate::node::ipc::Progress;
use crate::process;

/// The form of what is said on the channel; see `npm/lib/master/link.js`.
const PROTOCOL: u32 = 1;

/// How long the script may take to say who it is; it does so at once.
const INTRODUCTION: Duration = Duration::from_secs(10);

/// Does it.
pub(super) fn run() -> Exit {
    logging::install(&output());
    process::leave_group();
    let Some(channel) = process::inherited_channel() else {
        cli::complain("luster: `luster __attach` is for luster's own use, by custom masters");
        return Exit::Usage;
    };
    match serve(channel) {
        Ok(exit) => exit,
        Err((exit, reason)) => {
            error!(event = "cannot_start", "{reason}");
            exit
        }
    }
}

/// A script has its own log; of ours it gets what is wrong.
fn output() -> Output {
    let level: u8 = std::env::var("LUSTER_VERBOSE").ok().and_then(|level| level.parse().ok()).unwrap_or(0);
    Output {
        verbose: level.saturating_sub(1),
        quiet: u8::from(level == 0),
        log_format: match std::env::var("LUSTER_LOG_FORMAT").as_deref() {
            Ok("json") => LogFormat::Json,
            Ok(_) | Err(_) => LogFormat::Text,
        },
    }
}

fn serve(channel: OwnedFd) -> Result<Exit, (Exit, String)> {
    let internal = |error: io::Error| (Exit::Internal, format!("the script's channel fails: {error}"));
    let mut link = HostChannel::new().map_err(internal)?;
    link.connect(channel).map_err(internal)?;
    let mut backlog = Vec::new();
    // It may be gone before it said anything.
    let Some(hello) = introduction(&mut link, &mut backlog).map_err(internal)? else {
        return Ok(Exit::Stopped);
    };
    let spec = understand(*hello)?;
    let job = prepare(&spec, HostSetup::CustomMaster(Box::new(driver::CustomMaster { link, backlog })))?;
    logging::hand_over();
    driver::run(job).map_err(|error| (Exit::Internal, format!("luster cannot continue: {error:#}")))
}

/// Waits for the script's first word; what it has said behind it is kept for later.
fn introduction(link: &mut HostChannel, backlog: &mut Vec<HostNews>) -> io::Result<Option<Box<Hello>>> {
    let deadline = Instant::now() + INTRODUCTION;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(link.as_fd().as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut news = Vec::new();
        // A long introduction comes in several turns.
        while link.process(Moment::default(), &mut news) == Progress::More && news.is_empty() {}
        let mut news = news.into_iter();
        let unexpected = |what: &str| Err(io::Error::other(format!("it does not introduce itself: {what}")));
        match news.next() {
            None | Some(HostNews::Flooding) => continue,
            Some(HostNews::Asked(ask)) => {
                let HostRequest::Hello(hello) = *ask else {
                    return unexpected("it asks for something first");
                };
                backlog.extend(news);
                return Ok(Some(hello));
            }
            Some(HostNews::Left(None)) => return Ok(None),
            Some(HostNews::Left(Some(violation))) => return unexpected(&violation.to_string()),
            Some(HostNews::Nonsense(why)) => return unexpected(&why),
            Some(HostNews::Message { .. }) => return unexpected("it sends a worker a message first"),
        }
    }
}

/// What the script wants to be run, if package and binary belong together.
fn understand(hello: Hello) -> Result<CustomMasterSpec, (Exit, String)> {
    if hello.protocol != PROTOCOL {
        let (ours, theirs) =
            (env!("CARGO_PKG_VERSION"), hello.version.as_str().unwrap_or("of unknown version"));
        return Err((
            Exit::Internal,
            format!(
                "this luster binary ({ours}) does not understand the luster package ({theirs}) that started it; \
                 install both in one version, or set LUSTER_BINARY to the one that belongs to the package"
            ),
        ));
    }
    // serde's own words quote what is there, which may be a secret.
    serde_json::from_value(hello.spec).map_err(|_| {
        let reason = "what the script wants to be run is not understood; reinstall the luster package";
        (Exit::Internal, reason.to_owned())
    })
}

/// The work of extensions, ready to begin; warns of options that are likely wrong.
fn plan(settings: &config::Settings, native: &[String]) -> Result<driver::BuiltinExtensions, (Exit, String)> {
    let plan = builtin_extensions::plan(&settings.builtins, native, output().log_format)?;
    for warning in &plan.warnings {
        warn!(event = "config_warning", "{warning}");
    }
    plan.open()
}

fn prepare(spec: &CustomMasterSpec, host_setup: HostSetup) -> Result<RunSpec, (Exit, String)> {
    let CustomMasterSpec { script, config, base_dir, native, workers } = spec;
    let name = utf8(&script.exec);
    let held = Held { value: config.value.clone(), odd: config.odd.clone(), app: config.app.clone() };
    let (settings, _) =
        config::validate(held, &name, base_dir, "").map_err(|error| (error.exit(), error.to_string()))?;
    let mut builtins = plan(&settings, native)?;
    native.iter().for_each(|name| builtins.begin(name));
    let program = Program {
        node: script.node.clone(),
        node_args: script.exec_argv.iter().map(OsString::from).collect(),
        configured: Configured {
            config: None,
            app: script.exec.clone(),
            runs: Runs::Node(NodeBoot {
                boot: worker_boot(json!({"format": "script"}), &settings),
                readable: Vec::new(),
                data: None,
                inspect_port: settings.master_inspect_port,
            }),
            overrides: SpawnOverrides::default(),
            overridden_by: SettingsFrom::CustomMaster,
        },
        args: script.args.iter().map(OsString::from).collect(),
    };
    let luster_conf = std::env::var_os("LUSTER_CONF");
    let identity = Identity::of(&script.exec, luster_conf.as_deref());
    let control = run_spec::control(&settings, identity, &script.exec);
    let mut app =
        run_spec::app((&PoolName::default(), &settings), program, host_setup, run_spec::become_master()?)?;
    app.in_force.control.clone_from(&control.wanted);
    app.builtins = builtins;
    app.spec.policy.host_kind = HostKind::CustomMaster;
    let told = |worker: &WorkerSettings| (worker.worker(), worker.limits(), worker.port.clone());
    app.limits = workers.iter().map(told).collect();
    Ok(run_spec::plain(app, control))
}
