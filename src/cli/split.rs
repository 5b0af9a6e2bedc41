//! Cuts the command line at CONFIG: what stands before it is luster's, what stands behind it is for the configuration
//! and the app, whatever it looks like. Commands that take no such words have everything.
//!
//! Invariant: no word is lost or changed; only the command's name moves, to the front.

use std::ffi::{OsStr, OsString};

use clap::Command;

/// Commands with a CONFIG that is read, behind which are words for it.
const TAKE_WORDS: &[&str] = &["check", "unit"];

/// A command line in two parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The program, the command if there is one, luster's options, CONFIG.
    pub(super) ours: Vec<OsString>,
    /// What follows CONFIG.
    pub(super) theirs: Vec<OsString>,
}

/// Cuts these arguments, of which the first is the program.
pub(super) fn cut(arguments: impl IntoIterator<Item = OsString>, command: &Command) -> Cut {
    let mut arguments = arguments.into_iter();
    let mut ours: Vec<OsString> = arguments.by_ref().take(1).collect();
    let mut has_command = false;
    while let Some(word) = arguments.next() {
        if word == "--" {
            ours.push(word);
            ours.extend(arguments.by_ref().take(1));
            break;
        } else if word.as_encoded_bytes().starts_with(b"-") && word != "-" {
            let takes_value = takes_value(&word, command);
            ours.push(word);
            ours.extend(arguments.by_ref().take(usize::from(takes_value)));
        } else if !has_command && is_command(&word, command) {
            has_command = true;
            let takes_words = TAKE_WORDS.iter().any(|name| word == *name);
            // Options may stand before it.
            ours.insert(1, word);
            if !takes_words {
                ours.extend(arguments.by_ref());
            }
        } else {
            ours.push(word);
            break;
        }
    }
    Cut { ours, theirs: arguments.collect() }
}

/// Whether this word is one of luster's own options, with or without a value.
pub(super) fn is_own_option(word: &OsStr, command: &Command) -> bool {
    let Some(name) = word.to_str().and_then(|word| word.strip_prefix("--")) else { return false };
    let name = name.split('=').next().unwrap_or(name);
    options(command).any(|option| option.get_long() == Some(name))
}

/// Whether the next word is this option's value.
fn takes_value(word: &OsStr, command: &Command) -> bool {
    let Some(name) = word.to_str().and_then(|word| word.strip_prefix("--")) else { return false };
    options(command).any(|option| option.get_long() == Some(name) && option.get_action().takes_values())
}

fn options(command: &Command) -> impl Iterator<Item = &clap::Arg> {
    let of_commands = command.get_subcommands().flat_map(Command::get_arguments);
    command.get_arguments().chain(of_commands)
}

fn is_command(word: &OsStr, command: &Command) -> bool {
    word == "help" || command.get_subcommands().any(|command| word == command.get_name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn cut_text(line: &str) -> (String, String) {
        let command = crate::cli::Cli::command();
        let Cut { ours, theirs } = cut(line.split(' ').map(OsString::from), &command);
        let text = |words: Vec<OsString>| words.join(OsStr::new(" ")).into_string().expect("UTF-8");
        (text(ours), text(theirs))
    }

    #[test]
    fn everything_behind_the_configuration_is_theirs() {
        for (line, ours, theirs) in [
            ("luster", "luster", ""),
            ("luster c.js", "luster c.js", ""),
            ("luster c.js a --b", "luster c.js", "a --b"),
            ("luster c.js --quiet -- check", "luster c.js", "--quiet -- check"),
            ("luster -q --node x c.js --node y", "luster -q --node x c.js", "--node y"),
            ("luster --node=x c.js y", "luster --node=x c.js", "y"),
            ("luster --node-arg --inspect c.js y", "luster --node-arg --inspect c.js", "y"),
            ("luster -- --c.js -q", "luster -- --c.js", "-q"),
            ("luster a b", "luster a", "b"),
            ("luster - b", "luster -", "b"),
            ("luster --log-format", "luster --log-format", ""),
        ] {
            assert_eq!(cut_text(line), (ours.to_owned(), theirs.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_command_may_stand_behind_options() {
        for (line, ours, theirs) in [
            ("luster check c.js a", "luster check c.js", "a"),
            ("luster --log-format json check c.js", "luster check --log-format json c.js", ""),
            ("luster -q check check check", "luster check -q check", "check"),
            ("luster c.js check", "luster c.js", "check"),
            ("luster --strict check", "luster check --strict", ""),
            ("luster status c.js --json", "luster status c.js --json", ""),
            ("luster --socket x --json stop 1 -- 2", "luster stop --socket x --json 1 -- 2", ""),
            ("luster scale -1 c.js", "luster scale -1 c.js", ""),
            ("luster ./status --json", "luster ./status", "--json"),
        ] {
            assert_eq!(cut_text(line), (ours.to_owned(), theirs.to_owned()), "{line}");
        }
    }
}
