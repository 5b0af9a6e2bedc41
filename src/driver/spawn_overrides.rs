//! What the host wants workers to be started with: Node's `cluster.settings`, and changes of the
//! environment.
//!
//! Invariant: it changes workers that are started from now on, and nothing else.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

use crate::node::host::{EnvChanges, Setup};
use crate::process::{Change, Identity};

/// How workers differ from what the configuration says.
#[derive(Debug, Default)]
pub struct SpawnOverrides {
    /// Node's flags in place of ours.
    pub(super) node_args: Option<Vec<OsString>>,
    pub(super) folder: Option<PathBuf>,
    pub(super) identity: Identity,
    pub(super) streams: [StreamOverride; 3],
    pub(super) inspect_port: Option<u16>,
    pub(super) serialization: Serialization,
    pub(super) env: BTreeMap<OsString, Change>,
}

/// How a worker's messages are written. Its channel is JSON either way: see `npm/lib/shared/advanced.js`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Serialization {
    /// As JSON.
    #[default]
    Json,
    /// In V8's own form, as one value of JSON's.
    Advanced,
}

/// What a stream of a worker's is to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum StreamOverride {
    /// Ours.
    #[default]
    Inherited,
    Null,
    /// Piped to the host.
    Piped,
}

impl SpawnOverrides {
    /// Takes new settings in place of the old ones.
    pub(super) fn set_up(&mut self, setup: &Setup) {
        self.node_args = setup.exec_argv.as_ref().map(|flags| flags.iter().map(OsString::from).collect());
        self.folder.clone_from(&setup.cwd);
        self.identity = Identity { user: setup.uid, group: setup.gid };
        self.inspect_port =
            setup.inspect_port.as_ref().and_then(Value::as_u64).and_then(|port| port.try_into().ok());
        self.serialization = match setup.serialization.as_deref() {
            Some("advanced") => Serialization::Advanced,
            Some(_) | None => Serialization::Json,
        };
        self.streams = match &setup.stdio {
            Some(stdio) => streams(stdio),
            None if setup.silent => [StreamOverride::Piped; 3],
            None => [StreamOverride::Inherited; 3],
        };
    }

    /// What a configuration has wished for, being run.
    #[must_use]
    pub fn of_configuration(setup: &Setup, env: EnvChanges) -> Self {
        let mut overrides = Self::default();
        overrides.set_up(setup);
        overrides.change_env(env);
        overrides
    }

    /// Takes changes of the environment.
    pub(super) fn change_env(&mut self, EnvChanges { set, unset }: EnvChanges) {
        self.env.extend(set.into_iter().map(|(name, value)| (name.into(), Change::Set(value.into()))));
        self.env.extend(unset.into_iter().map(|name| (name.into(), Change::Remove)));
    }
}

/// Node's `stdio`: one word for all, or one for each. What is not known is inherited.
fn streams(stdio: &Value) -> [StreamOverride; 3] {
    let of = |value: Option<&Value>| match value.and_then(Value::as_str) {
        Some("pipe" | "overlapped") => StreamOverride::Piped,
        Some("ignore") => StreamOverride::Null,
        _ => StreamOverride::Inherited,
    };
    match stdio {
        Value::Array(each) => [0, 1, 2].map(|number| of(each.get(number))),
        all => [of(Some(all)); 3],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn overrides(settings: Value) -> SpawnOverrides {
        let mut overrides = SpawnOverrides::default();
        overrides.set_up(&serde_json::from_value(settings).unwrap());
        overrides
    }

    #[test]
    fn streams_are_nodes() {
        for (settings, expected) in [
            (json!({}), [StreamOverride::Inherited; 3]),
            (json!({"silent": true}), [StreamOverride::Piped; 3]),
            (json!({"silent": true, "stdio": "ignore"}), [StreamOverride::Null; 3]),
            (
                json!({"stdio": ["ignore", "pipe", 2, "ipc"]}),
                [StreamOverride::Null, StreamOverride::Piped, StreamOverride::Inherited],
            ),
            (json!({"stdio": ["inherit"]}), [StreamOverride::Inherited; 3]),
        ] {
            assert_eq!(overrides(settings.clone()).streams, expected, "{settings}");
        }
    }

    #[test]
    fn the_inspectors_port_is_a_port_or_nothing() {
        assert_eq!(overrides(json!({"inspectPort": 9300})).inspect_port, Some(9300));
        assert_eq!(overrides(json!({"inspectPort": 70000})).inspect_port, None);
        assert_eq!(overrides(json!({"inspectPort": "x"})).inspect_port, None);
    }
}
