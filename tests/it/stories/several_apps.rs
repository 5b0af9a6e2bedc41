//! Several apps in one configuration: each lives and dies by itself, and what is wrong with one is told with its path.

use std::path::Path;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{Load, Luster, Running, Style, Target, block, eventually, free_ports, get, here};

/// Says who it is and what it was configured with.
const APP: &str = "const luster = require('luster');
require('http').createServer((request, response) => response.end(JSON.stringify({
    app: process.env.LUSTER_APP, wid: process.env.LUSTER_WID, pid: process.pid,
    greeting: luster.config.get('greeting'), apps: luster.config.get('apps'),
}))).listen(process.env.port);";

const CRASHES: &str = "process.exit(3);";

fn app(port: u16) -> Value {
    json!({"app": "app.js", "server": {"port": port}})
}

/// Two apps on these ports and the one behind, whose common keys are defaults.
fn two(port: u16) -> Value {
    json!({
        "greeting": "hello", "workers": 2, "control": {"stopTimeout": 5000},
        "apps": {"api": app(port), "jobs": {"app": "app.js", "server": {"port": port + 1}, "workers": 1, "greeting": "ho"}},
    })
}

fn luster(config: &Value) -> Luster {
    Luster::new().file("app.js", APP).file("crash.js", CRASHES).file("luster.conf.json", &config.to_string())
}

fn ask(port: u16) -> Value {
    let reply = get(&Target::Tcp(port)).expect("answered");
    serde_json::from_str(&reply.body).expect("JSON")
}

/// Waits until this app is in this state, with so many workers ready.
#[track_caller]
fn await_app(luster: &Running, name: &str, state: &str, ready: u64) -> Value {
    eventually(&format!("{name} is {state}, {ready} ready"), || {
        let status = luster.control().status();
        let app = status["apps"].as_array()?.iter().find(|app| app["name"] == name)?.clone();
        (app["state"] == state && app["ready"] == ready).then_some(app)
    })
}

fn pids(luster: &Running, name: &str) -> Vec<i64> {
    let status = luster.control().status();
    let workers =
        status["workers"].as_array().expect("workers").iter().filter(|worker| worker["app"] == name);
    workers.map(|worker| worker["instances"][0]["pid"].as_i64().expect("a pid")).collect()
}

