//! Reads one line of a worker: which of Node's internal messages it is, or that it is the application's.
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

use crate::cluster::Violation;
use crate::cluster::query::Ask;

/// A worker's message.
#[derive(Debug)]
pub(super) enum Incoming<'a> {
    /// A descriptor we sent has arrived.
    Ack,
    /// A wrapper of ours arrived without its descriptor.
    Nack,
    /// What the worker did with the connection we offered under `seq`.
    Verdict { seq: u64, verdict: Verdict },
    /// A descriptor comes along.
    Handle(Wrapper<'a>),
    /// Its Node has started.
    Online,
    /// It wants to listen.
    Query(Box<Ask>),
    /// It listens now.
    Listening(Box<Ask>),
    /// It no longer listens.
    Close { key: Cow<'a, str> },
    /// It leaves on its own will, and waits for our word.
    Leaving { seq: &'a RawValue },
    /// How many sockets of this server's do we hold?
    CountSockets { key: &'a RawValue },
    /// Say when we hold no sockets of this server's.
    AwaitSockets { key: &'a RawValue },
    /// Internal, and nothing to us.
    Foreign,
    /// The application's.
    User(&'a RawValue),
}

/// Whether a worker took an offered connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It did.
    Accepted,
    /// The server is gone or full.
    Refused,
}

/// The message around one that brings a descriptor.
#[derive(Debug, Deserialize)]
pub(super) struct Wrapper<'a> {
    /// The message proper; absent if the application sent `undefined`, which Node does not allow.
    #[serde(borrow, default)]
    pub(super) msg: Option<&'a RawValue>,
    /// The server the socket came from, where the worker counts its sockets.
    #[serde(borrow, default)]
    pub(super) key: Option<&'a RawValue>,
}

const ACK: &[u8] = br#"{"cmd":"NODE_HANDLE_ACK"}"#;
const VERDICT_HEAD: &[u8] = br#"{"cmd":"NODE_CLUSTER","ack":"#;
const ACCEPTED: &[u8] = br#","accepted":true,"#;

impl<'a> Incoming<'a> {
    /// Reads a line. Only what is not JSON at all is a violation.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, Violation> {
        // The two messages that come with every connection are told by their bytes.
        if line == ACK {
            return Ok(Self::Ack);
        }
        if let Some(seq) = accepted(line) {
            return Ok(Self::Verdict { seq, verdict: Verdict::Accepted });
        }
        let text = str::from_utf8(line).map_err(|_| Violation::NotJson)?;
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| Violation::NotJson)?;
        Ok(Self::of(raw))
    }

    /// Tells what a JSON value is as a message.
    pub(super) fn of(raw: &'a RawValue) -> Self {
        match command(raw) {
            None => Self::User(raw),
            Some(cmd) => Self::internal(&cmd, raw).unwrap_or(Self::Foreign),
        }
    }

    fn internal(cmd: &str, raw: &'a RawValue) -> Option<Self> {
        match cmd {
            "NODE_CLUSTER" => Self::of_cluster(raw),
            "NODE_HANDLE" => serde_json::from_str(raw.get()).ok().map(Self::Handle),
            "NODE_HANDLE_ACK" => Some(Self::Ack),
            "NODE_HANDLE_NACK" => Some(Self::Nack),
            "NODE_SOCKET_GET_COUNT" => Some(Self::CountSockets { key: keyed(raw)? }),
            "NODE_SOCKET_NOTIFY_CLOSE" => Some(Self::AwaitSockets { key: keyed(raw)? }),
            _ => None,
        }
    }

    fn of_cluster(raw: &'a RawValue) -> Option<Self> {
        let fields: ClusterFields<'a> = serde_json::from_str(raw.get()).ok()?;
        if let (Some(ack), Some(accepted)) = (fields.ack, fields.accepted) {
            let verdict = if accepted.get() == "true" { Verdict::Accepted } else { Verdict::Refused };
            return Some(Self::Verdict { seq: ack.get().parse().ok()?, verdict });
        }
        match text(fields.act?)?.as_ref() {
            "online" => Some(Self::Online),
            "queryServer" => Some(Self::Query(Box::new(Ask::read(raw)?))),
            "listening" => Some(Self::Listening(Box::new(Ask::read(raw)?))),
            "close" => Some(Self::Close { key: text(fields.key?)? }),
            "exitedAfterDisconnect" => Some(Self::Leaving { seq: fields.seq? }),
            _ => None,
        }
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

/// The sequence number in `{"cmd":"NODE_CLUSTER","ack":N,"accepted":true,"seq":M}`, if the line is just that.
fn accepted(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(VERDICT_HEAD)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let tail = rest[digits..].strip_prefix(ACCEPTED)?.strip_prefix(br#""seq":"#)?.strip_suffix(b"}")?;
    if tail.is_empty() || !tail.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

/// A JSON string's value; `None` for anything else, and for lone surrogates, which no key or command has.
fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
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

/// What any `NODE_CLUSTER` message may hold, of any type.
#[derive(Deserialize)]
struct ClusterFields<'a> {
    #[serde(borrow, default)]
    act: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ack: Option<&'a RawValue>,
    #[serde(borrow, default)]
    accepted: Option<&'a RawValue>,
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    seq: Option<&'a RawValue>,
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
            r#"{"a":1,"cmd":"NODE_CLUSTER"}"#,
            r#"{"cmd":"NODE_CLUSTER","act":"dance"}"#,
            r#"{"cmd":"NODE_CLUSTER","act":5}"#,
            r#"{"cmd":"NODE_CLUSTER","act":"queryServer"}"#,
            r#"{"cmd":"\u004eODE_X"}"#,
            r#"{"cmd":"a","cmd":"NODE_X"}"#,
            r#"{"cmd":"NODE_CLUSTER","ack":"x","accepted":true}"#,
        ] {
            assert!(matches!(Incoming::parse(line.as_bytes()), Ok(Incoming::Foreign)), "{line}");
        }
    }

    #[test]
    fn what_is_not_json_is_a_violation() {
        for line in ["{", "}", "{\"a\":}", "\u{0}", "1 2", "nul", "{\"cmd\":\"NODE_X\"", " "] {
            assert_eq!(Incoming::parse(line.as_bytes()).err(), Some(Violation::NotJson), "{line}");
        }
        assert_eq!(Incoming::parse(b"\"\xff\"").err(), Some(Violation::NotJson));
    }

    #[test]
    fn verdicts_are_read_on_either_path() {
        for (line, expected) in [
            (r#"{"cmd":"NODE_CLUSTER","ack":7,"accepted":true,"seq":3}"#, Verdict::Accepted),
            (r#"{"cmd":"NODE_CLUSTER","accepted":true,"ack":7}"#, Verdict::Accepted),
            (r#"{"cmd":"NODE_CLUSTER","ack":7,"accepted":false,"seq":3}"#, Verdict::Refused),
        ] {
            let heard = Incoming::parse(line.as_bytes());
            assert!(
                matches!(heard, Ok(Incoming::Verdict { seq: 7, verdict }) if verdict == expected),
                "{line}"
            );
        }
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
