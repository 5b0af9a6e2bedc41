//! The way from the command line's CONFIG to settings: find, read, override, check.
//!
//! Invariant: nothing is taken from the environment but what the [`Request`] holds, so that tests can give
//! it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, io};

use serde_json::Value;

use crate::config::check::check;
use crate::config::error::{Error, Problem};
use crate::config::evaluate::EVALUATION_DEADLINE;
use crate::config::find::{self, NotFound};
use crate::config::inspect::Inspector;
use crate::config::origin::{Origin, Origins};
use crate::config::overrides;
use crate::config::read::{Reading, Source, read};
use crate::config::settings::Settings;

/// The file looked for when the command line names none; extensions are tried.
const DEFAULT_CONFIG: &str = "luster.conf";

/// What [`load()`] needs from outside.
#[derive(Debug, Clone)]
pub struct Request {
    /// The command line's CONFIG.
    pub config: Option<PathBuf>,
    /// The working directory, absolute.
    pub cwd: PathBuf,
    /// The environment variable `LUSTER_CONF`.
    pub luster_conf: Option<OsString>,
    /// The `node` to run configurations that are programs: a path, or a name to look for on PATH.
    pub node: Option<PathBuf>,
    /// Node's own flags for it; those of the inspector are left out.
    pub node_arguments: Vec<OsString>,
    /// What such programs see as `process.argv[1]`: luster's own path.
    pub program: PathBuf,
    /// How many CPUs this process may use: the default number of workers.
    pub cpus: u32,
    /// How long such programs may take.
    pub evaluation_deadline: Duration,
}

impl Request {
    /// A request from this process's surroundings.
    ///
    /// # Errors
    /// There is no working directory.
    pub fn from_surroundings(
        config: Option<PathBuf>,
        node: Option<PathBuf>,
        node_arguments: Vec<OsString>,
    ) -> io::Result<Self> {
        Ok(Self {
            config,
            cwd: env::current_dir()?,
            luster_conf: env::var_os("LUSTER_CONF"),
            node,
            node_arguments,
            program: env::current_exe().unwrap_or_else(|_| PathBuf::from("luster")),
            // Honours affinity and the cgroup's quota, unlike JS luster.
            cpus: u32::try_from(num_cpus::get()).unwrap_or(1),
            evaluation_deadline: EVALUATION_DEADLINE,
        })
    }
}

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration file, absolute.
    pub path: PathBuf,
    /// The folder that relative paths in it start from: that of CONFIG as given, as in JS luster.
    pub base_dir: PathBuf,
    /// Where the configuration came from, and so how workers are to read it again.
    pub source: Source,
    /// What was written, `LUSTER_CONF` applied, unknown keys kept.
    pub written: Value,
    /// What it means.
    pub settings: Settings,
    /// What looked odd, each a line of text that names its place.
    pub warnings: Vec<String>,
    /// Where each value came from.
    pub origins: Origins,
}

impl Loaded {
    /// Where the value of this dotted key came from.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        match key.split('.').try_fold(&self.written, |value, name| value.get(name)) {
            Some(_) => self.origins.of(key),
            None => Origin::Default,
        }
    }
}

/// Finds, reads and checks the configuration.
///
/// # Errors
/// It cannot be found or read, or it is wrong: then all mistakes are told at once.
pub fn load(request: &Request) -> Result<Loaded, Error> {
    let config = request.config.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG));
    let wanted = find::resolve(&request.cwd, config);
    let path = match find::find(&wanted, find::CONFIG_EXTENSIONS) {
        Ok(path) => path,
        Err(NotFound::Missing(tried)) => return Err(Error::NotFound { wanted, tried }),
        Err(NotFound::Denied(path, source)) => return Err(Error::Unreadable { path, source }),
    };
    let base_dir = wanted.parent().unwrap_or(&wanted).to_owned();
    let name = path.strip_prefix(&request.cwd).unwrap_or(&path).display().to_string();
    let Reading { source, mut written, mut origins, not_an_object } = read(&path, &name, request)?;
    if let Some(kind) = not_an_object {
        return Err(not_an_object_error(&kind, name));
    }

    let variable = request.luster_conf.as_ref().map(|value| value.to_string_lossy()).unwrap_or_default();
    let mut overridden = overrides::apply(&variable, &mut written, &mut origins);
    let mut inspector = Inspector::new(&written, &origins);
    let settings = check(&mut inspector, &base_dir, request.cpus);
    overridden.problems.append(&mut inspector.problems);
    overridden.warnings.append(&mut inspector.warnings);
    let warnings = overridden.warnings;
    if !overridden.problems.is_empty() {
        return Err(Error::Invalid { problems: overridden.problems, warnings });
    }
    Ok(Loaded { path, base_dir, source, written: written.value, settings, warnings, origins })
}

fn not_an_object_error(kind: &str, name: String) -> Error {
    let problem = Problem {
        key: None,
        message: format!("The configuration's type is \"{kind}\", but object is expected"),
        origin: Origin::WholeFile { name },
        excerpt: None,
    };
    Error::Invalid { problems: vec![problem], warnings: Vec::new() }
}
