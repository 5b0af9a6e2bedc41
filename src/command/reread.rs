//! Reads the configuration anew while workers run, with every check of `luster check`.
//!
//! Invariant: it changes nothing; the loop takes what was read, or does not.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::evaluator::{Evaluator, Left};
use super::extensions::{self, Resolution};
use super::{builtin_extensions, generation};
use crate::cli::LogFormat;
use crate::config::{self, ConfigRequest, Loaded, Problem, changed_keys};
use crate::core::HostKind;
use crate::driver::{Read, Reading, Starter};
use crate::process::DescriptorLimit;

/// What is needed for it, as it was at the start.
pub(super) struct Reread {
    pub(super) request: ConfigRequest,
    /// What luster runs on.
    pub(super) before: Loaded,
    pub(super) node: PathBuf,
    pub(super) node_args: Vec<OsString>,
    pub(super) package: Option<PathBuf>,
    /// What scripts of ours are told.
    pub(super) boot: Value,
    pub(super) parent: Option<OwnedFd>,
    pub(super) limit: DescriptorLimit,
    pub(super) host_kind: HostKind,
}

impl Reread {
    /// As the loop takes it.
    pub(super) fn into_read(self) -> Read {
        Arc::new(move |starter| self.read(starter))
    }

    /// Whether what the configuration leaves running has a process.
    fn has_host(&self) -> bool {
        self.host_kind != HostKind::None
    }

    fn read(&self, starter: &Starter) -> Result<Reading, String> {
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
            node: Some(self.node.clone()),
            node_args: self.node_args.clone(),
            // Ours, whatever has become of it.
            folder: ".".into(),
            boot: self.boot.clone(),
            parent: self.parent.as_ref().and_then(|parent| parent.try_clone().ok()),
            limit: self.limit,
            running: None,
        };
        let told = |reason: String| match warnings.first() {
            Some(warning) => format!("{reason}\n{warning}"),
            None => reason,
        };
        let loaded = config::load(&self.request, &mut evaluator).map_err(|error| told(error.to_string()))?;
        let left = evaluator.running.take().map(|running| running.left);
        let (modules, odd) = self.check(&loaded)?;
        let mut unapplied = changed_keys(&self.before, &loaded);
        if self.has_host() {
            // It is started anew.
            unapplied.retain(|key| !["extensions", "extensionsPath"].contains(key));
        }
        let stays = left.as_ref().is_some_and(|left| left.stays);
        if stays && !self.has_host() {
            unapplied.push("what the configuration leaves running");
        }
        warnings.extend(loaded.warnings.iter().map(Problem::headline).chain(odd));
        let mut configured = generation::for_workers(&loaded, self.package.as_deref())?;
        if !self.has_host() {
            configured.overrides = Some(left.map(|mut left: Left| left.overrides()).unwrap_or_default());
        }
        let mut spec = generation::spec(&loaded, &configured, &modules);
        spec.policy.host_kind = self.host_kind;
        Ok(Reading { configured, in_force: generation::in_force(&loaded)?, spec, warnings, unapplied })
    }

    /// What else `luster check` looks at; answers with the extensions that have a master's side, and with what looks odd.
    fn check(&self, loaded: &Loaded) -> Result<(Vec<String>, Vec<String>), String> {
        let resolution = Resolution {
            node: Some(&self.node),
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
                Ok((extension_plan.modules.clone(), odd))
            }
            Err((_, reason)) => Err(reason),
        }
    }
}
