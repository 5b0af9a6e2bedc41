//! The way from the command line's CONFIG to settings: find, read, override, check.
//!
//! Invariant: nothing is taken from the environment but what the [`ConfigRequest`] holds, so that tests can give
//! it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::apps::{self, Part};
use crate::config::check::{Surroundings, check};
use crate::config::error::{Error, NamedExtensions};
use crate::config::evaluate::Evaluate;
use crate::config::find::{self, NotFound};
use crate::config::literal::Flavour;
use crate::config::origin::Origin;
use crate::config::origins::Origins;
use crate::config::overrides;
use crate::config::pm2;
use crate::config::problem::Problem;
use crate::config::raw::{RawConfig, type_name};
use crate::config::read::{ParsedConfig, SourceFormat, read};
use crate::config::request::{ConfigRequest, Defaults};
use crate::config::settings::Settings;
use crate::config::validator::{Validator, with_article};
use crate::core::{FleetPlan, PoolName};

/// The file looked for when the command line names none; extensions are tried.
const DEFAULT_CONFIG: &str = "luster.conf";

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration file, absolute.
    pub path: PathBuf,
    /// The folder that relative paths in it start from: that of CONFIG as given, as in JS luster.
    pub base_dir: PathBuf,
    /// What the configuration is, and so how workers get it.
    pub source: SourceFormat,
    /// What was written, as JSON for JavaScript, unless it is a program: those are run anew by whoever needs them.
    pub data: Option<String>,
    /// What was written, `LUSTER_CONF` applied, unknown keys kept.
    pub raw: Value,
    /// What it means.
    pub settings: Settings,
    /// Where its files really were when it was read.
    pub real: Real,
    /// What looked odd.
    pub warnings: Vec<Problem>,
    /// Where each value came from.
    pub origins: Origins,
}

/// A configuration that can be used, of one app or of several.
#[derive(Debug, Clone)]
pub struct LoadedFleet {
    /// Each app by its name; the only one of a configuration without `apps` has none.
    pub apps: BTreeMap<PoolName, Loaded>,
    /// In which order they come and go.
    pub plan: FleetPlan,
}

impl LoadedFleet {
    /// The only app of a configuration without `apps`.
    #[must_use]
    pub fn only(&self) -> Option<&Loaded> {
        self.apps.get(&PoolName::default())
    }

    /// One of them, for what they have in common: the file, the control socket.
    ///
    /// # Panics
    /// Never: a configuration without an app is refused.
    #[must_use]
    pub fn any(&self) -> &Loaded {
        self.apps.values().next().expect("a configuration without an app is refused")
    }

    /// What looked odd.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.apps.values().flat_map(|loaded| &loaded.warnings)
    }
}

/// Where files really are: what a symbolic link leads to is another release tomorrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Real {
    /// The configuration file.
    pub config: PathBuf,
    /// The app.
    pub app: PathBuf,
    /// The folder extensions are resolved from.
    pub extensions: PathBuf,
    /// How Node loads the configuration, if it is a program.
    pub flavour: Option<Flavour>,
}

impl Loaded {
    /// Where the value of this dotted key came from.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        match key.split('.').try_fold(&self.raw, |value, name| value.get(name)) {
            Some(_) => self.origins.of(key),
            None => Origin::Default,
        }
    }
}

/// Finds, reads and checks the configuration.
///
/// # Errors
/// It cannot be found or read, or it is wrong: then all mistakes are told at once.
pub fn load(request: &ConfigRequest, evaluator: &mut dyn Evaluate) -> Result<LoadedFleet, Error> {
    let loaded = load_once(request, evaluator)?;
    // A link was moved meanwhile: configuration and app might be of two releases.
    if request.links.real(&loaded.any().path) == loaded.any().real.config {
        Ok(loaded)
    } else {
        load_once(request, evaluator)
    }
}

