//! `luster [CONFIG]` and `luster check [CONFIG]`.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use serde_json::{Value, json};
use tracing::{error, info, warn};

use super::evaluator::{Evaluator, Running};
use super::extensions::{self, Division, Resolution};
use super::job::{self, Program, utf8};
use super::launched::Launched;
use super::twins::{self, Plan};
use crate::Exit;
use crate::cli::{self, Arguments, Check, LogFormat, Output, Source};
use crate::config::{self, Loaded};
use crate::driver::{self, Company, Job, LOG_FILE};
use crate::host::HostLauncher;
use crate::logging;
use crate::process::{self, Child, Pid, Sealed, Terminal};
use crate::supervisor::Attendance;

/// What extensions may take beyond `extensionsLoadTimeout` until we give their process up: it has to say so itself, and
/// Node has to start.
const HOST_SLACK: std::time::Duration = std::time::Duration::from_secs(5);

/// Runs the workers.
pub(super) fn run(arguments: &Arguments) -> Exit {
    with_config(arguments, serve)
}

/// Looks for mistakes and starts nothing.
pub(super) fn check(check: &Check) -> Exit {
    let arguments = &check.arguments;
    with_config(arguments, |Found { loaded, division, .. }| {
        let settings = &loaded.settings;
        if let Some(name) = division.missing.first() {
            let reason = format!(
                "Extension \"{name}\" is not found in {}, nor in node_modules there or above: install it \
                 (npm install {name}), or set extensionsPath to the folder it is in",
                settings.extensions_path.display()
            );
            return refuse(&arguments.output, Exit::Config, &reason);
        }
        let (workers, s) = (settings.policy.workers, if settings.policy.workers == 1 { "" } else { "s" });
        cli::print(&format!("{}: no mistakes; it runs {workers} worker{s}\n", loaded.path.display()))
    })
}

/// Reads the configuration, tells what is wrong with it, and shows it if that is what is wanted.
fn with_config(arguments: &Arguments, then: impl FnOnce(Found<'_>) -> Exit) -> Exit {
    let Arguments { source, print_config, output } = arguments;
    logging::install(output);
    let Some(surroundings) = Surroundings::new(source) else { return Exit::Stopped };
    let mut evaluator = surroundings.evaluator();
    for word in cli::misplaced(&source.words) {
        warn!(
            event = "misplaced_option",
            "{} is behind CONFIG, so it is for the configuration and the workers; luster's own options come before \
             CONFIG",
            // What follows may be a secret.
            word.to_string_lossy().split('=').next().unwrap_or_default()
        );
    }
    let request = config::Request::from_surroundings(source.config.clone());
    let loaded = match request.map(|request| config::load(&request, &mut evaluator)) {
        Ok(Ok(loaded)) => loaded,
        Ok(Err(error @ config::Error::NotFound { .. })) => {
            return match source.config.as_deref().and_then(|config| cli::advice(config.as_os_str())) {
                Some(advice) => refuse(output, Exit::Usage, &format!("luster: {advice}")),
                None => refuse(output, error.exit(), &error.to_string()),
            };
        }
        Ok(Err(error)) => return refuse(output, error.exit(), &error.to_string()),
        Err(error) => {
            return refuse(output, Exit::Config, &format!("there is no working directory: {error}"));
        }
    };
    for warning in &loaded.warnings {
        warn!(event = "config_warning", "{warning}");
    }
    if *print_config {
        return cli::print(&config::render(&loaded));
    }
    let division = extensions::divide(&loaded.settings, &surroundings.resolution());
    match twins::plan(&loaded.settings.twins, &division.ours(), output.log_format) {
        Ok(plan) => {
            for warning in &plan.warnings {
                warn!(event = "config_warning", "{warning}");
            }
            then(Found { surroundings: &surroundings, loaded: &loaded, division: &division, plan, evaluator })
        }
        Err((exit, reason)) => refuse(output, exit, &reason),
    }
}

/// A configuration without mistakes, and what is needed to run it.
struct Found<'a> {
    surroundings: &'a Surroundings,
    loaded: &'a Loaded,
    division: &'a Division,
    plan: Plan<'a>,
    evaluator: Evaluator,
}

/// What we were started with.
struct Surroundings {
    launched: Launched,
    terminal: Terminal,
    /// Our parent's channel, if that is a Node and gave us one. Open as long as we run: its end would tell of ours.
    parent: Option<OwnedFd>,
    node: Result<PathBuf, process::ProgramError>,
    /// What was asked for, in place of one that was not found: it then says best what is missing.
    wanted_node: Option<PathBuf>,
    /// CONFIG and what follows it: what JavaScript finds in `process.argv` behind its script, as under JS luster.
    words: Vec<OsString>,
}

