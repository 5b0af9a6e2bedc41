//! Writes what we say to workers, as lines.
//!
//! Invariant: every line is one JSON value and its newline. A stray newline, a positive errno or a `data` that is not
//! the asker's own kills a worker.

use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use serde_json::value::RawValue;

/// Begins the end.
pub(super) const DISCONNECT: &[u8] = b"{\"cmd\":\"NODE_CLUSTER\",\"act\":\"disconnect\"}\n";

/// What a reply to a request to listen is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Granted<'a> {
    pub(super) seq: &'a RawValue,
    /// The listener's key, as JSON.
    pub(super) key: &'a str,
    pub(super) data: &'a RawValue,
}

impl Granted<'_> {
    /// Connections will be dealt out; no descriptor comes along, which is what tells the worker so.
    pub(super) fn dealt(self, sockname: Option<SocketAddr>) -> Vec<u8> {
        let Self { seq, key, data } = self;
        let sockname = sockname.map(sockname_field).unwrap_or_default();
        let head = r#"{"cmd":"NODE_CLUSTER","errno":null,"key":"#;
        format!("{head}{key},\"ack\":{seq},\"data\":{data}{sockname}}}\n").into_bytes()
    }

    /// The listening socket comes along. `kind` is the wrapper's type.
    pub(super) fn handed(self, kind: &str) -> Vec<u8> {
        let Self { seq, key, data } = self;
        let head =
            format!(r#"{{"cmd":"NODE_HANDLE","type":"{kind}","msg":{{"cmd":"NODE_CLUSTER","errno":0,"#);
        format!("{head}\"key\":{key},\"ack\":{seq},\"data\":{data}}}}}\n").into_bytes()
    }
}

/// The request cannot be met.
pub(super) fn refused(seq: &RawValue, data: &RawValue, errno: Errno) -> Vec<u8> {
    let errno = -(errno as i32);
    format!("{{\"cmd\":\"NODE_CLUSTER\",\"errno\":{errno},\"key\":\"\",\"ack\":{seq},\"data\":{data}}}\n")
        .into_bytes()
}

/// The worker may go.
pub(super) fn released(seq: &RawValue) -> Vec<u8> {
    format!("{{\"cmd\":\"NODE_CLUSTER\",\"ack\":{seq}}}\n").into_bytes()
}

/// All of an offer but its number and [`NEWCONN_TAIL`]: made once per listener, for it is sent with every connection.
pub(super) fn newconn_head(key: &str) -> Box<[u8]> {
    let head =
        r#"{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_CLUSTER","act":"newconn","key":"#;
    format!("{head}{key},\"seq\":").into_bytes().into_boxed_slice()
}

/// Ends an offer.
pub(super) const NEWCONN_TAIL: &[u8] = b"}}\n";

/// What `server.address()` will say in the worker. The port must be the socket's, or the worker gives up.
fn sockname_field(address: SocketAddr) -> String {
    let family = match address.ip() {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    };
    let (ip, port) = (address.ip(), address.port());
    format!(r#","sockname":{{"address":"{ip}","family":"{family}","port":{port}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn replies_are_what_node_writes() {
        let (seq, data) = (raw("1"), raw("{\"ticketKeys\":\"a0\"}"));
        let granted = Granted { seq: &seq, key: "\"7\"", data: &data };
        assert_eq!(
            String::from_utf8(granted.dealt(Some("[::]:18080".parse().unwrap()))).unwrap(),
            "{\"cmd\":\"NODE_CLUSTER\",\"errno\":null,\"key\":\"7\",\"ack\":1,\"data\":{\"ticketKeys\":\"a0\"},\
             \"sockname\":{\"address\":\"::\",\"family\":\"IPv6\",\"port\":18080}}\n"
        );
        assert_eq!(
            String::from_utf8(granted.handed("net.Native")).unwrap(),
            "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Native\",\"msg\":{\"cmd\":\"NODE_CLUSTER\",\"errno\":0,\
             \"key\":\"7\",\"ack\":1,\"data\":{\"ticketKeys\":\"a0\"}}}\n"
        );
        assert_eq!(
            String::from_utf8(refused(&seq, RawValue::NULL, Errno::EADDRINUSE)).unwrap(),
            "{\"cmd\":\"NODE_CLUSTER\",\"errno\":-98,\"key\":\"\",\"ack\":1,\"data\":null}\n"
        );
    }
}
