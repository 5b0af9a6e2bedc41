//! The thread that listens for changes, and says so when it has been quiet for a while.
//!
//! Invariant: a change is told at the latest when nothing has changed for as long as the debounce; never twice.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{CreateKind, ModifyKind, RemoveKind, RenameMode};
use notify::{Config, Event, EventKind, INotifyWatcher, Watcher};
use thiserror::Error;
use tracing::{info, warn};

use super::patterns::Patterns;
use super::tree::Tree;

/// News of the file system that may wait; more come only in a storm, after which everything is looked at again.
const NEWS: usize = 4096;

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
pub enum StartError {
    /// The kernel gives no inotify instance.
    #[error("files cannot be watched for changes: {0}; fs.inotify.max_user_instances may be too small")]
    Inotify(#[from] notify::Error),
    /// The thread cannot be made.
    #[error("files cannot be watched for changes: {0}")]
    Thread(#[from] io::Error),
}

/// What happened to a file, by chokidar's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Add,
    Modify,
    Unlink,
}

impl Guard {
    /// Watches from now on; `changed` is called from another thread when files have changed and then nothing for as long
    /// as `debounce`.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(
        patterns: Patterns,
        debounce: Duration,
        telling: Telling,
        changed: impl Fn() + Send + 'static,
    ) -> Result<Self, StartError> {
        let (sender, news) = sync_channel(NEWS);
        let (alive, storm) = (sender.clone(), Arc::new(AtomicBool::new(false)));
        let noted = Arc::clone(&storm);
        let watcher = INotifyWatcher::new(move |event| forward(&sender, &noted, event), Config::default())?;
        let work = Work { patterns, debounce, telling, tree: Tree::new(watcher), storm, due: None };
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

struct Work {
    patterns: Patterns,
    debounce: Duration,
    telling: Telling,
    tree: Tree,
    /// Whether something happened that was not told.
    storm: Arc<AtomicBool>,
    /// When to say that something has changed.
    due: Option<Instant>,
}

impl Work {
    fn run(mut self, news: &Receiver<Event>, changed: &impl Fn()) {
        self.tree.grow_from_roots(&self.patterns);
        let folders = self.tree.len();
        match folders {
            0 => warn!(event = "watching", folders, "there is no folder to watch for changes"),
            1 => info!(event = "watching", folders, "watching a folder for changes of files"),
            _ => info!(event = "watching", folders, "watching {folders} folders for changes of files"),
        }
        loop {
            let heard = match self.due {
                Some(due) => news.recv_timeout(due.saturating_duration_since(Instant::now())),
                None => news.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match heard {
                Ok(event) => {
                    self.hear(&event);
                    if self.storm.swap(false, Ordering::Acquire) {
                        self.tree.grow_from_roots(&self.patterns);
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

    fn hear(&mut self, event: &Event) {
        for path in &event.paths {
            match event.kind {
                EventKind::Create(CreateKind::Folder) => self.come(path),
                EventKind::Remove(RemoveKind::Folder) => self.tree.prune(path),
                EventKind::Create(_) => self.happened(Change::Add, path),
                EventKind::Remove(_) => self.happened(Change::Unlink, path),
                EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
                    self.tree.prune(path);
                    self.happened(Change::Unlink, path);
                }
                EventKind::Modify(ModifyKind::Name(RenameMode::To)) if path.is_dir() => self.come(path),
                EventKind::Modify(ModifyKind::Name(RenameMode::To)) => self.happened(Change::Add, path),
                // Told by its two halves.
                EventKind::Modify(ModifyKind::Name(_)) => {}
                EventKind::Modify(_) if path.is_dir() => {}
                EventKind::Modify(_) => self.happened(Change::Modify, path),
                EventKind::Any | EventKind::Access(_) | EventKind::Other => {}
            }
        }
    }

    /// A folder has come, with whatever is in it.
    fn come(&mut self, folder: &Path) {
        let files: Vec<PathBuf> = self.tree.grow(folder, &self.patterns);
        for file in files {
            self.happened(Change::Add, &file);
        }
    }

    fn happened(&mut self, change: Change, file: &Path) {
        if !self.patterns.mean(file) {
            return;
        }
        if self.telling == Telling::Aloud {
            let (change, file) = (change.name(), self.patterns.shown(file).display());
            info!(event = "fs_event", change, file = %file, "FS event <{change}> on file \"{file}\"");
        }
        self.postpone();
    }

    fn postpone(&mut self) {
        self.due = Some(Instant::now() + self.debounce);
    }
}

impl Change {
    const fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Modify => "change",
            Self::Unlink => "unlink",
        }
    }
}
