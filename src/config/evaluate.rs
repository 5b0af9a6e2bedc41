//! A configuration that is a program: who runs it is given from outside, what its answer means is known here.
//!
//! Invariant: whatever the answer is, it is understood or an error that names the file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::config::error::{Error, ModuleFailure};
use crate::config::literal::Flavour;
use crate::config::raw::{NonJsonValue, RawConfig};
use crate::config::request::ConfigRequest;
use crate::config::request::SIZE_LIMIT;

/// Whoever runs configurations that are programs.
pub trait Evaluate {
    /// Runs the file and brings back what it exports, as the JSON object `{type, value, odd}`, `{threw}` or `{tooLarge}`
    /// (see `npm/lib/host/evaluate.js`), of at most [`SIZE_LIMIT`] bytes.
    ///
    /// # Errors
    /// There is no answer.
    fn evaluate(
        &mut self,
        file: &Path,
        flavour: Flavour,
        deadline: Duration,
    ) -> Result<Vec<u8>, EvaluationError>;

    /// The file that Node, with the flags it is started with, loads for this absolute path; nothing if it finds none, or
    /// nothing can make it find other files than we do.
    fn find_app(&mut self, path: &Path) -> Option<PathBuf>;
}

/// Why there is no answer.
#[derive(Debug)]
pub enum EvaluationError {
    /// There is no Node to run it.
    NoNode,
    /// This Node could not be started.
    NotStarted(PathBuf, io::Error),
    /// It ended Node itself; how, for the user.
    Ended(String),
    /// It took too long.
    TimedOut,
    /// Its value is too large.
    TooLarge,
    /// The answer is none.
    Garbled(String),
}

/// What the configuration exported.
#[derive(Debug)]
pub(super) enum Exported {
    Object(RawConfig),
    /// Something else, by JavaScript's name for its type.
    Other(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    r#type: Option<String>,
    #[serde(default)]
    value: Value,
    #[serde(default)]
    odd: BTreeMap<String, String>,
    threw: Option<String>,
    too_large: Option<usize>,
}

/// Has the file run and brings back its value; `name` is the file as the user would name it.
pub(super) fn evaluate(
    file: &Path,
    name: &str,
    flavour: Flavour,
    request: &ConfigRequest,
    evaluator: &mut dyn Evaluate,
) -> Result<Exported, Error> {
    let answer = evaluator.evaluate(file, flavour, request.evaluation_deadline).map_err(|error| {
        let name = name.to_owned();
        let failure = match error {
            EvaluationError::NoNode => return Error::NoNode { name },
            EvaluationError::NotStarted(node, source) => return Error::NodeFailed { name, node, source },
            EvaluationError::Ended(how) => ModuleFailure::Ended(how),
            EvaluationError::TimedOut => ModuleFailure::TimedOut(request.evaluation_deadline),
            EvaluationError::TooLarge => ModuleFailure::TooLarge(SIZE_LIMIT),
            EvaluationError::Garbled(why) => ModuleFailure::Garbled(why),
        };
        Error::Module { name, failure }
    })?;
    understand(&answer).map_err(|failure| Error::Module { name: name.to_owned(), failure })
}

fn understand(answer: &[u8]) -> Result<Exported, ModuleFailure> {
    let reply: Reply =
        serde_json::from_slice(answer).map_err(|error| ModuleFailure::Garbled(error.to_string()))?;
    if let Some(stack) = reply.threw {
        return Err(ModuleFailure::Threw(stack));
    }
    if reply.too_large.is_some() {
        return Err(ModuleFailure::TooLarge(SIZE_LIMIT));
    }
    match reply.r#type.as_deref() {
        Some("object") => Ok(Exported::Object(RawConfig::from_javascript(reply.value, reply.odd))),
        Some(other) => Ok(Exported::Other(other.to_owned())),
        None => Err(ModuleFailure::Garbled("it has no type".to_owned())),
    }
}

impl RawConfig {
    /// A value that JavaScript holds, with the words for what JSON cannot say.
    pub(super) fn from_javascript(value: Value, odd: BTreeMap<String, String>) -> Self {
        Self {
            value,
            odd: odd.into_iter().map(|(path, word)| (path, NonJsonValue::from_word(&word))).collect(),
        }
    }
}
