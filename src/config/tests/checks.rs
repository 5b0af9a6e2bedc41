//! What is a mistake, what is a warning, and how both are worded.

use std::time::Duration;

use crate::config::tests::{NoNode, Story, json_error, json_loaded};
use crate::config::{
    Balance, BuiltinOptions, ControlSocket, Guard, GuardRestart, LogFile, LogTarget, Port, Problem, Telling,
    render,
};
use crate::core::{ExitTimeout, HostKind, LifecycleLimits, Policy, Readiness, RestartOrder};
use crate::exit::Exit;

/// Asserts that the configuration with these members is wrong with this one message.
fn wrong(members: &str, message: &str) {
    let error = json_error(&format!("{{\"app\": \"worker\",\n{members}}}"));
    let first = error.lines().next().unwrap();
    assert!(first.ends_with(message), "{members}\n{error}");
    assert!(first.starts_with("luster.conf.json:2:"), "{members}\n{error}");
    assert_eq!(error.matches(" must be ").count() + error.matches(" gives ").count(), 1, "{error}");
}

fn warnings(members: &str) -> Vec<String> {
    json_loaded(members).warnings.iter().map(Problem::headline).collect()
}

#[test]
fn every_default_is_filled_in() {
    let story = Story::new().file("luster.conf.json", r#"{"app": "worker"}"#);
    let settings = story.loaded().settings;
    assert_eq!(settings.app, story.path().join("worker.js"));
    assert_eq!(
        settings.policy,
        Policy {
            exit_timeout: ExitTimeout::Default,
            workers: 4,
            limits: LifecycleLimits::default(),
            readiness: Readiness::Automatic,
            restart: RestartOrder::StopFirst,
            parallel: 1,
            ready_timeout: Some(Duration::from_secs(60)),
            start_timeout: None,
            canary: None,
            host_kind: HostKind::None,
        }
    );
    assert_eq!(settings.server.port, None);
    assert_eq!((settings.server.groups, settings.server.ports_per_group), (1, 1));
    assert_eq!(settings.server.balance, Balance::RoundRobin);
    assert!(settings.compile_cache);
    assert_eq!(settings.extensions_path, story.path());
    assert_eq!(settings.extensions_load_timeout, Some(Duration::from_secs(10)));
    assert_eq!((settings.max_event_listeners, settings.master_inspect_port), (100, None));
}

#[test]
fn every_key_is_taken() {
    let settings = json_loaded(
        r#""workers": 4.0, "control": {"forkTimeout": 1, "stopTimeout": 2.5, "killTimeout": 3e3, "exitThreshold": 5,
        "allowedSequentialDeaths": 10, "triggerReadyStateManually": true, "restart": "start-first", "parallel": 2,
        "compileCache": false},
        "server": {"port": "8080", "groups": 2, "portsPerGroup": 5, "balance": "reuseport"},
        "extensions": {"b": {}, "a": 1}, "extensionsPath": "../x", "extensionsLoadTimeout": 0,
        "maxEventListeners": 7, "properties": {"masterInspectPort": 9229}"#,
    )
    .settings;
    let policy = settings.policy;
    assert_eq!(policy.limits.fork_timeout, Some(Duration::from_millis(1)));
    assert_eq!(policy.limits.stop_timeout, Some(Duration::from_millis(3)), "fractions are rounded up");
    assert_eq!(policy.limits.kill_timeout, Some(Duration::from_secs(3)));
    assert_eq!(policy.limits.exit_threshold, Some(Duration::from_millis(5)));
    assert_eq!((policy.workers, policy.limits.allowed_sequential_deaths, policy.parallel), (4, 10, 2));
    assert_eq!((policy.readiness, policy.restart), (Readiness::Manual, RestartOrder::StartFirst));
    assert_eq!(policy.ready_timeout, Some(Duration::from_secs(60)));
    assert_eq!(settings.server.port, Some(Port::Tcp(8080)));
    assert_eq!((settings.server.groups, settings.server.ports_per_group), (2, 5));
    assert_eq!(settings.server.balance, Balance::Reuseport);
    assert!(!settings.compile_cache);
    assert_eq!(settings.extensions, ["b", "a"]);
    assert_eq!(settings.extensions_load_timeout, None);
    assert_eq!((settings.max_event_listeners, settings.master_inspect_port), (7, Some(9229)));
}

