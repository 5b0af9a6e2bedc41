//! Which files are meant: globs that include and globs that exclude, as luster-guard (and chokidar below it) has them.
//!
//! Invariants: what is in a folder whose name starts with a dot is meant only by a glob that says so; a name without a glob means that file, or
//! all that is in that folder; whatever is excluded is so with all that is in it; nothing is asked of the file system.

use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobMatcher};
use thiserror::Error;

/// What begins a glob in a path.
const SPECIAL: [char; 4] = ['*', '?', '[', '{'];

/// The files that are meant.
#[derive(Debug, Clone)]
pub struct Patterns {
    folder: PathBuf,
    included: Vec<Included>,
    excluded: Vec<GlobMatcher>,
    /// Folders of which everything is excluded that is in them.
    emptied: Vec<GlobMatcher>,
}

/// A pattern that cannot be used.
#[derive(Debug, Error)]
#[error("the pattern \"{pattern}\" cannot be used: {reason}")]
pub struct PatternError {
    /// As it was written.
    pub pattern: String,
    /// A clause.
    pub reason: String,
}

/// Where files that are meant can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    pub(super) folder: PathBuf,
    /// How many levels below count, if not all.
    pub(super) depth: Option<usize>,
}

#[derive(Debug, Clone)]
struct Included {
    globs: Vec<GlobMatcher>,
    root: Root,
    /// Whether what is in folders with a leading dot can be meant.
    dots: Dots,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dots {
    Meant,
    Passed,
}

impl Patterns {
    /// Understands patterns whose relative paths start from this folder, which is absolute; those with a leading `!`
    /// exclude.
    ///
    /// # Errors
    /// One is no glob, or uses what is not supported.
    pub fn new(patterns: &[String], folder: &Path) -> Result<Self, PatternError> {
        let mut all = Self {
            folder: folder.to_owned(),
            included: Vec::new(),
            excluded: Vec::new(),
            emptied: Vec::new(),
        };
        for pattern in patterns {
            let failed = |reason: String| PatternError { pattern: pattern.clone(), reason };
            if has_extended_glob(pattern) {
                let reason = "luster does not know extended globs such as !(a|b), (a|b) or {1..3}; {a,b} is known, and the \
                              module luster-guard, if installed, understands them";
                return Err(failed(reason.to_owned()));
            }
            match pattern.strip_prefix('!') {
                Some("") => return Err(failed("it is empty".to_owned())),
                Some(pattern) => {
                    let written = Written::new(pattern, folder);
                    all.excluded.extend(written.globs().map_err(failed)?);
                    all.emptied.extend(written.emptied().map_err(failed)?);
                }
                None => all.included.push(Written::new(pattern, folder).include().map_err(failed)?),
            }
        }
        Ok(all)
    }

    /// Whether the file with this absolute path is meant.
    pub(super) fn mean(&self, path: &Path) -> bool {
        self.included.iter().any(|included| included.means(path))
            && !self.excluded.iter().any(|glob| glob.is_match(path))
    }

    /// Whether there is nothing below this folder that could be meant.
    pub(super) fn exclude_all_of(&self, folder: &Path) -> bool {
        let excluded = self.excluded.iter().chain(&self.emptied).any(|glob| glob.is_match(folder));
        excluded || !self.included.iter().any(|included| included.reaches(folder))
    }

    /// The folder from which relative paths start.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where to look.
    pub(super) fn roots(&self) -> impl Iterator<Item = &Root> {
        self.included.iter().map(|included| &included.root)
    }

    /// The path as people would write it.
    pub(super) fn shown<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.folder).unwrap_or(path)
    }
}

impl Included {
    fn means(&self, path: &Path) -> bool {
        let folder = self.below(path).and_then(Path::parent);
        let hidden = self.dots == Dots::Passed && folder.is_some_and(is_hidden);
        !hidden && self.globs.iter().any(|glob| glob.is_match(path))
    }

    fn reaches(&self, folder: &Path) -> bool {
        let Some(below) = self.below(folder) else { return false };
        let near = self.root.depth.is_none_or(|depth| below.components().count() < depth);
        near && (self.dots == Dots::Meant || !is_hidden(below))
    }

    fn below<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        path.strip_prefix(&self.root.folder).ok()
    }
}

/// A pattern in two parts: a folder, whose own name is no glob, whatever it contains, and what follows below it.
struct Written {
    folder: PathBuf,
    below: String,
}

impl Written {
    fn new(pattern: &str, folder: &Path) -> Self {
        let (mut folder, below) = match pattern.strip_prefix('/') {
            Some(below) => (PathBuf::from("/"), below),
            None => (folder.to_owned(), pattern),
        };
        let mut below = below.trim_end_matches('/');
        loop {
            if let Some(rest) = below.strip_prefix("./") {
                below = rest;
            } else if let Some(rest) = below.strip_prefix("../") {
                folder.pop();
                below = rest;
            } else {
                break;
            }
        }
        match below {
            "." => below = "",
            ".." => {
                folder.pop();
                below = "";
            }
            _ => {}
        }
        Self { folder, below: below.to_owned() }
    }

