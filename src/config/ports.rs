//! Which worker is in which port group, and what it is told to listen on. The layout is JS luster's, worker
//! by worker.
//!
//! Invariants: pure; groups are filled in order; there may be more groups than were asked for when workers do not divide
//! evenly (5 workers in 3 groups make 5 groups of 1), and fewer when there are fewer workers, exactly as in JS luster.

use crate::config::settings::{Port, Server};
use crate::config::validator::whole;
use crate::core::WorkerId;

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

/// How many groups there are, and how many workers are in each but the last, where so many workers and groups were asked
/// for. Both may be fractions, as in JS luster: a part of a worker is one more, in the last group.
pub(super) fn divide(workers: f64, groups: f64) -> (u32, u32) {
    let whole = |number: f64| whole(number).unwrap_or(u32::MAX).max(1);
    if groups <= 1.0 {
        return (1, whole(workers.ceil()));
    }
    match (workers / groups).floor() {
        // More groups than workers: to each its own.
        per_group if per_group < 1.0 => (whole(workers.ceil()), 1),
        per_group => (whole((workers / per_group).floor()), whole(per_group)),
    }
}

impl Server {
    /// The seats of workers 1..=`workers`, in order.
    #[must_use]
    pub fn layout(&self, workers: u32) -> Vec<Seat> {
        (1..=workers).map(|number| self.seat(WorkerId(number))).collect()
    }

    /// The seat of one worker.
    #[must_use]
    pub fn seat(&self, worker: WorkerId) -> Seat {
        // Leftovers join the last group.
        let group = worker.0.saturating_sub(1) / self.workers_per_group.max(1);
        let group = group.min(self.groups.saturating_sub(1));
        Seat { worker, group, port: self.port_of_group(group) }
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::Balance;
    use proptest::prelude::*;

    fn server(port: Option<Port>, workers: f64, groups: f64, ports_per_group: u32) -> Server {
        let (groups, workers_per_group) = divide(workers, groups);
        Server {
            port,
            groups,
            workers_per_group,
            ports_per_group,
            balance: Balance::RoundRobin,
            socket_mode: None,
            socket_group: None,
        }
    }

    fn ports(port: Option<Port>, groups: u32, ports_per_group: u32, workers: u32) -> Vec<String> {
        let server = server(port, workers.into(), groups.into(), ports_per_group);
        server.layout(workers).into_iter().map(|seat| seat.port).collect()
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
        assert_eq!(divide(5.0, 3.0), (5, 1));
    }

    /// Seen with JS luster 2.8.1.
    #[test]
    fn fractions_and_too_many_groups_are_what_js_luster_makes_of_them() {
        let groups = |workers: f64, groups: f64| {
            let server = server(None, workers, groups, 1);
            let count = whole(workers.ceil()).unwrap();
            server.layout(count).into_iter().map(|seat| seat.group).collect::<Vec<_>>()
        };
        assert_eq!(groups(1.5, 1.0), [0, 0]);
        assert_eq!(groups(0.75, 1.0), [0]);
        assert_eq!(groups(2.0, 4.0), [0, 1]);
        assert_eq!(groups(2.5, 2.0), [0, 1, 1]);
        assert_eq!(groups(3.5, 2.0), [0, 1, 2, 2]);
        assert_eq!(groups(3.5, 4.0), [0, 1, 2, 3]);
        assert_eq!(groups(4.0, 2.5), [0, 1, 2, 3]);
        assert_eq!(groups(4.0, 0.0), [0, 0, 0, 0]);
    }

    #[test]
    fn the_first_star_of_a_path_is_replaced_also_with_one_group() {
        assert_eq!(ports(Some(Port::Unix("/s*/*".into())), 1, 1, 1), ["/s0/*"]);
        assert_eq!(ports(Some(Port::Unix("/s.*".into())), 2, 3, 2), ["/s.0", "/s.3"]);
        assert_eq!(ports(Some(Port::Unix("/s".into())), 2, 1, 2), ["/s", "/s"]);
    }

    /// The rule as the contract tells it: walk the workers, move on when the group is full and another can be
    /// filled.
    fn told(workers: f64, groups: f64) -> Vec<u32> {
        let per_group = (workers / groups).floor();
        let (mut group, mut inside, mut seats) = (0, 0.0, Vec::new());
        while f64::from(u32::try_from(seats.len()).unwrap()) < workers {
            seats.push(group);
            inside += 1.0;
            let left_for_others = workers - f64::from(group + 1) * per_group;
            if groups > 1.0 && inside >= per_group && left_for_others >= per_group {
                inside = 0.0;
                group += 1;
            }
        }
        seats
    }

    proptest! {
        #[test]
        fn the_layout_is_the_contracts(workers in 1..1200u32, groups in 0..1200u32) {
            // In quarters.
            let (workers, groups) = (f64::from(workers) / 4.0, f64::from(groups) / 4.0);
            let server = server(Some(Port::Tcp(1000)), workers, groups, 7);
            let told = told(workers, groups);
            let layout = server.layout(whole(workers.ceil()).unwrap());
            prop_assert_eq!(layout.iter().map(|seat| seat.group).collect::<Vec<_>>(), told.clone());
            prop_assert_eq!(server.groups, told.last().unwrap() + 1);
            for (seat, group) in layout.iter().zip(told) {
                prop_assert_eq!(&seat.port, &(1000 + group * 7).to_string());
            }
        }
    }
}
