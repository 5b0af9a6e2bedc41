//! The process room with real processes. Each test runs in a process of its own (see `alone`), because reaping,
//! limits, signal masks and subreapers belong to whole processes, and tests of one binary share theirs.
#![expect(
    clippy::unwrap_used,
    reason = "a test's helpers are tests; the lint's exception sees only #[test] functions"
)]

mod alone;
mod ending;
mod receiving;
mod starting;