fn load_once(request: &ConfigRequest, evaluator: &mut dyn Evaluate) -> Result<LoadedFleet, Error> {
    let config = request.config.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG));
    let wanted = find::resolve(&request.cwd, config);
    let path = match find::find(&wanted, find::CONFIG_EXTENSIONS) {
        Ok(path) => path,
        Err(NotFound::Missing(tried)) => return Err(Error::NotFound { wanted, tried }),
        Err(NotFound::Denied(path, source)) => return Err(Error::Unreadable { path, source }),
    };
    let real = request.links.real(&path);
    let base_dir = wanted.parent().unwrap_or(&wanted).to_owned();
    let name = path.strip_prefix(&request.cwd).unwrap_or(&path).display().to_string();
    let reading = read(&path, &real, &name, request, evaluator)?;
    let ParsedConfig { source, mut raw, data, mut origins, not_an_object } = reading;
    if let Some(kind) = not_an_object {
        return Err(not_an_object_error(&kind, name));
    }

    if let Some(error) = pm2::ecosystem(&raw.value, &name) {
        return Err(error);
    }
    let variable = request.luster_conf.as_ref().map(|value| value.to_string_lossy()).unwrap_or_default();
    let overridden = overrides::apply(&variable, &mut raw, &mut origins);
    let mut find_app = |path: &Path| evaluator.find_app(path);
    let mut decide = |overridden, raw: &RawConfig, origins: &Origins| {
        let surroundings = Surroundings {
            base_dir: &base_dir,
            defaults: request.defaults,
            find_app: &mut find_app,
            find_program: request.find_program,
        };
        decide(overridden, raw, origins, surroundings)
    };
    let loaded = |raw: Value, (settings, warnings): (Settings, Vec<Problem>), origins: Origins| Loaded {
        path: path.clone(),
        base_dir: base_dir.clone(),
        source,
        data: data.clone(),
        raw,
        real: Real {
            app: match &settings.program {
                // What is executed may go by the name it has.
                Some(program) if program.interpreter.is_empty() => request.links.real_folder(&settings.app),
                Some(_) | None => request.links.real(&settings.app),
            },
            extensions: request.links.real(&settings.extensions_path),
            flavour: (source == SourceFormat::Module).then(|| find::flavour(&real)),
            config: real.clone(),
        },
        settings,
        warnings,
        origins,
    };
    if !apps::are_several(&raw) {
        let decided = decide(overridden, &raw, &origins)?;
        let apps = BTreeMap::from([(PoolName::default(), loaded(raw.value, decided, origins))]);
        return Ok(LoadedFleet { apps, plan: FleetPlan::plain() });
    }
    let (decided, plan) = decide_several(overridden, &raw, &origins, &mut decide)?;
    let of_app = |(part, decided): (Part, _)| (part.name, loaded(part.raw.value, decided, part.origins));
    Ok(LoadedFleet { apps: decided.into_iter().map(of_app).collect(), plan })
}

type Decided = (Settings, Vec<Problem>);

/// The settings of each app, if nothing is wrong with any, and in which order they come and go. What several apps have in common
/// is told once.
fn decide_several(
    overridden: overrides::SearchOutcome,
    raw: &RawConfig,
    origins: &Origins,
    decide: &mut dyn FnMut(overrides::SearchOutcome, &RawConfig, &Origins) -> Result<Decided, Error>,
) -> Result<(Vec<(Part, Decided)>, FleetPlan), Error> {
    let mut validator = Validator::new(raw, origins);
    let (parts, plan) = apps::divide(raw, origins, &mut validator);
    let mut problems = overridden.problems;
    problems.append(&mut validator.problems);
    let mut odd = overridden.warnings;
    odd.append(&mut validator.warnings);
    let mut told = Vec::new();
    let mut only_new = |all: Vec<Problem>| {
        let (new, _): (Vec<_>, Vec<_>) = all.into_iter().partition(|problem| !told.contains(problem));
        told.extend(new.iter().cloned());
        new
    };
    let mut decided = Vec::new();
    for part in parts {
        match decide(overrides::SearchOutcome::default(), &part.raw, &part.origins) {
            Ok((settings, warnings)) => decided.push((part, (settings, only_new(warnings)))),
            Err(Error::Invalid { problems: more, warnings, .. }) => {
                problems.extend(only_new(more));
                odd.extend(only_new(warnings));
            }
            Err(other) => return Err(other),
        }
    }
    let judged: Vec<_> =
        decided.iter().map(|(part, (settings, _))| (&part.name, settings, &part.origins)).collect();
    problems.extend(apps::clashes(&judged));
    if problems.is_empty() {
        if let Some((_, (_, warnings))) = decided.first_mut() {
            odd.append(warnings);
            *warnings = odd;
        }
        return Ok((decided, plan));
    }
    odd.extend(decided.into_iter().flat_map(|(_, (_, warnings))| warnings));
    Err(Error::Invalid { problems, warnings: odd, rest: Box::default() })
}

