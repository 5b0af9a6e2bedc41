//! Reads the configuration anew while workers run, with every check of `luster check`.
//!
//! Invariant: it changes nothing; the loop takes what was read, or does not.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::evaluator::Evaluator;
use super::extensions::{self, ExtensionPlan, Resolution};
use super::{builtin_extensions, generation, run_spec};
use crate::cli::LogFormat;
use crate::config::{self, ConfigRequest, Loaded, Problem, changed_keys};
use crate::control::place::Identity;
use crate::control::{Prepared, Wanted};
use crate::core::{FleetPlan, HostKind, PoolName};
use crate::driver::{FleetReading, GUARD, LOG_FILE, Read, Reading, Starter};
use crate::node::host::HostLauncher;
use crate::process::DescriptorLimit;

/// What is needed for it, as it was at the start.
pub(super) struct Reread {
    pub(super) request: ConfigRequest,
    /// What luster runs on.
    pub(super) before: Loaded,
    /// What this master is told apart by.
    pub(super) identity: Identity,
    /// The Node program, or why there is none.
    pub(super) node: Result<PathBuf, String>,
    pub(super) node_args: Vec<OsString>,
    pub(super) package: Option<PathBuf>,
    /// What scripts of ours are told.
    pub(super) boot: Value,
    pub(super) parent: Option<OwnedFd>,
    pub(super) limit: DescriptorLimit,
    /// The extensions that luster does the work of.
    pub(super) native: Vec<String>,
}

/// Makes the control socket, where that is not served already.
fn control_socket(starter: &Starter, wanted: Option<&Wanted>) -> Result<Option<Prepared>, String> {
    // What could not be had at the start is no reason to refuse what is right.
    let Some(wanted) = wanted.filter(|wanted| starter.running().control.as_ref() != Some(*wanted)) else {
        return Ok(None);
    };
    let is_same = |served: &&Wanted| served.place == wanted.place;
    let made = match starter.running().sockets.iter().find(is_same) {
        Some(served) if served.group == wanted.group => Ok(None),
        Some(_) => wanted.try_group().map(|()| None),
        None => Prepared::make(wanted).map(Some),
    };
    made.map_err(|error| format!("the control socket cannot be opened as configured: {error}"))
}

/// Nothing where there are no descriptors: it is not worth a refusal.
fn again(descriptor: &OwnedFd) -> Option<OwnedFd> {
    descriptor.try_clone().ok()
}

impl Reread {
    /// As the loop takes it.
    pub(super) fn into_read(self) -> Read {
        Arc::new(move |starter| self.read(starter))
    }

    fn read(&self, starter: &Starter) -> Result<FleetReading, String> {
        let mut warnings = Vec::new();
        if let Err(error) = std::env::current_dir() {
            let folder = self.request.cwd.display();
            warnings.push(format!(
                "the working directory luster was started in, {folder}, is gone ({error}); name CONFIG by an absolute \
                 path, through the link that deploys move, and start luster in a directory that stays"
            ));
        }
        let mut evaluator = Evaluator {
            starter: Some(starter),
            node: self.node.as_ref().ok().cloned(),
            node_args: self.node_args.clone(),
            // Ours, whatever has become of it.
            folder: ".".into(),
            boot: self.boot.clone(),
            // Only one may read from it.
            parent: self.parent.as_ref().filter(|_| !starter.running().host).and_then(again),
            limit: self.limit,
            running: None,
        };
        let told = |reason: String| match warnings.first() {
            Some(warning) => format!("{reason}\n{warning}"),
            None => reason,
        };
        let loaded = config::load(&self.request, &mut evaluator).map_err(|error| told(error.to_string()))?;
        let left = evaluator.running.take().map(|running| running.left);
        if let (None, Err(error)) = (&loaded.settings.program, &self.node) {
            return Err(format!(
                "the app needs Node.js, and there was none when luster was started: {error}"
            ));
        }
        let (plan, odd) = self.check(&loaded)?;
        let mut left = left.unwrap_or_default();
        let host_kind = extensions::host_kind(&loaded.settings, &plan, left.stays);
        let host_launcher = match host_kind {
            HostKind::ExtensionHost { .. } => Some(Box::new(self.host_launcher(&evaluator)?)),
            HostKind::None | HostKind::CustomMaster => None,
        };
        warnings.extend(loaded.warnings.iter().map(Problem::headline).chain(odd));
        let configured =
            generation::for_workers(&loaded, self.package.as_deref(), left.overrides(), host_kind)?;
        let mut spec = generation::spec(&loaded, &configured, &plan.modules);
        spec.policy.host_kind = host_kind;
        let wanted = run_spec::control_socket(&loaded.settings, self.identity.clone());
        let in_force = generation::in_force(&loaded, wanted)?;
        let unapplied = self.unapplied(&loaded, &plan);
        // Last, because it leaves something to be seen.
        let socket = control_socket(starter, in_force.control.as_ref())?;
        let reading = Reading { configured, in_force, spec, socket, host_launcher, warnings, unapplied };
        Ok(FleetReading { apps: BTreeMap::from([(PoolName::default(), reading)]), plan: FleetPlan::plain() })
    }

    /// How a host is started that is the first.
    fn host_launcher(&self, evaluator: &Evaluator<'_>) -> Result<HostLauncher, String> {
        let not_started = |error| format!("the process for the extensions cannot be started: {error:?}");
        let launcher = evaluator.launcher().map_err(not_started)?;
        Ok(HostLauncher { parent: self.parent.as_ref().and_then(again), ..launcher })
    }

    /// The keys whose change a reload does not apply.
    fn unapplied(&self, now: &Loaded, plan: &ExtensionPlan) -> Vec<&'static str> {
        let mut keys = changed_keys(&self.before, now);
        let ours = plan.ours();
        for (name, key) in [(LOG_FILE, "extensions.luster-log-file"), (GUARD, "extensions.luster-guard")] {
            let options =
                |loaded: &Loaded| loaded.raw.get("extensions").and_then(|all| all.get(name)).cloned();
            let is_ours = |names: &[String]| names.iter().any(|one| one == name);
            let (before, after) = (is_ours(&self.native), is_ours(&ours));
            if before != after || (after && options(&self.before) != options(now)) {
                keys.push(key);
            }
        }
        keys
    }

    /// What else `luster check` looks at; answers with who does the work of which extension, and with what looks odd.
    fn check(&self, loaded: &Loaded) -> Result<(ExtensionPlan, Vec<String>), String> {
        let resolution = Resolution {
            node: self.node.as_deref().ok(),
            node_args: &self.node_args,
            package: self.package.as_deref(),
        };
        let settings = &loaded.settings;
        let extension_plan = extensions::divide(&settings.extensions, &settings.extensions_path, &resolution);
        if let Some(error) = extensions::missing(loaded, &extension_plan) {
            return Err(error.to_string());
        }
        // Nothing is opened: the form of the log does not matter.
        match builtin_extensions::plan(&settings.builtins, &extension_plan.ours(), LogFormat::Text) {
            Ok(plan) => {
                let odd = plan.warnings.iter().map(Problem::headline).collect();
                Ok((extension_plan, odd))
            }
            Err((_, reason)) => Err(reason),
        }
    }
}