impl Surroundings {
    /// Nothing if the process that stands in for us is gone already.
    fn new(source: &Source) -> Option<Self> {
        let mut launched = Launched::by_package();
        let terminal = terminal(launched.stand_in)?;
        launched.node_args.extend(source.node_arg.iter().cloned());
        let asked = source.node.as_deref().or(launched.node.as_ref().map(|node| node.as_os_str()));
        let name = asked.unwrap_or(OsStr::new("node"));
        let node = process::find_program(name, std::env::var_os("PATH").as_deref());
        let wanted_node = asked.map(PathBuf::from);
        let parent = process::inherited_channel();
        let config = source.config.clone().map(PathBuf::into_os_string);
        let words = config.into_iter().chain(source.words.iter().cloned()).collect();
        Some(Self { launched, terminal, parent, node, wanted_node, words })
    }

    fn resolution(&self) -> Resolution<'_> {
        Resolution {
            node: self.node.as_deref().ok(),
            node_args: &self.launched.node_args,
            package: self.launched.package.as_deref(),
        }
    }

    fn evaluator(&self) -> Evaluator {
        // One that is missing is told when it is needed: a configuration that is no program needs none.
        let node = self.node.as_ref().ok().cloned().or_else(|| self.wanted_node.clone());
        let program = self.launched.program.clone().or_else(|| std::env::current_exe().ok());
        let boot = json!({
            "v": 1,
            "program": program.as_deref().map(utf8),
            "args": self.words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>(),
            "package": self.launched.package.as_deref().map(utf8),
        });
        Evaluator {
            node,
            node_args: self.launched.node_args.clone(),
            folder: std::env::current_dir().unwrap_or_default(),
            boot,
            parent: self.parent.as_ref().and_then(|channel| channel.try_clone().ok()),
            running: None,
        }
    }
}

/// What SIGHUP means. If another process stands in for us, we follow it, and leave its group: it passes on what a
/// terminal sends there. Nothing if it is gone already.
fn terminal(stand_in: Option<Pid>) -> Option<Terminal> {
    let terminal = Terminal::at_start();
    if let Some(parent) = stand_in {
        if !process::follow(parent) {
            return None;
        }
        process::leave_group();
    }
    Some(terminal)
}

/// Tells why the configuration cannot be used: as it is for people, as a log line for machines.
fn refuse(output: &Output, exit: Exit, reason: &str) -> Exit {
    match output.log_format {
        // Lines without their priority are no errors to the journal.
        LogFormat::Text if logging::journal_reads_stderr() => error!(event = "config_error", "{reason}"),
        LogFormat::Text => cli::complain(reason),
        LogFormat::Json => error!(event = "config_error", "{reason}"),
    }
    exit
}

fn serve(found: Found<'_>) -> Exit {
    let division = found.division;
    match prepare(found) {
        Ok(job) => {
            announce(&job, division);
            driver::run(job).unwrap_or_else(|error| {
                error!(event = "internal", "luster cannot continue: {error:#}");
                Exit::Internal
            })
        }
        Err((exit, reason)) => {
            error!(event = "cannot_start", "{reason}");
            exit
        }
    }
}

fn prepare(found: Found<'_>) -> Result<Job, (Exit, String)> {
    let Found { surroundings, loaded, division, plan, mut evaluator } = found;
    let settings = &loaded.settings;
    let node = surroundings.node.as_ref().map_err(|error| (Exit::ForkOrExec, error.to_string()))?.clone();
    // Before the host is started: what it prints goes to the log files too.
    let mut twins = plan.open()?;
    division.native.iter().for_each(|name| twins.begin(name));
    let wishes = evaluator.running.as_mut().map(|running| running.left.wishes()).unwrap_or_default();
    let company = company(loaded, division, evaluator)?;
    let program = Program {
        node,
        node_args: surroundings.launched.node_args.clone(),
        main: settings.app.clone(),
        args: surroundings.words.clone(),
    };
    let mut boot = config_boot(loaded);
    let data = sealed(loaded).map_err(|error| (Exit::Internal, error))?;
    if let Some(data) = &data {
        boot["data"] = json!({"descriptor": process::FURTHER, "size": data.size()});
    }
    boot["package"] = surroundings.launched.package.as_deref().map(utf8).into();
    let attendance = match &company {
        Company::Alone => Attendance::Alone,
        Company::Host { .. } => {
            Attendance::Host { limit: settings.extensions_load_timeout.map(|limit| limit + HOST_SLACK) }
        }
        Company::Script(_) => Attendance::Script,
    };
    let mut job = job::prepare(settings, program, boot, data, company)?;
    job.policy.attendance = attendance;
    job.terminal = surroundings.terminal;
    job.launcher.wishes = wishes;
    job.twins = twins;
    Ok(job)
}

