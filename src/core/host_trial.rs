//! A host that is started because of a reload, anew or for the first time: no worker is replaced before it is initialized, and one that fails before
//! that takes the reload back.
//!
//! Invariants: only a reload that concerns all workers tries a host; a trial ends with the host's first word or its end,
//! or with the rollout.

use super::effect::Effect::{self, Notify};
use super::effect::{HostThen, Notice};
use super::event::ExitStatus;
use super::failure::{AbortReason, Culprit};
use super::fleet::Supervisor;
use super::host::{Attempt, Phase};
use super::ids::{HostInstanceId, Moment};
use super::last_words::LastWords;
use super::reload_state::HostTrial;

impl Supervisor {
    /// A reload is in force: where the host is started anew for it, workers wait for that.
    pub(super) const fn try_host(&mut self) {
        self.reload.host_trial = match self.host.phase {
            Phase::Starting { attempt: Attempt::Again, .. } | Phase::Replaced { .. }
                if self.policy.host_kind.is_ours() =>
            {
                HostTrial::UnderWay
            }
            Phase::Starting { .. }
            | Phase::Replaced { .. }
            | Phase::None
            | Phase::Attached
            | Phase::Serving { .. }
            | Phase::Leaving { .. }
            | Phase::Doomed { .. }
            | Phase::Pausing { .. }
            | Phase::Ending { .. }
            | Phase::Gone => HostTrial::None,
        };
    }

    /// Whether no worker may be replaced yet.
    pub(super) fn waits_for_host(&self) -> bool {
        self.reload.host_trial == HostTrial::UnderWay
    }

    /// The host that is tried has ended: the reload is taken back, and the next one is started at once, on what is in force then.
    pub(super) fn host_trial_failed(
        &mut self,
        now: Moment,
        id: HostInstanceId,
        status: ExitStatus,
        fault: Option<String>,
        effects: &mut Vec<Effect>,
    ) {
        let before = self.reload.previous.as_ref().filter(|_| self.rollout.is_some());
        let then = match before {
            Some(previous) if !previous.spec.policy.host_kind.is_ours() => HostThen::NotNeeded,
            Some(_) | None => HostThen::StartAtOnce,
        };
        let words = fault.as_deref().map(|fault| LastWords::new(fault, None));
        effects.push(Notify(Notice::HostExited { instance: id, status: status.clone(), fault, then }));
        // Where what is taken back has a host of its own, it is started by that.
        self.host.phase = Phase::Pausing { until: now };
        self.abort(now, Culprit::Host(id), AbortReason::Died { status, served: None, words }, effects);
        if matches!(self.host.phase, Phase::Pausing { .. }) {
            self.start_host(now, effects);
        }
    }
}
