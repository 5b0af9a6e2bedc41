//! The service manager, as the loop tells it how the fleet stands.
//!
//! Invariant: who was not started by one is never woken for it; one that cannot be told is named once.

use std::os::fd::AsFd;
use std::time::Duration;

use tracing::warn;

use super::clock;
use crate::core::{FleetSummary, Moment};
use crate::node::cluster::StoreChange;
use crate::systemd::{ManagerEnvironment, ServiceManager};

/// How long what could not be told of its store waits.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// The service manager, if there is one that wants to be told.
#[derive(Debug, Default)]
pub(super) struct Service {
    manager: Option<ServiceManager>,
    trouble: Trouble,
    /// It could not be told what to keep: when it is tried again.
    store_retry: Option<Moment>,
    left_behind: FormerSockets,
}

/// What a former luster has left in the manager's store and nobody listens on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum FormerSockets {
    /// Somebody may still come to listen there.
    #[default]
    Kept,
    Released,
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
        let wake = self.manager.as_ref().and_then(ServiceManager::next_wake);
        wake.into_iter().chain(self.store_retry).min()
    }

    /// Whether it has just become known that everybody listens who is going to.
    pub(super) fn comes_up(&mut self) -> bool {
        self.manager.as_ref().is_some_and(ServiceManager::is_told_up)
            && std::mem::replace(&mut self.left_behind, FormerSockets::Released) == FormerSockets::Kept
    }

    /// Says what is to be kept, or kept no longer; whether that could be said.
    pub(super) fn change_store(&mut self, now: Moment, change: &StoreChange) -> bool {
        let Some(manager) = self.manager.as_ref().filter(|_| self.store_retry.is_none_or(|at| at <= now))
        else {
            return false;
        };
        let told = match change {
            StoreChange::Keep { name, socket } => manager.keep(name, socket.as_fd()),
            StoreChange::Forget { name } => manager.forget(name),
            StoreChange::NoRoom { endpoint } => {
                let on = endpoint.to_string();
                warn!(
                    event = "store_full",
                    on,
                    "{on} is not kept open while luster is restarted: raise FileDescriptorStoreMax= in the unit"
                );
                Ok(())
            }
        };
        self.store_retry = told.as_ref().err().map(|_| now.after(STORE_RETRY));
        told.map_err(|error| self.complain(&error)).is_ok()
    }

    /// What could not be told does not wait any longer: it is tried at once, or there is nothing left to tell.
    pub(super) const fn try_again(&mut self) {
        self.store_retry = None;
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
