//! Words that people type as commands because other supervisors have them, and what luster has instead.
//!
//! Invariant: it is asked only of words that name no configuration.

use std::ffi::OsStr;

/// Words for what luster does under another name, and that name.
const OTHER_NAMES: [(&str, &str); 8] = [
    ("configtest", "luster check"),
    ("lint", "luster check"),
    ("test", "luster check"),
    ("validate", "luster check"),
    ("verify", "luster check"),
    ("ver", "luster --version"),
    ("version", "luster --version"),
    ("config", "luster --print-config"),
];

/// Words for what is done in another way.
const OTHER_WAYS: [(&[&str], &str); 7] = [
    (
        &["reload", "restart", "gracefulReload", "softRestart"],
        "send SIGHUP to luster's pid to replace the workers one by one (the first line of its log names the pid)",
    ),
    (
        &["stop", "shutdown", "quit", "kill", "delete"],
        "send SIGTERM to luster's pid (the first line of its log names it)",
    ),
    (&["start", "run", "serve", "up"], "to start it, name the configuration alone: luster luster.conf.json"),
    (
        &["list", "ls", "status", "ps", "info", "describe", "show", "monit", "top"],
        "its workers are the child processes of luster's pid (pstree -p PID), and its log tells what they do",
    ),
    (&["logs", "log"], "it logs to stderr: look where that goes, such as journalctl -u luster"),
    (&["reopen", "reloadLogs", "flush"], "send SIGUSR1 to luster's pid to have log files reopened"),
    (
        &["startup", "save", "resurrect", "install", "daemon"],
        "a systemd unit starts it at boot, see the README",
    ),
];

/// The most letters in which a mistyped `check` may differ.
const TYPING_MISTAKE: usize = 2;

/// What to say to somebody who typed this as a command; nothing if it does not look like one.
pub(crate) fn advice(word: &OsStr) -> Option<String> {
    let word = word.to_str()?;
    let other_name = OTHER_NAMES.iter().find(|(name, _)| *name == word).map(|(_, command)| *command);
    let is_check = word.len() > TYPING_MISTAKE + 1 && strsim::osa_distance(word, "check") <= TYPING_MISTAKE;
    let advice = match other_name.or(is_check.then_some("luster check")) {
        Some(command) => format!("did you mean `{command}`?"),
        None => {
            OTHER_WAYS.iter().find(|(names, _)| names.contains(&word)).map(|(_, way)| (*way).to_owned())?
        }
    };
    Some(format!("there is no command `{word}`, and no configuration of that name; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_commands_elsewhere_get_advice_and_names_do_not() {
        for (word, part) in [
            ("reload", "SIGHUP"),
            ("stop", "SIGTERM"),
            ("list", "pstree"),
            ("start", "luster luster.conf.json"),
            ("version", "did you mean `luster --version`?"),
            ("chek", "did you mean `luster check`?"),
            ("chekc", "did you mean `luster check`?"),
            ("validate", "did you mean `luster check`?"),
        ] {
            let advice = advice(word.as_ref()).expect("advice");
            assert!(advice.contains(part) && advice.contains(&format!("`{word}`")), "{advice}");
        }
        for word in ["production", "luster.conf", "./reload", "conf/stop", "app", "web", "chat"] {
            assert_eq!(advice(word.as_ref()), None, "{word}");
        }
    }
}
