//! From the command line to a configuration without mistakes: what running and checking have in common.
//!
//! Invariant: what is wrong is told at once, whole, and nothing has been started but the Node that ran the configuration.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use serde_json::{Value, json};
use tracing::{error, warn};

use super::apps;
use super::builtin_extensions::{self, BuiltinPlan};
use super::evaluator::Evaluator;
use super::extensions::{self, ExtensionPlan, Resolution};
use super::generation::utf8;
use super::npm_launcher::NpmLauncher;
use super::reread::Reread;
use crate::cli::{self, Arguments, LogFormat, Output, Source};
use crate::config::{self, Loaded, LoadedFleet, Problem, Settings};
use crate::control::place::Identity;
use crate::core::PoolName;
use crate::exit::Exit;
use crate::logging;
use crate::node::scripts::NodeFlags;
use crate::process::{self, DescriptorLimit, Pid, Terminal};

/// What becomes of warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Warnings {
    /// They are told in the log.
    Logged,
    /// Whoever asked tells them.
    Kept,
}

/// Reads the configuration, tells what is wrong with it, and shows it if that is what is wanted.
pub(super) fn with_config(
    arguments: &Arguments,
    warnings: Warnings,
    then: impl FnOnce(Found<'_>) -> Exit,
) -> Exit {
    let Arguments { source, name, print_config, output } = arguments;
    logging::install(output);
    process::stop_at_once();
    let Some(environment) = Environment::new(source) else { return Exit::Stopped };
    let mut evaluator = environment.evaluator();
    let identity = match name.as_deref().map(Identity::named).transpose() {
        Ok(identity) => identity,
        Err(error) => return refuse(output, Exit::Usage, &format!("luster: --name: {error}")),
    };
    tell_misplaced(&source.words);
    let request = match environment.request(source) {
        Ok(request) => request,
        Err(error) => {
            return refuse(
                output,
                Exit::Config,
                &format!(
                    "luster: there is no working directory: {error}; start luster in a folder that is there"
                ),
            );
        }
    };
    let loaded = match config::load(&request, &mut evaluator) {
        Ok(loaded) => loaded,
        Err(error) => return refuse_config(arguments, error, &environment),
    };
    if warnings == Warnings::Logged || *print_config {
        tell_warnings(loaded.warnings());
    }
    if *print_config {
        return cli::print(&config::render(&loaded));
    }
    let mut all = Vec::new();
    for (name, loaded) in &loaded.apps {
        let Settings { extensions, extensions_path, builtins, .. } = &loaded.settings;
        let extension_plan = extensions::divide(extensions, extensions_path, &environment.resolution());
        match builtin_extensions::plan(builtins, &extension_plan.ours(), output.log_format) {
            Ok(plan) => {
                if warnings == Warnings::Logged {
                    tell_warnings(&plan.warnings);
                }
                all.push(FoundApp { name, loaded, extension_plan, plan });
            }
            Err((exit, reason)) => return refuse(output, exit, &apps::of_app(name, &reason)),
        }
    }
    let config = &loaded.any().path;
    let identity = identity.unwrap_or_else(|| Identity::of(config, request.luster_conf.as_deref()));
    then(Found { environment: &environment, identity, request, fleet: &loaded, apps: all, evaluator })
}

fn tell_misplaced(words: &[OsString]) {
    for word in cli::misplaced(words) {
        warn!(
            event = "misplaced_option",
            "{} is behind CONFIG, so it is for the configuration and the workers; luster's own options come before \
             CONFIG",
            // What follows may be a secret.
            word.to_string_lossy().split('=').next().unwrap_or_default()
        );
    }
}

/// Tells of what is odd, in the log.
pub(super) fn tell_warnings<'a>(warnings: impl IntoIterator<Item = &'a Problem>) {
    for warning in warnings {
        warn!(event = "config_warning", "{}", warning.headline());
    }
}

/// Tells why there is no configuration that can be used, with all that can be said about it.
fn refuse_config(arguments: &Arguments, mut error: config::Error, environment: &Environment) -> Exit {
    let output = &arguments.output;
    if let config::Error::NotFound { .. } = error
        && let Some(advice) =
            arguments.source.config.as_ref().and_then(|config| cli::advice(config.as_os_str()))
    {
        return refuse(output, Exit::Usage, &format!("luster: {advice}"));
    }
    if let config::Error::Invalid { problems, rest, .. } = &mut error
        && let Some(origins) = &rest.origins
    {
        let resolution = environment.resolution();
        let missing = extensions::divide(&rest.extensions, &rest.extensions_path, &resolution).missing;
        let problem = |name: &String| extensions::problem(name, &rest.extensions_path, origins);
        problems.extend(missing.iter().map(problem));
    }
    refuse(output, error.exit(), &error.to_string())
}

/// A configuration without mistakes, and what is needed to run it.
pub(super) struct Found<'a> {
    pub(super) environment: &'a Environment,
    /// What this master is told apart by.
    pub(super) identity: Identity,
    pub(super) request: config::ConfigRequest,
    pub(super) fleet: &'a LoadedFleet,
    /// Every app; the only one of a configuration without `apps` has no name.
    pub(super) apps: Vec<FoundApp<'a>>,
    pub(super) evaluator: Evaluator<'static>,
}

