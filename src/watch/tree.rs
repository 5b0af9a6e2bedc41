//! The folders that are watched, and what of them comes and goes.
//!
//! Invariants: a folder is watched once, under the name it has now; one in which nothing can be meant is watched only if
//! something that is meant may come into being there: then it is the nearest folder there is above it.

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

    /// How many folders are watched in which files are meant, and the nearest folder that holds them all.
    pub(super) fn scope(&self, patterns: &Patterns) -> (usize, Option<PathBuf>) {
        let meant = || self.watched.iter().filter(|folder| !patterns.exclude_all_of(folder));
        let above = meant().next().and_then(|first| {
            first.ancestors().find(|folder| meant().all(|other| other.starts_with(folder)))
        });
        (meant().count(), above.map(Path::to_owned))
    }

    /// Watches everything the patterns reach; answers with the files that are meant.
    pub(super) fn grow_from_roots(&mut self, patterns: &Patterns) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for Root { folder, .. } in patterns.roots() {
            self.anchor(folder, patterns);
            files.extend(self.grow(folder, patterns));
        }
        files
    }

    /// Looks at everything again: what has happened meanwhile is not known.
    pub(super) fn regrow(&mut self, patterns: &Patterns) {
        // To watch twice what is watched is nothing to the kernel, and what is gone it has forgotten.
        self.watched.clear();
        self.grow_from_roots(patterns);
    }

    /// Whether this is where patterns begin, or above: what comes and goes there changes what there is to be watched.
    pub(super) fn is_above_roots(folder: &Path, patterns: &Patterns) -> bool {
        patterns.roots().any(|root| root.folder.starts_with(folder))
    }

    /// Watches the folder in which a root is, or will be: it can go and come again. The working directory stays.
    fn anchor(&mut self, root: &Path, patterns: &Patterns) {
        if patterns.folder().starts_with(root) {
            return;
        }
        if let Some(above) = root.ancestors().skip(1).find(|folder| folder.is_dir()) {
            self.watch(above);
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

    /// Forgets this folder and those in it: it is gone, or has another name now. Whether it was watched.
    pub(super) fn prune(&mut self, folder: &Path) -> bool {
        let gone: Vec<PathBuf> = self
            .watched
            .range(folder.to_owned()..)
            .take_while(|path| path.starts_with(folder))
            .cloned()
            .collect();
        for path in &gone {
            // The kernel forgets those that were removed by itself.
            let _ = self.watcher.unwatch(path);
            self.watched.remove(path);
        }
        !gone.is_empty()
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
