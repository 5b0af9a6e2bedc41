//! The service manager that started luster, and what it is told: systemd's notify protocol, sd_notify(3) and
//! sd_watchdog_enabled(3), and what it is to keep, sd_pid_notify_with_fds(3).
//!
//! `environment` reads what the manager has said in the environment, `notifier` decides what is said to it and when, `socket` says
//! it; `unit_file` is how units are written. Invariants: a manager that does not listen is not waited for; who was not started by one has no socket and no timer.

mod environment;
mod notifier;
mod socket;
mod unit_file;

use std::io;
use std::os::fd::BorrowedFd;

use crate::core::{FleetSummary, Moment};

pub use environment::ManagerEnvironment;
pub use unit_file::{UnitFile, Unwritable};

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

    /// Whether it was told that luster is up, and not yet that it stops.
    #[must_use]
    pub const fn is_told_up(&self) -> bool {
        self.notifier.is_told_up()
    }

    /// Has it keep a descriptor under this name while luster is not there, until it is told otherwise: it is not to look for
    /// itself whether the descriptor is of use any more.
    ///
    /// # Errors
    /// It could not be told.
    pub fn keep(&self, name: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.socket.send_with(&format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0"), descriptor)
    }

    /// Has it close what it keeps under this name.
    ///
    /// # Errors
    /// It could not be told.
    pub fn forget(&self, name: &str) -> io::Result<()> {
        self.socket.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"))
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
