//! What the host may ask, as it writes it.
//!
//! Invariant: an ask we cannot make sense of is an error for the log, and changes nothing. Numbers are JavaScript's:
//! anything that is no time in milliseconds means "no limit". What may be a secret (values of environment variables and
//! of a configuration, command lines) is not shown by `Debug`, which log lines use.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::core::{LifecycleLimits, OneRequest, Persistence, WorkerId};

/// One ask.
#[derive(Debug, Deserialize)]
#[serde(tag = "ask", rename_all = "camelCase")]
pub enum HostRequest {
    /// A script says who it is. The first thing it says, and the only time.
    Hello(Box<Hello>),
    /// The extension host's extensions are configured.
    Initialized {
        /// Extensions of the configuration whose work is ours, because their modules are not installed.
        #[serde(default)]
        native: Vec<String>,
    },
    /// Start every worker that is not stopped on request, dead, or running.
    Start,
    /// Something about one worker.
    One {
        /// Which.
        wid: u32,
        /// What.
        what: WorkerRequestKind,
    },
    /// Replace every worker.
    Rollout {
        /// Whether a replacement that keeps dying is to stop it, as where an operator asks; the methods go on, as in JS luster.
        #[serde(default)]
        hold: bool,
    },
    /// Replace every worker, all at once.
    Restart,
    /// Read the configuration anew and replace every worker. What comes of it is answered under this number.
    Reload {
        /// The number.
        id: u64,
    },
    /// Have so many workers; answered.
    Scale {
        /// The number that it is answered under.
        id: u64,
        /// How many.
        count: i64,
    },
    /// How does everything stand? Answered.
    Status {
        /// The number that it is answered under.
        id: u64,
    },
    /// A worker has these limits, and listens there, from now on.
    Limits(WorkerSettings),
    /// One worker more.
    Add(WorkerSettings),
    /// How workers are to be started from now on.
    Setup {
        /// All that differs from the beginning.
        settings: Setup,
    },
    /// What has changed in the environment that workers inherit.
    Env(EnvChanges),
    /// Send a process a signal.
    Kill {
        /// To whom.
        instance: u32,
        /// Which.
        signal: i32,
    },
    /// Tell a worker to close its servers and leave; it counts as having left by itself.
    Disconnect {
        /// Whom.
        instance: u32,
    },
    /// Stop everything gracefully.
    Stop {
        /// The signal that is the reason.
        #[serde(default)]
        signal: Option<String>,
    },
    /// Everybody has heard that all workers are dead.
    Concluded,
    /// Open the log files anew.
    Reopen,
    /// Which signals it wants to have passed on, by name.
    Signals {
        /// All of them.
        names: Vec<String>,
    },
    /// What it is about to die of, a clause.
    Words {
        /// The clause.
        text: String,
    },
}

/// What can be asked about one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WorkerRequestKind {
    /// Start it.
    Start,
    /// Stop it, for good.
    Stop,
    /// Replace it at once.
    Restart,
    /// Replace it in its turn.
    Rollout,
    /// It is no longer dead.
    Revive,
}

/// A worker as the JavaScript describes it.
#[derive(Debug, Clone, Deserialize)]
pub struct WorkerSettings {
    wid: u32,
    /// The value of its environment variable `port`.
    pub port: String,
    limits: LimitSettings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LimitSettings {
    #[serde(default)]
    fork_timeout: Value,
    #[serde(default)]
    stop_timeout: Value,
    #[serde(default)]
    kill_timeout: Value,
    #[serde(default)]
    exit_threshold: Value,
    #[serde(default)]
    allowed_sequential_deaths: Value,
    persistent: bool,
}

/// How workers are to be started, as Node's `cluster.settings` has it; what is absent stays as it is.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Setup {
    /// Node's flags.
    pub exec_argv: Option<Vec<String>>,
    /// The main module.
    pub exec: Option<String>,
    /// Its arguments.
    pub args: Option<Vec<String>>,
    /// The working directory.
    pub cwd: Option<PathBuf>,
    /// Whether stdio is piped to the host.
    pub silent: bool,
    /// What stdio is, in place of `silent`; as Node's `stdio`.
    pub stdio: Option<Value>,
    /// Whose rights workers have.
    pub uid: Option<u32>,
    /// Which group's.
    pub gid: Option<u32>,
    /// The inspector's port, for all.
    pub inspect_port: Option<Value>,
    /// `advanced` if messages are to be in V8's own form.
    pub serialization: Option<String>,
    /// `shared` if `cluster.schedulingPolicy` says so.
    pub balance: Option<String>,
}

/// Changes of the environment.
#[derive(Clone, Default, Deserialize)]
pub struct EnvChanges {
    /// New values.
    pub set: BTreeMap<String, String>,
    /// Variables that are gone.
    pub unset: Vec<String>,
}

/// A script's introduction. Whatever its package's version, this much of it can be read.
#[derive(Deserialize)]
pub struct Hello {
    /// The form of what is said; see [`HostChannel`](super::Link).
    #[serde(default)]
    pub protocol: Value,
    /// The package's version.
    #[serde(default)]
    pub version: Value,
    /// What is to be run: an [`CustomMasterSpec`], if the protocol is ours.
    #[serde(default)]
    pub spec: Value,
}

/// What a script wants to be run.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomMasterSpec {
    /// How its workers are started.
    pub script: ScriptSettings,
    /// The configuration as JSON, and the words for what JSON cannot say.
    pub config: ConfigValue,
    /// The folder its relative paths start from.
    pub base_dir: PathBuf,
    /// Extensions whose work is ours.
    pub native: Vec<String>,
    /// The workers, by number from 1 on.
    pub workers: Vec<WorkerSettings>,
}

