//! Which worker is in which port group, and what it is told to listen on. The layout is JS luster's, worker
//! by worker.
//!
//! Invariants: pure; groups are filled in order; the number of groups *used* may exceed the number asked for
//! when workers do not divide evenly (5 workers in 3 groups make 5 groups of 1), exactly as in JS luster.

use crate::config::settings::{Port, Server};
use crate::supervisor::WorkerId;

/// One worker's place in the layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The worker.
    pub worker: WorkerId,
    /// Its group, from 0.
    pub group: u32,
    /// The value of its environment variable `port`.
    pub port: String,
}

impl Server {
    /// The seats of workers 1..=`workers`, in order.
    #[must_use]
    pub fn layout(&self, workers: u32) -> Vec<Seat> {
        (1..=workers).map(|number| self.seat(workers, WorkerId(number))).collect()
    }

    /// The seat of one worker out of `workers`.
    #[must_use]
    pub fn seat(&self, workers: u32, worker: WorkerId) -> Seat {
        let group = self.group(workers, worker);
        Seat { worker, group, port: self.port_of_group(group) }
    }

    /// How many groups are used by this many workers.
    #[must_use]
    pub fn groups_used(&self, workers: u32) -> u32 {
        workers / self.workers_per_group(workers)
    }

    /// The value of `port` for a group counted from 0: a TCP port, a socket's path, or `0` if no port is
    /// configured.
    pub(super) fn port_of_group(&self, group: u32) -> String {
        let offset = u64::from(group) * u64::from(self.ports_per_group);
        match &self.port {
            None => "0".to_owned(),
            Some(Port::Tcp(port)) => (u64::from(*port) + offset).to_string(),
            // Only the first, as JavaScript's `replace` with a string.
            Some(Port::Unix(path)) => path.replacen('*', &offset.to_string(), 1),
        }
    }

    fn group(&self, workers: u32, worker: WorkerId) -> u32 {
        let group = worker.0.saturating_sub(1) / self.workers_per_group(workers);
        // Leftovers join the last group.
        group.min(self.groups_used(workers).saturating_sub(1))
    }

    fn workers_per_group(&self, workers: u32) -> u32 {
        (workers / self.groups.max(1)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::Balance;
    use proptest::prelude::*;

    fn server(port: Option<Port>, groups: u32, ports_per_group: u32) -> Server {
        Server {
            port,
            groups,
            ports_per_group,
            balance: Balance::RoundRobin,
            socket_mode: None,
            socket_group: None,
        }
    }

    fn ports(port: Option<Port>, groups: u32, ports_per_group: u32, workers: u32) -> Vec<String> {
        server(port, groups, ports_per_group).layout(workers).into_iter().map(|seat| seat.port).collect()
    }

    #[test]
    fn without_a_port_every_worker_gets_0() {
        assert_eq!(ports(None, 2, 1, 2), ["0", "0"]);
    }

    #[test]
    fn groups_are_filled_in_order_and_leftovers_join_the_last() {
        assert_eq!(ports(Some(Port::Tcp(8080)), 1, 1, 3), ["8080", "8080", "8080"]);
        assert_eq!(ports(Some(Port::Tcp(8080)), 2, 10, 5), ["8080", "8080", "8090", "8090", "8090"]);
    }

    #[test]
    fn uneven_workers_may_make_more_groups_than_asked_for() {
        assert_eq!(ports(Some(Port::Tcp(1)), 3, 1, 5), ["1", "2", "3", "4", "5"]);
        assert_eq!(server(None, 3, 1).groups_used(5), 5);
    }

    #[test]
    fn the_first_star_of_a_path_is_replaced_also_with_one_group() {
        assert_eq!(ports(Some(Port::Unix("/s*/*".into())), 1, 1, 1), ["/s0/*"]);
        assert_eq!(ports(Some(Port::Unix("/s.*".into())), 2, 3, 2), ["/s.0", "/s.3"]);
        assert_eq!(ports(Some(Port::Unix("/s".into())), 2, 1, 2), ["/s", "/s"]);
    }

    /// The rule as the contract tells it: walk the workers, move on when the group is full and another can be
    /// filled.
    fn told(workers: u32, groups: u32) -> Vec<u32> {
        let per_group = workers / groups;
        let (mut group, mut inside, mut seats) = (0, 0, Vec::new());
        for _ in 0..workers {
            seats.push(group);
            inside += 1;
            let left_for_others = i64::from(workers) - i64::from(group + 1) * i64::from(per_group);
            if groups > 1 && inside >= per_group && left_for_others >= i64::from(per_group) {
                inside = 0;
                group += 1;
            }
        }
        seats
    }

    proptest! {
        #[test]
        fn the_layout_is_the_contracts(workers in 1..300u32, groups in 1..300u32) {
            prop_assume!(groups <= workers);
            let server = server(Some(Port::Tcp(1000)), groups, 7);
            let told = told(workers, groups);
            let layout = server.layout(workers);
            prop_assert_eq!(layout.iter().map(|seat| seat.group).collect::<Vec<_>>(), told.clone());
            prop_assert_eq!(server.groups_used(workers), told.last().unwrap() + 1);
            for (seat, group) in layout.iter().zip(told) {
                prop_assert_eq!(&seat.port, &(1000 + group * 7).to_string());
            }
        }
    }
}
