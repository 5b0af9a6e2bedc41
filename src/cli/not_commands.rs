//! Words that people type as commands because other supervisors have them, and what luster has instead.
//!
//! Invariant: it is asked only of words that name no configuration.

use std::ffi::OsStr;

use clap::{Command, CommandFactory};

use super::Cli;

/// Words for what luster does under another name, and that name.
const OTHER_NAMES: [(&[&str], &str); 8] = [
    (&["configtest", "lint", "test", "validate", "verify"], "luster check"),
    (&["ver", "version"], "luster --version"),
    (&["config"], "luster --print-config"),
    (&["gracefulReload", "softRestart", "rollout", "deploy"], "luster reload"),
    (&["shutdown", "quit", "kill", "delete"], "luster stop"),
    (&["ls"], "luster list"),
    (&["ps", "info", "describe", "show", "monit", "top"], "luster status"),
    (&["tail"], "luster events"),
];

/// Words for what is done in another way.
const OTHER_WAYS: [(&[&str], &str); 4] = [
    (&["run", "serve", "up"], "to start it, name the configuration alone: luster luster.conf.json"),
    (
        &["logs", "log"],
        "it logs to stderr: look where that goes, such as journalctl -u luster; luster events shows what happens from now on",
    ),
    (&["reopen", "reloadLogs", "flush"], "send SIGUSR1 to luster's pid to have log files reopened"),
    (
        &["startup", "save", "resurrect", "install", "daemon"],
        "a systemd unit starts it at boot: luster unit prints one",
    ),
];

/// The most letters in which a mistyped command of six letters or more may differ; a shorter one only in one.
const TYPING_MISTAKE: usize = 2;

/// What to say to somebody who typed this as a command; nothing if it does not look like one.
pub(crate) fn advice(word: &OsStr) -> Option<String> {
    let word = word.to_str()?;
    let other_name =
        OTHER_NAMES.iter().find(|(names, _)| names.contains(&word)).map(|(_, name)| (*name).to_owned());
    let advice = match other_name.or_else(|| mistyped(word).map(|command| format!("luster {command}"))) {
        Some(command) => format!("did you mean `{command}`?"),
        None => {
            OTHER_WAYS.iter().find(|(names, _)| names.contains(&word)).map(|(_, way)| (*way).to_owned())?
        }
    };
    Some(format!("there is no command `{word}`, and no configuration of that name; {advice}"))
}

/// The command that was likely meant.
fn mistyped(word: &str) -> Option<String> {
    let most = |command: &str| if command.len() < 6 { 1 } else { TYPING_MISTAKE };
    if word.len() <= 3 || !word.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return None;
    }
    let distance = |command: &&str| strsim::osa_distance(word, command);
    let cli = Cli::command();
    let commands = cli.get_subcommands().filter(|command| !command.is_hide_set()).map(Command::get_name);
    commands.filter(|command| distance(command) <= most(command)).min_by_key(distance).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_commands_elsewhere_get_advice_and_names_do_not() {
        for (word, part) in [
            ("softRestart", "did you mean `luster reload`?"),
            ("shutdown", "did you mean `luster stop`?"),
            ("ls", "did you mean `luster list`?"),
            ("run", "luster luster.conf.json"),
            ("lsit", "did you mean `luster list`?"),
            ("statsu", "did you mean `luster status`?"),
            ("restrat", "did you mean `luster restart`?"),
            ("version", "did you mean `luster --version`?"),
            ("chek", "did you mean `luster check`?"),
            ("chekc", "did you mean `luster check`?"),
            ("validate", "did you mean `luster check`?"),
        ] {
            let advice = advice(word.as_ref()).expect("advice");
            assert!(advice.contains(part) && advice.contains(&format!("`{word}`")), "{advice}");
        }
        for word in [
            "production",
            "luster.conf",
            "./reload",
            "conf/stop",
            "app",
            "web",
            "chat",
            "list.js",
            "site",
            "prod",
            "stage",
        ] {
            assert_eq!(advice(word.as_ref()), None, "{word}");
        }
    }
}
