//! What is wanted of a fleet: one reading of the configuration, whole, and how two of them differ.
//!
//! Invariants: a spec that exists can be applied; what differs is told by a pure comparison; equal texts of what workers
//! run mean that a worker started on one is like a worker started on the other.

use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::policy::Policy;

/// What is wanted of the workers of one configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSpec {
    /// How many, how they are watched, stopped and replaced.
    pub policy: Policy,
    /// What each is told to listen on.
    pub layout: Layout,
    /// What workers run, as one text: app, flags, environment, the configuration that they read.
    pub run: String,
    /// How they are listened for, as one text: balance, sockets' access.
    pub listen: String,
    /// What the extension host runs, as one text: extensions with a master's side and their options.
    pub host: String,
}

/// One kind of difference between two specs, and how it is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Timeouts and limits: they hold at once, for those that run, too.
    Live,
    /// There are more workers, or fewer.
    Count,
    /// Workers listen elsewhere.
    Ports,
    /// Workers run something else.
    Run,
    /// Sockets are opened otherwise.
    Listen,
    /// The extension host runs something else, comes or goes.
    Host,
}

/// What differs between two specs. All workers are replaced at a reload whatever differs, for their code may have changed;
/// what it says is what else has to be done, and whether there is something to go back to.
#[must_use]
pub fn diff(old: &PoolSpec, new: &PoolSpec) -> Vec<Change> {
    let same_count = |policy: &Policy| Policy { workers: old.policy.workers, ..policy.clone() };
    let changes = [
        (same_count(&new.policy) != old.policy, Change::Live),
        (new.policy.workers != old.policy.workers, Change::Count),
        (is_moved(old, new), Change::Ports),
        (new.run != old.run, Change::Run),
        (new.listen != old.listen, Change::Listen),
        (has_other_host(old, new), Change::Host),
    ];
    changes.into_iter().filter(|(is_there, _)| *is_there).map(|(_, change)| change).collect()
}

fn has_other_host(old: &PoolSpec, new: &PoolSpec) -> bool {
    old.policy.host_kind.is_ours() != new.policy.host_kind.is_ours() || old.host != new.host
}

/// Whether a worker that both have listens elsewhere. Ports are only laid out where they can differ: this is asked at each step
/// of a rollout.
fn is_moved(old: &PoolSpec, new: &PoolSpec) -> bool {
    let (old_count, new_count) = (old.policy.workers, new.policy.workers);
    if old.layout == new.layout && old_count == new_count {
        return false;
    }
    let (before, after) = (old.layout.ports(old_count), new.layout.ports(new_count));
    before.iter().zip(after.iter()).any(|(before, after)| before != after)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::tests::{policy, spec};
    use crate::core::{HostKind, Port};

    #[test]
    fn each_kind_of_difference_is_told_and_nothing_else() {
        let old = spec(2);
        assert_eq!(diff(&old, &old), []);
        assert_eq!(diff(&old, &spec(3)), [Change::Count]);
        assert_eq!(diff(&old, &PoolSpec { run: "b.js".into(), ..spec(2) }), [Change::Run]);
        assert_eq!(diff(&old, &PoolSpec { host: "x".into(), ..spec(1) }), [Change::Count, Change::Host]);
        let later = Policy { ready_timeout: Some(Duration::from_secs(1)), ..policy(2) };
        assert_eq!(diff(&old, &PoolSpec { policy: later, ..spec(2) }), [Change::Live]);
        let hosted = Policy { host_kind: HostKind::ExtensionHost { limit: None }, ..policy(2) };
        let hosted = PoolSpec { policy: hosted, ..spec(2) };
        assert_eq!(diff(&old, &hosted), [Change::Live, Change::Host]);
        assert_eq!(diff(&hosted, &old), [Change::Live, Change::Host]);
        let moved = Layout { port: Some(Port::Tcp(81)), ..spec(2).layout };
        assert_eq!(diff(&old, &PoolSpec { layout: moved, ..spec(2) }), [Change::Ports]);
        let grouped = Layout { groups: 2.0, ..spec(2).layout };
        assert_eq!(diff(&old, &PoolSpec { layout: grouped, ..spec(2) }), [Change::Ports]);
        assert_eq!(diff(&old, &PoolSpec { listen: "shared".into(), ..spec(2) }), [Change::Listen]);
    }
}
