//! From the options of the extensions luster can stand in for to what the loop does in their place.

use std::path::PathBuf;

use crate::cli::LogFormat;
use crate::config::{self, Guard, GuardRestart, LogFile, LogTarget, Problem, Validated};
use crate::driver::{BuiltinExtensions, GUARD, LOG_FILE, Restart, Watching};
use crate::exit::Exit;
use crate::output::{Destination, LogFiles, Objects, OpenError};
use crate::watch::{OwnFiles, Patterns, Telling};

/// Why luster cannot do an extension's work.
type BuiltinRefusal = (Exit, String);

/// What is to be done in place of extensions, if it comes to that; nothing has been opened.
#[derive(Debug)]
pub(super) struct BuiltinPlan<'a> {
    log: Option<&'a LogFile>,
    watching: Option<Watching>,
    /// Whether luster's own log lines are for programs.
    own_objects: Objects,
    /// What is likely wrong with the options.
    pub(super) warnings: Vec<Problem>,
}

/// Plans the work of those of these extensions that are ours.
pub(super) fn plan<'a>(
    builtins: &'a config::BuiltinOptions,
    extensions: &[String],
    format: LogFormat,
) -> Result<BuiltinPlan<'a>, BuiltinRefusal> {
    let has = |name: &str| extensions.iter().any(|extension| extension == name);
    let log = options(&builtins.log_file, has(LOG_FILE))?;
    let guard = options(&builtins.guard, has(GUARD))?;
    let unknown = [log.map(|log| &log.unknown), guard.map(|guard| &guard.unknown)];
    Ok(BuiltinPlan {
        log,
        watching: guard.map(|guard| watching(guard, log)).transpose()?,
        own_objects: match format {
            LogFormat::Json => Objects::Untouched,
            LogFormat::Text => Objects::Marked,
        },
        warnings: unknown.into_iter().flatten().flatten().cloned().collect(),
    })
}

impl BuiltinPlan<'_> {
    /// Makes everything ready.
    pub(super) fn open(self) -> Result<BuiltinExtensions, BuiltinRefusal> {
        let files = self.log.map(|log| log_files(log, self.own_objects)).transpose()?;
        Ok(BuiltinExtensions::ready(files, self.watching))
    }
}

fn options<T>(judged: &Option<Validated<T>>, is_ours: bool) -> Result<Option<&T>, BuiltinRefusal> {
    match judged {
        Some(Ok(options)) if is_ours => Ok(Some(options)),
        Some(Err(problems)) if is_ours => {
            let error = config::Error::Invalid {
                problems: problems.clone(),
                warnings: Vec::new(),
                rest: Box::default(),
            };
            Err((error.exit(), error.to_string()))
        }
        Some(_) | None => Ok(None),
    }
}

fn log_files(options: &LogFile, own_objects: Objects) -> Result<LogFiles, BuiltinRefusal> {
    let (stdout, stderr) = (destination(&options.stdout), destination(&options.stderr));
    LogFiles::open(&stdout, &stderr, own_objects).map_err(|error| {
        let exit = match &error {
            OpenError::File { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Exit::Permission
            }
            OpenError::File { .. } => Exit::Config,
            OpenError::Other(_) => Exit::Internal,
        };
        (exit, error.to_string())
    })
}

fn destination(target: &LogTarget) -> Destination {
    match target {
        LogTarget::File(path) => Destination::File(path.clone()),
        LogTarget::Own => Destination::Own,
        LogTarget::Nothing => Destination::Nothing,
    }
}

/// Log files are written at every restart, so they are not among what restarts.
fn watching(options: &Guard, log: Option<&LogFile>) -> Result<Watching, BuiltinRefusal> {
    let folder = std::env::current_dir()
        .map_err(|error| (Exit::Config, format!("there is no working directory: {error}")))?;
    let patterns = Patterns::new(&options.patterns, &folder)
        .map_err(|error| (Exit::Config, format!("\"extensions.{GUARD}.patterns\": {error}")))?;
    let logs = log.into_iter().flat_map(|log| [&log.stdout, &log.stderr]);
    let logs: Vec<PathBuf> = logs.filter_map(path).collect();
    Ok(Watching {
        patterns,
        own: OwnFiles::new(&logs),
        debounce: options.debounce,
        telling: match options.telling {
            config::Telling::Aloud => Telling::Aloud,
            config::Telling::Silent => Telling::Silent,
        },
        restart: match options.restart {
            GuardRestart::Soft => Restart::Soft,
            GuardRestart::Hard => Restart::Hard,
        },
    })
}

fn path(target: &LogTarget) -> Option<PathBuf> {
    match target {
        LogTarget::File(path) => Some(path.clone()),
        LogTarget::Own | LogTarget::Nothing => None,
    }
}
