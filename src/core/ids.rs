//! The names things go by: a worker's slot, one instance in it, a moment, a listening endpoint.
//!
//! Invariant: an [`InstanceId`] is never given twice, so news that carries an old one can be told from new.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A worker's slot, 1..=N: what JS luster calls `wid`. Kept over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub u32);

/// One process in a slot. Grows with each fork; workers see it as `cluster.worker.id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub u32);

/// One process of the host: of the extension host, or the script that started us. Like an [`InstanceId`], never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostInstanceId(pub u32);

/// One request, so that its answer finds whoever asked. Given by the driver, never twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u64);

/// One reading of the configuration; 0 is that of the start. Like an [`InstanceId`], never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u32);

/// A point on the monotonic clock (CLOCK_MONOTONIC), in milliseconds of what that shows: every process of this machine means the same
/// by it until the machine starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

/// What a worker listens on, as it asked for it; two requests for the same thing are equal.
///
/// Shown to users as `tcp 127.0.0.1:8080`, `tcp *:8080` (no host given), `unix /run/app.sock`, `udp *:53`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Endpoint(Arc<str>);

/// How a worker itself describes an endpoint, in JSON as Node's `listening` event has it. Only who watches looks into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ListenAddress(Arc<str>);

impl ListenAddress {
    /// Takes the worker's words.
    #[must_use]
    pub fn new(json: &str) -> Self {
        Self(Arc::from(json))
    }

    /// The worker's words.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl From<String> for ListenAddress {
    fn from(json: String) -> Self {
        Self::new(&json)
    }
}

impl From<ListenAddress> for String {
    fn from(address: ListenAddress) -> Self {
        address.as_json().to_owned()
    }
}

impl HostInstanceId {
    /// The one that is there from the start.
    pub const FIRST: Self = Self(1);
}

impl Generation {
    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Moment {
    /// The moment `duration` later; far ends saturate.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it is not in the past.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Endpoint {
    /// Names an endpoint by the text users see.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The same endpoint for whoever is told to listen on `to` and not on `from`, if that is what it is: `tcp *:80` for 80 and 81
    /// is `tcp *:81`. Who is told `0`, which is no port at all, may listen anywhere or nowhere.
    #[must_use]
    pub fn moved(&self, from: &str, to: &str) -> Option<Self> {
        if to == "0" {
            return None;
        }
        let is_tcp = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let moved = match (is_tcp(from), is_tcp(to)) {
            (true, true) => format!("{}:{to}", self.0.strip_suffix(from)?.strip_suffix(':')?),
            (false, false) => {
                self.0.strip_suffix(from)?.strip_suffix("unix ").map(|_| format!("unix {to}"))?
            }
            (true, false) | (false, true) => return None,
        };
        Some(Self::new(&moved))
    }
}

impl From<String> for Endpoint {
    fn from(text: String) -> Self {
        Self(Arc::from(text))
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.0.as_ref().to_owned()
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
