//! The JSON of the control socket's version 1, both ways: the server writes it, the client reads it.
//!
//! Invariants: every answer carries `schema`; within a schema version fields are only added; a reader ignores fields it does
//! not know, and takes a word it does not know for `unknown`. `docs/openapi.json` is made from these types.

use serde::{Deserialize, Serialize};

pub use super::schema_answer::{Answer, Outcome, Reason};
pub use super::schema_rollout::{Culprit, FailedRollout, Rollout};

/// The version of what is written here.
pub const SCHEMA: u32 = 1;

/// `GET /v1/status`: a master and all it keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Status {
    /// The version of these types: 1.
    pub schema: u32,
    /// The master.
    pub master: Master,
    /// Grows with every change of what follows.
    pub revision: u64,
    /// What it is about.
    pub goal: Goal,
    /// The generation of the configuration that new workers get; 0 is that of the start.
    pub generation: u32,
    /// How many workers there are to be, those that were stopped on request included.
    #[serde(default)]
    pub count: u32,
    /// How many of these are to run: those that were not stopped on request.
    pub wanted: u32,
    /// How many of those are ready.
    pub ready: u32,
    /// Every worker, by its number, those that are on their way out because there are to be fewer included.
    pub workers: Vec<Worker>,
    /// Whether the configuration is being read anew.
    #[serde(default)]
    pub reading: bool,
    /// The replacement of workers under way, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// The last rollout that failed, until one has succeeded that makes up for it: absent means that the last one worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_rollout: Option<FailedRollout>,
    /// What has become of all workers' processes.
    pub counters: Counters,
    /// The extension host or the custom master's script, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// Each app, where the configuration has several. What is above is of all of them together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<App>,
}

/// One app of a configuration with several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct App {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: AppState,
    /// The apps that are to be ready before it is started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
    /// What its workers run.
    pub app: String,
    /// The generation of the configuration that its new workers get; counted for each app.
    pub generation: u32,
    /// How many workers it is to have, those that were stopped on request included.
    pub count: u32,
    /// How many of these are to run.
    pub wanted: u32,
    /// How many of those are ready.
    pub ready: u32,
    /// The replacement of its workers under way, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Its last rollout that failed, until one has succeeded that makes up for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_rollout: Option<FailedRollout>,
    /// What has become of its workers' processes.
    pub counters: Counters,
    /// Its extension host, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
}

/// Where an app stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AppState {
    /// It waits for another one to be ready.
    Waiting,
    /// It runs.
    Running,
    /// It is being stopped.
    Stopping,
    /// It was stopped on purpose, by an extension of its own as a rule.
    Stopped,
    /// Its workers died too often, or its extensions failed.
    Dead,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Master {
    /// Its process.
    pub pid: i32,
    /// luster's version.
    pub version: String,
    /// What it is told apart by: `--name`, or a hash of the configuration's path and LUSTER_CONF.
    pub name: String,
    /// The control socket; empty if there is none, as an extension or a custom master may ask all the same.
    pub socket: String,
    /// The user it runs as.
    pub uid: u32,
    /// Milliseconds since its start.
    pub uptime_ms: u64,
    /// The configuration's absolute path, as it was given; for a custom master its script's.
    pub config: String,
    /// The same path through all links, as it was at the last (re)load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_real: Option<String>,
    /// What workers run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Processor time it has used, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// Its resident memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// What a master is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// It serves.
    Serving,
    /// It is stopping everything.
    Stopping,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// One worker: a number that is kept over restarts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Worker {
    /// Its app, where the configuration has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Its number, from 1; in each app.
    pub wid: u32,
    /// Its state: that of its active process, or why it has none.
    pub state: State,
    /// Whether it goes with its last process, because there are to be fewer workers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// How often a process of it was started anew, for whatever reason.
    pub restarts: u64,
    /// What has become of its processes.
    pub counters: Counters,
    /// Milliseconds until it is started again, while it is backing off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_ms: Option<u64>,
    /// Its processes: the active one first, if there is one, then its successor, then those on their way out.
    pub instances: Vec<Instance>,
    /// How it last ended by itself, if it ever did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
}

