//! Reads a worker's request to listen, in all the forms its Node may write it.
//!
//! Invariant: an odd request is still an answerable one: whatever its fields hold, if it has a sequence number it
//! becomes a [`ListenRequest`], whose place is then an errno.

use std::borrow::Cow;
use std::net::IpAddr;

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::core::Endpoint;
use crate::listen::{BindAddress, Families, Host, Options, Reuse, SocketAccess, Transport};
use crate::node::cluster::listener_key::ListenerKey;

/// `backlog: 0`, `false` or nothing means this.
pub(super) const DEFAULT_BACKLOG: i32 = 511;

/// What libuv calls `UV_TCP_IPV6ONLY` and `UV_UDP_IPV6ONLY`.
pub(super) const ONLY_6: i64 = 1;
/// What libuv calls `UV_UDP_REUSEADDR`.
pub(super) const UDP_REUSE_ADDRESS: i64 = 4;

/// A request to listen, or the note that it now does.
#[derive(Debug)]
pub(super) struct ListenRequest {
    /// To be named in the reply, as the worker wrote it.
    pub(super) seq: Box<RawValue>,
    /// The worker's own matter; the first asker's is given to all. TLS keeps its ticket keys here.
    pub(super) data: Box<RawValue>,
    /// Where, or why that cannot be.
    pub(super) target: Result<Target, Refusal>,
}

/// Where to listen and how.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) share: ListenerKey,
    /// Which of the worker's like it; told apart by this once port 0 has become a real one.
    pub(super) index: u64,
    pub(super) options: Options,
}

/// A request that cannot be met.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) errno: Errno,
    /// What it was for, if it was for anything: Node 16 and 18 ask for nothing at all when they are sent a server.
    pub(super) endpoint: Option<Endpoint>,
}

impl ListenRequest {
    /// Reads the request; `None` without a sequence number to answer to.
    pub(super) fn read(raw: &RawValue) -> Option<Self> {
        let fields: Fields<'_> = serde_json::from_str(raw.get()).ok()?;
        let seq = fields.seq?.to_owned();
        let data = fields.data.unwrap_or(RawValue::NULL).to_owned();
        Some(Self { seq, data, target: fields.target() })
    }
}

/// The address in a request, as an object for Node's `listening` event.
pub(super) fn spoken(raw: &RawValue) -> Option<Box<RawValue>> {
    let fields: Fields<'_> = serde_json::from_str(raw.get()).ok()?;
    let text = |field: Option<&RawValue>| field.map_or("null", RawValue::get).to_owned();
    let (kind, address, port) = (text(fields.address_type), text(fields.address), text(fields.port));
    let object = format!(r#"{{"addressType":{kind},"address":{address},"port":{port}}}"#);
    RawValue::from_string(object).ok()
}

/// All of a request's fields, of any type.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    seq: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    index: Option<&'a RawValue>,
    #[serde(borrow, default)]
    address: Option<&'a RawValue>,
    #[serde(borrow, default)]
    port: Option<&'a RawValue>,
    #[serde(rename = "addressType", borrow, default)]
    address_type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    fd: Option<&'a RawValue>,
    #[serde(borrow, default)]
    flags: Option<&'a RawValue>,
    #[serde(borrow, default)]
    backlog: Option<&'a RawValue>,
    #[serde(rename = "readableAll", borrow, default)]
    readable_all: Option<&'a RawValue>,
    #[serde(rename = "writableAll", borrow, default)]
    writable_all: Option<&'a RawValue>,
}

