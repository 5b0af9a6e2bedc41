//! What a worker is asked to bind in luster's place, and what is kept of it until it answers.
//!
//! Invariant: a worker is asked only for what a privilege of its own may help with.

use serde::Serialize;

use crate::core::{InstanceId, Moment};
use crate::listen::{BindAddress, Families};
use crate::node::cluster::query::ListenRequest;

/// What a worker is asked to bind, in the terms of Node's `net`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BindRequest {
    /// To be named in the answer.
    id: u32,
    /// Without one: any, of both families if there is IPv6.
    address: Option<String>,
    port: u16,
    #[serde(rename = "addressType")]
    address_type: u8,
    flags: u32,
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
    pub(super) fn of(place: &BindAddress, id: u32) -> Option<Self> {
        let (address, port, families) = match place {
            BindAddress::Tcp { host, port, families } if host.scope == 0 => (Some(host.ip), *port, *families),
            BindAddress::TcpAnywhere { port, families } => (None, *port, *families),
            BindAddress::Tcp { .. }
            | BindAddress::Udp { .. }
            | BindAddress::Path(_)
            | BindAddress::Abstract(_)
            | BindAddress::Inherited { .. } => return None,
        };
        let address_type = if address.is_some_and(|ip| ip.is_ipv6()) { 6 } else { 4 };
        let flags = match families {
            Families::Both => 0,
            Families::Only6 => 1,
        };
        let address = address.map(|ip| ip.to_string());
        Some(Self { id, address, port, address_type, flags })
    }

    /// The number by which it is answered.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }
}
