//! luster keeps Node.js workers alive and restarts them one by one without dropping a request.
//!
//! The rooms, and what each owns, are described in `ARCHITECTURE.md`.

mod cli;
mod command;
mod exit;
mod logging;

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
    // First of all, before anything opens a descriptor or starts a thread.
    if let Err(error) = process::take_over() {
        cli::complain(&format!("luster: {error}"));
        return Exit::Internal;
    }
    match cli::parse() {
        Ok(cli) => command::run(&cli),
        Err(exit) => exit,
    }
}
