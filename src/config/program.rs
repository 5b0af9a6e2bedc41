//! Judges what is said of a program that is not Node's: `interpreter`, `args`, `control.ready` and `control.stopSignal`.
//!
//! Invariant: what has a meaning for one kind of app only is told where it has none.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::config::file_kind::{is_executable, names_node};
use crate::config::find;
use crate::config::raw::ValueAt;
use crate::config::settings::ProgramSettings;
use crate::config::validator::Validator;
use crate::core::{ReadyCheck, whole};

const INTERPRETER: &str = "interpreter";
const ARGS: &str = "args";
const READY: &str = "control.ready";
const STOP_SIGNAL: &str = "control.stopSignal";
const PASS: &str = "server.pass";
const BALANCE: &str = "server.balance";

/// A program that lives for so long counts as ready where nothing else is written.
const READY_AFTER: Duration = Duration::from_secs(1);

/// The longest time a timer takes, in milliseconds.
const MAX_MILLIS: f64 = 2_147_483_647.0;

/// Whether an interpreter is named.
pub(super) fn has_interpreter(validator: &Validator<'_>) -> bool {
    !matches!(validator.at(INTERPRETER), ValueAt::Absent | ValueAt::Plain(Value::Null))
}

/// The interpreter and its own arguments, if it is there. A name without a slash is looked up in PATH by `find_program`.
pub(super) fn interpreter(
    validator: &mut Validator<'_>,
    base_dir: &Path,
    find_program: fn(&OsStr) -> Option<PathBuf>,
) -> Option<Vec<String>> {
    let expected = "a program's name or path (\"python3\"), or a list of it and its own arguments";
    let mut words = match validator.at(INTERPRETER) {
        ValueAt::Plain(Value::String(word)) => vec![word.clone()],
        _ => texts(validator, INTERPRETER, expected)?,
    };
    let Some(name) = words.first().filter(|name| !name.is_empty()).cloned() else {
        validator.fail_value(INTERPRETER, expected);
        return None;
    };
    if names_node(&name) {
        let message = format!(
            "\"{INTERPRETER}\" is \"{name}\", but Node.js apps need none: leave it out (the option --node names the Node.js to use)"
        );
        validator.fail(INTERPRETER, message);
        return None;
    }
    let found = match name.contains('/') {
        true => Some(find::resolve(base_dir, Path::new(&name))).filter(|path| is_executable(path)),
        false => find_program(OsStr::new(&name)),
    };
    let Some(found) = found.as_deref().and_then(Path::to_str) else {
        let why = match name.contains('/') {
            true => {
                "which is no executable file; check the path, which starts from the configuration's folder"
            }
            false => "which is not in PATH; install it, or write its path",
        };
        validator.fail(INTERPRETER, format!("\"{INTERPRETER}\" is \"{name}\", {why}"));
        return None;
    };
    found.clone_into(&mut words[0]);
    Some(words)
}

/// What is said of the program besides its file.
pub(super) fn program(validator: &mut Validator<'_>, interpreter: Vec<String>) -> ProgramSettings {
    let args = texts(validator, ARGS, "a list of strings, the program's arguments").unwrap_or_default();
    for (key, instead) in [
        ("control.triggerReadyStateManually", READY),
        ("control.exitTimeout", "control.killTimeout"),
        ("control.idleTimeout", "control.killTimeout"),
    ] {
        if validator.has(key) {
            let message = format!("{key} has no effect: the app is no Node.js app (see {instead})");
            validator.warn(key, &message);
        }
    }
    let pass = validator.boolean(PASS, true);
    check_balance(validator, pass);
    ProgramSettings { interpreter, args, ready: ready(validator), stop_signal: stop_signal(validator), pass }
}

/// Connections are dealt out to Node's workers only.
fn check_balance(validator: &mut Validator<'_>, pass: bool) {
    match validator.at(BALANCE) {
        ValueAt::Absent => {}
        _ if !pass => {
            let message =
                format!("{BALANCE} has no effect where {PASS} is false: each worker binds its port itself");
            validator.warn(BALANCE, &message);
        }
        ValueAt::Plain(Value::String(balance)) if balance == "round-robin" => {
            let message = format!(
                "\"{BALANCE}\" is \"round-robin\", which is for Node.js apps alone; for this one it is \"shared\" (the default) or \
                 \"reuseport\""
            );
            validator.fail(BALANCE, message);
        }
        ValueAt::Plain(_) | ValueAt::NonJsonValue(_) => {}
    }
}

