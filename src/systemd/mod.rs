//! The service manager that started luster, and what it is told: systemd's notify protocol, sd_notify(3) and
//! sd_watchdog_enabled(3).
//!
//! `environment` reads what the manager has said in the environment, `notifier` decides what is said to it and when, `socket` says
//! it. Invariants: a manager that does not listen is not waited for; who was not started by one has no socket and no timer.

mod environment;
mod notifier;
mod socket;

use std::io;

use crate::core::{FleetSummary, Moment};

pub use environment::ManagerEnvironment;

use notifier::Notifier;
use socket::NotifySocket;

/// A service manager that wants to be told.
#[derive(Debug)]
pub struct ServiceManager {
    socket: NotifySocket,
    notifier: Notifier,
}

impl ServiceManager {
    /// The one that has started luster, if it wants to be told.
    ///
    /// # Errors
    /// It cannot be spoken to.
    pub fn of(environment: &ManagerEnvironment, now: Moment) -> io::Result<Option<Self>> {
        let Some(address) = &environment.notify_socket else { return Ok(None) };
        let socket = NotifySocket::new(address)?;
        Ok(Some(Self { socket, notifier: Notifier::new(now, environment.watchdog) }))
    }

    /// Something has happened.
    pub fn touch(&mut self, now: Moment) {
        self.notifier.touch(now);
    }

    /// The manager may have asked for a reload: it waits to be told that it begins.
    pub const fn reload_asked(&mut self, now: Moment) {
        self.notifier.reload_asked(now);
    }

    /// The manager may have asked for a stop, which may be over soon.
    pub const fn stop_asked(&mut self, now: Moment) {
        self.notifier.stop_asked(now);
    }

    /// When [`Self::wake`] is to be called.
    #[must_use]
    pub fn next_wake(&self) -> Option<Moment> {
        self.notifier.next_wake()
    }

    /// Tells what there is to tell, and answers with what came of that; what could not be said is said again later. `None` if
    /// there was nothing. `monotonic` is what CLOCK_MONOTONIC shows, in microseconds.
    pub fn wake(
        &mut self,
        now: Moment,
        fleet: impl FnOnce() -> FleetSummary,
        monotonic: impl Fn() -> u64,
    ) -> Option<io::Result<()>> {
        let mut result = None;
        let socket = &self.socket;
        let send = |text: &str| result.insert(socket.send(text)).is_ok();
        self.notifier.wake(now, fleet, monotonic, send);
        result
    }
}
