//! Reads one line of a channel: which of Node's internal messages it is, or that it is the application's.
//!
//! Invariants: a message is internal exactly when Node says so, an object whose string `cmd` begins with `NODE_` and is
//! longer than that; an internal message we cannot make sense of is [`Incoming::Foreign`], never an error; the
//! application's text is kept as it was written. Nothing here recurses into the message.

use std::borrow::Cow;
use std::fmt;
use std::str;

use serde::Deserialize;
use serde::de::{self, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::node::ipc::ProtocolError;

/// How deep one wrapper may lie in another. Node sends a socket again wrapped twice.
const WRAPPED: usize = 2;

/// What a line is.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    /// A descriptor we sent has arrived.
    Ack,
    /// A wrapper of ours arrived without its descriptor.
    Nack,
    /// A descriptor comes along.
    Handle(Wrapper<'a>),
    /// How many sockets of this server's do we hold?
    CountSockets { key: &'a RawValue },
    /// Say when we hold no sockets of this server's.
    AwaitSockets { key: &'a RawValue },
    /// Of the cluster module.
    Cluster(&'a RawValue),
    /// Internal, and nothing to us.
    Foreign,
    /// The application's.
    User(&'a RawValue),
}

/// The message around one that brings a descriptor.
#[derive(Debug, Deserialize)]
pub(crate) struct Wrapper<'a> {
    /// The message proper; absent if the application sent `undefined`, which Node does not allow.
    #[serde(borrow, default)]
    msg: Option<&'a RawValue>,
    /// The server the socket came from, where the sender counts its sockets.
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
}

const ACK: &[u8] = br#"{"cmd":"NODE_HANDLE_ACK"}"#;

impl<'a> Incoming<'a> {
    /// Reads a line. Only what is not JSON at all is a protocol error.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, ProtocolError> {
        // One comes with every descriptor.
        if line == ACK {
            return Ok(Self::Ack);
        }
        let text = str::from_utf8(line).map_err(|_| ProtocolError::NotJson)?;
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| ProtocolError::NotJson)?;
        Ok(Self::of(raw))
    }

    /// Tells what a JSON value is as a message.
    fn of(raw: &'a RawValue) -> Self {
        match command(raw) {
            None => Self::User(raw),
            Some(cmd) => Self::internal(&cmd, raw).unwrap_or(Self::Foreign),
        }
    }

    fn internal(cmd: &str, raw: &'a RawValue) -> Option<Self> {
        match cmd {
            "NODE_CLUSTER" => Some(Self::Cluster(raw)),
            "NODE_HANDLE" => serde_json::from_str(raw.get()).ok().map(Self::Handle),
            "NODE_HANDLE_ACK" => Some(Self::Ack),
            "NODE_HANDLE_NACK" => Some(Self::Nack),
            "NODE_SOCKET_GET_COUNT" => Some(Self::CountSockets { key: keyed(raw)? }),
            "NODE_SOCKET_NOTIFY_CLOSE" => Some(Self::AwaitSockets { key: keyed(raw)? }),
            _ => None,
        }
    }
}

impl<'a> Wrapper<'a> {
    /// The application's message in it, and the key under which its socket is counted.
    pub(crate) fn unwrap(&self) -> Option<(&'a RawValue, Option<&'a RawValue>)> {
        let (mut inner, mut key) = (self.msg?, self.key);
        for _ in 0..WRAPPED {
            match Incoming::of(inner) {
                Incoming::User(message) => return Some((message, key)),
                Incoming::Handle(deeper) => (inner, key) = (deeper.msg?, key.or(deeper.key)),
                Incoming::Ack
                | Incoming::Nack
                | Incoming::CountSockets { .. }
                | Incoming::AwaitSockets { .. }
                | Incoming::Cluster(_)
                | Incoming::Foreign => return None,
            }
        }
        None
    }
}

/// The `cmd` of an internal message; `None` for the application's.
pub(super) fn command(raw: &RawValue) -> Option<Cow<'_, str>> {
    if !raw.get().starts_with('{') {
        return None;
    }
    let mut json = serde_json::Deserializer::from_str(raw.get());
    let cmd = text(json.deserialize_map(CmdVisitor).ok()??)?;
    (cmd.len() > "NODE_".len() && cmd.starts_with("NODE_")).then_some(cmd)
}

/// A JSON string's value; `None` for anything else, and for lone surrogates, which no key or command has.
pub(crate) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|Text(text)| text)
}