/// The file that CONFIG names, found by name alone; where there is none, what it could be.
///
/// # Errors
/// There is none: these were tried.
pub fn locate(config: Option<&Path>, cwd: &Path) -> Result<PathBuf, Vec<PathBuf>> {
    let wanted = find::resolve(cwd, config.unwrap_or(Path::new(DEFAULT_CONFIG)));
    find::find(&wanted, find::CONFIG_EXTENSIONS).map_err(|error| match error {
        NotFound::Missing(tried) => tried,
        NotFound::Denied(path, _) => vec![path],
    })
}

/// A configuration that JavaScript holds.
#[derive(Debug)]
pub struct Held {
    /// What it is as JSON.
    pub value: Value,
    /// The words for what JSON cannot say, by dotted path.
    pub odd: BTreeMap<String, String>,
    /// The app's file, where that Node finds one.
    pub app: Option<PathBuf>,
}

/// Checks a configuration that JavaScript holds: the settings it means, and warnings. `name` is what messages call it.
/// `luster_conf` has been applied, but nobody has complained of it.
///
/// # Errors
/// It is wrong: all mistakes at once.
pub fn validate(
    Held { value, odd, app }: Held,
    name: &str,
    base_dir: &Path,
    luster_conf: &str,
) -> Result<(Settings, Vec<Problem>), Error> {
    if !value.is_object() {
        return Err(not_an_object_error(type_name(&value), name.to_owned()));
    }
    let mut origins = Origins::of_module(name.to_owned());
    let mut raw = RawConfig::from_javascript(value, odd);
    // Applied twice it is the same as once.
    let overridden = overrides::apply(luster_conf, &mut raw, &mut origins);
    if apps::are_several(&raw) {
        let message = "several \"apps\" are run by `luster CONFIG`; a script runs one: give it that app's configuration";
        let problems = vec![origins.problem_of_key(apps::APPS, message.to_owned())];
        return Err(Error::Invalid { problems, warnings: Vec::new(), rest: Box::default() });
    }
    let mut find_app = |_: &Path| app.clone();
    let defaults = Defaults::from_environment();
    // None is run.
    let find_program = |name: &OsStr| Some(Path::new("/").join(name));
    let surroundings = Surroundings { base_dir, defaults, find_app: &mut find_app, find_program };
    let (settings, warnings) = decide(overridden, &raw, &origins, surroundings)?;
    if settings.program.is_some() {
        let message =
            "\"app\" is no Node.js app: `luster CONFIG` runs such, a script of yours cannot".to_owned();
        let problems = vec![origins.problem("app", message)];
        return Err(Error::Invalid { problems, warnings, rest: Box::default() });
    }
    Ok((settings, warnings))
}

/// The settings, if nothing is wrong, and what looked odd.
fn decide(
    mut overridden: overrides::SearchOutcome,
    raw: &RawConfig,
    origins: &Origins,
    surroundings: Surroundings<'_>,
) -> Result<(Settings, Vec<Problem>), Error> {
    let mut validator = Validator::new(raw, origins);
    let settings = check(&mut validator, surroundings);
    overridden.problems.append(&mut validator.problems);
    overridden.warnings.append(&mut validator.warnings);
    overridden.warnings.append(&mut origins.doubled());
    let warnings = overridden.warnings;
    match overridden.problems.is_empty() {
        true => Ok((settings, warnings)),
        false => {
            let rest = NamedExtensions {
                extensions: settings.extensions,
                extensions_path: settings.extensions_path,
                origins: Some(origins.clone()),
            };
            Err(Error::Invalid { problems: overridden.problems, warnings, rest: Box::new(rest) })
        }
    }
}

fn not_an_object(kind: &str) -> String {
    let hint = match kind {
        "function" => "; export the object itself",
        _ => "",
    };
    format!("the configuration must be an object, not {}{hint}", with_article(kind))
}

fn not_an_object_error(kind: &str, name: String) -> Error {
    let problem = Problem {
        key: None,
        message: not_an_object(kind),
        origin: Origin::WholeFile { name },
        excerpt: None,
    };
    Error::Invalid { problems: vec![problem], warnings: Vec::new(), rest: Box::default() }
}
