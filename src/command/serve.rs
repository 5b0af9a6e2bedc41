//! `luster [CONFIG]`.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;

use serde_json::{Value, json};
use tracing::{error, info};

use super::apps::of_app;
use super::evaluator::{Evaluator, Running};
use super::extensions::{self, ExtensionPlan};
use super::found::{self, Found, FoundApp, Warnings};
use super::generation;
use super::generation::utf8;
use super::node_program;
use super::run_spec::{self, Program};
use super::several;
use crate::cli::Arguments;
use crate::config::{self, Loaded};
use crate::core::{HostKind, PoolName};
use crate::driver::{self, AppSpec, HostSetup, LOG_FILE, RunSpec, Runs};
use crate::exit::Exit;
use crate::logging;
use crate::node::host::HostLauncher;
use crate::process::Child;
use crate::systemd::ManagerEnvironment;

/// Runs the workers.
pub(super) fn run(arguments: &Arguments) -> Exit {
    found::with_config(arguments, Warnings::Logged, |found| {
        // A program may change where modules are found, and so may an extension that comes before.
        for FoundApp { name, loaded, extension_plan, .. } in &found.apps {
            let is_program = loaded.source == config::SourceFormat::Module;
            if !is_program
                && extension_plan.modules.first() == extension_plan.missing.first()
                && let Some(error) = extensions::missing(loaded, extension_plan)
            {
                let reason = of_app(name, &error.to_string());
                return found::refuse(&arguments.output, error.exit(), &reason);
            }
        }
        serve(found)
    })
}

fn serve(found: Found<'_>) -> Exit {
    let prepared = if found.fleet.only().is_some() { prepare(found) } else { several::prepare(found) };
    match prepared {
        Ok(job) => {
            logging::hand_over();
            driver::run(job).unwrap_or_else(|error| {
                error!(event = "internal", "luster cannot continue: {error:#}");
                Exit::Internal
            })
        }
        Err((exit, reason)) => {
            error!(event = "cannot_start", "{reason}");
            exit
        }
    }
}

fn prepare(found: Found<'_>) -> Result<RunSpec, (Exit, String)> {
    let Found { environment, identity, request, fleet: _, mut apps, mut evaluator } = found;
    let FoundApp { name, loaded, extension_plan, plan } = apps.remove(0);
    let extension_plan = &extension_plan;
    let settings = &loaded.settings;
    let left =
        evaluator.running.as_mut().map(|running| std::mem::take(&mut running.left)).unwrap_or_default();
    let host_kind = extensions::host_kind(settings, extension_plan, left.stays);
    let node = environment.node.as_ref().map_err(ToString::to_string);
    if settings.program.is_none() || host_kind != HostKind::None {
        node_program::check(node.clone().map_err(|error| (Exit::ForkOrExec, error))?)?;
    }
    // Before the host is started: what it prints goes to the log files too.
    let mut builtins = plan.open()?;
    extension_plan.native.iter().for_each(|name| builtins.begin(name));
    let host_setup = match host_kind {
        HostKind::None | HostKind::CustomMaster => {
            drop(evaluator);
            HostSetup::None
        }
        HostKind::ExtensionHost { .. } => host_setup(loaded, extension_plan, evaluator)?,
    };
    let package = environment.launched.package.as_deref();
    let program = Program {
        // Without one nothing is started that needs it.
        node: node.clone().map_or_else(|_| "node".into(), Clone::clone),
        node_args: environment.launched.node_args.clone(),
        configured: generation::for_workers((name, loaded), package, left.overrides(), host_kind)
            .map_err(|error| (Exit::Internal, error))?,
        args: environment.words.clone(),
    };
    let before = BTreeMap::from([(name.clone(), (loaded.clone(), extension_plan.native.clone()))]);
    let read = environment.reread(request, identity.clone(), node.cloned(), before);
    let mut spec = generation::spec(loaded, &program.configured, &extension_plan.modules);
    spec.policy.host_kind = host_kind;
    let control = run_spec::control(settings, identity, &loaded.path);
    let mut app = run_spec::app((name, settings), program, host_setup, run_spec::become_master()?)?;
    app.spec = spec;
    let wanted = control.wanted.clone();
    app.in_force = generation::in_force((name, loaded), wanted).map_err(|error| (Exit::Internal, error))?;
    app.builtins = builtins;
    announce(&app, &loaded.real.app, extension_plan);
    let mut job = run_spec::plain(app, control);
    job.read = Some(read.into_read());
    job.terminal = environment.terminal;
    job.manager_environment = ManagerEnvironment::of_this_process();
    Ok(job)
}