fn keyed(raw: &RawValue) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Keyed<'a> {
        #[serde(borrow)]
        key: &'a RawValue,
    }
    serde_json::from_str::<Keyed<'_>>(raw.get()).ok().map(|keyed| keyed.key)
}

/// Finds `cmd` in an object, the last one as JavaScript does.
struct CmdVisitor;

impl<'de> Visitor<'de> for CmdVisitor {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut cmd = None;
        while let Some(name) = map.next_key::<FieldName>()? {
            match name {
                FieldName::Cmd => cmd = Some(map.next_value()?),
                FieldName::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(cmd)
    }
}

/// A member's name, read without keeping it.
enum FieldName {
    Cmd,
    Other,
}

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = FieldName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_bytes<E: de::Error>(self, name: &[u8]) -> Result<FieldName, E> {
                Ok(if name == b"cmd" { FieldName::Cmd } else { FieldName::Other })
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<FieldName, E> {
                self.visit_bytes(name.as_bytes())
            }
        }
        // As bytes, because a name may hold lone surrogates, which are no Rust string.
        deserializer.deserialize_bytes(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_user(line: &str) -> bool {
        matches!(Incoming::parse(line.as_bytes()), Ok(Incoming::User(raw)) if raw.get() == line)
    }

    #[test]
    fn the_application_may_say_anything() {
        for line in [
            "1",
            "null",
            "\"NODE_X\"",
            "[\"NODE_CLUSTER\"]",
            "{}",
            r#"{"cmd":"NODE_"}"#,
            r#"{"cmd":1}"#,
            r#"{"cmd":{"cmd":"NODE_X"}}"#,
            r#"{"CMD":"NODE_X"}"#,
            r#"{"cmd":"\ud800"}"#,
            r#"{"\udc00":1}"#,
            "1e999",
            r#"[{"cmd":"NODE_HANDLE_ACK"}]"#,
        ] {
            assert!(is_user(line), "{line}");
        }
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(is_user(&deep), "any depth is only text to us");
    }

    #[test]
    fn what_begins_with_node_is_internal_and_mostly_ignored() {
        for line in [
            r#"{"cmd":"NODE_X"}"#,
            r#"{"a":1,"cmd":"NODE_CLUSTERS"}"#,
            r#"{"cmd":"\u004eODE_X"}"#,
            r#"{"cmd":"a","cmd":"NODE_X"}"#,
        ] {
            assert!(matches!(Incoming::parse(line.as_bytes()), Ok(Incoming::Foreign)), "{line}");
        }
    }

    #[test]
    fn the_clusters_messages_are_told_from_others_in_any_order_of_their_members() {
        for line in [r#"{"cmd":"NODE_CLUSTER","act":"online"}"#, r#"{"a":{"cmd":1},"cmd":"NODE_CLUSTER"}"#] {
            assert!(matches!(Incoming::parse(line.as_bytes()), Ok(Incoming::Cluster(_))), "{line}");
        }
    }

    #[test]
    fn what_is_not_json_is_a_violation() {
        for line in ["{", "}", "{\"a\":}", "\u{0}", "1 2", "nul", "{\"cmd\":\"NODE_X\"", " "] {
            assert_eq!(Incoming::parse(line.as_bytes()).err(), Some(ProtocolError::NotJson), "{line}");
        }
        assert_eq!(Incoming::parse(b"\"\xff\"").err(), Some(ProtocolError::NotJson));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(line in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = Incoming::parse(&line);
        }

        #[test]
        fn near_messages_never_panic(line in r#"\{"cmd":"NODE_(CLUSTER|HANDLE)","(act|ack|type)":("queryServer"|"close"|[0-9]{1,30}),("port"|"accepted"|"key"|"msg"):(true|-?[0-9]{1,9}|"[a-z:%]{0,9}"|\{\}|null)(,"seq":[0-9]{1,3})?\}"#) {
            let _ = Incoming::parse(line.as_bytes());
        }
    }
}
