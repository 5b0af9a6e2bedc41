//! Runs configurations that are programs, in a Node that may become the extension host.
//!
//! Invariant: a Node that was started here and not promoted is gone when the evaluator is dropped.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::generation;
use super::node_program;
use crate::config::{EVALUATION_DEADLINE, Evaluate, EvaluationError, Flavour, SIZE_LIMIT};
use crate::driver::{SpawnOverrides, Starter};
use crate::node::host::{Candidate, EnvChanges, EvaluationFailure, HostLaunchError, HostLauncher, Setup};
use crate::node::scripts::{NodeFlags, Placed, Places, Script};
use crate::process::{DescriptorLimit, SpawnError};

/// What is needed to run a configuration.
pub(super) struct Evaluator<'a> {
    /// Who starts processes, if the loop runs already.
    pub(super) starter: Option<&'a Starter>,
    /// What was found of Node, or asked for.
    pub(super) node: Option<PathBuf>,
    pub(super) node_args: Vec<OsString>,
    pub(super) folder: PathBuf,
    /// What its script is told whatever happens.
    pub(super) boot: Value,
    /// Our parent's channel.
    pub(super) parent: Option<OwnedFd>,
    /// The limit on descriptors luster was started with.
    pub(super) limit: DescriptorLimit,
    /// What runs, once something does.
    pub(super) running: Option<Running>,
}

/// A Node that has run the configuration, and how another one like it is started.
pub(super) struct Running {
    pub(super) launcher: HostLauncher,
    pub(super) candidate: Candidate,
    pub(super) left: LeftBehind,
}

impl Evaluator<'_> {
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
            data: None,
            limit: self.limit,
            node: node.clone(),
        })
    }

    fn start(&self, launcher: &mut HostLauncher, boot: &Value) -> Result<Candidate, EvaluationError> {
        let started = match self.starter {
            None => launcher.launch(boot),
            Some(starter) => launcher.launch_by(boot, |start| starter.start(start)),
        };
        match started {
            Ok((child, socket)) => Ok(Candidate::new(child, socket)),
            Err(error) => {
                let error = io::Error::other(reason(&error));
                Err(EvaluationError::NotStarted(launcher.node.clone(), error))
            }
        }
    }
}

impl Evaluate for Evaluator<'_> {
    fn evaluate(
        &mut self,
        file: &Path,
        flavour: Flavour,
        deadline: Duration,
    ) -> Result<Vec<u8>, EvaluationError> {
        let mut launcher = self.launcher()?;
        // Workers run it, if they do; and it is started by whoever may.
        if self.starter.is_none()
            && let Err((_, reason)) = node_program::check(&launcher.node)
        {
            return Err(EvaluationError::NotStarted(launcher.node, io::Error::other(reason)));
        }
        launcher.boot["config"] = file.to_string_lossy().into();
        launcher.boot["format"] = "module".into();
        launcher.boot["flavour"] = generation::flavour(flavour).into();
        let again = self.starter.is_some();
        let evaluate = json!({"evaluate": true, "again": again, "sizeLimit": SIZE_LIMIT});
        let mut candidate = self.start(&mut launcher, &evaluate)?;
        let answer = candidate.answer(deadline, SIZE_LIMIT).map_err(|failure| match failure {
            EvaluationFailure::Ended(status) => EvaluationError::Ended(status.to_string()),
            EvaluationFailure::TimedOut => EvaluationError::TimedOut,
            EvaluationFailure::TooLarge => EvaluationError::TooLarge,
            EvaluationFailure::Garbled(why) => EvaluationError::Garbled(why),
        })?;
        let left = serde_json::from_slice(&answer).unwrap_or_default();
        self.running = Some(Running { launcher, candidate, left });
        Ok(answer)
    }

    /// The process that has run the configuration knows best: that may have changed how modules are found. Where there is
    /// none, only flags can have.
    fn find_app(&mut self, path: &Path) -> Option<PathBuf> {
        let question = json!({"find": path.to_str()?});
        let answer = match &mut self.running {
            Some(running) => running.candidate.ask(&question, EVALUATION_DEADLINE, SIZE_LIMIT),
            None if NodeFlags::from_environment(&self.node_args).has_resolvers() => {
                let listens = json!({"sizeLimit": SIZE_LIMIT, "listens": true});
                let mut candidate = self.start(&mut self.launcher().ok()?, &listens).ok()?;
                candidate.ask(&question, EVALUATION_DEADLINE, SIZE_LIMIT)
            }
            None => return None,
        };
        let Reply { found } = serde_json::from_slice(&answer.ok()?).ok()?;
        found
    }
}

/// What a process says of a file it was asked for.
#[derive(serde::Deserialize)]
struct Reply {
    found: Option<PathBuf>,
}

/// What a configuration leaves behind besides its value: the rest of the answer.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct LeftBehind {
    /// Listeners or handles, for which its process has to stay.
    pub(super) stays: bool,
    /// How workers are to be started.
    pub(super) setup: Option<Setup>,
    /// What they are to find in their environment.
    pub(super) env: Option<EnvChanges>,
}

impl LeftBehind {
    /// How workers are to be started otherwise.
    pub(super) fn overrides(&self) -> SpawnOverrides {
        let setup = self.setup.clone().unwrap_or_default();
        SpawnOverrides::of_configuration(&setup, self.env.clone().unwrap_or_default())
    }
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
