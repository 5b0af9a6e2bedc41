//! luster keeps Node.js workers alive and restarts them one by one without dropping a request.
//!
//! The rooms, and what each owns, are described in `ARCHITECTURE.md`.

mod exit;

pub mod cluster;
pub mod config;
pub mod driver;
pub mod preload;
pub mod process;
pub mod supervisor;

pub use exit::Exit;

/// Runs the `luster` command with this process's arguments, to its end.
#[must_use]
pub fn run() -> Exit {
    Exit::Stopped
}
