//! Runs configurations that are programs, in a Node that may become the extension host.
//!
//! Invariant: a Node that was started here and not engaged is gone when the evaluator is dropped.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::{Evaluate, EvaluationError, Flavour, SIZE_LIMIT};
use crate::host::{Candidate, Failure, HostLaunchError, HostLauncher};
use crate::process::{DescriptorLimit, SpawnError};
use crate::scripts::{Placed, Places, Script};

/// What is needed to run a configuration.
pub(super) struct Evaluator {
    /// What was found of Node, or asked for.
    pub(super) node: Option<PathBuf>,
    pub(super) node_args: Vec<OsString>,
    pub(super) folder: PathBuf,
    /// What its script is told whatever happens.
    pub(super) boot: Value,
    /// Our parent's channel.
    pub(super) parent: Option<OwnedFd>,
    /// What runs, once something does.
    pub(super) running: Option<Running>,
}

/// A Node that has run the configuration, and how another one like it is started.
pub(super) struct Running {
    pub(super) launcher: HostLauncher,
    pub(super) candidate: Candidate,
    /// Whether the configuration left listeners or handles behind, for which a process has to stay.
    pub(super) stays: bool,
}

impl Evaluator {
    /// How Nodes for luster's own JavaScript are started.
    pub(super) fn launcher(&self) -> Result<HostLauncher, EvaluationError> {
        let node = self.node.clone().ok_or(EvaluationError::NoNode)?;
        let not_started = |error: io::Error| EvaluationError::NotStarted(node.clone(), error);
        let script = Placed::place(Script::Host, Places::of_this_process())
            .map_err(|error| not_started(io::Error::other(error.to_string())))?;
        Ok(HostLauncher {
            node_args: self.node_args.clone(),
            script,
            boot: self.boot.clone(),
            folder: self.folder.clone(),
            parent: self.parent.as_ref().map(OwnedFd::try_clone).transpose().map_err(not_started)?,
            limit: DescriptorLimit::current().map_err(not_started)?,
            node: node.clone(),
        })
    }
}

impl Evaluate for Evaluator {
    fn evaluate(
        &mut self,
        file: &Path,
        flavour: Flavour,
        deadline: Duration,
    ) -> Result<Vec<u8>, EvaluationError> {
        let mut launcher = self.launcher()?;
        launcher.boot["config"] = file.to_string_lossy().into();
        launcher.boot["format"] = "module".into();
        launcher.boot["flavour"] = match flavour {
            Flavour::CommonJs => "commonjs",
            Flavour::EsModule => "es",
        }
        .into();
        let evaluate = json!({"evaluate": true, "sizeLimit": SIZE_LIMIT});
        let (child, socket) = launcher.launch(evaluate).map_err(|error| {
            EvaluationError::NotStarted(launcher.node.clone(), io::Error::other(reason(&error)))
        })?;
        let mut candidate = Candidate::new(child, socket);
        let answer = candidate.answer(deadline, SIZE_LIMIT).map_err(|failure| match failure {
            Failure::Ended(status) => EvaluationError::Ended(status.to_string()),
            Failure::TimedOut => EvaluationError::TimedOut,
            Failure::TooLarge => EvaluationError::TooLarge,
            Failure::Garbled(why) => EvaluationError::Garbled(why),
        })?;
        let stays = serde_json::from_slice::<Stays>(&answer).is_ok_and(|answer| answer.stays);
        self.running = Some(Running { launcher, candidate, stays });
        Ok(answer)
    }
}

/// What of the answer is not the configuration's value.
#[derive(serde::Deserialize)]
struct Stays {
    #[serde(default)]
    stays: bool,
}

/// What the kernel said, without the sentence for operators around it: another one is made here.
fn reason(error: &HostLaunchError) -> String {
    match error {
        HostLaunchError::Spawn(SpawnError::NotFound { .. }) => {
            "it does not exist, or the interpreter or loader it needs does not".to_owned()
        }
        other => other.to_string(),
    }
}
