//! Reads the configuration anew while workers run, with every check of `luster check`.
//!
//! Invariant: it changes nothing; the loop takes what was read, or does not.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::builtin_extensions::BuiltinPlan;
use super::evaluator::{Evaluator, LeftBehind};
use super::extensions::{self, ExtensionPlan, Resolution};
use super::{apps, builtin_extensions, generation, run_spec};
use crate::cli::LogFormat;
use crate::config::{self, ConfigRequest, Loaded, LoadedFleet, Problem, changed_keys};
use crate::control::place::Identity;
use crate::control::{Prepared, Wanted};
use crate::core::{HostKind, PoolName};
use crate::driver::{FleetReading, GUARD, LOG_FILE, Read, Reading, Starter};
use crate::node::host::HostLauncher;
use crate::process::DescriptorLimit;

/// What is needed for it, as it was at the start.
pub(super) struct Reread {
    pub(super) request: ConfigRequest,
    /// What luster was started with: each app, and the extensions of it that luster does the work of.
    pub(super) apps: BTreeMap<PoolName, (Loaded, Vec<String>)>,
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

/// What one app's reading is made of.
struct AppToRead<'a> {
    name: &'a PoolName,
    loaded: &'a Loaded,
    wanted: Option<Wanted>,
    left: &'a mut LeftBehind,
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
        let fleet = config::load(&self.request, &mut evaluator).map_err(|error| told(error.to_string()))?;
        self.compare(&fleet)?;
        let mut left = evaluator.running.take().map(|running| running.left).unwrap_or_default();
        let wanted = run_spec::control_socket(&fleet.any().settings, self.identity.clone());
        let mut all = BTreeMap::new();
        for (name, loaded) in &fleet.apps {
            let about = AppToRead { name, loaded, wanted: wanted.clone(), left: &mut left };
            let mut reading =
                self.app(about, starter, &evaluator).map_err(|error| apps::of_app(name, &error))?;
            warnings.append(&mut reading.warnings);
            all.insert(name.clone(), reading);
        }
        // Last, because it leaves something to be seen.
        let mut socket = control_socket(starter, wanted.as_ref())?;
        for reading in all.values_mut() {
            reading.socket = socket.take();
            reading.warnings.append(&mut warnings);
        }
        Ok(FleetReading { apps: all, plan: fleet.plan })
    }

    /// One app is no fleet of several, nor the other way round: what runs would be nobody's.
    fn compare(&self, fleet: &LoadedFleet) -> Result<(), String> {
        let was_plain = self.apps.contains_key(&PoolName::default());
        match (was_plain, fleet.only().is_some()) {
            (true, true) | (false, false) => Ok(()),
            (true, false) => {
                Err("it has \"apps\" now, and luster was started with one app: restart luster".to_owned())
            }
            (false, true) => Err("it has no \"apps\" any more: restart luster to run one app".to_owned()),
        }
    }

    fn app(
        &self,
        about: AppToRead<'_>,
        starter: &Starter,
        evaluator: &Evaluator<'_>,
    ) -> Result<Reading, String> {
        let AppToRead { name, loaded, wanted, left } = about;
        if let (None, Err(error)) = (&loaded.settings.program, &self.node) {
            return Err(format!(
                "the app needs Node.js, and there was none when luster was started: {error}"
            ));
        }
        let (extension_plan, plan) = self.check(loaded)?;
        let mut warnings: Vec<_> =
            loaded.warnings.iter().chain(&plan.warnings).map(Problem::headline).collect();
        // With several apps nobody goes on with what the configuration has left.
        let stays = left.stays && name.is_nameless();
        let host_kind = extensions::host_kind(&loaded.settings, &extension_plan, stays);
        let host_launcher = match host_kind {
            HostKind::ExtensionHost { .. } => Some(Box::new(self.host_launcher(evaluator)?)),
            HostKind::None | HostKind::CustomMaster => None,
        };
        let overrides = left.overrides();
        let configured =
            generation::for_workers((name, loaded), self.package.as_deref(), overrides, host_kind)?;
        let mut spec = generation::spec(loaded, &configured, &extension_plan.modules);
        spec.policy.host_kind = host_kind;
        let in_force = generation::in_force((name, loaded), wanted)?;
        let unapplied = match self.apps.get(name) {
            Some((before, native)) => unapplied((before, native), loaded, &extension_plan),
            None => Vec::new(),
        };
        let runs = starter.running().apps.contains(name);
        let builtins = match runs || name.is_nameless() {
            true => None,
            false => Some(apps::builtins(plan, &extension_plan).map_err(|(_, reason)| reason)?),
        };
        if !runs && left.stays {
            warnings.extend(apps::left_running(name));
        }
        Ok(Reading { configured, in_force, spec, socket: None, host_launcher, builtins, warnings, unapplied })
    }

    /// How a host is started that is the first.
    fn host_launcher(&self, evaluator: &Evaluator<'_>) -> Result<HostLauncher, String> {
        let not_started = |error| format!("the process for the extensions cannot be started: {error:?}");
        let launcher = evaluator.launcher().map_err(not_started)?;
        Ok(HostLauncher { parent: self.parent.as_ref().and_then(again), ..launcher })
    }

    /// What else `luster check` looks at; answers with who does the work of which extension, and how luster would do its part.
    fn check<'a>(&self, loaded: &'a Loaded) -> Result<(ExtensionPlan, BuiltinPlan<'a>), String> {
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
            Ok(plan) => Ok((extension_plan, plan)),
            Err((_, reason)) => Err(reason),
        }
    }
}

/// The keys whose change a reload does not apply.
fn unapplied(
    (before, native): (&Loaded, &[String]),
    now: &Loaded,
    extension_plan: &ExtensionPlan,
) -> Vec<&'static str> {
    let mut keys = changed_keys(before, now);
    let ours = extension_plan.ours();
    for (name, key) in [(LOG_FILE, "extensions.luster-log-file"), (GUARD, "extensions.luster-guard")] {
        let options = |loaded: &Loaded| loaded.raw.get("extensions").and_then(|all| all.get(name)).cloned();
        let is_ours = |names: &[String]| names.iter().any(|one| one == name);
        let (was, is) = (is_ours(native), is_ours(&ours));
        if was != is || (is && options(before) != options(now)) {
            keys.push(key);
        }
    }
    keys
}
