//! Finds files the way Node's `require` does: the exact file, then with an extension, then as a directory.
//!
//! Invariant: paths are made absolute by their text alone; symbolic links are left for Node to follow.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use serde_json::Value;

use crate::config::literal::Flavour;

/// Extensions tried for a configuration file; Node's own first.
pub(super) const CONFIG_EXTENSIONS: &[&str] = &["js", "json", "cjs", "mjs", "json5"];

/// Extensions tried for the app, as Node does for a main module.
pub(super) const APP_EXTENSIONS: &[&str] = &["js", "json", "node"];

/// Why no file was found.
#[derive(Debug)]
pub(super) enum NotFound {
    /// None of these exists.
    Missing(Vec<PathBuf>),
    /// The way there is barred, or leads round in a circle.
    Denied(PathBuf, io::Error),
}

/// `path` from `base`, with `.` and `..` taken out, as Node's `path.resolve`.
#[must_use]
pub fn resolve(base: &Path, path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                resolved.pop();
            }
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => resolved.push(part),
        }
    }
    resolved
}

/// The file that `require(path)` would load, were these its extensions.
pub(super) fn find(path: &Path, extensions: &[&str]) -> Result<PathBuf, NotFound> {
    let mut search = Search { extensions, tried: Vec::new(), circle: None };
    match (search.module(path), search.circle) {
        (Ok(Some(found)), _) => Ok(found),
        (Ok(None), None) => Err(NotFound::Missing(search.tried)),
        (Ok(None), Some((path, error))) | (Err((path, error)), _) => Err(NotFound::Denied(path, error)),
    }
}

/// The file that is run where `app` says this, in a configuration in `folder`; `None` if there is none.
#[must_use]
pub fn find_app(folder: &Path, app: &str) -> Option<PathBuf> {
    find(&resolve(folder, Path::new(app)), APP_EXTENSIONS).ok()
}

/// How Node loads this file: by its extension, or for `.js` by the nearest `package.json`.
pub(super) fn flavour(file: &Path) -> Flavour {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("mjs") => Flavour::EsModule,
        Some("js") => {
            // Node looks from where the file really is.
            let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
            let nearest = real.ancestors().skip(1).find_map(package);
            match nearest.as_ref().and_then(|package| package.get("type")).and_then(Value::as_str) {
                Some("module") => Flavour::EsModule,
                _ => Flavour::CommonJs,
            }
        }
        // Node's require treats every extension it does not know as CommonJS.
        _ => Flavour::CommonJs,
    }
}

struct Search<'a> {
    extensions: &'a [&'a str],
    tried: Vec<PathBuf>,
    /// The first symbolic link that leads to itself. Node's `require` looks further, too.
    circle: Option<(PathBuf, io::Error)>,
}

type SearchOutcome = Result<Option<PathBuf>, (PathBuf, io::Error)>;

