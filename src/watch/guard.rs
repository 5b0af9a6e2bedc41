//! The thread that listens for changes, and says so when it has been quiet for a while.
//!
//! Invariants: a change is told at the latest when nothing has changed for as long as the debounce; never twice; what luster
//! itself writes is no change, whatever its name is now.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{ModifyKind, RemoveKind, RenameMode};
use notify::{Config, Event, EventKind, INotifyWatcher, Watcher};
use thiserror::Error;
use tracing::{info, warn};

use super::own::OwnFiles;
use super::patterns::Patterns;
use super::tree::Tree;

/// News of the file system that may wait; more come only in a storm, after which everything is looked at again.
const NEWS: usize = 4096;

/// For how long the same is not told of a file again, as chokidar has it.
const SAME: Duration = Duration::from_millis(50);

/// Of how many files it is remembered what was told.
const TOLD: usize = 1024;

/// Watches files as long as it exists.
#[derive(Debug)]
pub struct Guard {
    /// The thread ends when this is gone.
    _alive: SyncSender<Event>,
}

/// Whether each change is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// In the log.
    Aloud,
    /// Not.
    Silent,
}

/// Files cannot be watched.
#[derive(Debug, Error)]
pub enum GuardError {
    /// The kernel gives no inotify instance.
    #[error("files cannot be watched for changes: {0}; fs.inotify.max_user_instances may be too small")]
    Inotify(#[from] notify::Error),
    /// The thread cannot be made.
    #[error("files cannot be watched for changes: {0}")]
    Thread(#[from] io::Error),
}

/// What happened to a file, by chokidar's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileChange {
    Add,
    Modify,
    Unlink,
}

impl Guard {
    /// Watches from now on; `changed` is called from another thread when files have changed and then nothing for as long
    /// as `debounce`.
    ///
    /// # Errors
    /// See [`GuardError`].
    pub fn start(
        patterns: Patterns,
        own: OwnFiles,
        debounce: Duration,
        telling: Telling,
        changed: impl Fn() + Send + 'static,
    ) -> Result<Self, GuardError> {
        let (sender, news) = sync_channel(NEWS);
        let (alive, storm) = (sender.clone(), Arc::new(AtomicBool::new(false)));
        let noted = Arc::clone(&storm);
        let watcher = INotifyWatcher::new(move |event| forward(&sender, &noted, event), Config::default())?;
        let tree = Tree::new(watcher);
        let told = HashMap::new();
        let work = GuardThread { patterns, own, debounce, telling, tree, storm, told, due: None };
        thread::Builder::new()
            .name("watch".into())
            .stack_size(512 << 10)
            .spawn(move || work.run(&news, &changed))?;
        Ok(Self { _alive: alive })
    }
}

/// Passes on what the kernel tells; on the watcher's thread. What cannot be passed on is noted as a storm, before something
/// that can be or behind as much as may wait.
fn forward(sender: &SyncSender<Event>, storm: &AtomicBool, event: notify::Result<Event>) {
    let event = match event {
        // Reading changes nothing.
        Ok(Event { kind: EventKind::Access(_), .. }) => return,
        Ok(event) if !event.need_rescan() => event,
        Ok(_) | Err(_) => {
            storm.store(true, Ordering::Release);
            Event::new(EventKind::Other)
        }
    };
    if sender.try_send(event).is_err() {
        storm.store(true, Ordering::Release);
    }
}

struct GuardThread {
    patterns: Patterns,
    own: OwnFiles,
    debounce: Duration,
    telling: Telling,
    tree: Tree,
    /// Whether something happened that was not told.
    storm: Arc<AtomicBool>,
    /// What was told last of files, and when.
    told: HashMap<PathBuf, (FileChange, Instant)>,
    /// When to say that something has changed.
    due: Option<Instant>,
}

impl GuardThread {
    fn run(mut self, news: &Receiver<Event>, changed: &impl Fn()) {
        let files = self.tree.grow_from_roots(&self.patterns).len();
        self.announce(files);
        loop {
            let heard = match self.due {
                Some(due) => news.recv_timeout(due.saturating_duration_since(Instant::now())),
                None => news.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match heard {
                Ok(event) => {
                    self.hear(&event);
                    if self.storm.swap(false, Ordering::Acquire) {
                        self.tree.regrow(&self.patterns);
                        self.postpone();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.due = None;
                    changed();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn announce(&self, files: usize) {
        let (folders, below) = self.tree.scope(&self.patterns);
        let below = below.unwrap_or_else(|| self.patterns.folder().to_owned());
        let below = below.display();
        match folders {
            0 if files == 0 => warn!(
                event = "watching",
                folders,
                below = %below,
                "there is nothing to watch for changes in {below}: no folder and no file is as the patterns say; what \
                 comes is noticed"
            ),
            0 => {
                info!(event = "watching", folders, below = %below, "watching single files for changes in {below}")
            }
            1 => {
                info!(event = "watching", folders, below = %below, "watching the folder {below} for changes of files")
            }
            _ => info!(
                event = "watching",
                folders,
                below = %below,
                "watching {folders} folders in {below} for changes of files"
            ),
        }
    }

    fn hear(&mut self, event: &Event) {
        for path in &event.paths {
            match event.kind {
                EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => self.come(path),
                EventKind::Remove(_) => _ = self.go(path, event.kind),
                // Of what was in a folder that has another name now, nothing more is heard.
                EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
                    if self.go(path, event.kind) == Gone::Folder {
                        self.postpone();
                    }
                }
                // Told by its two halves.
                EventKind::Modify(ModifyKind::Name(_)) => {}
                EventKind::Modify(_) if path.is_dir() => {}
                EventKind::Modify(_) => self.happened(FileChange::Modify, path),
                EventKind::Any | EventKind::Access(_) | EventKind::Other => {}
            }
        }
    }

    /// Something has come: a file, or a folder with whatever is in it.
    fn come(&mut self, path: &Path) {
        if !path.is_dir() {
            self.happened(FileChange::Add, path);
            return;
        }
        // One of this name may have gone unnoticed.
        self.tree.prune(path);
        let files = match Tree::is_above_roots(path, &self.patterns) {
            true => self.tree.grow_from_roots(&self.patterns),
            false => self.tree.grow(path, &self.patterns),
        };
        for file in files.iter().filter(|file| file.starts_with(path)) {
            self.happened(FileChange::Add, file);
        }
    }

    /// Something has gone.
    fn go(&mut self, path: &Path, kind: EventKind) -> Gone {
        let was_watched = self.tree.prune(path);
        if was_watched && Tree::is_above_roots(path, &self.patterns) {
            self.tree.grow_from_roots(&self.patterns);
        }
        if was_watched || kind == EventKind::Remove(RemoveKind::Folder) {
            return Gone::Folder;
        }
        self.happened(FileChange::Unlink, path);
        Gone::File
    }

    fn happened(&mut self, change: FileChange, file: &Path) {
        if !self.patterns.mean(file) || self.own.include(file) {
            return;
        }
        if self.telling == Telling::Aloud && self.is_new(change, file) {
            let (change, file) = (change.name(), self.patterns.shown(file).display());
            info!(event = "fs_event", change, file = %file, "FS event <{change}> on file \"{file}\"");
        }
        self.postpone();
    }

    /// Whether the same has not just been told of it.
    fn is_new(&mut self, change: FileChange, file: &Path) -> bool {
        let now = Instant::now();
        if let Some((told, at)) = self.told.get(file)
            && *told == change
            && now.duration_since(*at) < SAME
        {
            return false;
        }
        if self.told.len() >= TOLD {
            self.told.retain(|_, (_, at)| now.duration_since(*at) < SAME);
        }
        self.told.insert(file.to_owned(), (change, now));
        true
    }

    fn postpone(&mut self) {
        self.due = Some(Instant::now() + self.debounce);
    }
}

/// What has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    File,
    Folder,
}

impl FileChange {
    const fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Modify => "change",
            Self::Unlink => "unlink",
        }
    }
}
