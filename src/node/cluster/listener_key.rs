//! Which listener a worker's request means.
//!
//! Invariant: two requests with equal keys share a listener, whichever workers they come from.

use crate::core::Endpoint;
use crate::listen::BindAddress;

/// What makes two requests one listener: the place, and for port 0 which of the worker's several it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ListenerKey {
    pub(super) place: BindAddress,
    /// Set for port 0 only. For other ports an index could keep workers apart whose earlier requests went differently.
    pub(super) index: Option<u64>,
}

impl ListenerKey {
    /// The listener a request for `place` means, the worker's `index`th like it.
    pub(super) fn of(place: BindAddress, index: u64) -> Self {
        let index = (place.port() == Some(0)).then_some(index);
        Self { place, index }
    }

    /// What users see.
    pub(super) fn endpoint(&self) -> Endpoint {
        let text = self.place.text();
        match self.index {
            Some(index) => Endpoint::new(&format!("{text} (#{index})")),
            None => Endpoint::new(&text),
        }
    }
}
