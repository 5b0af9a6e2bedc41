//! What each command does: from the arguments to a running fleet, or to words on stdout.
//!
//! `serve` runs the workers of a configuration `check` checks one and `unit` prints a systemd unit for one, each once it is `found`; `client` is all
//! commands for a luster that runs; the commands for luster's own JavaScript are `attach` (the
//! supervisor of a custom master), `validate` (what a configuration means) and `link` (hands a channel on).
//!
//! Invariant: nothing is started before the configuration, Node and the app have been found.

mod apps;
mod attach;
mod builtin_extensions;
mod check;
mod client;
mod evaluator;
mod extensions;
mod found;
mod generation;
mod init;
mod link;
mod node_program;
mod npm_launcher;
mod reread;
mod run_spec;
mod serve;
mod several;
#[cfg(test)]
mod tests;
mod unit;
mod unit_facts;
mod unit_sandbox;
mod unit_times;
mod validate;

use crate::cli::{self, Cli, Command};
use crate::exit::Exit;

/// Runs the command.
pub(crate) fn run(cli: &Cli) -> Exit {
    match &cli.command {
        None => serve::run(&cli.run),
        Some(Command::Check(check)) => check::run(check),
        Some(Command::Init) => init::run(),
        Some(Command::Completions { shell }) => cli::print(&cli::completions(*shell)),
        Some(Command::Man { command }) => man(command.as_deref()),
        Some(Command::Unit(unit)) => unit::run(unit),
        Some(Command::Status(status)) => client::status(status),
        Some(Command::Events(look)) => client::events(look),
        Some(Command::List(list)) => client::list(list),
        Some(Command::Reload(reload)) => client::reload(reload),
        Some(Command::Scale(scale)) => client::scale(scale),
        Some(Command::Restart(workers)) => client::restart(workers),
        Some(Command::Stop(workers)) => client::stop(workers),
        Some(Command::Start(workers)) => client::start(workers),
        Some(Command::Revive(workers)) => client::revive(workers),
        Some(Command::Attach) => attach::run(),
        Some(Command::Validate) => validate::run(),
        Some(Command::Link) => link::run(),
    }
}

fn man(command: Option<&str>) -> Exit {
    match cli::manual(command) {
        Some(page) => cli::print(&page),
        None => {
            let name = command.unwrap_or_default();
            cli::complain(&format!("luster: there is no command {name:?}; luster --help lists them"));
            Exit::Usage
        }
    }
}
