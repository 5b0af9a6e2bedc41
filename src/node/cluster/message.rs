//! Reads one message of a worker's cluster module.
//!
//! Invariant: a message we cannot make sense of is `None`, never an error.

use std::borrow::Cow;
use std::str;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::node::cluster::query::{self, ListenRequest};
use crate::node::ipc::text;

/// A worker's message.
#[derive(Debug)]
pub(super) enum Message<'a> {
    /// What the worker did with the connection we offered under `seq`.
    Verdict { seq: u64, verdict: Verdict },
    /// Its Node has started.
    Online,
    /// It wants to listen.
    Query(Box<ListenRequest>),
    /// It listens now; the address as Node's `listening` event has it.
    Listening(Box<ListenRequest>, Box<RawValue>),
    /// It no longer listens.
    Close { key: Cow<'a, str> },
    /// It leaves on its own will, and waits for our word.
    Leaving { seq: &'a RawValue },
}

/// Whether a worker took an offered connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It did.
    Accepted,
    /// The server is gone or full.
    Refused,
}

const VERDICT_HEAD: &[u8] = br#"{"cmd":"NODE_CLUSTER","ack":"#;
const ACCEPTED: &[u8] = br#","accepted":true,"#;

impl<'a> Message<'a> {
    /// Reads a `NODE_CLUSTER` message.
    pub(super) fn read(raw: &'a RawValue) -> Option<Self> {
        let fields: Fields<'a> = serde_json::from_str(raw.get()).ok()?;
        if let (Some(ack), Some(accepted)) = (fields.ack, fields.accepted) {
            let verdict = if accepted.get() == "true" { Verdict::Accepted } else { Verdict::Refused };
            return Some(Self::Verdict { seq: ack.get().parse().ok()?, verdict });
        }
        match text(fields.act?)?.as_ref() {
            "online" => Some(Self::Online),
            "queryServer" => Some(Self::Query(Box::new(ListenRequest::read(raw)?))),
            "listening" => Some(Self::Listening(Box::new(ListenRequest::read(raw)?), query::spoken(raw)?)),
            "close" => Some(Self::Close { key: text(fields.key?)? }),
            "exitedAfterDisconnect" => Some(Self::Leaving { seq: fields.seq? }),
            _ => None,
        }
    }
}

/// The verdict that comes with every connection is told by its bytes: the sequence number in
/// `{"cmd":"NODE_CLUSTER","ack":N,"accepted":true,"seq":M}`, if the line is just that.
pub(super) fn accepted(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(VERDICT_HEAD)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let tail = rest[digits..].strip_prefix(ACCEPTED)?.strip_prefix(br#""seq":"#)?.strip_suffix(b"}")?;
    if tail.is_empty() || !tail.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

/// What any `NODE_CLUSTER` message may hold, of any type.
#[derive(Deserialize)]
struct Fields<'a> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict(line: &str) -> Option<(u64, Verdict)> {
        if let Some(seq) = accepted(line.as_bytes()) {
            return Some((seq, Verdict::Accepted));
        }
        match Message::read(serde_json::from_str(line).ok()?)? {
            Message::Verdict { seq, verdict } => Some((seq, verdict)),
            _ => None,
        }
    }

    #[test]
    fn verdicts_are_read_on_either_path() {
        for (line, expected) in [
            (r#"{"cmd":"NODE_CLUSTER","ack":7,"accepted":true,"seq":3}"#, Verdict::Accepted),
            (r#"{"cmd":"NODE_CLUSTER","accepted":true,"ack":7}"#, Verdict::Accepted),
            (r#"{"cmd":"NODE_CLUSTER","ack":7,"accepted":false,"seq":3}"#, Verdict::Refused),
        ] {
            assert_eq!(verdict(line), Some((7, expected)), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_nothing() {
        for line in [
            r#"{"cmd":"NODE_CLUSTER","act":"dance"}"#,
            r#"{"cmd":"NODE_CLUSTER","act":5}"#,
            r#"{"cmd":"NODE_CLUSTER","act":"queryServer"}"#,
            r#"{"cmd":"NODE_CLUSTER","ack":"x","accepted":true}"#,
        ] {
            assert!(Message::read(serde_json::from_str(line).unwrap()).is_none(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn near_messages_never_panic(line in r#"\{"cmd":"NODE_CLUSTER","(act|ack|type)":("queryServer"|"close"|[0-9]{1,30}),("port"|"accepted"|"key"|"msg"):(true|-?[0-9]{1,9}|"[a-z:%]{0,9}"|\{\}|null)(,"seq":[0-9]{1,3})?\}"#) {
            let _ = verdict(&line);
        }
    }
}
