//! The folders that are watched, and what of them comes and goes.
//!
//! Invariant: a folder is watched once, under the name it has now; one in which nothing can be meant is not watched.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use notify::{ErrorKind, INotifyWatcher, RecursiveMode, Watcher};
use tracing::warn;
use walkdir::WalkDir;

use super::patterns::{Patterns, Root};

/// Watched folders.
pub(super) struct Tree {
    watcher: INotifyWatcher,
    watched: BTreeSet<PathBuf>,
    trouble: Trouble,
}

/// Whether it has been told that not all can be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Untold,
    Told,
}

impl Tree {
    pub(super) fn new(watcher: INotifyWatcher) -> Self {
        Self { watcher, watched: BTreeSet::new(), trouble: Trouble::Untold }
    }

    pub(super) fn len(&self) -> usize {
        self.watched.len()
    }

    /// Watches everything the patterns reach.
    pub(super) fn grow_from_roots(&mut self, patterns: &Patterns) {
        for Root { folder, .. } in patterns.roots() {
            self.grow(folder, patterns);
        }
    }

    /// Watches this folder and those in it; answers with the files in them that are meant.
    pub(super) fn grow(&mut self, folder: &Path, patterns: &Patterns) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let walk = WalkDir::new(folder).follow_links(true).into_iter();
        let wanted =
            |entry: &walkdir::DirEntry| !entry.file_type().is_dir() || !patterns.exclude_all_of(entry.path());
        // What cannot be read, or is gone again, cannot be watched.
        for entry in walk.filter_entry(wanted).filter_map(Result::ok) {
            if entry.file_type().is_dir() {
                self.watch(entry.path());
            } else if patterns.mean(entry.path()) {
                files.push(entry.into_path());
            }
        }
        files
    }

    /// Forgets this folder and those in it: it is gone, or has another name now.
    pub(super) fn prune(&mut self, folder: &Path) {
        let gone: Vec<PathBuf> = self
            .watched
            .range(folder.to_owned()..)
            .take_while(|path| path.starts_with(folder))
            .cloned()
            .collect();
        for path in gone {
            // The kernel forgets those that were removed by itself.
            let _ = self.watcher.unwatch(&path);
            self.watched.remove(&path);
        }
    }

    fn watch(&mut self, folder: &Path) {
        if self.watched.contains(folder) {
            return;
        }
        match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => _ = self.watched.insert(folder.to_owned()),
            Err(error) => self.complain(folder, &error),
        }
    }

    fn complain(&mut self, folder: &Path, error: &notify::Error) {
        if matches!(error.kind, ErrorKind::PathNotFound) || self.trouble == Trouble::Told {
            return;
        }
        self.trouble = Trouble::Told;
        let hint = match error.kind {
            ErrorKind::MaxFilesWatch => "; raise fs.inotify.max_user_watches, or exclude folders by patterns",
            _ => "",
        };
        let folder = folder.display();
        warn!(
            event = "unwatched",
            "{folder} and perhaps others cannot be watched for changes: {error}{hint}"
        );
    }
}
