//! What each command does: from the arguments to a running fleet, or to words on stdout.
//!
//! Invariant: nothing is started before the configuration, Node and the app have been found.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tracing::{error, info, warn};

use crate::Exit;
use crate::cli::{self, Arguments, Cli, Command, LogFormat, Output, Source};
use crate::cluster;
use crate::config::{self, Loaded};
use crate::driver::{self, Job, Launcher};
use crate::logging;
use crate::preload::{Places, Preload};
use crate::process::{self, DescriptorLimit};

/// Runs the command.
pub(crate) fn run(cli: &Cli) -> Exit {
    let Arguments { source, print_config, output } = match &cli.command {
        Some(Command::Check(arguments)) => arguments,
        None => &cli.run,
    };
    logging::install(output);
    let loaded = match load(source) {
        Ok(loaded) => loaded,
        Err((exit, reason)) => return refuse(output, exit, &reason),
    };
    for warning in &loaded.warnings {
        warn!(event = "config_warning", "{warning}");
    }
    if *print_config {
        return cli::print(&config::render(&loaded));
    }
    match &cli.command {
        Some(Command::Check(_)) => {
            let workers = loaded.settings.policy.workers;
            cli::print(&format!("{}: no mistakes; it runs {workers} workers\n", loaded.path.display()))
        }
        None => serve(source, &loaded),
    }
}

fn load(source: &Source) -> Result<Loaded, (Exit, String)> {
    // One that is missing is told when it is needed: a configuration that is no program needs none. What was asked
    // for then says best what is missing.
    let node = find_node(source).ok().or_else(|| source.node.as_ref().map(PathBuf::from));
    let request = config::Request::from_surroundings(source.config.clone(), node, source.node_arg.clone());
    let request =
        request.map_err(|error| (Exit::Config, format!("there is no working directory: {error}")))?;
    config::load(&request).map_err(|error| (error.exit(), error.to_string()))
}

fn find_node(source: &Source) -> Result<PathBuf, process::ProgramError> {
    let name = source.node.as_deref().unwrap_or(OsStr::new("node"));
    process::find_program(name, std::env::var_os("PATH").as_deref())
}

/// Tells why the configuration cannot be used: as it is for people, as a log line for machines.
fn refuse(output: &Output, exit: Exit, reason: &str) -> Exit {
    match output.log_format {
        LogFormat::Text => cli::complain(reason),
        LogFormat::Json => error!(event = "config_error", "{reason}"),
    }
    exit
}

fn serve(source: &Source, loaded: &Loaded) -> Exit {
    match prepare(source, loaded) {
        Ok(job) => {
            announce(&job, loaded);
            driver::run(job).unwrap_or_else(|error| {
                error!(event = "internal", "luster cannot go on: {error:#}");
                Exit::Internal
            })
        }
        Err((exit, reason)) => {
            error!(event = "cannot_start", "{reason}");
            exit
        }
    }
}

/// Makes a clean master of this process and finds what workers are started with.
fn prepare(source: &Source, loaded: &Loaded) -> Result<Job, (Exit, String)> {
    let settings = &loaded.settings;
    let internal = |what: &str, error: std::io::Error| (Exit::Internal, format!("{what}: {error}"));
    process::adopt_orphans().map_err(|error| internal("orphans cannot be adopted", error))?;
    let limit =
        DescriptorLimit::raise().map_err(|error| internal("the descriptor limit cannot be raised", error))?;
    let node = find_node(source).map_err(|error| (Exit::ForkOrExec, error.to_string()))?;
    let preload =
        Preload::place(Places::of_this_process()).map_err(|error| (Exit::ForkOrExec, error.to_string()))?;
    let launcher = Launcher {
        node,
        node_args: source.node_arg.clone(),
        app: settings.app.clone(),
        preload,
        boot: boot(loaded).to_string(),
        ports: settings.server.layout(settings.policy.workers).into_iter().map(|seat| seat.port).collect(),
        inspect_port: settings.master_inspect_port,
        limit,
    };
    Ok(Job { policy: settings.policy.clone(), balance: balance(settings.server.balance), launcher })
}

/// What a worker's JavaScript needs to know (`LUSTER_BOOT`): how to read the configuration again, and that the
/// verdict on a connection acknowledges its descriptor.
fn boot(loaded: &Loaded) -> Value {
    let (path, base_dir) = (utf8(&loaded.path), utf8(&loaded.base_dir));
    let mut boot = json!({"v": 1, "acks": "by verdict", "config": path, "baseDir": base_dir});
    boot["format"] = match loaded.source {
        config::Source::Json => "json",
        config::Source::Literal | config::Source::Module => "module",
        // Node cannot read it.
        config::Source::Json5 => "value",
    }
    .into();
    if loaded.source == config::Source::Json5 {
        boot["value"] = loaded.written.clone();
    }
    boot
}

/// Node itself only knows paths that are UTF-8.
fn utf8(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

const fn balance(configured: config::Balance) -> cluster::Balance {
    match configured {
        config::Balance::RoundRobin => cluster::Balance::RoundRobin,
        config::Balance::Shared => cluster::Balance::Shared,
        config::Balance::Reuseport => cluster::Balance::Reuseport,
    }
}

fn announce(job: &Job, loaded: &Loaded) {
    let (workers, pid, version) = (job.policy.workers, std::process::id(), env!("CARGO_PKG_VERSION"));
    let (app, node) = (job.launcher.app.display(), job.launcher.node.display());
    info!(
        event = "start",
        pid, workers, version, "luster {version} (pid {pid}) runs {workers} workers of {app} with {node}"
    );
    if !loaded.settings.extensions.is_empty() {
        let names = loaded.settings.extensions.join(", ");
        warn!(
            event = "extensions",
            names,
            "extensions ({names}) run in the workers only: this version does not run their master side"
        );
    }
}
