//! The extensions whose work luster does itself, where their modules are not installed.
//!
//! Invariant: one that nobody has named does nothing but be ready for it.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::core::{InstanceId, WorkerId};
use crate::output::{LogFiles, OutputStream};
use crate::watch::{Guard, OwnFiles, Patterns, Telling};

/// The extension that writes log files.
pub const LOG_FILE: &str = "luster-log-file";
/// The extension that watches files.
pub const GUARD: &str = "luster-guard";

/// What may have to be done in place of extensions.
#[derive(Debug, Default)]
pub struct BuiltinExtensions {
    log_files: Work<LogFiles, LogFiles>,
    guard: Work<Watching, Guard>,
    /// How the guard restarts workers.
    restart: Restart,
    changed: Arc<Notify>,
    own_output: OwnOutput,
    rival_told: Cell<bool>,
}

/// What is to be watched.
#[derive(Debug)]
pub struct Watching {
    /// Which files.
    pub patterns: Patterns,
    /// Which of them luster writes.
    pub own: OwnFiles,
    /// How long nothing may have changed.
    pub debounce: Duration,
    /// Whether each change is told.
    pub telling: Telling,
    /// What follows.
    pub restart: Restart,
}

/// Whether luster's own output goes to the log files, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum OwnOutput {
    #[default]
    Taken,
    /// It is about other apps, too.
    Left,
}

/// How workers are restarted when files have changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Restart {
    /// One by one.
    #[default]
    Soft,
    /// All at once.
    Hard,
}

/// The work of one extension.
#[derive(Debug, Default)]
enum Work<Plan, Running> {
    /// The configuration does not name it, or its module does it.
    #[default]
    NotOurs,
    Ready(Plan),
    Running(Running),
}

impl<Plan, Running> Work<Plan, Running> {
    /// Takes what is ready, to be run.
    fn begin(&mut self, run: impl FnOnce(Plan) -> Option<Running>) {
        *self = match std::mem::take(self) {
            Self::Ready(plan) => run(plan).map_or(Self::NotOurs, Self::Running),
            other @ (Self::NotOurs | Self::Running(_)) => other,
        };
    }
}

impl BuiltinExtensions {
    /// Is ready to do this.
    #[must_use]
    pub fn ready(log_files: Option<LogFiles>, watching: Option<Watching>) -> Self {
        Self {
            log_files: log_files.map_or(Work::NotOurs, Work::Ready),
            restart: watching.as_ref().map(|watching| watching.restart).unwrap_or_default(),
            guard: watching.map_or(Work::NotOurs, Work::Ready),
            changed: Arc::default(),
            own_output: OwnOutput::default(),
            rival_told: Cell::new(false),
        }
    }

    /// The log files are one app's among several: luster's own output does not go there.
    #[must_use]
    pub fn of_one_app_of_several(self) -> Self {
        Self { own_output: OwnOutput::Left, ..self }
    }

    /// Begins the work of this extension, if it is one of ours and has not begun.
    pub fn begin(&mut self, extension: &str) {
        match extension {
            LOG_FILE => self.begin_log_files(),
            GUARD => self.begin_guard(),
            _ => {}
        }
    }

    /// Writes log files from now on; luster's own output goes there too.
    fn begin_log_files(&mut self) {
        let own_output = self.own_output;
        self.log_files.begin(|files| {
            // Here, while it is read: afterwards the terminal shows nothing.
            if let Some(files) = files.shown() {
                info!(event = "logging_to", files, "logging to {files}");
            }
            // Workers' output is worth more than ours.
            if own_output == OwnOutput::Taken
                && let Err(error) = files.take_over()
            {
                error!(event = "log_files", "luster's own output cannot go to the log files: {error}");
            }
            Some(files)
        });
    }

    /// Watches files from now on.
    fn begin_guard(&mut self) {
        let changed = Arc::clone(&self.changed);
        self.guard.begin(|Watching { patterns, own, debounce, telling, .. }| {
            match Guard::start(patterns, own, debounce, telling, move || changed.notify_one()) {
                Ok(guard) => Some(guard),
                Err(error) => {
                    error!(event = "unwatched", "{error}; changes of files restart nothing");
                    None
                }
            }
        });
    }

    /// Resolves when files have changed, however many.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) const fn restart(&self) -> Restart {
        self.restart
    }

    /// Whether workers' output goes to log files.
    pub(super) const fn log(&self) -> Option<&LogFiles> {
        match &self.log_files {
            Work::Running(files) => Some(files),
            Work::Ready(_) | Work::NotOurs => None,
        }
    }

    /// Says, once, that an extension takes what the log files were to have.
    pub(super) fn tell_rival(&self) {
        if !self.rival_told.replace(true) {
            warn!(
                event = "log_rival",
                "an extension reads what workers print (setup with silent or stdio), so it does not go to the files of \
                 {LOG_FILE}; install that module, which shares it"
            );
        }
    }

    /// Opens log files anew.
    pub(super) fn reopen(&self) {
        if let Some(files) = self.log() {
            files.reopen();
            info!(event = "reopened", "log files reopened");
        }
    }
}

/// The ends of pipes to the log that a process is given, or nothing where it prints to `/dev/null`: its stdout and stderr.
pub(super) fn log_streams(
    files: &LogFiles,
    worker: WorkerId,
    instance: InstanceId,
) -> io::Result<[Option<OwnedFd>; 2]> {
    let stream = |which| files.stream(which, worker.0, instance.0);
    Ok([stream(OutputStream::Stdout)?, stream(OutputStream::Stderr)?])
}