/// The extension host: the process that has run the configuration, or a new one.
fn host_setup(
    loaded: &Loaded,
    extension_plan: &ExtensionPlan,
    mut evaluator: Evaluator<'_>,
) -> Result<HostSetup, (Exit, String)> {
    let running = evaluator.running.take();
    let not_started = |error: String| {
        (Exit::ForkOrExec, format!("the process for the extensions cannot be started: {error}"))
    };
    let ports = loaded.settings.server.ports(loaded.settings.policy.workers);
    let validation = json!({ "ports": ports.iter().collect::<Vec<_>>() });
    // One that runs already prints where luster did then.
    let prints_elsewhere = extension_plan.native.iter().any(|name| name == LOG_FILE);
    let (launcher, started) = match running {
        Some(Running { launcher, candidate, .. }) if prints_elsewhere => {
            drop(candidate);
            start(launcher, loaded, validation)
        }
        Some(Running { mut launcher, candidate, .. }) => {
            launcher.boot["baseDir"] = utf8(&loaded.base_dir).into();
            launcher.boot["validation"] = validation;
            launcher.boot["extensions"] = generation::place_of_extensions(loaded);
            let word =
                json!({"baseDir": launcher.boot["baseDir"], "validation": launcher.boot["validation"]});
            let started = candidate.promote_to_host(&word).map_err(|error| error.to_string());
            (launcher, started)
        }
        None => {
            let launcher = evaluator.launcher().map_err(|error| not_started(format!("{error:?}")))?;
            start(launcher, loaded, validation)
        }
    };
    let (child, socket) = started.map_err(not_started)?;
    Ok(HostSetup::ExtensionHost { launcher: Box::new(launcher), child, socket })
}

/// Starts a host that reads the configuration itself.
fn start(
    mut launcher: HostLauncher,
    loaded: &Loaded,
    validation: Value,
) -> (HostLauncher, Result<(Child, OwnedFd), String>) {
    launcher.boot["validation"] = validation;
    match generation::sealed(loaded) {
        Ok(data) => launcher.configure(&generation::for_host(&PoolName::default(), loaded), data),
        Err(error) => return (launcher, Err(error)),
    }
    let started = launcher.launch(&json!({})).map_err(|error| error.to_string());
    (launcher, started)
}

/// What runs the app, if it does not run itself.
fn run_by(job: &AppSpec) -> String {
    let program = job.launcher.configured.values().find_map(|configured| match &configured.runs {
        Runs::Node(_) => Some(&job.launcher.node),
        Runs::Program(command) => Some(&command.executable).filter(|file| **file != configured.app),
    });
    program.map(|program| format!(" with {}", program.display())).unwrap_or_default()
}

fn announce(job: &AppSpec, main: &Path, extension_plan: &ExtensionPlan) {
    let (workers, pid, version) = (job.spec.policy.workers, std::process::id(), env!("CARGO_PKG_VERSION"));
    let (app, by) = (main.display(), run_by(job));
    let s = if workers == 1 { "" } else { "s" };
    info!(
        event = "start",
        pid, workers, version, "luster {version} (pid {pid}) runs {workers} worker{s} of {app}{by}"
    );
    for name in &extension_plan.native {
        info!(event = "native", name, "{name} is not installed; using the built-in one");
    }
    if let HostSetup::ExtensionHost { child, .. } = &job.host_setup {
        let (pid, names) = (child.pid(), extension_plan.modules.join(", "));
        let what = match names.is_empty() {
            true => "what the configuration left running".to_owned(),
            false => format!("the master side of {names}"),
        };
        info!(event = "host_fork", pid = pid.as_raw(), names, "the extension host (pid {pid}) runs {what}");
    }
}