impl Fields<'_> {
    fn target(&self) -> Result<Target, Refusal> {
        let address = string(self.address);
        let index = integer(self.index).and_then(|index| u64::try_from(index).ok()).unwrap_or(0);
        let place = match integer(self.fd).filter(|fd| *fd >= 0) {
            Some(fd) => self.inherited(fd)?,
            None => self.place(address.as_deref())?,
        };
        let share = ListenerKey::of(place, index);
        let flags = integer(self.flags).unwrap_or(0);
        let reuse = if flags & UDP_REUSE_ADDRESS == 0 { Reuse::No } else { Reuse::Address };
        let (backlog, mode, access) = (self.backlog(), self.mode(), SocketAccess::default());
        Ok(Target { share, index, options: Options { backlog, reuse, mode, access } })
    }

    /// Descriptor numbers mean the parent's.
    fn inherited(&self, fd: i64) -> Result<BindAddress, Refusal> {
        let number = i32::try_from(fd).map_err(|_| Refusal::of(Errno::EINVAL, &format!("fd {fd}")))?;
        let transport = match self.address_type.map_or("", RawValue::get) {
            "\"udp4\"" | "\"udp6\"" => Transport::Datagram,
            _ => Transport::Stream,
        };
        Ok(BindAddress::Inherited { number, transport })
    }

    fn place(&self, address: Option<&str>) -> Result<BindAddress, Refusal> {
        let kind = self.address_type.map_or("", RawValue::get);
        let families =
            if integer(self.flags).unwrap_or(0) & ONLY_6 == 0 { Families::Both } else { Families::Only6 };
        let port = integer(self.port);
        match (kind, address) {
            ("-1", None) => Err(Refusal { errno: Errno::EINVAL, endpoint: None }),
            ("-1", Some(address)) => unix_place(address),
            ("4", None) => Ok(BindAddress::TcpAnywhere { port: port_number("tcp *", port)?, families }),
            ("4" | "6", Some(address)) => {
                let port = port_number(&format!("tcp {address}"), port)?;
                Ok(BindAddress::Tcp { host: host("tcp", kind == "6", address)?, port, families })
            }
            ("\"udp4\"" | "\"udp6\"", address) => {
                let port = port_number("udp", Some(port.unwrap_or(0)))?;
                let v6 = kind == "\"udp6\"";
                let host = match address {
                    Some(address) => host("udp", v6, address)?,
                    None if v6 => Host::ANY6,
                    None => Host::ANY4,
                };
                Ok(BindAddress::Udp { host, port, families })
            }
            (kind, address) => {
                Err(Refusal::of(Errno::EINVAL, &format!("{} of type {kind}", address.unwrap_or("*"))))
            }
        }
    }

    fn backlog(&self) -> i32 {
        match integer(self.backlog).map(i32::try_from) {
            None | Some(Ok(..=0)) => DEFAULT_BACKLOG,
            Some(Ok(backlog)) => backlog,
            Some(Err(_)) => i32::MAX,
        }
    }

    fn mode(&self) -> u32 {
        let asked = |field: Option<&RawValue>, bits: u32| match field.map(RawValue::get) {
            Some("true") => bits,
            Some(_) | None => 0,
        };
        asked(self.readable_all, 0o444) | asked(self.writable_all, 0o222)
    }
}

impl Refusal {
    fn of(errno: Errno, endpoint: &str) -> Self {
        Self { errno, endpoint: Some(Endpoint::new(endpoint)) }
    }
}

/// A path, or a name without a file: the worker makes the name of `listen("\0name")` into `<its cwd>/\0name`.
fn unix_place(address: &str) -> Result<BindAddress, Refusal> {
    match address.split_once('\0') {
        Some((_cwd, name)) => Ok(BindAddress::Abstract(name.to_owned())),
        None if address.starts_with('/') => Ok(BindAddress::Path(address.to_owned())),
        None => Err(Refusal::of(Errno::EINVAL, &format!("unix {address}"))),
    }
}

fn port_number(what: &str, port: Option<i64>) -> Result<u16, Refusal> {
    match port.map(u16::try_from) {
        Some(Ok(port)) => Ok(port),
        Some(Err(_)) | None => Err(Refusal::of(Errno::EINVAL, &format!("{what}:{}", port.unwrap_or(-1)))),
    }
}

