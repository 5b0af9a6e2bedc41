//! Which worker is in which port group, and what it is told to listen on, for any number of workers. The layout is JS
//! luster's, worker by worker.
//!
//! Invariants: pure; groups are filled in order; there may be more groups than were asked for when workers do not divide
//! evenly (5 workers in 3 groups make 5 groups of 1), and fewer when there are fewer workers, exactly as in JS luster.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::WorkerId;

/// What the workers of a configuration are told to listen on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// The first group's port; without one workers are told `0`.
    pub port: Option<Port>,
    /// How many workers the configuration asks for: perhaps a fraction, as in JS luster.
    #[serde(with = "exact")]
    pub workers: f64,
    /// How many groups it asks for.
    #[serde(with = "exact")]
    pub groups: f64,
    /// The distance between two groups' ports.
    pub ports_per_group: u32,
}

// Its numbers are never NaN.
impl Eq for Layout {}

/// A port as configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Port {
    /// A TCP port, 1 to 65535.
    Tcp(u16),
    /// A unix socket's path; its first `*` stands for the group's offset.
    Unix(String),
}

/// The value of `port` for each worker, from worker 1 on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ports(Arc<[Arc<str>]>);

/// A number as the bits it is made of: no text of it is sure to be read as the same again, and JSON has none for infinity.
mod exact {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(number.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        u64::deserialize(from).map(f64::from_bits)
    }
}

impl Layout {
    /// What each of so many workers is told.
    #[must_use]
    pub fn ports(&self, count: u32) -> Ports {
        // What was written is what counts for as many as were asked for.
        let written = whole(self.workers.ceil()) == Some(count);
        let (groups, per_group) = divide(if written { self.workers } else { count.into() }, self.groups);
        let port = |worker| Arc::from(self.port_of_group(group_of(worker, groups, per_group)));
        Ports((1..=count).map(|number| port(WorkerId(number))).collect())
    }

    /// The value of `port` for a group counted from 0: a TCP port, a socket's path, or `0` if no port is
    /// configured.
    #[must_use]
    pub fn port_of_group(&self, group: u32) -> String {
        let offset = u64::from(group) * u64::from(self.ports_per_group);
        match &self.port {
            None => "0".to_owned(),
            Some(Port::Tcp(port)) => (u64::from(*port) + offset).to_string(),
            // Only the first, as JavaScript's `replace` with a string.
            Some(Port::Unix(path)) => path.replacen('*', &offset.to_string(), 1),
        }
    }
}

impl Ports {
    /// For how many workers there are some.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// What a worker is told; `0`, which is none, for one beyond them.
    #[must_use]
    pub fn of(&self, worker: WorkerId) -> Arc<str> {
        let index = (worker.0 as usize).checked_sub(1);
        index.and_then(|index| self.0.get(index)).cloned().unwrap_or_else(|| Arc::from("0"))
    }
}

/// How many groups there are, and how many workers are in each but the last, where so many workers and groups were asked
/// for. Both may be fractions, as in JS luster: a part of a worker is one more, in the last group.
#[must_use]
pub fn divide(workers: f64, groups: f64) -> (u32, u32) {
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

/// The group of a worker, from 0. Leftovers join the last.
fn group_of(worker: WorkerId, groups: u32, per_group: u32) -> u32 {
    (worker.0.saturating_sub(1) / per_group.max(1)).min(groups.saturating_sub(1))
}

/// The number as `u32`, if it is one.
#[must_use]
pub fn whole(number: f64) -> Option<u32> {
    let fits = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and within u32")]
    fits.then_some(number as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout(port: Option<Port>, workers: f64, groups: f64, ports_per_group: u32) -> Layout {
        Layout { port, workers, groups, ports_per_group }
    }

    fn ports(port: Option<Port>, groups: u32, ports_per_group: u32, workers: u32) -> Vec<String> {
        let ports = layout(port, workers.into(), groups.into(), ports_per_group).ports(workers);
        ports.iter().map(str::to_owned).collect()
    }

    fn groups(workers: f64, groups: f64) -> Vec<u32> {
        let (groups, per_group) = divide(workers, groups);
        let count = whole(workers.ceil()).unwrap();
        (1..=count).map(|number| group_of(WorkerId(number), groups, per_group)).collect()
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
            let (workers, wanted) = (f64::from(workers) / 4.0, f64::from(groups) / 4.0);
            let told = told(workers, wanted);
            prop_assert_eq!(super::tests::groups(workers, wanted), told.clone());
            prop_assert_eq!(divide(workers, wanted).0, told.last().unwrap() + 1);
            let ports = layout(Some(Port::Tcp(1000)), workers, wanted, 7).ports(whole(workers.ceil()).unwrap());
            for (port, group) in ports.iter().zip(told) {
                prop_assert_eq!(port, (1000 + group * 7).to_string());
            }
        }
    }

    #[test]
    fn another_number_of_workers_is_laid_out_as_if_it_had_been_configured() {
        let two = layout(Some(Port::Tcp(8080)), 4.0, 2.0, 1);
        let ports = |count| two.ports(count).iter().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(ports(4), ["8080", "8080", "8081", "8081"]);
        assert_eq!(ports(6), ["8080", "8080", "8080", "8081", "8081", "8081"], "worker 3 moves");
        assert_eq!(ports(2), ["8080", "8081"]);
        assert_eq!(&*two.ports(1).of(WorkerId(2)), "0");
    }
}
