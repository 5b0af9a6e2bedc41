//! What a worker is asked to bind in luster's place, and what is kept of it until it answers.
//!
//! Invariant: a worker is asked only for what a privilege of its own may help with.

use serde::Serialize;

use crate::core::{InstanceId, Moment};
use crate::listen::{BindAddress, Families, Reuse};
use crate::node::cluster::query::{ListenRequest, ONLY_6, UDP_REUSE_ADDRESS};

/// What a worker is asked to bind, in the terms of Node's `net`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BindRequest {
    /// To be named in the answer.
    id: u32,
    transport: &'static str,
    /// Without one: any, of both families if there is IPv6.
    address: Option<String>,
    /// The interface of a link-local address, by its number.
    scope: u32,
    port: u16,
    #[serde(rename = "addressType")]
    address_type: u8,
    flags: i64,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) id: u32,
    pub(super) instance: InstanceId,
    pub(super) ask: ListenRequest,
    pub(super) until: Moment,
    /// Who wants to listen there as well.
    pub(super) waiting: Vec<(InstanceId, ListenRequest)>,
}

impl BindRequest {
    /// What is to be asked for a place; nothing for those that no privilege of a worker helps with.
    pub(super) fn of(place: &BindAddress, reuse: Reuse, id: u32) -> Option<Self> {
        let (transport, host, port, families) = match place {
            BindAddress::Tcp { host, port, families } => ("tcp", Some(*host), *port, *families),
            BindAddress::TcpAnywhere { port, families } => ("tcp", None, *port, *families),
            BindAddress::Udp { host, port, families } => ("udp", Some(*host), *port, *families),
            BindAddress::Path(_) | BindAddress::Abstract(_) | BindAddress::Inherited { .. } => return None,
        };
        let address_type = if host.is_some_and(|host| host.ip.is_ipv6()) { 6 } else { 4 };
        let only_6 = match families {
            Families::Both => 0,
            Families::Only6 => ONLY_6,
        };
        let flags = match reuse {
            Reuse::No => only_6,
            Reuse::Address => only_6 | UDP_REUSE_ADDRESS,
        };
        let (address, scope) = (host.map(|host| host.ip.to_string()), host.map_or(0, |host| host.scope));
        Some(Self { id, transport, address, scope, port, address_type, flags })
    }

    /// The number by which it is answered.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }
}
