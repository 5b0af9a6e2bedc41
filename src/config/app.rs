//! Judges `app`: the worker's main module has to be there, and to be something Node runs.
//!
//! Invariant: a file that is there is never called missing; what people probably meant is looked for only then.

use std::path::{Path, PathBuf};

use crate::config::error::in_words;
use crate::config::find::{self, NotFound};
use crate::config::validator::Validator;

const KEY: &str = "app";

/// Extensions of programs in other languages, which Node would read as JavaScript or refuse.
const FOREIGN: [&str; 12] = ["py", "rb", "php", "sh", "bash", "pl", "lua", "go", "rs", "java", "jar", "exe"];

/// Extensions of what Node, or something that is loaded into it, runs.
const RUNNABLE: [&str; 8] = ["js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx"];

/// The most files of a folder that are compared with a missing one's name.
const LOOKED_AT: usize = 1000;

/// The main module's file, if it is there.
pub(super) fn app(
    validator: &mut Validator<'_>,
    base_dir: &Path,
    find_app: &mut dyn FnMut(&Path) -> Option<PathBuf>,
) -> PathBuf {
    if !validator.has(KEY) {
        let example = "it names the worker's main module, as in \"app\": \"worker.js\"";
        validator.fail(KEY, format!("\"app\" is missing: {example}"));
        return PathBuf::new();
    }
    let expected = "the path of the worker's main module";
    let Some(app) = validator.text(KEY, expected) else { return PathBuf::new() };
    if app.is_empty() || app.contains('\0') {
        validator.fail_value(KEY, expected);
        return PathBuf::new();
    }
    let wanted = find::resolve(base_dir, Path::new(app));
    match find::find(&wanted, find::APP_EXTENSIONS) {
        Ok(app) => match extension(&app).filter(|extension| FOREIGN.contains(extension)) {
            None => return app,
            Some(extension) => {
                let message = format!("\"app\" is a .{extension} file, but luster runs Node.js modules");
                validator.fail(KEY, message);
            }
        },
        Err(NotFound::Missing(tried)) => {
            if let Some(app) = find_app(&wanted) {
                return app;
            }
            let message = missing(&validator.shown(KEY), &wanted, &tried);
            validator.fail(KEY, message);
        }
        Err(NotFound::Denied(path, error)) => {
            validator.fail(KEY, format!("\"app\": {} cannot be read: {}", path.display(), in_words(&error)));
        }
    }
    PathBuf::new()
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