/// How a script's workers are started: as itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScriptSettings {
    /// The Node program.
    pub node: PathBuf,
    /// Its flags.
    pub exec_argv: Vec<String>,
    /// The script.
    pub exec: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

/// A configuration that JavaScript holds.
#[derive(Clone, Deserialize)]
pub struct ConfigValue {
    /// What JSON can say of it.
    pub value: Value,
    /// By dotted path: JavaScript's word for what it cannot.
    #[serde(default)]
    pub odd: BTreeMap<String, String>,
    /// The app's file, where its Node finds one.
    pub app: Option<PathBuf>,
}

impl fmt::Debug for EnvChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.set.keys().collect();
        f.debug_struct("EnvChanges").field("set", &names).field("unset", &self.unset).finish()
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changed = [
            ("execArgv", self.exec_argv.is_some()),
            ("exec", self.exec.is_some()),
            ("args", self.args.is_some()),
            ("cwd", self.cwd.is_some()),
            ("silent", self.silent),
            ("stdio", self.stdio.is_some()),
            ("uid", self.uid.is_some()),
            ("gid", self.gid.is_some()),
            ("inspectPort", self.inspect_port.is_some()),
            ("balance", self.balance.is_some()),
        ];
        f.debug_list().entries(changed.iter().filter(|(_, is)| *is).map(|(name, _)| name)).finish()
    }
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello").finish_non_exhaustive()
    }
}

impl fmt::Debug for ScriptSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptSettings").field("exec", &self.exec).finish_non_exhaustive()
    }
}

impl fmt::Debug for ConfigValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigValue").finish_non_exhaustive()
    }
}

impl WorkerRequestKind {
    /// The supervisor's word for it.
    #[must_use]
    pub const fn request(self) -> OneRequest {
        match self {
            Self::Start => OneRequest::Start,
            Self::Stop => OneRequest::Stop,
            Self::Restart => OneRequest::Restart,
            Self::Rollout => OneRequest::Rollout,
            Self::Revive => OneRequest::Revive,
        }
    }
}

impl WorkerSettings {
    /// Whom it is about.
    #[must_use]
    pub const fn worker(&self) -> WorkerId {
        WorkerId(self.wid)
    }

    /// Its limits.
    #[must_use]
    pub fn limits(&self) -> LifecycleLimits {
        let limits = &self.limits;
        LifecycleLimits {
            fork_timeout: timeout(&limits.fork_timeout),
            stop_timeout: timeout(&limits.stop_timeout),
            kill_timeout: timeout(&limits.kill_timeout),
            exit_threshold: timeout(&limits.exit_threshold),
            allowed_sequential_deaths: count(&limits.allowed_sequential_deaths),
            persistence: if limits.persistent { Persistence::Persistent } else { Persistence::OneLife },
        }
    }
}

/// A time in milliseconds; 0, nothing and nonsense are no limit, as in JS luster.
fn timeout(value: &Value) -> Option<Duration> {
    let milliseconds = value.as_f64().filter(|milliseconds| *milliseconds > 0.0)?;
    Duration::try_from_secs_f64(milliseconds / 1000.0).ok()
}

/// A whole number; infinity cannot be written in JSON and comes as nothing.
fn count(value: &Value) -> u32 {
    match value.as_f64() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        Some(number) => number as u32,
        None if value.is_null() => u32::MAX,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(json: &str) -> HostRequest {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn limits_are_javascripts_numbers() {
        let HostRequest::Limits(about) =
            ask(r#"{"ask":"limits","wid":3,"port":"80","limits":{"forkTimeout":0,"stopTimeout":1.5,
            "killTimeout":-1,"exitThreshold":"x","allowedSequentialDeaths":null,"persistent":false}}"#)
        else {
            panic!()
        };
        let limits = about.limits();
        assert_eq!(about.worker(), WorkerId(3));
        assert_eq!((limits.fork_timeout, limits.kill_timeout, limits.exit_threshold), (None, None, None));
        assert_eq!(limits.stop_timeout, Some(Duration::from_micros(1500)));
        assert_eq!((limits.allowed_sequential_deaths, limits.persistence), (u32::MAX, Persistence::OneLife));
    }

    #[test]
    fn asks_are_told_by_their_name() {
        assert!(matches!(ask(r#"{"ask":"rollout"}"#), HostRequest::Rollout { hold: false }));
        assert!(matches!(ask(r#"{"ask":"rollout","hold":true}"#), HostRequest::Rollout { hold: true }));
        assert!(matches!(ask(r#"{"ask":"stop"}"#), HostRequest::Stop { signal: None }));
        assert!(matches!(ask(r#"{"ask":"stop","signal":"SIGINT"}"#), HostRequest::Stop { signal: Some(_) }));
        assert!(matches!(
            ask(r#"{"ask":"one","wid":1,"what":"restart"}"#),
            HostRequest::One { wid: 1, what: WorkerRequestKind::Restart }
        ));
        assert!(matches!(
            ask(r#"{"ask":"setup","settings":{"silent":true,"new":1}}"#),
            HostRequest::Setup { .. }
        ));
        for nonsense in [r#"{"ask":"dance"}"#, "1", r#"{"ask":"one","wid":"x","what":"stop"}"#] {
            assert!(serde_json::from_str::<HostRequest>(nonsense).is_err(), "{nonsense}");
        }
    }
}
