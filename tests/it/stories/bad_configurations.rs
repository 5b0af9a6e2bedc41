//! A configuration that cannot be used: one message that names what is at fault, the documented exit code, nothing
//! started.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::harness::Luster;

/// Shows by its existence that a worker was started.
const APP: &str = "require('fs').writeFileSync('started', '');";

/// It ends with this code and names all of this on stderr, in one message; no worker was started.
#[track_caller]
fn refuses(luster: &Luster, code: i32, named: &[&str]) {
    let (actual, stdout, stderr) = luster.output();
    for words in named {
        assert!(stderr.contains(words), "{words:?} is not in:\n{stderr}");
    }
    assert_eq!(actual, code, "{stderr}");
    assert_eq!(stdout, "");
    assert!(!luster.path().join("started").exists(), "a worker was started");
}

fn written(text: &str) -> Luster {
    Luster::new().file("worker.js", APP).file("luster.conf.json", text)
}

#[track_caller]
fn refuses_value(config: Value, named: &[&str]) {
    refuses(&Luster::with(APP, config), 78, named);
}

#[test]
fn a_missing_configuration_is_named_with_every_file_looked_for() {
    let luster = Luster::new().arg("conf/production");
    refuses(&luster, 78, &["conf/production: there is no such configuration", "conf/production.js\n"]);
}

#[test]
fn a_folder_without_an_index_is_no_configuration() {
    let luster = Luster::new().file("conf/notes.txt", "").arg("conf");
    refuses(&luster, 78, &["there is no such configuration", "conf/index.js"]);
}

