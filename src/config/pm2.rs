//! What pm2's users write, and what luster has instead.
//!
//! Invariant: these are only warnings: an app may read any key. Words that configurations of other kinds have too are told
//! only beside one that nobody else has.

use serde_json::Value;

use crate::config::error::Error;
use crate::config::validator::Validator;

/// Keys that nobody but pm2 has.
const OWN: &[(&[&str], &str)] = &[
    (&["instances"], "luster's is \"workers\" (leave it out for one per CPU)"),
    (&["exec_mode"], "luster's workers are always a cluster"),
    (&["max_memory_restart"], "luster has no equivalent yet"),
    (
        &["wait_ready"],
        "luster's is \"control.triggerReadyStateManually\", and the app calls require('luster').ready()",
    ),
    (&["listen_timeout"], "luster's is \"control.readyTimeout\""),
    (
        &["kill_timeout"],
        "luster's are \"control.stopTimeout\" (to SIGTERM) and \"control.killTimeout\" (to SIGKILL)",
    ),
    (&["min_uptime"], "luster's is \"control.exitThreshold\""),
    (&["max_restarts"], "luster's is \"control.allowedSequentialDeaths\""),
    (
        &["restart_delay", "exp_backoff_restart_delay"],
        "luster waits longer and longer before it starts a worker that keeps dying, without being told",
    ),
    (&["autorestart", "stop_exit_codes"], "luster always replaces a worker that ends"),
    (&["ignore_watch", "watch_delay", "watch_options"], "the extension \"luster-guard\" watches files"),
    (
        &["out_file", "error_file", "log_file", "merge_logs", "combine_logs", "log_date_format", "log_type"],
        "the extension \"luster-log-file\" writes log files",
    ),
    (&["node_args", "interpreter_args"], "luster's is the option --node-arg"),
    (&["exec_interpreter"], "luster's is \"interpreter\""),
    (&["cron_restart"], "a systemd timer or cron can send SIGHUP to luster's pid"),
    (
        &["env_production", "env_development", "env_staging"],
        "workers have the environment that luster was started with",
    ),
    (&["instance_var"], "each worker has its number in the environment variable LUSTER_WID"),
    (
        &["pid_file", "treekill", "shutdown_with_message", "force", "vizion", "pmx"],
        "luster has no equivalent",
    ),
];

/// Keys of pm2's that others have, too.
const SHARED: &[(&[&str], &str)] = &[
    (&["script"], "luster's is \"app\""),
    (&["args"], "what follows CONFIG on luster's command line is in process.argv of the workers"),
    (&["env"], "workers have the environment that luster was started with"),
    (&["watch"], "the extension \"luster-guard\" watches files"),
    (&["cwd"], "workers run in the folder luster was started in (systemd: WorkingDirectory=)"),
    (&["user", "uid", "gid"], "workers run as the user luster was started as (systemd: User=)"),
];

/// Warns of such keys.
pub(super) fn warn(validator: &mut Validator<'_>, is_program: bool) {
    let Some(raw) = validator.raw().as_object() else { return };
    let is_pm2 = raw.keys().any(|key| advice(OWN, key).is_some())
        || (raw.contains_key("script") && !raw.contains_key("app"));
    if !is_pm2 {
        return;
    }
    // A program's `args` are luster's own key.
    for key in raw.keys().filter(|key| *key != "args" || !is_program) {
        if let Some(advice) = advice(OWN, key).or_else(|| advice(SHARED, key)) {
            validator.warn_at_key(key, format!("unknown key \"{key}\": {advice}"));
        }
    }
}

fn advice(table: &[(&[&str], &'static str)], key: &str) -> Option<&'static str> {
    table.iter().find(|(keys, _)| keys.contains(&key)).map(|(_, advice)| *advice)
}

/// What is wrong with a whole file of pm2's.
pub(super) fn ecosystem(raw: &Value, name: &str) -> Option<Error> {
    let apps = raw.get("apps").filter(|_| raw.get("app").is_none())?.as_array()?;
    let script = apps.first()?.get("script")?.as_str()?.to_owned();
    Some(Error::Ecosystem { name: name.to_owned(), apps: apps.len(), script })
}
