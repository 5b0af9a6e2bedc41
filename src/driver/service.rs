//! The service manager, as the loop tells it how the fleet stands.
//!
//! Invariant: who was not started by one is never woken for it; one that cannot be told is named once.

use tracing::warn;

use super::clock;
use crate::core::{FleetSummary, Moment};
use crate::systemd::{ManagerEnvironment, ServiceManager};

/// The service manager, if there is one that wants to be told.
#[derive(Debug, Default)]
pub(super) struct Service {
    manager: Option<ServiceManager>,
    trouble: Trouble,
}

/// Whether it has been said that the manager cannot be told.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    #[default]
    None,
    Said,
}

impl Service {
    /// The one that has started luster.
    pub(super) fn begin(environment: &ManagerEnvironment, now: Moment) -> Self {
        let mut service = Self::default();
        match ServiceManager::of(environment, now) {
            Ok(manager) => service.manager = manager,
            Err(error) => service.complain(&error),
        }
        service
    }

    /// Something has happened.
    pub(super) fn touch(&mut self, now: Moment) {
        if let Some(manager) = &mut self.manager {
            manager.touch(now);
        }
    }

    /// A reload was asked for by a signal, which may have been the manager's.
    pub(super) const fn reload_asked(&mut self, now: Moment) {
        if let Some(manager) = &mut self.manager {
            manager.reload_asked(now);
        }
    }

    /// A stop was asked for by a signal, which may have been the manager's.
    pub(super) const fn stop_asked(&mut self, now: Moment) {
        if let Some(manager) = &mut self.manager {
            manager.stop_asked(now);
        }
    }

    pub(super) fn next_wake(&self) -> Option<Moment> {
        self.manager.as_ref().and_then(ServiceManager::next_wake)
    }

    /// Tells it what there is to tell.
    pub(super) fn wake(&mut self, now: Moment, fleet: impl FnOnce() -> FleetSummary) {
        let Some(manager) =
            self.manager.as_mut().filter(|manager| manager.next_wake().is_some_and(|at| at <= now))
        else {
            return;
        };
        match manager.wake(now, fleet, clock::microseconds) {
            Some(Ok(())) => self.trouble = Trouble::None,
            Some(Err(error)) => self.complain(&error),
            None => {}
        }
    }

    fn complain(&mut self, error: &std::io::Error) {
        if std::mem::replace(&mut self.trouble, Trouble::Said) == Trouble::None {
            warn!(
                event = "service_manager",
                "the service manager cannot be told how luster is (NOTIFY_SOCKET): {error}"
            );
        }
    }
}
