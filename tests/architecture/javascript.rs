//! The same rules for the JavaScript below `npm/lib`.

use std::path::{Path, PathBuf};

use crate::circles::required;
use crate::source::{files_below, read};
use crate::tables::javascript_folders;

/// Every JavaScript file of the package.
pub(crate) fn files() -> Vec<PathBuf> {
    let files = files_below("npm/lib", "js");
    assert!(files.len() > 30, "the JavaScript was found");
    files
}

pub(crate) fn heads_and_sizes(longest: usize) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files() {
        let text = read(&file);
        if !text.trim_start_matches("'use strict';").trim_start().starts_with("// ") {
            complaints.push(format!("{}:1: no head that says what it owns", file.display()));
        }
        let length = text.lines().count();
        if length > longest {
            complaints.push(format!("{}: {length} lines", file.display()));
        }
    }
    complaints
}

/// What files of one folder require of another that the table does not allow.
pub(crate) fn requires() -> Vec<String> {
    let folders = javascript_folders();
    let mut complaints = Vec::new();
    for file in files() {
        let Some(folder) = folder_of(&file.display().to_string(), &folders) else {
            complaints.push(format!("{}: in no folder of ARCHITECTURE.md's table", file.display()));
            continue;
        };
        let (name, allowed) = &folders[folder];
        for (index, line) in read(&file).lines().enumerate() {
            for target in required(line, Path::new(&file)) {
                let target = folder_of(&target, &folders).map(|at| folders[at].0.as_str());
                if target.is_some_and(|target| target != name && !allowed.iter().any(|one| one == target)) {
                    let number = index + 1;
                    let target = target.unwrap_or_default();
                    complaints.push(format!("{}:{number}: {name} requires {target}", file.display()));
                }
            }
        }
    }
    complaints
}

/// The row a file belongs to: that of its own folder.
fn folder_of(file: &str, folders: &[(String, Vec<String>)]) -> Option<usize> {
    let folder = file.rsplit_once('/')?.0.strip_prefix("npm/")?;
    folders.iter().position(|(name, _)| name == folder)
}