/// The extension host, if one is needed: the process that has run the configuration, or a new one. If none is, that
/// process ends here.
fn company(
    loaded: &Loaded,
    division: &Division,
    mut evaluator: Evaluator,
) -> Result<Company, (Exit, String)> {
    let running = evaluator.running.take();
    let stays = running.as_ref().is_some_and(|running| running.left.stays);
    if division.modules.is_empty() && !stays && !traces() {
        return Ok(Company::Alone);
    }
    let not_started = |error: String| {
        (Exit::ForkOrExec, format!("the process for the extensions cannot be started: {error}"))
    };
    let layout = loaded.settings.server.layout(loaded.settings.policy.workers);
    let ports: Vec<_> = layout.into_iter().map(|seat| seat.port).collect();
    let verdict = json!({ "ports": ports });
    // One that runs already prints where luster did then.
    let prints_elsewhere = division.native.iter().any(|name| name == LOG_FILE);
    let (launcher, started) = match running {
        Some(Running { launcher, candidate, .. }) if prints_elsewhere => {
            drop(candidate);
            start(launcher, loaded, verdict)
        }
        Some(Running { mut launcher, candidate, .. }) => {
            launcher.boot["baseDir"] = utf8(&loaded.base_dir).into();
            launcher.boot["verdict"] = verdict;
            let word = json!({"baseDir": launcher.boot["baseDir"], "verdict": launcher.boot["verdict"]});
            let started = candidate.engage(&word).map_err(|error| error.to_string());
            (launcher, started)
        }
        None => {
            let launcher = evaluator.launcher().map_err(|error| not_started(format!("{error:?}")))?;
            start(launcher, loaded, verdict)
        }
    };
    let (child, socket) = started.map_err(not_started)?;
    Ok(Company::Host { launcher: Box::new(launcher), child, socket })
}

/// Starts a host that reads the configuration itself.
fn start(
    mut launcher: HostLauncher,
    loaded: &Loaded,
    verdict: Value,
) -> (HostLauncher, Result<(Child, OwnedFd), String>) {
    let config = config_boot(loaded);
    for (name, value) in config.as_object().into_iter().flatten() {
        launcher.boot[name.as_str()] = value.clone();
    }
    launcher.boot["verdict"] = verdict;
    launcher.data = match sealed(loaded) {
        Ok(data) => data,
        Err(error) => return (launcher, Err(error)),
    };
    let started = launcher.launch(json!({})).map_err(|error| error.to_string());
    (launcher, started)
}

/// Whether somebody wants to see the events of a Master, for which there has to be one.
fn traces() -> bool {
    std::env::var("NODE_DEBUG").is_ok_and(|sections| sections.to_ascii_lowercase().contains("luster:eex"))
}

/// How JavaScript gets the configuration: it runs a program itself, and is given what is none.
fn config_boot(loaded: &Loaded) -> Value {
    let format = if loaded.data.is_some() { "data" } else { "module" };
    json!({"config": utf8(&loaded.path), "baseDir": utf8(&loaded.base_dir), "format": format})
}

/// A configuration that is data, for processes to be given as it was when it was read.
fn sealed(loaded: &Loaded) -> Result<Option<Sealed>, String> {
    let seal = |data: &String| Sealed::new("luster-configuration", data.as_bytes());
    let sealed = loaded.data.as_ref().map(seal).transpose();
    sealed.map_err(|error| format!("the configuration cannot be kept in memory for workers: {error}"))
}

fn announce(job: &Job, division: &Division) {
    let (workers, pid, version) = (job.policy.workers, std::process::id(), env!("CARGO_PKG_VERSION"));
    let (app, node) = (job.launcher.main.display(), job.launcher.node.display());
    let s = if workers == 1 { "" } else { "s" };
    info!(
        event = "start",
        pid, workers, version, "luster {version} (pid {pid}) runs {workers} worker{s} of {app} with {node}"
    );
    for name in &division.native {
        info!(event = "native", name, "{name} is not installed; using the built-in one");
    }
    if let Company::Host { child, .. } = &job.company {
        let (pid, names) = (child.pid(), division.modules.join(", "));
        let what = match names.is_empty() {
            true => "what the configuration left running".to_owned(),
            false => format!("the master side of {names}"),
        };
        info!(event = "host_fork", pid = pid.as_raw(), names, "the extension host (pid {pid}) runs {what}");
    }
}
