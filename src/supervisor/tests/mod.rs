//! Stories about the supervisor in virtual time, and random ones held against its invariants.

mod harness;
mod random;
mod stories_of_lives;
mod stories_of_roll_outs;

pub(super) use harness::policy;
