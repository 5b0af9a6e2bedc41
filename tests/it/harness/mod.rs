//! What every story needs: a running luster that is gone afterwards, clients that count, Node in several versions.
//!
//! Invariant: nothing sleeps for a fixed time; everything waits for a condition, with a deadline.

mod apps;
mod client;
mod control;
mod documented;
mod front;
mod growing;
mod injection;
mod load;
mod luster;
mod nodes;
mod pair;
mod ports;
mod procfs;
mod python;
mod readme;
mod script;
mod told;
mod tools;

pub(crate) use apps::HTTP;
pub(crate) use client::{Connection, Reply, Target, get};
pub(crate) use control::Control;
pub(crate) use documented::undocumented_field;
pub(crate) use front::package;
pub(crate) use injection::Injection;
pub(crate) use load::{Load, Style};
pub(crate) use luster::{Luster, Running};
pub(crate) use nodes::{Node, node, nodes, packages, usual_node};
pub(crate) use pair::Pair;
pub(crate) use ports::{free_port, free_ports};
pub(crate) use procfs::{children, is_alive, processes_in, stat, state};
pub(crate) use readme::{Block, block, blocks, here, readme};
pub(crate) use script::Script;
pub(crate) use told::{TELL, ending_of, on_every_node, on_nodes, on_oldest_and_newest};
pub(crate) use tools::tool;

use std::time::{Duration, Instant};

/// Long enough for a slow machine under load; a story that gets here has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` gives a value.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5)); // poll
    }
}
