//! What stories of reloads begin and end with.

use super::harness::{World, spec_of};
use crate::core::{Completion, OnDeath, Policy, PoolSpec, Request, RequestId};

pub(super) const RELOAD: Request = Request::Reload(OnDeath::Hold);

/// A configuration with another app.
pub(super) fn other(policy: Policy) -> PoolSpec {
    PoolSpec { run: "other.js".into(), ..spec_of(policy) }
}

/// What becomes of a request.
pub(super) fn completes(world: &mut World, id: RequestId) -> Completion {
    world.run_until("the request is complete", |world| world.completed.contains_key(&id));
    world.completed[&id].clone()
}