/// `luster COMMAND…` in its folder: exit code, stdout, stderr.
fn command(luster: &Running, words: &[&str]) -> (i32, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_luster"))
        .args(words)
        .current_dir(luster.path())
        .env("XDG_RUNTIME_DIR", runtime_folder(&luster.control_path()))
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

fn runtime_folder(socket: &Path) -> &Path {
    socket.parent().and_then(Path::parent).expect("a socket is in luster's folder of it")
}

#[test]
fn each_has_its_own_port_workers_and_configuration_over_the_common_one() {
    let port = free_ports(2);
    let luster = luster(&two(port)).start();
    await_app(&luster, "api", "running", 2);
    await_app(&luster, "jobs", "running", 1);
    let (api, jobs) = (ask(port), ask(port + 1));
    assert_eq!((&api["app"], &api["greeting"], &api["apps"]), (&json!("api"), &json!("hello"), &Value::Null));
    assert_eq!((&jobs["app"], &jobs["greeting"], &jobs["wid"]), (&json!("jobs"), &json!("ho"), &json!("1")));
    let status = luster.control().status();
    assert_eq!((&status["count"], &status["ready"]), (&json!(3), &json!(3)), "{status}");
    let forks = luster.events("fork");
    assert!(forks.iter().all(|fork| fork["app"] == "api" || fork["app"] == "jobs"), "{forks:?}");
    let (code, table, _) = command(&luster, &["status"]);
    assert_eq!(code, 0);
    for words in ["api: running, 2 of 2 workers ready", "api/2", "jobs/1"] {
        assert!(table.contains(words), "{words:?} is not in:\n{table}");
    }
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn the_configuration_of_the_readme_runs_both() {
    let port = free_ports(1);
    let config = here(&block("Several apps", "json"), &[("8080", &port.to_string())]);
    let jobs = "setInterval(() => {}, 1000);";
    let luster =
        Luster::new().file("api.js", APP).file("jobs.js", jobs).file("luster.conf.json", &config).start();
    await_app(&luster, "api", "running", 2);
    await_app(&luster, "jobs", "running", 1);
    assert_eq!(ask(port)["app"], "api");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_configuration_that_is_a_program_and_luster_conf_mean_the_same() {
    let port = free_ports(2);
    let config = format!("module.exports = Object.assign({{}}, {});", two(port));
    let luster = Luster::new()
        .file("app.js", APP)
        .file("luster.conf.js", &config)
        .config_file("luster.conf.js")
        .env("LUSTER_CONF", "apps.jobs.workers=2; greeting=hey")
        .start();
    await_app(&luster, "api", "running", 2);
    await_app(&luster, "jobs", "running", 2);
    assert_eq!((&ask(port)["greeting"], &ask(port + 1)["greeting"]), (&json!("hey"), &json!("ho")));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn an_apps_extensions_are_its_own() {
    let port = free_ports(2);
    let mut config = two(port);
    config["apps"]["jobs"]["extensions"] = json!({"./ext": {"told": "jobs"}});
    config["apps"]["jobs"]["extensionsPath"] = json!(".");
    let extension = "exports.configure = (config, master) => {
        if (!require('cluster').isMaster) return;
        require('fs').writeFileSync('told', `${config.get('told')} ${master.config.get('workers')} ${master.config.get('greeting')}`);
    };";
    let luster = luster(&config).file("ext.js", extension).start();
    await_app(&luster, "api", "running", 2);
    let jobs = await_app(&luster, "jobs", "running", 1);
    assert_eq!(jobs["host"]["state"], "ready", "{jobs}");
    let told = std::fs::read_to_string(luster.path().join("told")).expect("the extension ran");
    assert_eq!(told, "jobs 1 ho");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn one_that_crashes_for_ever_ends_no_other_and_is_told_at_the_end() {
    let port = free_ports(2);
    let mut config = two(port);
    config["control"] = json!({"exitThreshold": 60_000, "allowedSequentialDeaths": 1});
    config["apps"]["jobs"]["app"] = json!("crash.js");
    let luster = luster(&config).start();
    await_app(&luster, "api", "running", 2);
    let before = pids(&luster, "api");
    let load = Load::begin(&Target::Tcp(port), Style::NEW);
    await_app(&luster, "jobs", "dead", 0);
    load.await_answers(20);
    // It can be started again when it is mended.
    let (code, _, stderr) = command(&luster, &["start", "jobs"]);
    assert_eq!((code, stderr.contains("jobs: it is dead")), (20, true), "{stderr}");
    luster.put("crash.js", APP);
    let (code, _, stderr) = command(&luster, &["start", "jobs"]);
    assert_eq!(code, 0, "{stderr}");
    await_app(&luster, "jobs", "running", 1);
    luster.put("crash.js", CRASHES);
    let pid = i32::try_from(pids(&luster, "jobs")[0]).expect("a pid");
    nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
    await_app(&luster, "jobs", "dead", 0);
    load.end_without_a_failure();
    assert_eq!(pids(&luster, "api"), before, "it was left alone");
    assert_eq!(luster.stop().0, 1, "an app was dead");
}

#[test]
fn when_all_are_dead_luster_ends_or_stays_as_on_dead_says() {
    let dead = |on_dead: &str| {
        json!({
            "control": {"exitThreshold": 60_000, "allowedSequentialDeaths": 1}, "onDead": on_dead, "workers": 1,
            "apps": {"one": {"app": "crash.js"}, "two": {"app": "crash.js"}},
        })
    };
    let mut ends = luster(&dead("exit")).start();
    assert_eq!(ends.await_end(), 1);
    let stays = luster(&dead("stay")).start();
    await_app(&stays, "one", "dead", 0);
    await_app(&stays, "two", "dead", 0);
    stays.put("crash.js", "setInterval(() => {}, 1000);");
    let (code, _, stderr) = command(&stays, &["reload"]);
    assert_eq!(code, 0, "{stderr}");
    await_app(&stays, "one", "running", 1);
    await_app(&stays, "two", "running", 1);
    assert_eq!(stays.stop().0, 0);
}

#[test]
fn a_rolling_restart_of_one_loses_no_request_and_leaves_the_other_alone() {
    let port = free_ports(2);
    let luster = luster(&two(port)).start();
    await_app(&luster, "api", "running", 2);
    await_app(&luster, "jobs", "running", 1);
    let (api, jobs) = (pids(&luster, "api"), pids(&luster, "jobs"));
    let loads = [port, port + 1].map(|port| Load::begin(&Target::Tcp(port), Style::NEW));
    for words in [["restart", "api"], ["reload", "api"]] {
        let (code, stdout, stderr) = command(&luster, &words);
        assert_eq!((code, stdout.trim()), (0, "api: 2 workers have been replaced"), "{stderr}");
    }
    loads.iter().for_each(|load| load.await_answers(20));
    for load in loads {
        load.end_without_a_failure();
    }
    assert!(pids(&luster, "api").iter().all(|pid| !api.contains(pid)));
    assert_eq!(pids(&luster, "jobs"), jobs);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_reload_adds_changes_and_takes_away() {
    let port = free_ports(3);
    let luster = luster(&two(port)).start();
    await_app(&luster, "api", "running", 2);
    await_app(&luster, "jobs", "running", 1);
    let load = Load::begin(&Target::Tcp(port), Style::NEW);
    let mut config = two(port);
    config["apps"]["api"]["greeting"] = json!("changed");
    config["apps"].as_object_mut().expect("apps").remove("jobs");
    config["apps"]["new"] = app(port + 2);
    luster.put("luster.conf.json", &config.to_string());
    let (code, stdout, stderr) = command(&luster, &["reload"]);
    assert_eq!(code, 0, "{stderr}");
    let done = "api: 2 workers have been replaced; jobs: stopped; new: started: 2 workers are ready";
    assert_eq!(stdout.trim(), done);
    load.end_without_a_failure();
    assert_eq!((&ask(port)["greeting"], &ask(port + 2)["app"]), (&json!("changed"), &json!("new")));
    assert!(get(&Target::Tcp(port + 1)).is_err(), "its port is closed");
    let status = luster.control().status();
    let names: Vec<_> =
        status["apps"].as_array().expect("apps").iter().map(|app| app["name"].clone()).collect();
    assert_eq!(names, ["api", "new"]);
    // What is wrong changes nothing.
    let before = pids(&luster, "api");
    config["apps"]["new"]["workers"] = json!("many");
    luster.put("luster.conf.json", &config.to_string());
    let (code, _, stderr) = command(&luster, &["reload"]);
    assert_eq!((code, stderr.contains("\"apps.new.workers\"")), (78, true), "{stderr}");
    assert_eq!(pids(&luster, "api"), before);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn one_waits_for_those_it_depends_on_and_is_stopped_before_them() {
    let port = free_ports(2);
    let mut config = two(port);
    config["depends"] = json!({"api": ["jobs"]});
    config["apps"]["jobs"]["app"] = json!("slow.js");
    let slow = format!(
        "const at = setInterval(() => {{ if (require('fs').existsSync('go')) {{ clearInterval(at);\n{APP} }} }}, 20);"
    );
    // It is ready when it says so.
    config["apps"]["jobs"]["control"] = json!({"triggerReadyStateManually": true});
    let slow = slow.replace(".listen(process.env.port)", ".listen(process.env.port, () => luster.ready())");
    let luster = luster(&config).file("slow.js", &slow).start();
    luster.await_event("online", 1);
    let api = await_app(&luster, "api", "waiting", 0);
    assert_eq!(api["waits_for"], json!(["jobs"]));
    let (code, _, stderr) = command(&luster, &["restart", "api"]);
    assert_eq!(
        (code, stderr.contains("app api does not run yet: it waits for jobs to be ready")),
        (2, true),
        "{stderr}"
    );
    luster.put("go", "");
    await_app(&luster, "api", "running", 2);
    let ready = |event: &Value| event["event"] == "ready" && event["app"] == "jobs";
    let log = luster.log();
    let jobs_ready = log.iter().position(ready).expect("jobs is ready");
    let api_forked = log.iter().position(|event| event["event"] == "fork" && event["app"] == "api");
    assert!(jobs_ready < api_forked.expect("api is started"), "{log:?}");
    let (code, log) = luster.stop();
    let ended = |app: &str| log.iter().rposition(|event| event["event"] == "exit" && event["app"] == app);
    assert_eq!(code, 0);
    assert!(ended("api") < ended("jobs"), "{log:?}");
}

/// It ends with code 78 and tells this.
#[track_caller]
fn refuses(config: &Value, told: &[&str]) {
    for words in [&["check"][..], &[]] {
        let luster = luster(config);
        let output = luster.command(words).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{stderr}");
        for words in told {
            assert!(stderr.contains(words), "{words:?} is not in:\n{stderr}");
        }
    }
}

#[test]
fn what_is_wrong_is_told_with_its_path() {
    let one = |config: Value| json!({"apps": {"api": config}});
    let many = |changes: Value| {
        let mut config = two(18_000);
        for (key, value) in changes.as_object().expect("changes") {
            config[key] = value.clone();
        }
        config
    };
    for (config, told) in [
        (json!({"apps": {}}), &["\"apps\" is empty"][..]),
        (json!({"apps": 5}), &["\"apps\" must be an object of apps by their names", "not the number 5"]),
        (one(json!("x")), &["\"apps.api\" must be an object, a configuration of its own, not a string"]),
        (json!({"apps": {"a b": {"app": "app.js"}}}), &["\"a b\" is no name for an app"]),
        (json!({"apps": {"7": {"app": "app.js"}}}), &["\"7\" is no name for an app"]),
        (one(json!({})), &["\"apps.api.app\" is missing"]),
        (
            one(json!({"app": "app.js", "control": {"stopTimeout": "soon"}})),
            &["\"apps.api.control.stopTimeout\" must be a number of milliseconds", "luster.conf.json:1:"],
        ),
        (
            one(json!({"app": "app.js", "control": {"socket": "x"}})),
            &["\"apps.api.control.socket\" belongs beside \"apps\""],
        ),
        (
            json!({"server": {"port": 18_000}, "apps": {"a": {"app": "app.js"}, "b": {"app": "app.js"}}}),
            &["\"server.port\" has app b listen on 18000, on which app a listens"],
        ),
        (
            many(json!({"depends": {"api": "nope"}})),
            &["\"depends.api\" names \"nope\"", "there are api, jobs"],
        ),
        (many(json!({"depends": {"nope": "api"}})), &["\"depends.nope\" is about no app that there is"]),
        (
            many(json!({"depends": {"api": "jobs", "jobs": ["api"]}})),
            &["\"depends\" leads round in a circle: api waits for jobs, which waits for api"],
        ),
        (many(json!({"onDead": "sleep"})), &["\"onDead\" must be \"exit\" or \"stay\""]),
    ] {
        refuses(&config, told);
    }
}

#[test]
fn what_is_asked_of_the_wrong_one_is_refused_with_what_there_is() {
    let port = free_ports(2);
    let luster = luster(&two(port)).start();
    await_app(&luster, "api", "running", 2);
    for (words, told) in [
        (&["restart", "nope"][..], "there is no app nope; there are api, jobs"),
        (&["restart", "api/7"], "app api: there is no worker 7; there are workers 1 and 2"),
        (&["restart", "1"], "each app has workers of its own: name the app, one of api, jobs"),
        (&["scale", "3"], "each app has workers of its own"),
    ] {
        let (code, _, stderr) = command(&luster, words);
        assert_eq!((code, stderr.contains(told)), (2, true), "{words:?}: {stderr}");
    }
    let (code, stdout, _) = command(&luster, &["scale", "3", "api"]);
    assert_eq!((code, stdout.trim()), (0, "api: there are 3 workers"));
    let (code, _, _) = command(&luster, &["stop", "api/1"]);
    assert_eq!(code, 0);
    await_app(&luster, "api", "running", 2);
    let (code, _, _) = command(&luster, &["start", "api"]);
    assert_eq!(code, 0);
    await_app(&luster, "api", "running", 3);
    assert_eq!(luster.stop().0, 0);
}
