//! How several apps stand: each by itself, and all together.
//!
//! Invariant: what is told of all is made of what is told of each.

use super::call::AppLive;
use super::schema;

impl schema::App {
    pub(super) fn of(live: &AppLive, status: &schema::Status) -> Self {
        Self {
            name: live.name.to_string(),
            state: match (live.stage, status.goal) {
                (schema::AppState::Running, schema::Goal::Stopping) => schema::AppState::Stopping,
                (stage, _) => stage,
            },
            waits_for: live.waits_for.iter().map(ToString::to_string).collect(),
            app: live.state.app.display().to_string(),
            generation: status.generation,
            count: status.count,
            wanted: status.wanted,
            ready: status.ready,
            rollout: status.rollout.clone(),
            failed_rollout: status.failed_rollout.clone(),
            counters: status.counters,
            host: status.host.clone(),
        }
    }
}

impl schema::Status {
    /// Those of two apps as one.
    pub(super) fn and(mut self, mut other: Self) -> Self {
        self.workers.append(&mut other.workers);
        self.apps.append(&mut other.apps);
        let (one, two) = (self.counters, other.counters);
        Self {
            revision: self.revision + other.revision,
            goal: if other.goal == schema::Goal::Serving { other.goal } else { self.goal },
            generation: self.generation.max(other.generation),
            count: self.count + other.count,
            wanted: self.wanted + other.wanted,
            ready: self.ready + other.ready,
            reading: self.reading || other.reading,
            rollout: self.rollout.or(other.rollout),
            failed_rollout: self.failed_rollout.or(other.failed_rollout),
            counters: schema::Counters {
                started: one.started + two.started,
                crashed: one.crashed + two.crashed,
                late: one.late + two.late,
                asked: one.asked + two.asked,
            },
            host: self.host.or(other.host),
            ..self
        }
    }
}