/// One app of it.
pub(super) struct FoundApp<'a> {
    pub(super) name: &'a PoolName,
    pub(super) loaded: &'a Loaded,
    pub(super) extension_plan: ExtensionPlan,
    pub(super) plan: BuiltinPlan<'a>,
}

/// What we were started with.
pub(super) struct Environment {
    pub(super) launched: NpmLauncher,
    pub(super) terminal: Terminal,
    /// Our parent's channel, if that is a Node and gave us one. Open as long as we run: its end would tell of ours.
    parent: Option<OwnedFd>,
    pub(super) node: Result<PathBuf, process::ProgramError>,
    /// What was asked for, in place of one that was not found: it then says best what is missing.
    wanted_node: Option<PathBuf>,
    /// The limit on descriptors that workers get.
    limit: DescriptorLimit,
    /// CONFIG and what follows it: what JavaScript finds in `process.argv` behind its script, as under JS luster.
    pub(super) words: Vec<OsString>,
}

impl Environment {
    /// Nothing if the process that stands in for us is gone already.
    fn new(source: &Source) -> Option<Self> {
        let mut launched = NpmLauncher::by_package();
        let terminal = terminal(launched.stand_in)?;
        launched.node_args.extend(source.node_arg.iter().cloned());
        let asked = source.node.as_deref().or(launched.node.as_ref().map(|node| node.as_os_str()));
        let name = asked.unwrap_or(OsStr::new("node"));
        let node = process::find_program(name, std::env::var_os("PATH").as_deref());
        let wanted_node = asked.map(PathBuf::from);
        let parent = process::inherited_channel();
        let config = source.config.clone().map(PathBuf::into_os_string);
        let words = config.into_iter().chain(source.words.iter().cloned()).collect();
        // Every kernel knows it.
        let limit = DescriptorLimit::current().ok()?;
        Some(Self { launched, terminal, parent, node, wanted_node, limit, words })
    }

    fn request(&self, source: &Source) -> std::io::Result<config::ConfigRequest> {
        let keeps = ["--preserve-symlinks", "--preserve-symlinks-main"];
        let links = match NodeFlags::from_environment(&self.launched.node_args).has_any(&keeps) {
            true => config::Links::Kept,
            false => config::Links::Followed,
        };
        let request = config::ConfigRequest::from_environment(source.config.clone(), find_program)?;
        Ok(config::ConfigRequest { links, ..request })
    }

    /// How the configuration is read again while workers run; `apps` are as they were, with the extensions of each that luster does
    /// the work of.
    pub(super) fn reread(
        &self,
        request: config::ConfigRequest,
        identity: Identity,
        node: Result<PathBuf, String>,
        apps: BTreeMap<PoolName, (Loaded, Vec<String>)>,
    ) -> Reread {
        Reread {
            request,
            apps,
            identity,
            node,
            node_args: self.launched.node_args.clone(),
            package: self.launched.package.clone(),
            boot: self.boot(),
            parent: self.parent.as_ref().and_then(|channel| channel.try_clone().ok()),
            limit: self.limit,
        }
    }

    fn resolution(&self) -> Resolution<'_> {
        Resolution {
            node: self.node.as_deref().ok(),
            node_args: &self.launched.node_args,
            package: self.launched.package.as_deref(),
        }
    }

    fn evaluator(&self) -> Evaluator<'static> {
        Evaluator {
            starter: None,
            // One that is missing is told when it is needed: a configuration that is no program needs none.
            node: self.node.as_ref().ok().cloned().or_else(|| self.wanted_node.clone()),
            node_args: self.launched.node_args.clone(),
            folder: std::env::current_dir().unwrap_or_default(),
            boot: self.boot(),
            parent: self.parent.as_ref().and_then(|channel| channel.try_clone().ok()),
            limit: self.limit,
            running: None,
        }
    }

    /// What scripts of ours are told whatever happens.
    fn boot(&self) -> Value {
        let program = self.launched.program.clone().or_else(|| std::env::current_exe().ok());
        json!({
            "v": 1,
            "program": program.as_deref().map(utf8),
            "args": self.words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>(),
            "package": self.launched.package.as_deref().map(utf8),
        })
    }
}

/// Finds a program by its name.
fn find_program(name: &OsStr) -> Option<PathBuf> {
    process::find_program(name, std::env::var_os("PATH").as_deref()).ok()
}

/// What SIGHUP means. If another process stands in for us, we die with it, and leave its group: it passes on what a
/// terminal sends there. Nothing if it is gone already.
fn terminal(stand_in: Option<Pid>) -> Option<Terminal> {
    let terminal = Terminal::at_start();
    if let Some(parent) = stand_in {
        if !process::die_with_parent(parent) {
            return None;
        }
        process::leave_group();
    }
    Some(terminal)
}

/// Tells why the configuration cannot be used: as it is for people, as a log line for machines.
pub(super) fn refuse(output: &Output, exit: Exit, reason: &str) -> Exit {
    match output.log_format {
        // Lines without their priority are no errors to the journal.
        LogFormat::Text if logging::journal_reads_stderr() => error!(event = "config_error", "{reason}"),
        LogFormat::Text => cli::complain(reason),
        LogFormat::Json => error!(event = "config_error", "{reason}"),
    }
    exit
}
