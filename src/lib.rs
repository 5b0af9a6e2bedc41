//! luster keeps Node.js workers alive and restarts them one by one without dropping a request.
//!
//! The rooms, and what each owns, are described in `ARCHITECTURE.md`.

mod cli;
mod client;
mod command;
mod exit;
mod logging;

pub mod config;
pub mod control;
pub mod core;
pub mod driver;
pub mod listen;
pub mod node;
pub mod output;
pub mod process;
pub mod program;
pub mod systemd;
pub mod watch;

use std::panic::catch_unwind;

pub use exit::Exit;

/// Runs the `luster` command with this process's arguments, to its end.
#[must_use]
pub fn run() -> Exit {
    // First of all, before anything opens a descriptor or starts a thread.
    if let Err(error) = process::sanitize_inherited() {
        cli::complain(&format!("luster: {error}"));
        return Exit::Internal;
    }
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    // A panic is a bug; it has been told by now. The kernel ends the workers with us.
    let exit = catch_unwind(|| command::run(&cli)).unwrap_or(Exit::Internal);
    logging::finish();
    exit
}
