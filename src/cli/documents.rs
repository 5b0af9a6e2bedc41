//! What is made of the command line's definition: completions for shells, and manual pages.
//!
//! Invariant: nothing in them is written by hand.

use clap::{Command, CommandFactory, ValueEnum};
use clap_complete::aot;

use super::Cli;

/// A shell that completes words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// Put where bash-completion looks, such as /etc/bash_completion.d/luster.
    Bash,
    /// Put in a folder of `$fpath`, as `_luster`.
    Zsh,
    /// Put in ~/.config/fish/completions/luster.fish.
    Fish,
}

/// The script that has this shell complete.
pub(crate) fn completions(shell: Shell) -> String {
    let all = Cli::command();
    // The generators show hidden commands, too.
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut command = Command::new("luster").args(all.get_arguments().cloned()).subcommands(shown);
    let mut script = Vec::new();
    let shell = match shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Zsh => aot::Shell::Zsh,
        Shell::Fish => aot::Shell::Fish,
    };
    aot::generate(shell, &mut command, "luster", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page of luster, or of this command; `None` if there is no such command.
pub(crate) fn manual(command: Option<&str>) -> Option<String> {
    let mut page = Cli::command();
    // Gives the commands their long names, luster-NAME.
    page.build();
    if let Some(name) = command {
        page = page.find_subcommand(name).filter(|command| !command.is_hide_set())?.clone();
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}
