//! The Rust sources as text: where each file is in the tree of modules, and which of its lines are code that ships.

use std::fs;
use std::path::{Path, PathBuf};

/// One file below `src/`.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// Its module's path, `["node", "ipc", "frame"]`; that of a folder for its `mod.rs`.
    pub(crate) module: Vec<String>,
}

impl Source {
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// `lib.rs` or `main.rs`.
    pub(crate) fn is_root(&self) -> bool {
        self.module.is_empty()
    }

    pub(crate) fn is_mod(&self) -> bool {
        self.path.ends_with("mod.rs")
    }

    pub(crate) fn is_test(&self) -> bool {
        self.path.components().any(|part| part.as_os_str() == "tests") || self.path.ends_with("tests.rs")
    }

    /// The lines that ship, with their numbers: without items under `#[cfg(test)]`, wherever in the file they are.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut skipping = Skip::No;
        self.text.lines().enumerate().filter_map(move |(index, line)| {
            skipping = match skipping {
                Skip::No if line.trim_start().starts_with("#[cfg(test)]") => Skip::Begins(indent(line)),
                Skip::Begins(indent) if line.trim_start().starts_with("#[") => Skip::Begins(indent),
                Skip::Begins(_) if line.trim_end().ends_with(';') => {
                    return none(&mut skipping, Skip::No);
                }
                Skip::Begins(indent) | Skip::Until(indent) if closes(line, indent) => {
                    return none(&mut skipping, Skip::No);
                }
                Skip::Begins(indent) | Skip::Until(indent) => Skip::Until(indent),
                Skip::No => return Some((index + 1, line)),
            };
            None
        })
    }
}

/// Where we are in an item that does not ship.
#[derive(Clone, Copy)]
enum Skip {
    No,
    /// Its attribute was read; its own indentation.
    Begins(usize),
    /// It ends with a brace that is indented as far as this.
    Until(usize),
}

fn none<T>(skipping: &mut Skip, next: Skip) -> Option<T> {
    *skipping = next;
    None
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn closes(line: &str, at: usize) -> bool {
    indent(line) == at && line.trim_start().starts_with('}')
}

/// Every file below `src/`.
pub(crate) fn sources() -> Vec<Source> {
    let files = files_below("src", "rs");
    assert!(files.len() > 50, "the sources were found");
    let source = |path: PathBuf| Source { text: read(&path), module: module_of(&path), path };
    files.into_iter().map(source).collect()
}

/// Every file below a folder of the package that has this extension, by its path from the package's root.
pub(crate) fn files_below(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("readable") {
            let name = folder.join(entry.expect("readable").file_name());
            if root().join(&name).is_dir() {
                folders.push(name);
            } else if name.extension().is_some_and(|found| found == extension) {
                files.push(name);
            }
        }
    }
    files.sort();
    files
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).expect("UTF-8")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn module_of(path: &Path) -> Vec<String> {
    let below = path.strip_prefix("src").expect("below src").with_extension("");
    let mut parts: Vec<_> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}

/// The paths that begin with `crate::` in a line, without that; an empty one where a group follows.
pub(crate) fn paths_from_crate(line: &str) -> Vec<Vec<String>> {
    line.match_indices("crate::").map(|(at, found)| path_at(&line[at + found.len()..])).collect()
}

/// The names at the beginning of a text that are joined by `::`.
pub(crate) fn path_at(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    loop {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end == 0 {
            return names;
        }
        names.push(rest[..end].to_owned());
        match rest[end..].strip_prefix("::") {
            Some(further) => rest = further,
            None => return names,
        }
    }
}
