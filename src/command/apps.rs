//! What running, checking and reading anew have in common where there may be several apps.
//!
//! Invariant: what is said of the only app of a configuration names no app.

use super::builtin_extensions::BuiltinPlan;
use super::extensions::ExtensionPlan;
use crate::config::{Loaded, LoadedFleet};
use crate::core::PoolName;
use crate::driver::BuiltinExtensions;
use crate::exit::Exit;

/// What is wrong with an app, with its name, if it has one.
pub(super) fn of_app(name: &PoolName, reason: &str) -> String {
    if name.is_nameless() { reason.to_owned() } else { format!("app {name}: {reason}") }
}

/// `2 workers`; `2 apps: api (2 workers), jobs (1 worker)`.
pub(super) fn what_runs(fleet: &LoadedFleet) -> String {
    let workers = |loaded: &Loaded| counted(loaded.settings.policy.workers as usize, "worker");
    if let Some(loaded) = fleet.only() {
        return workers(loaded);
    }
    let apps = fleet.apps.iter().map(|(name, loaded)| format!("{name} ({})", workers(loaded)));
    let apps: Vec<_> = apps.collect();
    format!("{}: {}", counted(apps.len(), "app"), apps.join(", "))
}

/// `1 worker`, `2 workers`.
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The work that luster does in place of an app's extensions, begun. Its own output is no app's.
pub(super) fn builtins(
    plan: BuiltinPlan<'_>,
    extension_plan: &ExtensionPlan,
) -> Result<BuiltinExtensions, (Exit, String)> {
    let mut builtins = plan.open()?.of_one_app_of_several();
    extension_plan.native.iter().for_each(|name| builtins.begin(name));
    Ok(builtins)
}

/// What is said of what a configuration that is a program has left running, where there are several apps.
pub(super) fn left_running(name: &PoolName) -> Option<String> {
    (!name.is_nameless()).then(|| {
        format!(
            "the configuration leaves something running (a timer, a server), which ends: with several apps nothing keeps it for \
             app {name}; start it in an extension"
        )
    })
}
