//! A configuration that is in force from now on wants a host, wants another one, or wants none any more.
//!
//! Invariants: a host that is not wanted any more is told to go when the rollout is over and no worker is left that was started
//! when it was, so it is there to be gone back to, and answers those that count on it; nobody follows it.

use super::effect::Effect::{self, Notify};
use super::effect::{HostThen, Notice, Outcome};
use super::event::ExitStatus;
use super::fleet::{Started, Supervisor};
use super::goal::Goal;
use super::host::Phase;
use super::ids::{Generation, HostInstanceId, Moment};
use super::policy::HostKind;

impl Supervisor {
    /// What is in force wants this host.
    pub(super) fn fit_host(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        match self.policy.host_kind {
            HostKind::ExtensionHost { limit } => {
                self.host.limit = limit;
                let mut needed_by = std::mem::take(&mut self.host.needed_by);
                needed_by.retain(|generation| self.is_run(*generation));
                needed_by.insert(self.generation);
                self.host.needed_by = needed_by;
                if !self.host.fits(&self.spec.host) && self.host.is_replaced_now(now, effects) {
                    self.start_host(now, effects);
                }
            }
            HostKind::None => {
                self.host.has_no_heir();
                // It was to ask for that.
                if self.started == Started::No {
                    let _ = self.start_idle(now, effects);
                }
            }
            HostKind::CustomMaster => {}
        }
    }

    /// A host that nobody counts on any more goes.
    pub(super) fn dismiss_unneeded_host(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.goal != Goal::Serve
            || self.policy.host_kind != HostKind::None
            || self.rollout.is_some()
            || !self.host.stays()
        {
            return;
        }
        if self.host.needed_by.iter().all(|generation| !self.is_run(*generation)) {
            self.host.needed_by.clear();
            let _ = self.host.is_gone_or_told(now, &Outcome::Stopped, effects);
        }
    }

    /// It has ended, and is not needed.
    pub(super) fn host_gone(
        &mut self,
        id: HostInstanceId,
        status: ExitStatus,
        fault: Option<String>,
        effects: &mut Vec<Effect>,
    ) {
        self.host.phase = Phase::Gone;
        let then = HostThen::NotNeeded;
        effects.push(Notify(Notice::HostExited { instance: id, status, fault, then }));
    }

    /// Whether a process lives that was started on this configuration.
    fn is_run(&self, generation: Generation) -> bool {
        let mut instances = self.slots.iter().flat_map(|slot| slot.instances());
        instances.any(|instance| instance.generation == generation)
    }
}
