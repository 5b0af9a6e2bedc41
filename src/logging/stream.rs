//! Which file stderr is, to notice that it has become another one: what is put into log files is stamped there.

use std::io;

use nix::sys::stat::fstat;

/// What stderr was at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stream {
    /// Its device and number; nothing if it was closed.
    identity: Option<(u64, u64)>,
}

impl Stream {
    /// What stderr is.
    pub(super) fn now() -> Self {
        let identity = fstat(io::stderr()).ok().map(|status| (status.st_dev, status.st_ino));
        Self { identity }
    }

    /// The one with this name, as systemd gives it: device and number in decimal, with a colon between.
    pub(super) fn named(name: &str) -> Option<Self> {
        let (device, number) = name.split_once(':')?;
        Some(Self { identity: Some((device.parse().ok()?, number.parse().ok()?)) })
    }
}