#[test]
fn a_symbolic_link_that_leads_to_itself_is_said_to_do_so() {
    let circle = "symbolic links lead round in a circle (`namei PATH` shows them)";
    let luster = |config: &str| {
        let luster = written(r#"{"app": "worker.js"}"#);
        for name in ["one", "two.json"] {
            std::os::unix::fs::symlink(name, luster.path().join(name)).expect("writable");
        }
        luster.arg(config)
    };
    for (config, named) in [("one", "one"), ("two", "two.json"), ("one/luster.conf", "one/luster.conf")] {
        refuses(&luster(config), 78, &[&format!("/{named}: cannot read the configuration: its {circle}\n")]);
    }
    // As Node's require: what is there besides is found.
    let beside = written(r#"{"app": "worker.js"}"#).arg("check");
    std::os::unix::fs::symlink("luster.conf", beside.path().join("luster.conf")).expect("writable");
    let (code, stdout, stderr) = beside.output();
    assert!(code == 0 && stdout.contains("luster.conf.json: no mistakes"), "{stdout}{stderr}");
    let app = written(r#"{"app": "one"}"#);
    std::os::unix::fs::symlink("one", app.path().join("one")).expect("writable");
    refuses(&app, 78, &[&format!("\"app\": {}/one cannot be read: its {circle}\n", app.path().display())]);
}

#[test]
fn a_configuration_that_may_not_be_read_ends_with_77() {
    use std::os::unix::process::CommandExt;
    let luster = written("{}").adjust(|command| {
        command.uid(65_534).gid(65_534);
    });
    let path = luster.path().join("luster.conf.json");
    std::fs::set_permissions(luster.path(), PermissionsExt::from_mode(0o755)).expect("ours");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("ours");
    refuses(&luster, 77, &["luster.conf.json: cannot read the configuration: Permission denied"]);
}

#[test]
fn invalid_json_is_shown_with_line_column_and_source() {
    let luster = written("{\n  \"app\": \"worker.js\",\n  \"workers\": 2 3\n}\n");
    refuses(&luster, 78, &["luster.conf.json:3:16: ", "3 |   \"workers\": 2 3\n", "^"]);
    refuses(&written(""), 78, &["luster.conf.json:1:1: "]);
}

#[test]
fn a_configuration_that_is_a_program_is_run_with_the_node_on_path() {
    let luster = Luster::new().file("worker.js", APP).arg("check").file(
        "luster.conf.js",
        "module.exports = { app: require.resolve('./worker'), workers: require('os').cpus().length && 3 };",
    );
    let (code, stdout, stderr) = luster.output();
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains("it runs 3 workers"), "{stdout}");
}

#[test]
fn a_configuration_that_throws_shows_its_own_stack() {
    let text = "function read(name) {\n    throw new TypeError(`${name} is not set`);\n}\nread('DB_HOST');\n";
    let luster = Luster::new().file("luster.conf.js", text);
    refuses(&luster, 78, &["TypeError: DB_HOST is not set", "luster.conf.js:2:11", "luster.conf.js:4:1"]);
    let luster = Luster::new().file("luster.conf.js", "module.exports = {,};");
    refuses(&luster, 78, &["luster.conf.js:1:19: the configuration does not parse: "]);
    let luster = Luster::new().file("luster.conf.js", "process.exit(3);");
    refuses(&luster, 78, &["luster.conf.js: ", "ended Node", "3"]);
}

#[test]
fn a_configuration_that_is_a_program_needs_node() {
    let luster = Luster::new().file("luster.conf.js", "module.exports = f();");
    refuses(&luster.env("PATH", "/nowhere"), 71, &["luster.conf.js: ", "no `node` was found on PATH"]);
    let luster = Luster::new().file("luster.conf.js", "module.exports = f();").arg("--node").arg("/no/node");
    refuses(&luster, 71, &["luster.conf.js: ", "/no/node"]);
}

#[test]
fn all_mistakes_are_told_in_one_run() {
    let config = json!({
        "app": 5, "workers": "two", "extensions": [],
        "control": {"forkTimeout": "1s", "stopTimeout": -1},
        "server": {"port": true, "groups": -0.5},
    });
    let named = [
        "\"app\" must be the path of the worker's main module, not the number 5",
        "\"workers\" must be a number, not the string \"two\"",
        "\"control.forkTimeout\" must be a number of milliseconds, not the string \"1s\"; 1s is 1000",
        "\"control.stopTimeout\" must be a number of milliseconds from 0 to 2147483647, not -1; 0 turns it off",
        "\"server.port\" must be a port from 1 to 65535 or the path of a unix socket (\"run/app.sock\"), not true",
        "\"server.groups\" must be a number of groups from 1 to 10000, not -0.5; leave it out for one group",
        "\"extensions\" must be an object, not an array; name each with its options, as in ",
        "luster.conf.json:3:",
    ];
    refuses_value(config, &named);
}

#[test]
fn a_configuration_without_an_app_says_so() {
    refuses(&written("{}"), 78, &["\"app\" is missing: it names the worker's main module"]);
}

#[test]
fn an_app_that_is_not_there_is_told_before_anything_is_started() {
    refuses_value(
        json!({"app": "dist/server"}),
        &["\"app\" is \"dist/server\", but there is no such file", "dist/server.js\n", "luster.conf.json:2:"],
    );
}

#[test]
fn numbers_of_workers_that_make_no_sense_are_refused() {
    for workers in [json!(0), json!(-1), json!(-1.5), json!(1_000_000_000)] {
        refuses_value(
            json!({"workers": workers}),
            &[&format!("\"workers\" must be a number from 1 to 10000, not {workers}")],
        );
    }
}

#[test]
fn ports_that_no_machine_has_are_refused() {
    refuses_value(
        json!({"server": {"port": 70_000}}),
        &[
            "\"server.port\" must be a port from 1 to 65535 or the path of a unix socket (\"run/app.sock\"), not 70000",
        ],
    );
    let config = json!({"workers": 4, "server": {"port": 65_530, "groups": 4, "portsPerGroup": 2}});
    refuses_value(config, &["\"server.port\" gives the last of 4 groups port 65536"]);
}

#[test]
fn a_socket_path_longer_than_the_kernel_takes_is_refused() {
    let path = format!("/tmp/{}", "x".repeat(103));
    refuses_value(json!({"server": {"port": path}}), &["\"server.port\"", "108 bytes", "107", &path]);
}

#[test]
fn a_negative_timeout_is_refused() {
    for key in ["forkTimeout", "stopTimeout", "killTimeout", "exitThreshold", "readyTimeout"] {
        let named =
            format!("\"control.{key}\" must be a number of milliseconds from 0 to 2147483647, not -5");
        refuses_value(json!({"control": {key: -5}}), &[&named]);
    }
}

#[test]
fn an_unknown_word_is_refused_with_the_known_ones() {
    let config = json!({"control": {"restart": "never"}, "server": {"balance": "random"}});
    let named = [
        "\"control.restart\" must be \"stop-first\" or \"start-first\", not \"never\"",
        "\"server.balance\" must be ",
        "\"round-robin\"",
    ];
    refuses_value(config, &named);
}

#[test]
fn overrides_from_the_environment_are_judged_too() {
    let luster = Luster::with(APP, json!({})).env("LUSTER_CONF", "workers=none; server.port=-1");
    refuses(&luster, 78, &["LUSTER_CONF", "\"workers\" must be a number", "\"server.port\" must be a port"]);
}

#[test]
fn an_unknown_option_is_a_usage_error() {
    refuses(&Luster::with(APP, json!({})).arg("--wokers"), 2, &["--wokers"]);
}

#[test]
fn refusals_are_one_json_line_for_machines() {
    let luster = written("{,}").arg("--log-format").arg("json");
    let (code, _, stderr) = luster.output();
    let line: Value = serde_json::from_str(&stderr).expect("one line of JSON");
    assert_eq!((code, &line["event"], &line["level"]), (78, &json!("config_error"), &json!("ERROR")));
    assert!(line["message"].as_str().expect("text").starts_with("luster.conf.json:1:2: "), "{line}");
}
