//! Which extensions need Node on the master's side, and which luster does the work of itself.
//!
//! Invariant: an installed module always runs: only one that is not found where Node would look is replaced.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{self, Error, Loaded, Origins, Problem, Settings};
use crate::core::HostKind;
use crate::driver::{GUARD, LOG_FILE};
use crate::node::scripts::NodeFlags;

/// What extensions may take beyond `extensionsLoadTimeout` until we give their process up: it has to say so itself, and
/// Node has to start.
const HOST_SLACK: Duration = Duration::from_secs(5);

/// Who does the work of which extension.
#[derive(Debug, Default)]
pub(super) struct ExtensionPlan {
    /// Modules, to be run by Node.
    pub(super) modules: Vec<String>,
    /// Ours.
    pub(super) native: Vec<String>,
    /// Ours if Node does not find them; they are among the modules.
    pub(super) perhaps_native: Vec<String>,
    /// Modules that Node will not find, unless code of the user's changes where it looks.
    pub(super) missing: Vec<String>,
}

impl ExtensionPlan {
    /// All whose work may be ours.
    pub(super) fn ours(&self) -> Vec<String> {
        self.native.iter().chain(&self.perhaps_native).cloned().collect()
    }
}

/// What decides where Node finds modules.
#[derive(Debug)]
pub(super) struct Resolution<'a> {
    /// The Node program.
    pub(super) node: Option<&'a Path>,
    pub(super) node_args: &'a [OsString],
    /// luster's own npm package, beside which extensions may be installed.
    pub(super) package: Option<&'a Path>,
}

/// Divides the configuration's extensions.
pub(super) fn divide(names: &[String], extensions_path: &Path, resolution: &Resolution<'_>) -> ExtensionPlan {
    let mut extension_plan = ExtensionPlan::default();
    let has_hooks = NodeFlags::from_environment(resolution.node_args).has_resolvers();
    for name in names {
        let has_twin = [LOG_FILE, GUARD].contains(&name.as_str());
        match (has_twin, is_installed(name, extensions_path, resolution)) {
            (_, true) => extension_plan.modules.push(name.clone()),
            (true, false) if has_hooks => {
                extension_plan.perhaps_native.push(name.clone());
                extension_plan.modules.push(name.clone());
            }
            (true, false) => extension_plan.native.push(name.clone()),
            (false, false) => {
                extension_plan.modules.push(name.clone());
                if !has_hooks {
                    extension_plan.missing.push(name.clone());
                }
            }
        }
    }
    extension_plan
}

/// Whether an extension host is needed: for extensions with a master's side, or for what the configuration has left running (`stays`).
pub(super) fn host_kind(settings: &Settings, plan: &ExtensionPlan, stays: bool) -> HostKind {
    match plan.modules.is_empty() && !stays && !traces() {
        true => HostKind::None,
        false => HostKind::ExtensionHost {
            limit: settings.extensions_load_timeout.map(|limit| limit + HOST_SLACK),
        },
    }
}

/// Whether somebody wants to see the events of a Master, for which there has to be one.
fn traces() -> bool {
    std::env::var("NODE_DEBUG").is_ok_and(|sections| sections.to_ascii_lowercase().contains("luster:eex"))
}

/// What is wrong if Node finds none of these modules; nothing if it finds all.
pub(super) fn missing(loaded: &Loaded, extension_plan: &ExtensionPlan) -> Option<Error> {
    let problem = |name| problem(name, &loaded.settings.extensions_path, &loaded.origins);
    let problems: Vec<_> = extension_plan.missing.iter().map(problem).collect();
    let warnings = loaded.warnings.clone();
    (!problems.is_empty()).then(|| Error::Invalid { problems, warnings, rest: Box::default() })
}

/// That Node does not find this one. The sentence is that of `notFound` in `npm/lib/shared/extensions.js`.
pub(super) fn problem(name: &String, extensions_path: &Path, origins: &Origins) -> Problem {
    let message = if is_path(name) {
        let start = if name.starts_with('/') {
            ""
        } else {
            "; a name that begins with a dot starts from extensionsPath, which is the app's folder unless set"
        };
        format!(
            "Extension \"{name}\" is not found: {} should be a file (.js may be left out), or a folder with index.js or a \
             package.json that names its main module{start}",
            config::resolve(extensions_path, Path::new(name)).display()
        )
    } else {
        format!(
            "Extension \"{name}\" is not found in {}, nor in node_modules there or above: install it (npm install {name}), or \
             set extensionsPath to the folder it is in",
            extensions_path.display()
        )
    };
    origins.problem_of_key(&format!("extensions.{name}"), message)
}

/// Whether Node takes the name for the path of a file or folder.
fn is_path(name: &str) -> bool {
    name.starts_with('/') || matches!(name.split('/').next(), Some("." | ".."))
}

/// Whether Node would find the module: in the extensions' folder, in `node_modules` there, above, or beside luster, or in
/// its global folders (<https://nodejs.org/api/modules.html#loading-from-the-global-folders>).
fn is_installed(name: &str, extensions_path: &Path, resolution: &Resolution<'_>) -> bool {
    if is_path(name) {
        return is_there(&extensions_path.join(name));
    }
    let above = |folder: &Path| {
        folder.ancestors().map(|folder| folder.join("node_modules")).collect::<Vec<PathBuf>>()
    };
    let mut places = vec![extensions_path.to_path_buf()];
    places.extend(above(extensions_path));
    places.extend(resolution.package.map(above).unwrap_or_default());
    places.extend(std::env::var_os("NODE_PATH").iter().flat_map(std::env::split_paths));
    if let Some(home) = std::env::var_os("HOME").map(PathBuf::from) {
        places.extend([home.join(".node_modules"), home.join(".node_libraries")]);
    }
    let node = resolution.node.and_then(|node| node.canonicalize().ok());
    places.extend(node.iter().filter_map(|node| Some(node.parent()?.parent()?.join("lib/node"))));
    places.into_iter().any(|place| is_there(&place.join(name)))
}

fn is_there(module: &Path) -> bool {
    module.exists() || ["js", "json", "node"].iter().any(|extension| module.with_added(extension).is_file())
}

trait WithAdded {
    /// The path with this extension behind whatever it ends in.
    fn with_added(&self, extension: &str) -> PathBuf;
}

impl WithAdded for Path {
    fn with_added(&self, extension: &str) -> PathBuf {
        let mut name = self.as_os_str().to_owned();
        name.push(".");
        name.push(extension);
        name.into()
    }
}