    fn include(&self) -> Result<Included, String> {
        let (start, glob) = match self.below.find(SPECIAL) {
            Some(at) => self.below.split_at(self.below[..at].rfind('/').map_or(0, |slash| slash + 1)),
            None => (self.below.as_str(), ""),
        };
        let is_flat = !glob.is_empty() && !glob.contains("**") && !glob.contains('{');
        let root = Root {
            folder: self.folder.join(start.trim_end_matches('/')),
            depth: is_flat.then(|| glob.split('/').count()),
        };
        let dots = if glob.split('/').any(|name| name.starts_with('.')) { Dots::Meant } else { Dots::Passed };
        let globs = match glob.is_empty() {
            true => self.globs()?,
            false => vec![self.compile("")?],
        };
        Ok(Included { globs, root, dots })
    }

    /// The pattern itself, and everything below what it matches.
    fn globs(&self) -> Result<Vec<GlobMatcher>, String> {
        Ok(vec![self.compile("")?, self.compile("/**")?])
    }

    /// The folders of which it matches everything that is in them, if it does.
    fn emptied(&self) -> Result<Option<GlobMatcher>, String> {
        let (above, last) = self.below.rsplit_once('/').unwrap_or(("", &self.below));
        let whole = Self { folder: self.folder.clone(), below: above.to_owned() };
        matches!(last, "*" | "**").then(|| whole.compile("")).transpose()
    }

    fn compile(&self, more: &str) -> Result<GlobMatcher, String> {
        let folder = globset::escape(self.folder.to_string_lossy().trim_end_matches('/'));
        let pattern = match self.below.is_empty() {
            true => format!("{folder}{more}"),
            false => format!("{folder}/{}{more}", self.below),
        };
        let glob: Result<Glob, _> = GlobBuilder::new(&pattern).literal_separator(true).build();
        glob.map(|glob| glob.compile_matcher()).map_err(|error| error.kind().to_string())
    }
}

fn is_hidden(path: &Path) -> bool {
    path.components().any(|component| match component {
        Component::Normal(name) => name.as_encoded_bytes().starts_with(b"."),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => false,
    })
}

