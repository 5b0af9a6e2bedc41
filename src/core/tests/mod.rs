//! Stories about the supervisor in virtual time, and random ones held against its invariants.

mod handover;
mod harness;
mod random;
mod random_specs;
mod reloading;
mod several_pools;
mod stories_of_answers;
mod stories_of_failed_rollouts;
mod stories_of_failures;
mod stories_of_hosts;
mod stories_of_late_workers;
mod stories_of_lives;
mod stories_of_numbers;
mod stories_of_readiness;
mod stories_of_reloads;
mod stories_of_requests;
mod stories_of_rollouts;
mod stories_of_specs;
mod stories_of_stops;
mod witness;

pub(in crate::core) use harness::{policy, spec};
