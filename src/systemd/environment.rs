//! What a service manager tells those it starts, in the environment.

use std::time::Duration;

/// What it wants to be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ManagerEnvironment {
    /// Where it listens.
    pub(super) notify_socket: Option<String>,
    /// How long it waits for a sign of life.
    pub(super) watchdog: Option<Duration>,
    /// How many descriptors it keeps for us (`FileDescriptorStoreMax=`); 0 if none. It tells that since systemd 254.
    pub(super) store: usize,
}

impl ManagerEnvironment {
    /// That of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::read(
            |name| std::env::var(name).ok(),
            &[std::process::id(), std::os::unix::process::parent_id()],
        )
    }

    /// `ours` are the processes that may be meant by a number: this one, or the npm package's script that has started it.
    fn read(variable: impl Fn(&str) -> Option<String>, ours: &[u32]) -> Self {
        let notify_socket = variable("NOTIFY_SOCKET").filter(|address| !address.is_empty());
        let number = |name| variable(name)?.parse::<u64>().ok();
        let is_meant =
            number("WATCHDOG_PID").is_none_or(|pid| ours.iter().any(|ours| u64::from(*ours) == pid));
        let watchdog = number("WATCHDOG_USEC").filter(|limit| is_meant && *limit > 0);
        let store = number("FDSTORE").filter(|_| notify_socket.is_some()).unwrap_or_default();
        let store = usize::try_from(store).unwrap_or(usize::MAX);
        Self { notify_socket, watchdog: watchdog.map(Duration::from_micros), store }
    }

    /// How many descriptors the manager keeps while luster is not there.
    #[must_use]
    pub const fn store(&self) -> usize {
        self.store
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_store_where_somebody_can_be_told_of_it() {
        let read = |names: &'static [(&str, &str)]| {
            let variable =
                |name: &str| names.iter().find(|(its, _)| *its == name).map(|(_, value)| (*value).to_owned());
            ManagerEnvironment::read(variable, &[7]).store()
        };
        assert_eq!(read(&[("NOTIFY_SOCKET", "@x"), ("FDSTORE", "16")]), 16);
        assert_eq!(read(&[("FDSTORE", "16")]), 0);
        assert_eq!(read(&[("NOTIFY_SOCKET", "@x"), ("FDSTORE", "many")]), 0);
        assert_eq!(read(&[("NOTIFY_SOCKET", "@x")]), 0);
    }

    #[test]
    fn a_watchdog_that_is_meant_for_somebody_else_is_none_of_ours() {
        let read = |pid: Option<&str>| {
            let variable = |name: &str| match name {
                "NOTIFY_SOCKET" => Some("@x".to_owned()),
                "WATCHDOG_USEC" => Some("2000000".to_owned()),
                "WATCHDOG_PID" => pid.map(str::to_owned),
                _ => None,
            };
            ManagerEnvironment::read(variable, &[7, 8]).watchdog
        };
        let limit = Some(Duration::from_secs(2));
        assert_eq!(
            (read(None), read(Some("7")), read(Some("8")), read(Some("9"))),
            (limit, limit, limit, None)
        );
        assert_eq!(ManagerEnvironment::read(|_| None, &[7]), ManagerEnvironment::default());
    }
}
