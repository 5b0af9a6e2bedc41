//! The options of the extensions whose work luster can do itself: `luster-log-file` and `luster-guard`.
//!
//! Invariants: they have the names, types and defaults of the modules; what is wrong with them is kept until it is known
//! that the work is luster's, because an installed module may be another one with other options.
//!
//! Sources: the READMEs of luster-log-file 0.2 and luster-guard 0.6.

use std::mem;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::config::find;
use crate::config::keys::is_near;
use crate::config::problem::Problem;
use crate::config::raw::ValueAt;
use crate::config::validator::Validator;

const LOG_FILE: &str = "extensions.luster-log-file";
const GUARD: &str = "extensions.luster-guard";

/// All options there are; `extendConsole` is done in workers.
const LOG_FILE_OPTIONS: &[&str] = &["stdout", "stderr", "extendConsole"];
const GUARD_OPTIONS: &[&str] = &["patterns", "debounce", "silent", "softRestart"];

/// What the configuration says of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuiltinOptions {
    /// `extensions.luster-log-file`, if there is one.
    pub log_file: Option<Validated<LogFile>>,
    /// `extensions.luster-guard`, if there is one.
    pub guard: Option<Validated<Guard>>,
}

/// Options, or everything that is wrong with them.
pub type Validated<T> = Result<T, Vec<Problem>>;

/// Where output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// What is printed on stdout (`stdout`).
    pub stdout: LogTarget,
    /// What is printed on stderr (`stderr`).
    pub stderr: LogTarget,
    /// Warnings of options it does not have.
    pub unknown: Vec<Problem>,
}

/// Where the output of one stream goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// To the end of this file, absolute; missing folders are made.
    File(PathBuf),
    /// To luster's own stream.
    Own,
    /// Nowhere, for workers; luster's own is left alone.
    Nothing,
}

/// What is watched, and what is done when it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Globs of files, from the working directory; those that start with `!` exclude (`patterns`).
    pub patterns: Vec<String>,
    /// How long nothing may have changed (`debounce`).
    pub debounce: Duration,
    /// Whether changes are told (`silent`).
    pub telling: Telling,
    /// How the workers are restarted (`softRestart`).
    pub restart: GuardRestart,
    /// Warnings of options it does not have.
    pub unknown: Vec<Problem>,
}

/// Whether changes are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// Each.
    Aloud,
    /// None.
    Silent,
}

/// How the workers are restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardRestart {
    /// One by one.
    Soft,
    /// All at once.
    Hard,
}

/// Judges the options; the validator keeps nothing of what is wrong with them.
pub(super) fn builtins(validator: &mut Validator<'_>, base_dir: &Path) -> BuiltinOptions {
    BuiltinOptions {
        log_file: validated(validator, LOG_FILE, |validator, key| LogFile {
            stdout: log_target(validator, &format!("{key}.stdout"), base_dir),
            stderr: log_target(validator, &format!("{key}.stderr"), base_dir),
            unknown: unknown(validator, key, LOG_FILE_OPTIONS),
        }),
        guard: validated(validator, GUARD, |validator, key| Guard {
            patterns: patterns(validator, &format!("{key}.patterns")),
            debounce: debounce(validator, &format!("{key}.debounce")),
            telling: match validator.flag(&format!("{key}.silent"), false) {
                true => Telling::Silent,
                false => Telling::Aloud,
            },
            restart: match validator.flag(&format!("{key}.softRestart"), true) {
                true => GuardRestart::Soft,
                false => GuardRestart::Hard,
            },
            unknown: unknown(validator, key, GUARD_OPTIONS),
        }),
    }
}

fn validated<T>(
    validator: &mut Validator<'_>,
    key: &str,
    options: impl FnOnce(&mut Validator<'_>, &str) -> T,
) -> Option<Validated<T>> {
    if !validator.has(key) {
        return None;
    }
    let others = mem::take(&mut validator.problems);
    // `null` is no options, as for every extension.
    if !matches!(validator.at(key), ValueAt::Plain(Value::Object(_) | Value::Null)) {
        validator.fail_type(key, "an object");
    }
    let options = options(validator, key);
    let problems = mem::replace(&mut validator.problems, others);
    Some(if problems.is_empty() { Ok(options) } else { Err(problems) })
}

/// Warns of options that are not there, which do nothing.
fn unknown(validator: &Validator<'_>, key: &str, options: &[&str]) -> Vec<Problem> {
    let ValueAt::Plain(Value::Object(raw)) = validator.at(key) else { return Vec::new() };
    let unknown = raw.keys().filter(|name| !options.contains(&name.as_str()));
    let warning = |name: &String| {
        let near = options.iter().find(|option| !raw.contains_key(**option) && is_near(name, option));
        let hint = match (near, name.as_str()) {
            (Some(option), _) => format!("did you mean \"{option}\"?"),
            // As older versions of luster-guard, and JS luster's README, have them.
            (None, "include" | "exclude") if key == GUARD => {
                "name files by \"patterns\", such as [\"**/*.js\", \"!**/node_modules/**\"]".to_owned()
            }
            (None, _) => format!("its options are {}", options.join(", ")),
        };
        let path = format!("{key}.{name}");
        validator.problem_of_key(&path, format!("unknown option \"{path}\" has no effect; {hint}"))
    };
    unknown.map(warning).collect()
}

fn log_target(validator: &mut Validator<'_>, key: &str, base_dir: &Path) -> LogTarget {
    match validator.at(key) {
        ValueAt::Absent | ValueAt::Plain(Value::Null | Value::Bool(false)) => LogTarget::Nothing,
        ValueAt::Plain(Value::Bool(true)) => LogTarget::Own,
        ValueAt::Plain(Value::String(path)) if path.is_empty() => LogTarget::Nothing,
        ValueAt::Plain(Value::String(path)) if path.contains('\0') => {
            validator.fail_value(key, "the path of a file");
            LogTarget::Nothing
        }
        ValueAt::Plain(Value::String(path)) => LogTarget::File(find::resolve(base_dir, Path::new(path))),
        ValueAt::Plain(Value::Number(_) | Value::Array(_) | Value::Object(_)) | ValueAt::NonJsonValue(_) => {
            validator.fail_type(key, "a string or a boolean");
            LogTarget::Nothing
        }
    }
}

/// One glob, or a list of them.
fn patterns(validator: &mut Validator<'_>, key: &str) -> Vec<String> {
    let all = || vec!["**/*".to_owned()];
    match validator.at(key) {
        ValueAt::Absent => return all(),
        ValueAt::Plain(Value::String(pattern)) if !pattern.is_empty() => return vec![pattern.clone()],
        ValueAt::Plain(Value::Array(list)) => {
            let words = list.iter().map(|item| item.as_str().filter(|word| !word.is_empty()));
            if let Some(words) = words.collect::<Option<Vec<_>>>().filter(|words| !words.is_empty()) {
                return words.into_iter().map(str::to_owned).collect();
            }
            validator.fail_value(key, "a list of globs");
        }
        ValueAt::Plain(_) | ValueAt::NonJsonValue(_) => validator.fail_type(key, "a string or an array"),
    }
    all()
}

fn debounce(validator: &mut Validator<'_>, key: &str) -> Duration {
    match validator.at(key) {
        ValueAt::Absent => Duration::from_millis(300),
        ValueAt::Plain(_) | ValueAt::NonJsonValue(_) => validator.timeout(key, None).unwrap_or_default(),
    }
}
