//! Decides what happens to each worker. Owns no process, clock or descriptor: news and the time come in,
//! orders go out, and the same news at the same moments always yields the same orders.

mod ids;
mod policy;

pub use ids::{Endpoint, Life, Moment, WorkerId};
pub use policy::{Policy, Readiness, RestartOrder};
