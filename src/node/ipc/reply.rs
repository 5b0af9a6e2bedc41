//! Writes what any end of a channel says, as lines.
//!
//! Invariant: every line is one JSON value and its newline: a stray newline kills a Node process.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::node::ipc::frame::MAX_HOST_FRAME;
use crate::node::ipc::message::command;
use crate::node::ipc::{HandleKind, SendOutcome};

/// Answers a descriptor that arrived.
pub(crate) const ACK: &[u8] = b"{\"cmd\":\"NODE_HANDLE_ACK\"}\n";
/// Answers a wrapper whose descriptor did not.
pub(crate) const NACK: &[u8] = b"{\"cmd\":\"NODE_HANDLE_NACK\"}\n";
/// How many of the other end's sockets we hold.
pub(crate) fn socket_count(key: &RawValue, count: usize) -> Vec<u8> {
    format!("{{\"cmd\":\"NODE_SOCKET_COUNT\",\"key\":{key},\"count\":{count}}}\n").into_bytes()
}

/// We hold none of the other end's sockets any more; the key is JSON.
pub(crate) fn sockets_closed(key: &str) -> Vec<u8> {
    format!("{{\"cmd\":\"NODE_SOCKET_ALL_CLOSED\",\"key\":{key}}}\n").into_bytes()
}

/// A message of the application's, around which Node's wrapper goes if a handle comes along.
pub(crate) fn user(message: &impl Serialize, handle: Option<HandleKind>) -> Result<Vec<u8>, SendOutcome> {
    let mut json = serde_json::to_string(message).map_err(|_| SendOutcome::Unserializable)?;
    if json.contains('\n') {
        // A raw value may be laid out over lines; within strings a newline is always escaped.
        json = json.replace('\n', " ");
    }
    let raw: &RawValue = serde_json::from_str(&json).map_err(|_| SendOutcome::Unserializable)?;
    if command(raw).is_some() {
        return Err(SendOutcome::Reserved);
    }
    let line = match handle {
        None => format!("{json}\n"),
        Some(kind) => wrapped(&json, kind),
    };
    if line.len() > MAX_HOST_FRAME { Err(SendOutcome::TooLong) } else { Ok(line.into_bytes()) }
}

fn wrapped(json: &str, kind: HandleKind) -> String {
    let (name, extra) = match kind {
        HandleKind::Socket => ("net.Socket", ""),
        HandleKind::Server => ("net.Server", ""),
        HandleKind::Udp4 => ("dgram.Socket", r#","dgramType":"udp4""#),
        HandleKind::Udp6 => ("dgram.Socket", r#","dgramType":"udp6""#),
    };
    format!("{{\"cmd\":\"NODE_HANDLE\",\"type\":\"{name}\",\"msg\":{json}{extra}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn user_messages_stay_on_one_line_and_out_of_nodes_names() {
        assert_eq!(user(&raw("{\n\"a\":\n1}"), None).unwrap(), b"{ \"a\": 1}\n");
        assert_eq!(user(&"a\nb", None).unwrap(), b"\"a\\nb\"\n");
        assert_eq!(user(&raw(r#"{"cmd":"NODE_CLUSTER"}"#), None), Err(SendOutcome::Reserved));
        assert!(user(&raw(r#"{"cmd":"NODE_"}"#), None).is_ok());
        assert_eq!(user(&"x".repeat(MAX_HOST_FRAME), None), Err(SendOutcome::TooLong));
        assert_eq!(
            user(&1, Some(HandleKind::Udp4)).unwrap(),
            b"{\"cmd\":\"NODE_HANDLE\",\"type\":\"dgram.Socket\",\"msg\":1,\"dgramType\":\"udp4\"}\n"
        );
    }
}