fn host(transport: &str, v6: bool, address: &str) -> Result<Host, Refusal> {
    let refusal = || Refusal::of(Errno::EINVAL, &format!("{transport} {address}"));
    let (ip, zone) = match address.split_once('%') {
        Some((ip, zone)) => (ip, Some(zone)),
        None => (address, None),
    };
    let ip: IpAddr = ip.parse().map_err(|_| refusal())?;
    if ip.is_ipv6() != v6 {
        return Err(refusal());
    }
    let scope = match zone {
        None => 0,
        Some(zone) => zone.parse().or_else(|_| if_nametoindex(zone)).map_err(|_| refusal())?,
    };
    Ok(Host { ip, scope })
}

fn integer(raw: Option<&RawValue>) -> Option<i64> {
    raw?.get().parse().ok()
}

fn string(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(raw?.get()).ok().map(|Text(text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &str) -> ListenRequest {
        let json = format!(r#"{{"cmd":"NODE_CLUSTER","act":"queryServer",{fields},"seq":1}}"#);
        ListenRequest::read(&RawValue::from_string(json).unwrap()).unwrap()
    }

    fn endpoint(fields: &str) -> String {
        read(fields).target.unwrap().share.endpoint().to_string()
    }

    #[test]
    fn every_captured_form_is_understood() {
        for (fields, expected) in [
            (
                r#""index":0,"data":null,"address":null,"port":18080,"addressType":4,"backlog":0"#,
                "tcp *:18080",
            ),
            (
                r#""index":0,"address":"127.0.0.1","port":19420,"addressType":4,"flags":0,"backlog":77"#,
                "tcp 127.0.0.1:19420",
            ),
            (
                r#""index":0,"address":"::","port":18305,"addressType":6,"flags":1"#,
                "tcp [::]:18305 (IPv6 only)",
            ),
            (r#""index":2,"address":null,"port":0,"addressType":4,"backlog":0"#, "tcp *:0 (#2)"),
            (r#""index":0,"address":"/srv/rel.sock","port":-1,"addressType":-1"#, "unix /srv/rel.sock"),
            (r#""index":0,"address":"/srv/\u0000name","port":-1,"addressType":-1"#, "unix @name"),
            (r#""index":0,"address":"0.0.0.0","addressType":"udp4","fd":-1,"flags":0"#, "udp *:0 (#0)"),
            (r#""index":0,"address":"::","port":53,"addressType":"udp6","fd":-1,"flags":4"#, "udp [::]:53"),
            (r#""index":0,"address":null,"port":null,"addressType":null,"fd":7,"backlog":0"#, "fd 7"),
            (r#""address":null,"port":null,"addressType":"udp4","fd":9,"flags":null"#, "fd 9"),
        ] {
            assert_eq!(endpoint(fields), expected);
        }
    }

    #[test]
    fn backlog_comes_in_three_types() {
        for (backlog, expected) in
            [("0", 511), ("false", 511), ("77", 77), ("null", 511), ("99999999999", i32::MAX)]
        {
            let ask = read(&format!(r#""address":null,"port":1,"addressType":4,"backlog":{backlog}"#));
            assert_eq!(ask.target.unwrap().options.backlog, expected);
        }
    }

    #[test]
    fn what_cannot_be_bound_is_einval() {
        for fields in [
            r#""address":null,"port":-1,"addressType":-1"#,
            r#""address":null,"port":null,"addressType":null,"fd":7777777777"#,
            r#""address":null,"port":70000,"addressType":4"#,
            r#""address":"example.org","port":80,"addressType":4"#,
            r#""address":"::1","port":80,"addressType":4"#,
            r#""address":"rel.sock","port":-1,"addressType":-1"#,
            r#""address":{},"port":[],"addressType":{}"#,
        ] {
            assert_eq!(read(fields).target.unwrap_err().errno, Errno::EINVAL, "{fields}");
        }
    }
}
