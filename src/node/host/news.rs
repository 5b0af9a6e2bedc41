//! What comes from the host, and how its messages are told apart.
//!
//! Invariant: what cannot be used is not quoted: it may hold a secret.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::core::InstanceId;
use crate::node::host::HostRequest;
use crate::node::ipc::{ProtocolError, UserHandle};

/// What came from the other side.
#[derive(Debug)]
pub enum HostNews {
    /// It asks for something.
    Asked(Box<HostRequest>),
    /// It asks for something that makes no sense; the clause says why.
    Nonsense(String),
    /// A message for a worker.
    Message {
        /// For whom.
        instance: InstanceId,
        /// What, as it was written.
        message: Box<RawValue>,
        /// The socket sent along.
        handle: Option<UserHandle>,
    },
    /// It writes more than is read from it; it is slowed down. At most once a minute.
    Flooding,
    /// It closed its end, or broke the protocol; nothing more is heard of it.
    Left(Option<ProtocolError>),
}

/// A message for a worker, as the other side writes it.
#[derive(Deserialize)]
struct WorkerMessage<'a> {
    to: u32,
    #[serde(borrow)]
    message: &'a RawValue,
}

impl HostNews {
    /// What a message says.
    pub(super) fn of(raw: &RawValue, handle: Option<UserHandle>) -> Self {
        if let Ok(WorkerMessage { to, message }) = serde_json::from_str(raw.get()) {
            return Self::Message { instance: InstanceId(to), message: message.to_owned(), handle };
        }
        match serde_json::from_str(raw.get()) {
            Ok(ask) => Self::Asked(ask),
            Err(error) => Self::Nonsense(nonsense(raw, &error)),
        }
    }
}

/// Why a request is none. serde's own words quote what is there, which may be a secret.
fn nonsense(raw: &RawValue, error: &serde_json::Error) -> String {
    #[derive(Deserialize)]
    struct Named {
        ask: String,
    }
    match serde_json::from_str::<Named>(raw.get()) {
        Ok(Named { ask }) => {
            let name: String = ask.chars().take(32).collect();
            format!(
                "a request {name:?} that this version does not know in this form (column {})",
                error.column()
            )
        }
        Err(_) => format!("{} bytes that are no request", raw.get().len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_not_quoted() {
        for (json, named) in [
            (r#"{"ask":"env","set":{"TOKEN":["hunter2"]},"unset":[]}"#, "\"env\""),
            (r#"{"ask":"env","set":"hunter2","unset":[]}"#, "\"env\""),
            (r#"{"ask":"setup","settings":{"uid":"hunter2"}}"#, "\"setup\""),
            (r#"{"ask":"hibernate","token":"hunter2"}"#, "\"hibernate\""),
            (r#""hunter2""#, "9 bytes"),
        ] {
            let HostNews::Nonsense(why) = HostNews::of(&RawValue::from_string(json.into()).unwrap(), None)
            else {
                panic!("{json}")
            };
            assert!(why.contains(named) && !why.contains("hunter2"), "{why}");
        }
        let json = r#"{"ask":"env","set":{"TOKEN":"hunter2"},"unset":["OLD"]}"#;
        let HostNews::Asked(ask) = HostNews::of(&RawValue::from_string(json.into()).unwrap(), None) else {
            panic!()
        };
        assert_eq!(format!("{ask:?}"), r#"Env(EnvChanges { set: ["TOKEN"], unset: ["OLD"] })"#);
    }
}
