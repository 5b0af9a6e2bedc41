//! The JSON Schema of the configuration, by which editors help: it says what `luster check` says, value by value.

use std::path::{Path, PathBuf};
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
        json!("SIGTERM"),
        json!("USR2"),
        json!("SIGRTMIN+3"),
        json!("15"),
        json!("SIGSTOP"),
        json!(19),
        json!([]),
        json!(["**/*.js"]),
        json!([""]),
        json!({}),
    ]
}

/// Where each value is put: at every key that the schema describes, and inside of objects that luster knows.
fn places(schema: &Value) -> Vec<String> {
    let mut places = Vec::new();
    for (name, described) in schema["properties"].as_object().into_iter().flatten() {
        places.push(name.clone());
        places.extend(self::places(described).into_iter().map(|inner| format!("{name}.{inner}")));
    }
    places
}

/// What only the system knows, and no schema: whether a group, a program or a file is there; what depends on another key; and
/// where anything is taken for true or false, as by JS luster, but nothing else should be written.
fn is_beyond_a_schema(place: &str, value: &Value) -> bool {
    match place {
        "control.group" | "server.socketGroup" => value.is_string() || value == &json!(3_000_000_000_u32),
        "control.canary.workers" => value.as_u64() > Some(1),
        "app" => value.is_string(),
        "interpreter" => value.is_string() || value.is_array(),
        "control.triggerReadyStateManually"
        | "extensions.luster-guard.silent"
        | "extensions.luster-guard.softRestart" => !value.is_boolean(),
        _ => false,
    }
}

/// The keys of programs, which a Node app is told have no effect.
const OF_PROGRAMS: [&str; 4] = ["args", "control.ready", "control.stopSignal", "server.pass"];

fn with(place: &str, value: &Value) -> Value {
    let mut config = json!({"app": "worker.js", "workers": 1});
    if OF_PROGRAMS.iter().any(|key| place.starts_with(key)) {
        config["interpreter"] = "sh".into();
    }
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

fn schema_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("npm/configuration.schema.json")
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
    let judged = Command::new("node")
        .args(["-e", JUDGE])
        .args([schema_file(), file])
        .env("NODE_PATH", packages(&["ajv@8"]))
        .output()
        .expect("node is there");
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
    serde_json::from_slice(&judged.stdout).expect("a list")
}

#[test]
fn an_editor_and_luster_check_agree_on_every_value() {
    let schema = std::fs::read_to_string(schema_file()).expect("it is there");
    let places = places(&serde_json::from_str(&schema).expect("it is JSON"));
    let cases = places.iter().flat_map(|place| values().into_iter().map(move |value| (place, value)));
    let cases: Vec<_> = cases.filter(|(place, value)| !is_beyond_a_schema(place, value)).collect();
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
