//! Why a configuration cannot be used, in words for the person who wrote it.
//!
//! Invariant: every message names the file, key or variable at fault; nothing here is coloured or logged.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;

use crate::config::origin::Origin;
use crate::config::origins::Origins;
use crate::config::problem::Problem;
use crate::exit::Exit;

/// Why a configuration cannot be used. Displays as the full text for the user, often of several paragraphs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such file.
    #[error("{}", not_found(wanted, tried))]
    NotFound {
        /// What was asked for.
        wanted: PathBuf,
        /// The files looked for, in order.
        tried: Vec<PathBuf>,
    },
    /// The file or a directory on the way to it cannot be read.
    #[error("{}: cannot read the configuration: {}", path.display(), in_words(source))]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A pipe, a device or the like: workers could not read it again.
    #[error("{}: the configuration is not a regular file", path.display())]
    NotAFile {
        /// What was found.
        path: PathBuf,
    },
    /// The file is larger than any configuration.
    #[error("{}: the configuration is larger than {} MiB", path.display(), limit / (1024 * 1024))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: usize,
    },
    /// The text is not JSON or JSON5.
    #[error("{at}: {message}\n{excerpt}{}", hint.map(|hint| format!("\n  hint: {hint}")).unwrap_or_default())]
    Syntax {
        /// Where.
        at: Origin,
        /// What is wrong.
        message: String,
        /// The line, with the place marked.
        excerpt: String,
        /// What may help.
        hint: Option<&'static str>,
    },
    /// The file is in a notation that luster does not read.
    #[error(
        "{name}: luster reads no .{extension} files; configurations are .json, .json5, .js, .cjs or .mjs files"
    )]
    OtherNotation {
        /// The file as the user would name it.
        name: String,
        /// How its name ends.
        extension: String,
    },
    /// The file is JavaScript that exports nothing: an app, most likely.
    #[error(
        "{name} exports nothing, so it is no configuration; to run it as the app: \
         echo '{{ \"app\": \"{name}\" }}' > luster.conf.json"
    )]
    ExportsNothing {
        /// The file as the user would name it.
        name: String,
    },
    /// The file is pm2's.
    #[error(
        "{name}: this is a pm2 ecosystem file ({apps} app{}); luster runs one app: write a configuration for each, such as \
         {{ \"app\": \"{script}\" }}, and start a luster for each", if *apps == 1 { "" } else { "s" }
    )]
    Ecosystem {
        /// The file as the user would name it.
        name: String,
        /// How many apps it has.
        apps: usize,
        /// The first one's main module.
        script: String,
    },
    /// The configuration is a program, and it gave no configuration.
    #[error("{name}: {failure}")]
    Module {
        /// The file as the user would name it.
        name: String,
        /// What happened.
        failure: ModuleFailure,
    },
    /// The configuration is a program, and threw an error at a place that can be shown.
    #[error("{at}: the configuration threw an error{inside}\n{excerpt}\n{stack}")]
    Threw {
        /// Where in the configuration, if it was there.
        at: Origin,
        /// Where in another file, as part of the sentence.
        inside: String,
        /// The line, with the place marked.
        excerpt: String,
        /// The error with its stack.
        stack: String,
    },
    /// The configuration is a program, and there is no `node` to run it.
    #[error("{name}: this configuration is a program, and no `node` was found on PATH to run it")]
    NoNode {
        /// The file as the user would name it.
        name: String,
    },
    /// The configuration is a program, and Node could not be started.
    #[error("{name}: this configuration is a program, and {} could not be started: {source}", node.display())]
    NodeFailed {
        /// The file as the user would name it.
        name: String,
        /// The program.
        node: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The configuration was read but does not make sense.
    #[error("{}", paragraphs(problems, warnings))]
    Invalid {
        /// Everything that is wrong, at least one.
        problems: Vec<Problem>,
        /// What else looked odd; often the cause.
        warnings: Vec<Problem>,
        /// What others may validate in the same run.
        rest: Box<NamedExtensions>,
    },
}

/// Why a configuration that is a program gave no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ModuleFailure {
    /// It threw, or its promise was rejected; the text is the error with its stack.
    #[error("the configuration threw an error\n{0}")]
    Threw(String),
    /// It ended Node itself.
    #[error("the configuration ended Node ({0}) before giving its value; its output is above")]
    Ended(String),
    /// It, or the promise it exports, took too long.
    #[error("the configuration gave no value within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// Its value is larger than any configuration; the limit is in bytes.
    #[error("the configuration's value is larger than {} MiB as JSON", .0 / (1024 * 1024))]
    TooLarge(usize),
    /// What arrived was not understood.
    #[error("the configuration's value could not be read: {0}")]
    Garbled(String),
}

/// What a configuration that is wrong says of extensions: whether they are installed can be told all the same.
#[derive(Debug, Default)]
pub struct NamedExtensions {
    /// Their names.
    pub extensions: Vec<String>,
    /// Where they are resolved from.
    pub extensions_path: PathBuf,
    /// Where each was written; none if nothing could be read.
    pub origins: Option<Origins>,
}

impl Error {
    /// The exit code this should end luster with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Exit::Permission
            }
            Self::NoNode { .. } | Self::NodeFailed { .. } => Exit::ForkOrExec,
            Self::NotFound { .. }
            | Self::Unreadable { .. }
            | Self::NotAFile { .. }
            | Self::TooLarge { .. }
            | Self::Syntax { .. }
            | Self::OtherNotation { .. }
            | Self::ExportsNothing { .. }
            | Self::Ecosystem { .. }
            | Self::Module { .. }
            | Self::Threw { .. }
            | Self::Invalid { .. } => Exit::Config,
        }
    }
}

/// What the system said of a file; of a circle what it does not.
pub(super) fn in_words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) if code == Errno::ELOOP as i32 => {
            "its symbolic links lead round in a circle (`namei PATH` shows them)".to_owned()
        }
        _ => error.to_string(),
    }
}

fn not_found(wanted: &std::path::Path, tried: &[PathBuf]) -> String {
    let mut text = format!("{}: there is no such configuration; looked for", wanted.display());
    for path in tried {
        let _ = write!(text, "\n  {}", path.display());
    }
    text
}

fn paragraphs(problems: &[Problem], warnings: &[Problem]) -> String {
    let problems = problems.iter().map(ToString::to_string);
    let warnings = warnings.iter().map(|warning| format!("warning: {warning}"));
    problems.chain(warnings).collect::<Vec<_>>().join("\n\n")
}