/// One process of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Instance {
    /// Its number, never given twice: `cluster.worker.id`.
    pub id: u32,
    /// What it is to its worker.
    pub role: Role,
    /// Where it is between its start and its end.
    pub state: State,
    /// Its process; absent for a moment before it is forked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The generation of the configuration it runs.
    pub generation: u32,
    /// Milliseconds since its start.
    pub uptime_ms: u64,
    /// Milliseconds since it has been ready, if it ever was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_ms: Option<u64>,
    /// What it listens on: `tcp *:8080`, `unix /run/app.sock`.
    pub endpoints: Vec<String>,
    /// Processor time it has used, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// Its resident memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// What a process is to its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It is the worker.
    Active,
    /// It is to follow the active one, and comes up beside it.
    Successor,
    /// It does not count any more: it was replaced and drains, or has failed.
    Retiring,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// The state of a worker or of one of its processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Started, not ready.
    Starting,
    /// Ready.
    Ready,
    /// On its way out: it has connections left, or functions that it runs before it goes.
    Draining,
    /// On its way out: it has left, and is to exit.
    Stopping,
    /// No process until a pause is over, because it keeps dying young.
    BackingOff,
    /// No process: it died too often.
    Dead,
    /// No process, because it was stopped on request.
    Stopped,
    /// No process, because nobody has asked for one yet.
    Idle,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// How a process of a worker ended by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Failure {
    /// Its exit code, if it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Why, a clause for people.
    pub reason: String,
    /// How many milliseconds ago.
    pub ago_ms: u64,
}

/// What has become of processes since the master's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Counters {
    /// Those that were started.
    pub started: u64,
    /// Those that ended although nobody had asked for that.
    pub crashed: u64,
    /// Those that were given up because they were slow to start.
    pub late: u64,
    /// Those that ended as asked: replaced, stopped.
    pub asked: u64,
}

/// The extension host or the custom master's script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Host {
    /// Which it is.
    pub kind: HostKind,
    /// Its process, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Its state.
    pub state: State,
}

/// Which host there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HostKind {
    /// The process that extensions' master side runs in.
    ExtensionHost,
    /// The script that has started luster.
    CustomMaster,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// `GET /v1/health`: 200 if every wanted worker is ready, else 503.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Health {
    /// The version of these types: 1.
    pub schema: u32,
    /// Whether every wanted worker is ready and nothing is being stopped.
    pub healthy: bool,
    /// How many workers are to run.
    pub wanted: u32,
    /// How many of these are ready.
    pub ready: u32,
    /// Those that are not.
    pub not_ready: Vec<u32>,
}

/// The body of `POST /v1/reload`; none is the same as `{}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Reload {
    /// The app that is meant, where the configuration has several; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
}

/// The body of `POST /v1/restart`, `stop`, `start` and `revive`; none is the same as `{}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Whom {
    /// Their app, where the configuration has several; all apps if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The workers that are meant; all if absent (a stop of all of all apps ends the master, too).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<Vec<u32>>,
}

/// The body of `POST /v1/scale`: exactly one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Scale {
    /// Whose workers, where the configuration has several apps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// How many workers there are to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    /// How many more, or fewer, than there are to be now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<i64>,
}

/// The event `lost` of `GET /v1/events`: the reader is slow, and so many events were dropped in this place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Lost {
    /// The version of these types: 1.
    pub schema: u32,
    /// How many.
    pub lost: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_of_a_later_version_are_read_as_unknown() {
        assert_eq!(serde_json::from_value::<State>(json!("hibernating")).expect("read"), State::Unknown);
        assert_eq!(serde_json::from_value::<Outcome>(json!("postponed")).expect("read"), Outcome::Unknown);
        assert_eq!(serde_json::to_value(State::BackingOff).expect("written"), json!("backing_off"));
    }

    #[test]
    fn fields_of_a_later_version_are_ignored_in_answers_and_refused_in_requests() {
        let answer = json!({"schema": 1, "outcome": "done", "message": "done.", "mood": "good"});
        let answer: Answer = serde_json::from_value(answer).expect("read");
        assert_eq!((answer.outcome, answer.reason, answer.wid), (Outcome::Done, None, None));
        assert!(serde_json::from_value::<Whom>(json!({"worker": [1]})).is_err());
        assert_eq!(serde_json::from_value::<Whom>(json!({})).expect("read"), Whom::default());
    }

    #[test]
    fn what_has_no_value_is_not_written() {
        let answer = Answer {
            schema: SCHEMA,
            outcome: Outcome::Refused,
            reason: Some(Reason::UnknownWorker),
            message: "there is no worker 9.".to_owned(),
            replaced: None,
            wid: Some(9),
            generation: None,
        };
        let written = json!({"schema": 1, "outcome": "refused", "reason": "unknown_worker",
            "message": "there is no worker 9.", "wid": 9});
        assert_eq!(serde_json::to_value(answer).expect("written"), written);
    }
}