#[test]
fn zero_and_false_and_null_sections_mean_no_timer() {
    let by_default = Some(Duration::from_secs(60));
    for (control, ready) in [
        (r#"{"stopTimeout": 0, "readyTimeout": 0}"#, None),
        (r#"{"stopTimeout": false, "readyTimeout": false}"#, None),
        (r#"{"stopTimeout": false}"#, by_default),
        ("null", by_default),
        ("{}", by_default),
    ] {
        let policy = json_loaded(&format!(r#""control": {control}"#)).settings.policy;
        assert_eq!((policy.limits.stop_timeout, policy.ready_timeout), (None, ready), "{control}");
        assert_eq!(policy.start_timeout, None, "{control}: nobody has written one");
    }
    let members = r#""control": {"restart": "start-first", "readyTimeout": 0}"#;
    assert_eq!(json_loaded(members).settings.policy.ready_timeout, None);
}

#[test]
fn a_wrong_type_is_told_with_the_place_marked() {
    assert_eq!(
        json_error("{\n  \"app\": \"worker\",\n  \"workers\": \"four\"\n}"),
        "luster.conf.json:3:14: \"workers\" must be a number, not the string \"four\"; leave it out for one worker per CPU\n\
         \x20 3 |   \"workers\": \"four\"\n\
         \x20   |              ^^^^^^"
    );
    wrong(
        r#""workers": null"#,
        "\"workers\" must be a number, not null; leave it out for one worker per CPU",
    );
    wrong(
        r#""control": {"stopTimeout": "1"}"#,
        "\"control.stopTimeout\" must be a number of milliseconds, not the string \"1\"; write 1 without quotes",
    );
    wrong(
        r#""control": {"stopTimeout": true}"#,
        "\"control.stopTimeout\" must be a number of milliseconds, not true; 0 turns it off",
    );
    wrong(
        r#""control": {"killTimeout": "10s"}"#,
        "\"control.killTimeout\" must be a number of milliseconds, not the string \"10s\"; 10s is 10000",
    );
    wrong(
        r#""control": {"compileCache": "false"}"#,
        "\"control.compileCache\" must be true or false, not the string \"false\"; write false without quotes",
    );
    wrong(
        r#""control": {"restart": true}"#,
        "\"control.restart\" must be \"stop-first\" or \"start-first\", not true",
    );
    wrong(
        r#""server": {"groups": "2"}"#,
        "\"server.groups\" must be a number, not the string \"2\"; write 2 without quotes",
    );
    wrong(
        r#""server": {"groups": true}"#,
        "\"server.groups\" must be a number, not true; leave it out for one group",
    );
    wrong(
        r#""server": {"port": []}"#,
        "\"server.port\" must be a port from 1 to 65535 or the path of a unix socket (\"run/app.sock\"), not an array",
    );
    wrong(
        r#""extensions": []"#,
        "\"extensions\" must be an object, not an array; name each with its options, as in { \"name\": {} }",
    );
    wrong(r#""extensionsPath": 1"#, "\"extensionsPath\" must be the path of a folder, not the number 1");
    wrong(
        r#""server": 8080"#,
        "\"server\" must be an object, not the number 8080; for a port write { \"port\": 8080 }",
    );
}

#[test]
fn all_mistakes_are_told_at_once_each_in_its_paragraph() {
    let error =
        json_error(r#"{"worker": 2, "workers": 0, "control": {"killTimeout": -1}, "server": {"port": 0.5}}"#);
    let paragraphs: Vec<&str> = error.split("\n\n").map(|text| text.lines().next().unwrap()).collect();
    assert_eq!(
        paragraphs,
        [
            "luster.conf.json: \"app\" is missing: it names the worker's main module, as in \"app\": \"worker.js\"",
            "luster.conf.json:1:26: \"workers\" must be a number from 1 to 10000, not 0; leave it out for one worker per CPU",
            "luster.conf.json:1:56: \"control.killTimeout\" must be a number of milliseconds from 0 to 2147483647, not -1; 0 turns it off",
            "luster.conf.json:1:80: \"server.port\" must be a port from 1 to 65535 or the path of a unix socket (\"run/app.sock\"), not 0.5",
        ]
    );
}

#[test]
fn numbers_must_be_within_their_limits() {
    for workers in ["0", "-1", "10001", "1e300"] {
        let message = format!(
            "\"workers\" must be a number from 1 to 10000, not {workers}; leave it out for one worker per CPU"
        );
        wrong(&format!(r#""workers": {workers}"#), &message.replace("1e300", "1e+300"));
    }
    wrong(
        r#""control": {"stopTimeout": 2147483648}"#,
        "must be a number of milliseconds from 0 to 2147483647, not 2147483648; 0 turns it off",
    );
    wrong(r#""control": {"parallel": 0}"#, "must be a whole number from 1 to 10000, not 0");
    wrong(r#""maxEventListeners": -1"#, "must be a whole number, 0 or more, not -1");
    wrong(
        r#""properties": {"masterInspectPort": 65535}"#,
        "must be a whole number from 0 to 65531, not 65535",
    );
    wrong(
        r#""server": {"groups": -1}"#,
        "must be a number of groups from 1 to 10000, not -1; leave it out for one group",
    );
    wrong(r#""server": {"portsPerGroup": -1}"#, "must be a whole number from 0 to 65535, not -1");
    wrong(r#""server": {"portsPerGroup": 1.5}"#, "must be a whole number from 0 to 65535, not 1.5");
    wrong(
        r#""control": {"compileCache": "no"}"#,
        "\"control.compileCache\" must be true or false, not the string \"no\"",
    );
}

#[test]
fn words_must_be_among_those_known() {
    wrong(r#""control": {"restart": "x"}"#, "must be \"stop-first\" or \"start-first\", not \"x\"");
    wrong(r#""server": {"balance": ""}"#, "must be \"round-robin\" or \"shared\" or \"reuseport\", not \"\"");
    for word in ["max", "auto"] {
        let message =
            format!("must be a number, not the string \"{word}\"; leave it out for one worker per CPU");
        wrong(&format!(r#""workers": "{word}""#), &message);
    }
}

/// Numbers that configurations compute from the number of CPUs.
#[test]
fn numbers_that_js_luster_makes_sense_of_mean_the_same_with_a_warning() {
    for (members, expected, warning) in [
        (r#""workers": 1.5"#, (2, 1, 0, 1), "workers is 1.5, which is rounded up to 2"),
        (r#""workers": 0.25"#, (1, 1, 0, 1), "workers is 0.25, which is rounded up to 1"),
        (
            r#""workers": 2, "server": {"groups": 4}"#,
            (2, 2, 0, 1),
            "server.groups is 4, but there are only 2 workers: there will be 2 groups, of one worker each",
        ),
        (
            r#""server": {"groups": 5}"#,
            (4, 4, 0, 1),
            "only 4 workers (the number of CPUs this process may use): there will be 4 groups",
        ),
        (r#""server": {"groups": 0}"#, (4, 1, 0, 1), "server.groups is 0, which is taken for 1"),
        (r#""server": {"groups": 0.5}"#, (4, 1, 0, 1), "server.groups is 0.5, which is taken for 1"),
        (
            r#""server": {"groups": 2.5}"#,
            (4, 4, 0, 1),
            "4 workers do not divide into 2.5 groups: there will be 4 groups of at least 1",
        ),
        (
            r#""server": {"port": 80, "groups": 2, "portsPerGroup": 0}"#,
            (4, 2, 0, 1),
            "server.portsPerGroup is 0, so all 2 groups have the same port",
        ),
        (
            r#""control": {"exitThreshold": 1, "allowedSequentialDeaths": -1}"#,
            (4, 1, 0, 1),
            "control.allowedSequentialDeaths is -1, which is taken for 0",
        ),
        (
            r#""control": {"exitThreshold": 1, "allowedSequentialDeaths": 1.5}"#,
            (4, 1, 1, 1),
            "control.allowedSequentialDeaths is 1.5, which is taken for 1",
        ),
        (
            r#""control": {"parallel": 5}"#,
            (4, 1, 0, 4),
            "control.parallel is 5, but there are only 4 workers",
        ),
    ] {
        let loaded = json_loaded(members);
        let (policy, server) = (&loaded.settings.policy, &loaded.settings.server);
        let seen = (policy.workers, server.groups, policy.limits.allowed_sequential_deaths, policy.parallel);
        assert_eq!(seen, expected, "{members}");
        assert!(loaded.warnings.len() == 1, "{members} {:?}", loaded.warnings);
        assert!(loaded.warnings[0].to_string().contains(warning), "{members} {:?}", loaded.warnings);
    }
    // Nothing to warn of: it has no meaning with one group.
    assert!(json_loaded(r#""server": {"portsPerGroup": 0}"#).warnings.is_empty());
}

#[test]
fn the_last_groups_port_must_be_possible_too() {
    wrong(
        r#""workers": 3, "server": {"port": 65534, "groups": 3}"#,
        "\"server.port\" gives the last of 3 groups port 65536, but at most 65535 is possible",
    );
    json_loaded(r#""workers": 3, "server": {"port": 65533, "groups": 3}"#);
    wrong(
        r#""server": {"port": 65536}"#,
        "must be a port from 1 to 65535 or the path of a unix socket (\"run/app.sock\"), not 65536",
    );
    wrong(
        r#""server": {"port": "70000"}"#,
        "must be a port from 1 to 65535 or the path of a unix socket (\"run/app.sock\"), not \"70000\"",
    );
}

#[test]
fn what_javascript_takes_for_a_number_is_a_port_and_all_else_a_path() {
    let port = |text: &str| json_loaded(&format!(r#""server": {{"port": {text}}}"#)).settings.server.port;
    for text in
        ["8080", "8080.0", "\"8080\"", "\" 8080 \"", "\"0x1f90\"", "\"8.08e3\"", "\"0b1111110010000\""]
    {
        assert_eq!(port(text), Some(Port::Tcp(8080)), "{text}");
    }
    for text in ["8080x", "/run/a.sock", "inf", "nan", "0x", "0x+1", "1 2"] {
        assert_eq!(port(&format!("\"{text}\"")), Some(Port::Unix(text.to_owned())));
    }
    let warned = |text: &str| !warnings(&format!(r#""server": {{"port": "{text}"}}"#)).is_empty();
    for text in
        ["localhost:8080", ":8080", "8080/tcp", "127.0.0.1:80", "http://a:80/", "[::]:80", "8080 # http"]
    {
        assert!(warned(text), "{text} was meant for a port");
    }
    for text in ["/run/a:80", "./8080x", "run/a.sock", "app.sock:1", "a", "80.sock", "tmp/a:b"] {
        assert!(!warned(text), "{text} is a path");
    }
    for text in ["0", "\"\"", "\" \""] {
        assert_eq!(port(text), None, "{text}: what workers are told without a port");
    }
    wrong(r#""server": {"port": 0, "groups": 2}"#, "as there are several groups, not 0");
}

#[test]
fn a_socket_path_must_fit_with_the_last_groups_number_in_it() {
    let path = |length: usize| {
        format!(r#""server": {{"port": "/{}*", "groups": 2, "portsPerGroup": 1000}}"#, "a".repeat(length))
    };
    json_loaded(&path(102));
    let error = json_error(&format!(r#"{{"app": "worker", {}}}"#, path(103)));
    assert!(error.contains("a socket path of 108 bytes, but at most 107 are possible: /aaa"), "{error}");
}

#[test]
fn what_is_odd_but_works_is_a_warning() {
    for (members, warning) in [
        (
            r#""control": {"stopTimeout": 2, "killTimeout": 1}"#,
            "luster.conf.json:1:46: control.stopTimeout is longer than",
        ),
        (
            r#""server": {"port": "/s", "groups": 2}"#,
            "luster.conf.json:1:38: server.port has no \"*\", so all 2 groups share one socket",
        ),
        (
            r#""workers": 5, "server": {"groups": 3}"#,
            "5 workers do not divide into 3 groups: there will be 5 groups of at least 1",
        ),
        (
            r#""control": {"triggerReadyStateManually": "no"}"#,
            "is \"no\", which is taken for true; true or false is expected",
        ),
        (r#""worker": 2"#, "luster.conf.json:1:19: unknown key \"worker\", did you mean \"workers\"?"),
        (
            r#""control": {"stoptimeout": 2}"#,
            "unknown key \"control.stoptimeout\", did you mean \"control.stopTimeout\"?",
        ),
        (r#""controls": {"stopTimeout": 2}"#, "unknown key \"controls\", did you mean \"control\"?"),
    ] {
        let warnings = warnings(members);
        assert_eq!(warnings.len(), 1, "{members} {warnings:?}");
        assert!(warnings[0].contains(warning), "{members} {warnings:?}");
    }
}

#[test]
fn unknown_keys_are_kept_in_silence() {
    let loaded = json_loaded(r#""logger": {"level": 1}, "server": {"host": "x"}, "properties": {"a": 1}"#);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert_eq!(loaded.raw["logger"]["level"], 1);
}

#[test]
fn the_app_is_found_as_node_finds_a_main_module() {
    let story = Story::new()
        .file("luster.conf.json", "{}")
        .file("a/index.js", "")
        .file("b/package.json", r#"{"main": "x"}"#)
        .file("b/x.js", "")
        .file("c.mjs", "");
    for (app, file) in
        [("./worker", "worker.js"), ("a", "a/index.js"), ("./b/", "b/x.js"), ("c.mjs", "c.mjs")]
    {
        let mut request = story.request.clone();
        request.luster_conf = Some(format!("app={app}").into());
        assert_eq!(
            crate::config::load(&request, &mut NoNode).unwrap().any().settings.app,
            story.path().join(file)
        );
    }
}

#[test]
fn a_missing_app_is_a_mistake_that_tells_what_was_looked_for() {
    let error = json_error(r#"{"app": "./c"}"#);
    assert!(
        error.starts_with(
            "luster.conf.json:1:9: \"app\" is \"./c\", but there is no such file\n  looked for\n  c\n  c.js\n  c.json\n  c.node\n"
        ),
        "{error}"
    );
    assert!(
        json_error(r#"{"app": ""}"#)
            .contains("\"app\" must be the path of the worker's main module, not \"\"")
    );
}

#[test]
fn mistakes_exit_with_78() {
    let story = Story::new().file("luster.conf.json", "{}");
    assert_eq!(story.load().unwrap_err().exit(), Exit::Config);
}

#[test]
fn the_environment_overrides_and_is_named_when_it_is_at_fault() {
    let story = Story::new().file("luster.conf.json", r#"{"app": "worker", "workers": "x", "log": 1}"#);
    let story = story.environment("workers=2; log=; oops");
    let loaded = story.loaded();
    assert_eq!(loaded.settings.policy.workers, 2);
    assert_eq!(loaded.raw.get("log"), None);
    assert_eq!(
        loaded.warnings.iter().map(Problem::headline).collect::<Vec<_>>(),
        [
            "LUSTER_CONF: item 3 is ignored: it is not of the form path=value (values with a semicolon need double quotes)"
        ]
    );

    let error = story.environment("workers=-2; app=; log.a=1").error();
    let lines: Vec<&str> = error.split("\n\n").collect();
    assert_eq!(
        lines,
        [
            "LUSTER_CONF: \"log.a\" cannot be set: \"log\" is there and is not an object",
            "LUSTER_CONF: \"app\" is missing: it names the worker's main module, as in \"app\": \"worker.js\"",
            "LUSTER_CONF: \"workers\" must be a number from 1 to 10000, not -2; leave it out for one worker per CPU",
        ]
    );
}

#[test]
fn the_settings_in_force_are_shown_with_their_origins() {
    let story = Story::new()
        .file(
            "luster.conf.json",
            "{\"my\": {\"x\": 1},\n \"app\": \"worker\", \"server\": {\"port\": \"80\", \"host\": \"h\"}}",
        )
        .environment("workers=2");
    let shown: serde_json::Value = serde_json::from_str(&render(&story.fleet().unwrap())).unwrap();
    let shown = shown.as_object().unwrap();
    let entry = |key: &str| (shown[key]["value"].clone(), shown[key]["from"].as_str().unwrap());
    assert_eq!(entry("app").1, "luster.conf.json:2:9");
    assert_eq!(entry("workers"), (2.into(), "LUSTER_CONF"));
    assert_eq!(entry("server.port"), (80.into(), "luster.conf.json:2:38"));
    assert_eq!(entry("control.stopTimeout"), (serde_json::Value::Null, "default"));
    assert_eq!(entry("my"), (serde_json::json!({"x": 1}), "luster.conf.json:1:8"));
    assert_eq!(entry("server.host").1, "luster.conf.json:2:52");
    let keys: Vec<&String> = shown.keys().collect();
    assert_eq!(
        (keys[0].as_str(), keys[1].as_str(), keys[keys.len() - 1].as_str()),
        ("app", "interpreter", "server.host")
    );
}

#[test]
fn the_options_of_the_extensions_luster_can_stand_in_for_are_those_of_the_modules() {
    let builtins = |options: &str| {
        let body = format!(r#"{{"app": "worker.js", "extensions": {options}}}"#);
        Story::new().file("luster.conf.json", body).loaded().settings.builtins
    };
    assert_eq!(builtins("{}"), BuiltinOptions::default());
    let options = r#"{"luster-log-file": {"stdout": "log/out.log", "stderr": true, "extendConsole": 1}}"#;
    let LogFile { stdout, stderr, .. } =
        builtins(options).log_file.expect("it is there").expect("it is right");
    let LogTarget::File(path) = stdout else { panic!("{stdout:?}") };
    assert!(path.is_absolute() && path.ends_with("log/out.log"), "{path:?}");
    assert_eq!(stderr, LogTarget::Own);
    let nothing = LogFile { stdout: LogTarget::Nothing, stderr: LogTarget::Nothing, unknown: Vec::new() };
    assert_eq!(builtins(r#"{"luster-log-file": {"stdout": false}}"#).log_file, Some(Ok(nothing)));
    let guard =
        |options: &str| builtins(&format!(r#"{{"luster-guard": {options}}}"#)).guard.expect("it is there");
    let default = Guard {
        patterns: vec!["**/*".into()],
        debounce: Duration::from_millis(300),
        telling: Telling::Aloud,
        restart: GuardRestart::Soft,
        unknown: Vec::new(),
    };
    assert_eq!(guard("{}"), Ok(default.clone()));
    assert_eq!(guard("null"), Ok(default));
    let given = guard(r#"{"patterns": ["*.js", "!x"], "debounce": 0, "silent": true, "softRestart": 0}"#);
    let expected = Guard {
        patterns: vec!["*.js".into(), "!x".into()],
        debounce: Duration::ZERO,
        telling: Telling::Silent,
        restart: GuardRestart::Hard,
        unknown: Vec::new(),
    };
    assert_eq!(given, Ok(expected));
}

#[test]
fn wrong_options_of_such_an_extension_are_no_mistake_as_long_as_a_module_may_have_them() {
    let of = |options: &str| {
        let body = format!(r#"{{"app": "worker.js", "extensions": {options}}}"#);
        Story::new().file("luster.conf.json", body).loaded().settings.builtins
    };
    let messages = |problems: Vec<Problem>| {
        problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("\n")
    };
    for (options, message) in [
        (
            r#"{"stdout": 1}"#,
            "\"extensions.luster-log-file.stdout\" must be a string or a boolean, not the number 1",
        ),
        ("true", "\"extensions.luster-log-file\" must be an object, not true"),
    ] {
        let wrong = of(&format!(r#"{{"luster-log-file": {options}}}"#)).log_file.expect("it is there");
        assert!(messages(wrong.expect_err("it is wrong")).contains(message), "{options}");
    }
    for (options, message) in [
        (r#"{"patterns": []}"#, "\"extensions.luster-guard.patterns\" must be a list of globs, not []"),
        (
            r#"{"patterns": 1}"#,
            "\"extensions.luster-guard.patterns\" must be a string or an array, not the number 1",
        ),
        (
            r#"{"debounce": "1s"}"#,
            "\"extensions.luster-guard.debounce\" must be a number of milliseconds, not the string \"1s\"; 1s is 1000",
        ),
    ] {
        let wrong = of(&format!(r#"{{"luster-guard": {options}}}"#)).guard.expect("it is there");
        assert!(messages(wrong.expect_err("it is wrong")).contains(message), "{options}");
    }
}

#[test]
fn the_control_socket_is_somewhere_by_default_at_a_path_or_nowhere() {
    let socket = |control: &str| json_loaded(&format!(r#""control": {control}"#)).settings.control_socket;
    assert_eq!(socket("{}"), ControlSocket::Default);
    assert_eq!(socket(r#"{"socket": true}"#), ControlSocket::Default);
    assert_eq!(socket(r#"{"socket": false}"#), ControlSocket::None);
    assert_eq!(socket(r#"{"socket": "/run/a.sock"}"#), ControlSocket::Path("/run/a.sock".into()));
    let story =
        Story::new().file("luster.conf.json", r#"{"app": "worker", "control": {"socket": "run/a.sock"}}"#);
    let here = ControlSocket::Path(story.path().join("run/a.sock"));
    assert_eq!(story.loaded().settings.control_socket, here);
    wrong(
        r#""control": {"socket": 1}"#,
        "\"control.socket\" must be the path of a unix socket, or false for none, not the number 1",
    );
    wrong(
        r#""control": {"socket": ""}"#,
        "\"control.socket\" must be the path of a unix socket, or false for none, not \"\"",
    );
    wrong(
        r#""control": {"group": "no-such-group"}"#,
        "\"control.group\" must be the name or number of a group of this system (`getent group`), not \"no-such-group\"",
    );
}
