//! The cluster room with real Node workers, of every version in `LUSTER_TEST_NODES`.
#![expect(clippy::unwrap_used, reason = "what fails is the test")]

#[path = "cluster_room/balance.rs"]
mod balance;
#[path = "cluster_room/farewell.rs"]
mod farewell;
#[path = "cluster_room/harness.rs"]
mod harness;
#[path = "cluster_room/hostile.rs"]
mod hostile;
#[path = "cluster_room/lifetime.rs"]
mod lifetime;
#[path = "cluster_room/listening.rs"]
mod listening;
#[path = "cluster_room/messages.rs"]
mod messages;
