//! Which extensions need Node on the master's side, and which luster does the work of itself.
//!
//! Invariant: an installed module always runs: only one that is not found where Node would look is replaced.

use std::path::{Path, PathBuf};

use crate::config::Settings;

/// The extensions whose work the binary can do.
const TWINS: [&str; 2] = ["luster-log-file", "luster-guard"];

/// Who does the work of which extension.
#[derive(Debug, Default)]
pub(super) struct Division {
    /// Modules, to be run by Node.
    pub(super) modules: Vec<String>,
    /// Ours.
    pub(super) native: Vec<String>,
}

/// Divides the configuration's extensions; `package` is luster's own npm package, beside which they may be installed.
pub(super) fn divide(settings: &Settings, package: Option<&Path>) -> Division {
    let mut division = Division::default();
    for name in &settings.extensions {
        let is_ours =
            TWINS.contains(&name.as_str()) && !is_installed(name, &settings.extensions_path, package);
        let side = if is_ours { &mut division.native } else { &mut division.modules };
        side.push(name.clone());
    }
    division
}

/// Whether Node would find the module: in the extensions' folder, or in `node_modules` there, above, or beside luster.
fn is_installed(name: &str, extensions_path: &Path, package: Option<&Path>) -> bool {
    let places = [extensions_path.to_path_buf()];
    let above = |folder: &Path| {
        folder.ancestors().map(|folder| folder.join("node_modules")).collect::<Vec<PathBuf>>()
    };
    let beside = package.map(above).unwrap_or_default();
    let mut places = places.into_iter().chain(above(extensions_path)).chain(beside);
    places.any(|place| {
        let module = place.join(name);
        module.is_dir()
            || ["js", "json", "node"].iter().any(|extension| module.with_added(extension).is_file())
    })
}

trait WithAdded {
    /// The path with this extension behind whatever it ends in.
    fn with_added(&self, extension: &str) -> PathBuf;
}

impl WithAdded for PathBuf {
    fn with_added(&self, extension: &str) -> PathBuf {
        let mut name = self.clone().into_os_string();
        name.push(".");
        name.push(extension);
        name.into()
    }
}