/// Warns of what has a meaning only for programs that are not Node's.
pub(super) fn warn_of_no_program(validator: &mut Validator<'_>) {
    for key in [READY, STOP_SIGNAL, PASS] {
        if validator.has(key) {
            validator.warn(
                key,
                &format!("{key} has no effect: the app is a Node.js app, which says itself how it is"),
            );
        }
    }
}

fn texts(validator: &mut Validator<'_>, key: &str, expected: &str) -> Option<Vec<String>> {
    let list = match validator.at(key) {
        ValueAt::Absent | ValueAt::Plain(Value::Null) => return None,
        ValueAt::Plain(Value::Array(list)) => list,
        ValueAt::Plain(_) | ValueAt::NonJsonValue(_) => {
            validator.fail_type(key, expected);
            return None;
        }
    };
    let words: Option<Vec<String>> = list.iter().map(|word| word.as_str().map(str::to_owned)).collect();
    let words = words.filter(|words| words.iter().all(|word| !word.contains('\0')));
    if words.is_none() {
        validator.fail_value(key, expected);
    }
    words
}

/// When one that runs is ready.
fn ready(validator: &mut Validator<'_>) -> ReadyCheck {
    let expected = "{ \"after\": 1000 } (milliseconds) or \"notify\"";
    let default = ReadyCheck::After(READY_AFTER);
    match validator.at(READY) {
        ValueAt::Absent => default,
        ValueAt::Plain(Value::String(word)) if word == "after" => default,
        ValueAt::Plain(Value::String(word)) if word == "notify" => ReadyCheck::Notify,
        ValueAt::Plain(Value::Object(members)) => {
            let millis = members.get("after").filter(|_| members.len() == 1).and_then(Value::as_f64);
            let millis = millis.filter(|millis| (0.0..=MAX_MILLIS).contains(millis));
            let Some(millis) = millis.and_then(|millis| whole(millis.ceil())) else {
                validator.fail_value(READY, expected);
                return default;
            };
            ReadyCheck::After(Duration::from_millis(millis.into()))
        }
        ValueAt::Plain(Value::String(_)) => {
            validator.fail_value(READY, expected);
            default
        }
        ValueAt::Plain(_) | ValueAt::NonJsonValue(_) => {
            validator.fail_type(READY, expected);
            default
        }
    }
}

/// The number of the signal that asks a program to end.
fn stop_signal(validator: &mut Validator<'_>) -> i32 {
    let expected = "a signal's name or number, such as \"SIGTERM\" or \"SIGQUIT\"";
    let number = match validator.at(STOP_SIGNAL) {
        ValueAt::Absent => return libc::SIGTERM,
        ValueAt::Plain(Value::String(name)) => signal_number(name),
        ValueAt::Plain(Value::Number(number)) => {
            number.as_i64().and_then(|number| i32::try_from(number).ok())
        }
        ValueAt::Plain(_) | ValueAt::NonJsonValue(_) => {
            validator.fail_type(STOP_SIGNAL, expected);
            return libc::SIGTERM;
        }
    };
    let ends = |number: &i32| {
        let stops =
            [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU, libc::SIGCONT, libc::SIGCHLD];
        (1..=libc::SIGRTMAX()).contains(number) && !stops.contains(number)
    };
    number.filter(ends).unwrap_or_else(|| {
        validator.fail_value(STOP_SIGNAL, expected);
        libc::SIGTERM
    })
}

/// `SIGTERM`, `TERM`, `SIGRTMIN+3`, `15`.
fn signal_number(name: &str) -> Option<i32> {
    let name = name.trim().to_ascii_uppercase();
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        let offset = if offset.is_empty() { 0 } else { offset.strip_prefix('+')?.parse::<u8>().ok()? };
        return Some(libc::SIGRTMIN() + i32::from(offset));
    }
    format!("SIG{name}").parse::<Signal>().ok().map(|signal| signal as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for (name, number) in [
            ("SIGTERM", Some(15)),
            ("quit", Some(3)),
            ("INT", Some(2)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(libc::SIGRTMIN() + 3)),
            ("SIGFOO", None),
            ("", None),
        ] {
            assert_eq!(signal_number(name), number, "{name}");
        }
    }
}
