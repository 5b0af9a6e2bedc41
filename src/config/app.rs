//! Judges `app`: the worker's main module has to be there, and to be something Node runs, or a program.
//!
//! Invariant: a file that is there is never called missing; what people probably meant is looked for only then.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::config::error::in_words;
use crate::config::file_kind::{self, FileKind, RUNNABLE};
use crate::config::find::{self, NotFound};
use crate::config::program;
use crate::config::request::FindProgram;
use crate::config::settings::ProgramSettings;
use crate::config::validator::Validator;

const KEY: &str = "app";

/// The most files of a folder that are compared with a missing one's name.
const LOOKED_AT: usize = 1000;

/// The app's file, if it is there, and how it is run if not by Node.
pub(super) fn app(
    validator: &mut Validator<'_>,
    base_dir: &Path,
    find_app: &mut dyn FnMut(&Path) -> Option<PathBuf>,
    find_program: FindProgram,
) -> (PathBuf, Option<ProgramSettings>) {
    let has_interpreter = program::has_interpreter(validator);
    let interpreter =
        if has_interpreter { program::interpreter(validator, base_dir, find_program) } else { None };
    let (app, runs) = match has_interpreter {
        true => (interpreted(validator, base_dir), RunBy::Itself),
        false => executed(validator, base_dir, find_app, find_program),
    };
    match runs {
        RunBy::Itself => (app, Some(program::program(validator, interpreter.unwrap_or_default()))),
        RunBy::Node => {
            program::warn_of_no_program(validator);
            (app, None)
        }
    }
}

/// Who runs an app without an interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunBy {
    Node,
    Itself,
}

/// What was written, unless that is wrong.
fn written<'a>(validator: &mut Validator<'a>, expected: &str) -> Option<&'a str> {
    if !validator.has(KEY) {
        let example = "it names the worker's main module, as in \"app\": \"worker.js\"";
        validator.fail(KEY, format!("\"app\" is missing: {example}"));
        return None;
    }
    let app = validator.text(KEY, expected)?;
    if app.is_empty() || app.contains('\0') {
        validator.fail_value(KEY, expected);
        return None;
    }
    Some(app)
}

/// An app that an interpreter runs: a file, or a folder that it makes sense of.
fn interpreted(validator: &mut Validator<'_>, base_dir: &Path) -> PathBuf {
    let Some(app) = written(validator, "the path of what the interpreter runs") else {
        return PathBuf::new();
    };
    let wanted = find::resolve(base_dir, Path::new(app));
    if let Err(error) = std::fs::metadata(&wanted) {
        let message = format!("\"app\": {} cannot be read: {}", wanted.display(), in_words(&error));
        validator.fail(KEY, message);
    }
    wanted
}

/// An app that Node runs, or that is executed.
fn executed(
    validator: &mut Validator<'_>,
    base_dir: &Path,
    find_app: &mut dyn FnMut(&Path) -> Option<PathBuf>,
    find_program: FindProgram,
) -> (PathBuf, RunBy) {
    let none = (PathBuf::new(), RunBy::Node);
    let Some(app) = written(validator, "the path of the worker's main module") else { return none };
    let wanted = find::resolve(base_dir, Path::new(app));
    match find::find(&wanted, find::APP_EXTENSIONS) {
        Ok(app) => match file_kind::kind_of(&app) {
            FileKind::Node => return (app, RunBy::Node),
            FileKind::Executable => return (app, RunBy::Itself),
            FileKind::Refused(why) => {
                let message = format!("\"app\" is {}, {why}", validator.shown(KEY));
                validator.fail(KEY, message);
            }
        },
        Err(NotFound::Missing(tried)) => {
            if let Some(app) = find_app(&wanted) {
                return (app, RunBy::Node);
            }
            if !app.contains('/')
                && let Some(app) = find_program(OsStr::new(app))
            {
                return (app, RunBy::Itself);
            }
            let message = missing(&validator.shown(KEY), &wanted, &tried);
            validator.fail(KEY, message);
        }
        Err(NotFound::Denied(path, error)) => {
            validator.fail(KEY, format!("\"app\": {} cannot be read: {}", path.display(), in_words(&error)));
        }
    }
    none
}

/// What is said of an app that is not there.
fn missing(shown: &str, wanted: &Path, tried: &[PathBuf]) -> String {
    let tried: String = tried.iter().map(|path| format!("\n  {}", path.display())).collect();
    let what = match wanted.is_dir() {
        true => {
            "which is a folder without an index.js or a package.json that names its main module".to_owned()
        }
        false => match meant(wanted) {
            Some(meant) => format!("but there is no such file; did you mean {meant}?"),
            None => "but there is no such file".to_owned(),
        },
    };
    format!("\"app\" is {shown}, {what}\n  looked for{tried}")
}

/// The name of a file beside it that was probably meant: the same with another extension, or a typing mistake away.
fn meant(wanted: &Path) -> Option<String> {
    let (stem, name) = (wanted.file_stem()?.to_str()?, wanted.file_name()?.to_str()?);
    let entries = wanted.parent()?.read_dir().ok()?.take(LOOKED_AT).filter_map(Result::ok);
    let runnable = |name: &str| extension(Path::new(name)).is_some_and(|found| RUNNABLE.contains(&found));
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| runnable(name));
    // In an order that does not depend on the file system.
    names.sort();
    let same_stem = |found: &&String| Path::new(found).file_stem().is_some_and(|found| found == stem);
    let distance = |found: &String| {
        let found = if name.contains('.') {
            found
        } else {
            found.rsplit_once('.').map_or(found.as_str(), |(stem, _)| stem)
        };
        strsim::osa_distance(found, name)
    };
    let near = || {
        names
            .iter()
            .filter(|found| distance(found) <= name.len().min(8) / 4)
            .min_by_key(|found| distance(found))
    };
    names.iter().find(same_stem).or_else(near).cloned()
}

fn extension(path: &Path) -> Option<&str> {
    path.extension().and_then(|extension| extension.to_str())
}
