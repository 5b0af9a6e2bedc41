//! `luster CONFIG` where CONFIG has several apps: each is made ready as if it were alone, and begins when its turn comes.
//!
//! Invariant: what belongs to the process is done once; a Node that has run the configuration is not kept for any app, because each
//! extension host reads it itself.

use std::collections::BTreeMap;

use tracing::{info, warn};

use super::apps::{builtins, left_running, of_app, what_runs};
use super::evaluator::LeftBehind;
use super::extensions;
use super::found::{Found, FoundApp};
use super::generation;
use super::node_program;
use super::run_spec::{self, Program};
use crate::core::{HostKind, PoolName};
use crate::driver::{HostSetup, RunSpec};
use crate::exit::Exit;
use crate::node::host::HostLauncher;
use crate::systemd::ManagerEnvironment;

/// Everything that is to be run.
pub(super) fn prepare(found: Found<'_>) -> Result<RunSpec, (Exit, String)> {
    let Found { environment, identity, request, fleet, apps: found, mut evaluator } = found;
    let node = environment.node.as_ref().map_err(ToString::to_string);
    let left: LeftBehind = evaluator.running.take().map(|running| running.left).unwrap_or_default();
    let any = fleet.any();
    let control = run_spec::control(&any.settings, identity.clone(), &any.path);
    let limit = run_spec::become_master()?;
    let (mut apps, mut before) = (BTreeMap::new(), BTreeMap::new());
    for FoundApp { name, loaded, extension_plan, plan } in found {
        let internal = |error: String| (Exit::Internal, of_app(name, &error));
        let host_kind = extensions::host_kind(&loaded.settings, &extension_plan, false);
        if loaded.settings.program.is_none() || host_kind != HostKind::None {
            node_program::check(node.clone().map_err(|error| (Exit::ForkOrExec, error))?)?;
        }
        let host_setup = match host_kind {
            HostKind::None | HostKind::CustomMaster => HostSetup::None,
            HostKind::ExtensionHost { .. } => {
                let launcher = evaluator.launcher();
                let mut launcher =
                    launcher.map_err(|error| (Exit::ForkOrExec, of_app(name, &format!("{error:?}"))))?;
                configure(&mut launcher, name, loaded).map_err(internal)?;
                HostSetup::ToBeStarted(Box::new(launcher))
            }
        };
        let package = environment.launched.package.as_deref();
        let configured = generation::for_workers((name, loaded), package, left.overrides(), host_kind);
        let program = Program {
            // Without one nothing is started that needs it.
            node: node.clone().map_or_else(|_| "node".into(), Clone::clone),
            node_args: environment.launched.node_args.clone(),
            configured: configured.map_err(internal)?,
            args: environment.words.clone(),
        };
        let mut spec = generation::spec(loaded, &program.configured, &extension_plan.modules);
        spec.policy.host_kind = host_kind;
        let mut app = run_spec::app((name, &loaded.settings), program, host_setup, limit)?;
        app.spec = spec;
        app.in_force = generation::in_force((name, loaded), control.wanted.clone()).map_err(internal)?;
        app.builtins = builtins(plan, &extension_plan)?;
        if left.stays {
            left_running(name).inspect(|warning| warn!(event = "config_warning", "{warning}"));
        }
        before.insert(name.clone(), (loaded.clone(), extension_plan.native));
        apps.insert(name.clone(), app);
    }
    let (pid, version, runs) = (std::process::id(), env!("CARGO_PKG_VERSION"), what_runs(fleet));
    info!(event = "start", pid, version, "luster {version} (pid {pid}) runs {runs}");
    let read = environment.reread(request, identity, node.cloned(), before);
    let mut job = run_spec::fleet(apps, fleet.plan.clone(), control);
    job.read = Some(read.into_read());
    job.terminal = environment.terminal;
    job.manager_environment = ManagerEnvironment::of_this_process();
    Ok(job)
}

/// Has a host read this app's configuration itself.
fn configure(
    launcher: &mut HostLauncher,
    name: &PoolName,
    loaded: &crate::config::Loaded,
) -> Result<(), String> {
    launcher.configure(&generation::for_host(name, loaded), generation::sealed(loaded)?);
    // Only one can have it.
    launcher.parent = None;
    Ok(())
}
