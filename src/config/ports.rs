//! What the workers of a configuration are told to listen on, from its settings.
//!
//! Invariant: the layout itself is the core's, which needs it when the number of workers changes.

use crate::config::settings::Server;
use crate::core::{Layout, Ports};

impl Server {
    /// The layout for any number of workers.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let (workers, groups) = (self.workers_written, self.groups_written);
        Layout { port: self.port.clone(), workers, groups, ports_per_group: self.ports_per_group }
    }

    /// What workers 1..=`workers` are told.
    #[must_use]
    pub fn ports(&self, workers: u32) -> Ports {
        self.layout().ports(workers)
    }

    /// The value of `port` for a group counted from 0.
    pub(super) fn port_of_group(&self, group: u32) -> String {
        self.layout().port_of_group(group)
    }
}