impl Search<'_> {
    fn module(&mut self, path: &Path) -> SearchOutcome {
        if let Some(found) = self.file_or_extended(path)? {
            return Ok(Some(found));
        }
        if !path.is_dir() {
            return Ok(None);
        }
        let main = package(path).and_then(|package| Some(package.get("main")?.as_str()?.to_owned()));
        if let Some(main) = main.filter(|main| !main.is_empty()) {
            let main = resolve(path, Path::new(&main));
            if let Some(found) = self.file_or_extended(&main)? {
                return Ok(Some(found));
            }
            if let Some(found) = self.extended(&main.join("index"))? {
                return Ok(Some(found));
            }
        }
        self.extended(&path.join("index"))
    }

    fn file_or_extended(&mut self, path: &Path) -> SearchOutcome {
        match self.file(path)? {
            Some(found) => Ok(Some(found)),
            None => self.extended(path),
        }
    }

    fn extended(&mut self, path: &Path) -> SearchOutcome {
        for extension in self.extensions {
            let mut name = OsString::from(path);
            name.push(".");
            name.push(extension);
            if let Some(found) = self.file(Path::new(&name))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn file(&mut self, path: &Path) -> SearchOutcome {
        match fs::metadata(path) {
            Ok(data) if !data.is_dir() => Ok(Some(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err((path.to_owned(), error)),
            found => {
                if let Err(error) = found
                    && error.raw_os_error() == Some(Errno::ELOOP as i32)
                {
                    self.circle.get_or_insert_with(|| (path.to_owned(), error));
                }
                if !self.tried.iter().any(|tried| tried == path) {
                    self.tried.push(path.to_owned());
                }
                Ok(None)
            }
        }
    }
}

/// The directory's `package.json`; one that cannot be read counts as absent.
fn package(directory: &Path) -> Option<Value> {
    let text = fs::read(directory.join("package.json")).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, body) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, body).unwrap();
        }
        root
    }

    fn found(files: &[(&str, &str)], wanted: &str) -> Option<String> {
        let root = tree(files);
        let found = find(&root.path().join(wanted), CONFIG_EXTENSIONS).ok()?;
        Some(found.strip_prefix(root.path()).unwrap().to_str().unwrap().to_owned())
    }

    #[test]
    fn the_exact_file_wins_then_extensions_in_nodes_order() {
        assert_eq!(
            found(&[("luster.conf", ""), ("luster.conf.js", "")], "luster.conf").unwrap(),
            "luster.conf"
        );
        assert_eq!(
            found(&[("luster.conf.js", ""), ("luster.conf.json", "")], "luster.conf").unwrap(),
            "luster.conf.js"
        );
        assert_eq!(found(&[("luster.conf.json5", "")], "luster.conf").unwrap(), "luster.conf.json5");
        assert_eq!(found(&[("conf/index.js", ""), ("conf.json", "")], "conf").unwrap(), "conf.json");
        assert_eq!(found(&[], "luster.conf"), None);
    }

    #[test]
    fn a_directory_is_read_by_its_package_main_then_by_its_index() {
        let main = ("c/package.json", r#"{"main": "./lib/x"}"#);
        assert_eq!(found(&[main, ("c/lib/x.js", "")], "c").unwrap(), "c/lib/x.js");
        assert_eq!(found(&[main, ("c/lib/x/index.js", "")], "c").unwrap(), "c/lib/x/index.js");
        assert_eq!(found(&[main, ("c/index.js", "")], "c").unwrap(), "c/index.js");
        assert_eq!(found(&[("c/package.json", "{"), ("c/index.json", "")], "c").unwrap(), "c/index.json");
    }

    #[test]
    fn what_was_tried_is_told() {
        let root = tree(&[]);
        let Err(NotFound::Missing(tried)) = find(&root.path().join("x"), APP_EXTENSIONS) else { panic!() };
        let names: Vec<_> = tried.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["x", "x.js", "x.json", "x.node"]);
    }

    #[test]
    fn paths_are_made_absolute_by_text_alone() {
        for (base, path, whole) in
            [("/a/b", "../c", "/a/c"), ("/a", "./x/./y/", "/a/x/y"), ("/a", "/../x", "/x"), ("/a", "", "/a")]
        {
            assert_eq!(resolve(Path::new(base), Path::new(path)), Path::new(whole));
        }
    }

    #[test]
    fn the_module_system_is_told_by_extension_and_nearest_package() {
        let root = tree(&[
            ("package.json", r#"{"type":"module"}"#),
            ("a.js", ""),
            ("deep/er/a.js", ""),
            ("n/package.json", "{}"),
            ("n/a.js", ""),
        ]);
        let flavour_of = |name: &str| flavour(&root.path().join(name));
        assert_eq!(flavour_of("a.js"), Flavour::EsModule);
        assert_eq!(flavour_of("n/a.js"), Flavour::CommonJs);
        assert_eq!(flavour_of("deep/er/a.js"), Flavour::EsModule);
        assert_eq!(flavour_of("a.mjs"), Flavour::EsModule);
        assert_eq!(flavour_of("a.cjs"), Flavour::CommonJs);
        assert_eq!(flavour_of("luster.conf"), Flavour::CommonJs);
    }
}