/// Whether it has `!(…)`, `?(…)`, `*(…)`, `+(…)`, `@(…)`, `(…|…)` or `{…..…}`.
fn has_extended_glob(pattern: &str) -> bool {
    let marked = pattern.as_bytes().windows(2).any(|pair| b"!?*+@".contains(&pair[0]) && pair[1] == b'(');
    let within = |open: char, close: char, what: &str| {
        pattern
            .split(open)
            .skip(1)
            .any(|rest| rest.split(close).next().is_some_and(|inner| inner.contains(what)))
    };
    marked || within('(', ')', "|") || within('{', '}', "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(list: &[&str]) -> Patterns {
        let list: Vec<String> = list.iter().map(ToString::to_string).collect();
        Patterns::new(&list, Path::new("/srv/app")).unwrap()
    }

    #[track_caller]
    fn assert_means(list: &[&str], meant: &[&str], not_meant: &[&str]) {
        let patterns = patterns(list);
        let means = |path: &&&str| patterns.mean(&Path::new("/srv/app").join(path));
        assert_eq!(
            meant.iter().filter(|path| !means(path)).collect::<Vec<_>>(),
            [] as [&&str; 0],
            "{list:?}"
        );
        assert_eq!(not_meant.iter().filter(means).collect::<Vec<_>>(), [] as [&&str; 0], "{list:?}");
    }

    #[test]
    fn globs_are_those_of_chokidar() {
        assert_means(
            &["**/*"],
            &["a", "a.js", ".env", "lib/.x", "lib/deep/er.js"],
            &[".git/HEAD", "lib/.x/y", ".x/y/z", "/etc/passwd"],
        );
        assert_means(&["**/*.js"], &["a.js", "lib/b.js", "lib/.b.js"], &["a.ts", ".lib/b.js"]);
        assert_means(&["*.js"], &["a.js"], &["lib/a.js"]);
        assert_means(&["lib/*/x.{js,ts}"], &["lib/a/x.js", "lib/a/x.ts"], &["lib/x.js", "lib/a/b/x.js"]);
        assert_means(&["./lib/**"], &["lib/a", "lib/a/b"], &["x/a"]);
        assert_means(&["../shared/*.js"], &["/srv/shared/a.js"], &["shared/a.js"]);
        assert_means(&["/etc/app/*.json"], &["/etc/app/a.json"], &["etc/app/a.json"]);
        assert_means(&["**/.env"], &[".env", "lib/.env"], &[".x"]);
        assert_means(&["config.json"], &["config.json"], &["x.json", "lib/config.json"]);
        assert_means(&["lib"], &["lib", "lib/a", "lib/.x", "lib/a/b"], &["x", "lib2/a", "lib/.x/a"]);
        assert_means(&[".env"], &[".env"], &[".x"]);
    }

    #[test]
    fn the_working_directorys_own_name_is_no_glob() {
        let folder = Path::new("/srv/[a]{b}*/app");
        let patterns = Patterns::new(&["**/*.js".to_owned(), "!**/tmp/**".to_owned()], folder).unwrap();
        assert_eq!(patterns.roots().collect::<Vec<_>>(), [&Root { folder: folder.into(), depth: None }]);
        assert!(patterns.mean(&folder.join("lib/a.js")) && !patterns.mean(&folder.join("tmp/a.js")));
        assert!(!patterns.mean(Path::new("/srv/ab/app/a.js")));
    }

    #[test]
    fn a_leading_exclamation_mark_excludes() {
        let list = ["**/*.js", "!**/node_modules/**", "!lib/generated.js"];
        assert_means(
            &list,
            &["a.js", "lib/a.js"],
            &["node_modules/x.js", "a/node_modules/b/x.js", "lib/generated.js"],
        );
        assert_means(&["!**/node_modules/**"], &[], &["a.js"]);
        assert_means(&["**/*", "!tmp"], &["a"], &["tmp", "tmp/a", "tmp/a/b"]);
        assert_means(
            &["**/*", "!**/logs", "!{dist,out}"],
            &["a", "x/dist/a"],
            &["logs/a", "x/logs/a/b", "dist/a", "out/a"],
        );
    }

    #[test]
    fn folders_where_nothing_is_meant_are_told() {
        let all = patterns(&["**/*.js", "!**/node_modules/**", "!tmp/*"]);
        let excluded =
            |patterns: &Patterns, folder: &str| patterns.exclude_all_of(&Path::new("/srv/app").join(folder));
        assert!(
            excluded(&all, "node_modules") && excluded(&all, "lib/node_modules") && excluded(&all, ".git")
        );
        assert!(!excluded(&all, "lib") && excluded(&all, "tmp") && excluded(&all, "/srv"));
        let named = patterns(&["**/*", "!**/logs", "!{dist,out}"]);
        assert!(excluded(&named, "logs") && excluded(&named, "a/logs") && excluded(&named, "dist"));
        assert!(!excluded(&named, "logs.d") && excluded(&named, "logs/deep"));
        let some = patterns(&["**/*", "!lib/[!_]*", "!**/?", "!app/*", "!**/cache/**"]);
        assert!(!excluded(&some, "lib") && !excluded(&some, "tmp") && excluded(&some, "lib/x"));
        assert!(excluded(&some, "app") && excluded(&some, "cache") && excluded(&some, "a/cache"));
        let flat = patterns(&["lib/*.js"]);
        assert!(!excluded(&flat, "lib") && excluded(&flat, "lib/deep") && excluded(&flat, "other"));
        let hidden = patterns(&["**/.config/*"]);
        assert!(!excluded(&hidden, ".config"));
    }

    #[test]
    fn roots_are_the_folders_before_the_first_glob() {
        let roots = |pattern: &str| patterns(&[pattern]).roots().cloned().collect::<Vec<_>>();
        let root = |folder: &str, depth| vec![Root { folder: folder.into(), depth }];
        assert_eq!(roots("**/*.js"), root("/srv/app", None));
        assert_eq!(roots("lib/*.js"), root("/srv/app/lib", Some(1)));
        assert_eq!(roots("lib/*/a/*.js"), root("/srv/app/lib", Some(3)));
        assert_eq!(roots("lib/x.js"), root("/srv/app/lib/x.js", None));
        assert_eq!(roots("/usr"), root("/usr", None));
        assert_eq!(roots("."), root("/srv/app", None));
        assert_eq!(roots(".."), root("/srv", None));
        assert_eq!(roots("/"), root("/", None));
    }

    #[test]
    fn what_is_no_glob_or_not_supported_is_told() {
        let error =
            |pattern: &str| Patterns::new(&[pattern.to_owned()], Path::new("/")).unwrap_err().to_string();
        assert!(
            error("a[").starts_with("the pattern \"a[\" cannot be used: unclosed character class"),
            "{}",
            error("a[")
        );
        for pattern in ["**/!(x).js", "**/*.(js|json)", "a{1..3}.js", "@(a|b)"] {
            assert!(error(pattern).contains("extended globs"), "{pattern}");
        }
        assert!(error("!").contains("it is empty"));
        for pattern in ["a (copy).js", "{a,b}/../c", "a..b"] {
            assert!(Patterns::new(&[pattern.to_owned()], Path::new("/")).is_ok(), "{pattern}");
        }
    }
}
