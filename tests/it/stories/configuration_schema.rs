//! The JSON Schema of the configuration, by which editors help: it says what `luster check` says, value by value.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::packages;

/// The values that are tried for each key, whatever is meant there.
fn values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(2.5),
        json!(-1),
        json!(511),
        json!(660),
        json!(65_535),
        json!(70_000),
        json!(3_000_000_000_u32),
        json!(""),
        json!("0660"),
        json!("0o660"),
        json!("099"),
        json!("some/path"),
        json!("shared"),
        json!("start-first"),
        json!("root"),
        json!([]),
        json!(["**/*.js"]),
        json!([""]),
        json!({}),
    ]
}

/// Where each value is put: every key, and those inside of objects that luster knows.
const PLACES: &[&str] = &[
    "app",
    "workers",
    "control",
    "server",
    "extensions",
    "properties",
    "control.forkTimeout",
    "control.stopTimeout",
    "control.killTimeout",
    "control.exitTimeout",
    "control.idleTimeout",
    "control.exitThreshold",
    "control.allowedSequentialDeaths",
    "control.restart",
    "control.parallel",
    "control.readyTimeout",
    "control.canary",
    "control.canary.workers",
    "control.canary.watch",
    "control.compileCache",
    "control.socket",
    "control.group",
    "server.port",
    "server.groups",
    "server.portsPerGroup",
    "server.balance",
    "server.socketMode",
    "server.socketGroup",
    "extensionsPath",
    "extensionsLoadTimeout",
    "maxEventListeners",
    "properties.masterInspectPort",
    "extensions.luster-log-file",
    "extensions.luster-log-file.stdout",
    "extensions.luster-guard",
    "extensions.luster-guard.patterns",
    "extensions.luster-guard.debounce",
];

/// What only the system knows, and no schema: whether a group or a file is there; and what depends on another key.
fn is_beyond_a_schema(place: &str, value: &Value) -> bool {
    let is_group = place == "control.group" || place == "server.socketGroup";
    let is_more_than_all = place == "control.canary.workers" && value.as_u64() > Some(1);
    is_more_than_all
        || (is_group && (value.is_string() || value == &json!(3_000_000_000_u32)))
        || (place == "app" && value.is_string())
}

fn with(place: &str, value: &Value) -> Value {
    let mut config = json!({"app": "worker.js", "workers": 1});
    let mut at = &mut config;
    for name in place.split('.') {
        if at.is_null() {
            *at = json!({});
        }
        at = &mut at[name];
    }
    *at = value.clone();
    config
}

/// What the schema says of each.
fn by_schema(configs: &[Value]) -> Vec<bool> {
    const JUDGE: &str = "const Ajv = require('ajv');
        const [schema, configs] = process.argv.slice(1).map(name => JSON.parse(require('fs').readFileSync(name, 'utf8')));
        const validate = new Ajv({strict: true, allowUnionTypes: true, strictTypes: false, strictRequired: false}).compile(schema);
        console.log(JSON.stringify(configs.map(config => validate(config))));";
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("configs.json");
    std::fs::write(&file, Value::from(configs.to_vec()).to_string()).expect("writable");
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("npm/configuration.schema.json");
    let judged = Command::new("node")
        .args(["-e", JUDGE])
        .args([schema, file])
        .env("NODE_PATH", packages(&["ajv@8"]))
        .output()
        .expect("node is there");
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
    serde_json::from_slice(&judged.stdout).expect("a list")
}

#[test]
fn an_editor_and_luster_check_agree_on_every_value() {
    let cases: Vec<_> =
        PLACES.iter().flat_map(|place| values().into_iter().map(move |value| (*place, value))).collect();
    let cases: Vec<_> =
        cases.into_iter().filter(|(place, value)| !is_beyond_a_schema(place, value)).collect();
    let mut configs: Vec<_> = cases.iter().map(|(place, value)| with(place, value)).collect();
    configs.push(json!({"workers": 1}));
    let judged = by_schema(&configs);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("worker.js"), "").expect("writable");
    let mut differ = Vec::new();
    for (config, valid) in configs.iter().zip(judged) {
        std::fs::write(folder.path().join("c.json"), config.to_string()).expect("writable");
        let mut check = Command::new(env!("CARGO_BIN_EXE_luster"));
        let checked = check.args(["check", "c.json"]).current_dir(folder.path()).output().expect("it runs");
        if (checked.status.code() == Some(0)) != valid {
            let said = String::from_utf8_lossy(&checked.stderr).lines().next().unwrap_or_default().to_owned();
            differ.push(format!(
                "{config}: the schema says {valid}, luster check {:?} {said}",
                checked.status.code()
            ));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
