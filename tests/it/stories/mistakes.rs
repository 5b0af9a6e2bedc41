//! `luster check`: the mistakes people make, each with the place and with what to do; and what is only odd.

use serde_json::{Value, json};

use crate::harness::{Luster, node, on_every_node, on_nodes};

/// A folder with `worker.js` and this configuration, to be checked.
fn check(name: &str, text: &str) -> Luster {
    Luster::new().file("worker.js", "throw new Error('it runs');").file(name, text).arg("check").arg(name)
}

/// It is refused with 78, in these words.
#[track_caller]
fn refused(luster: &Luster, words: &[&str]) {
    let (code, stdout, stderr) = luster.output();
    assert_eq!((code, stdout.as_str()), (78, ""), "{stderr}");
    for words in words {
        assert!(stderr.contains(words), "{words} in\n{stderr}");
    }
}

/// It is right, and warned of in these words; in CI, where it is checked with `--strict`, it is refused.
#[track_caller]
fn warned(members: Value, words: &[&str]) {
    let luster = Luster::with("", members.clone()).arg("check");
    let (code, stdout, stderr) = luster.output();
    assert_eq!(code, 0, "{stderr}");
    for words in words {
        assert!(
            stderr.contains("warning: luster.conf.json") && stderr.contains(words),
            "{words} in\n{stderr}"
        );
    }
    let s = if words.len() == 1 { "" } else { "s" };
    let counted = format!("no mistakes, {} warning{s}; it runs", words.len());
    assert!(stdout.contains(&counted), "{stdout}{stderr}");
    let (code, stdout, strict) = luster.arg("--strict").output();
    assert_eq!((code, stdout.as_str()), (78, ""), "{strict}");
    assert!(strict.starts_with(&stderr) && strict.contains("which --strict takes for mistakes"), "{strict}");
}

#[test]
fn a_configuration_without_a_warning_is_said_to_be_so_and_strict_does_not_mind() {
    let luster = Luster::with("", json!({"workers": 2})).arg("check").arg("--strict");
    let (code, stdout, stderr) = luster.output();
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.ends_with("luster.conf.json: no mistakes; it runs 2 workers\n"), "{stdout}");
}

#[test]
fn warnings_have_the_form_of_mistakes_and_are_log_lines_for_machines() {
    let members = json!({"app": "worker.js", "wrokers": 3});
    warned(
        members.clone(),
        &["luster.conf.json:3:3: unknown key \"wrokers\", did you mean \"workers\"?\n  3 |"],
    );
    let luster = Luster::with("", members).arg("--log-format").arg("json").arg("check");
    let (code, _, stderr) = luster.output();
    let line: Value = serde_json::from_str(&stderr).expect("one line of JSON");
    assert_eq!((code, &line["event"], &line["level"]), (0, &json!("config_warning"), &json!("WARN")));
}

#[test]
fn what_is_odd_is_warned_of() {
    for (members, words) in [
        (json!({"port": 8080}), "unknown key \"port\", did you mean \"server.port\"?"),
        (json!({"groups": 2}), "unknown key \"groups\", did you mean \"server.groups\"?"),
        (
            json!({"control": {"allowedSequentialDeaths": 3}}),
            "control.allowedSequentialDeaths has no effect without control.exitThreshold",
        ),
        (
            json!({"server": {"port": "x.sock", "balance": "reuseport"}}),
            "server.balance \"reuseport\" is for TCP ports",
        ),
        (
            json!({"server": {"port": "/no/such/folder/x.sock"}}),
            "server.port is in /no/such/folder, which is no folder that is there",
        ),
        (
            json!({"control": {"socket": "/no/such/folder/x.sock"}}),
            "control.socket is in /no/such/folder, which is no folder that is there",
        ),
        (
            json!({"extensions": {"luster-log-file": {"stdout": "worker.js/out.log"}}}),
            "extensions.luster-log-file.stdout is below ",
        ),
    ] {
        warned(members, &[words]);
    }
    // Folders of log files are made.
    let options = json!({"extensions": {"luster-log-file": {"stdout": "a/b/out.log"}}});
    let (code, _, stderr) = Luster::with("", options).arg("check").output();
    assert_eq!((code, stderr.as_str()), (0, ""));
}

#[test]
fn keys_written_twice_are_warned_of_in_json_and_json5() {
    for (name, text) in [
        ("c.json", "{\"app\": \"worker.js\", \"workers\": 1,\n \"workers\": 2}"),
        ("c.json5", "{app: 'worker.js', workers: 1,\n 'workers': 2}"),
    ] {
        let (code, stdout, stderr) = check(name, text).output();
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.contains("no mistakes, 1 warning; it runs 2 workers"), "{stdout}");
        let words =
            format!("warning: {name}:2:2: \"workers\" is written more than once; the last one counts\n  2 |");
        assert!(stderr.starts_with(&words), "{stderr}");
    }
}

#[test]
fn a_port_from_a_variable_that_is_not_set_is_warned_of() {
    let program =
        "module.exports = { app: './worker.js', workers: 1, server: { port: process.env.NOT_SET } };";
    let (code, stdout, stderr) = check("c.js", program).output();
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.starts_with("warning: c.js: server.port is undefined"), "{stderr}");
    assert!(stdout.contains("1 warning"), "{stdout}");
    let (code, _, stderr) = check("c.js", program).env("NOT_SET", "").output();
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.starts_with("warning: c.js: server.port is an empty string"), "{stderr}");
    let (code, _, stderr) = check("c.js", program).env("NOT_SET", "8080").output();
    assert_eq!((code, stderr.as_str()), (0, ""));
}

#[test]
fn a_port_that_needs_privileges_is_warned_of_where_they_are_lacking() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let luster = Luster::with("", json!({"workers": 1, "server": {"port": 80}})).arg("check");
    assert_eq!(luster.output().2, "");
    std::fs::set_permissions(luster.path(), PermissionsExt::from_mode(0o755)).expect("ours");
    let luster = luster.adjust(|command| {
        command.uid(65_534).gid(65_534);
    });
    let start = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").expect("Linux");
    let (code, _, stderr) = luster.output();
    assert_eq!(code, 0, "{stderr}");
    let needed = start.trim().parse::<u16>().expect("a port") > 80;
    assert_eq!(stderr.contains("server.port is 80; ports below "), needed, "{stderr}");
}

#[test]
fn types_are_told_in_words_with_what_was_written() {
    let of = |members: Value| Luster::with("", members).arg("check");
    refused(&of(json!({"workers": "4"})), &["\"workers\" must be a number, not the string \"4\"", "^^^"]);
    refused(&of(json!({"workers": "max"})), &["leave it out for one worker per CPU"]);
    let function = check("c.js", "module.exports = () => ({ app: './worker.js' });");
    refused(&function, &["must be an object, not a function; export the object itself"]);
}

#[test]
fn an_app_that_is_not_what_was_meant_is_told_with_what_is_there() {
    let of = |app: &str| Luster::with("", json!({"app": app})).arg("check");
    refused(&of("worker.ts"), &["but there is no such file; did you mean worker.js?"]);
    refused(&of("./wroker.js"), &["did you mean worker.js?"]);
    refused(&of("./dist"), &["but there is no such file\n", "dist.js"]);
    refused(&of("./lib").file("lib/x.js", ""), &["\"./lib\", which is a folder without an index.js"]);
    refused(&of("app.py").file("app.py", ""), &["\"app\" is \"app.py\", a .py file; name what runs it"]);
}

#[test]
fn files_that_are_no_configuration_are_told_to_be_none() {
    refused(&check("c.yaml", "app: worker.js\n"), &["luster reads no .yaml files", ".json5"]);
    refused(&check("c.json", "{\n \"app\": \"worker.js\",\n"), &["c.json:1:1: this brace is never closed"]);
    refused(&check("c.json5", "{app: [1,\n}"), &["c.json5:"]);
    refused(&check("c.json", ""), &["c.json:1:1: the file is empty"]);
    refused(&check("c.json5", "\n"), &["c.json5:1:1: the file is empty"]);
}

#[test]
fn a_program_that_does_not_parse_is_shown_where_it_does_not() {
    let body = "{\n  app: './worker.js'\n  workers: 2,\n};\n";
    on_every_node(|node| {
        for (name, text) in [
            ("c.js", format!("module.exports = {body}")),
            ("c.mjs", format!("export default {body}")),
            ("esm/c.js", format!("export default {body}")),
        ] {
            let luster = Luster::new().file("esm/package.json", r#"{"type": "module"}"#).file(name, &text);
            let place = format!("{name}:3:3: the configuration does not parse: Unexpected identifier");
            refused(&luster.arg("check").arg(name).node(node), &[&place, "3 |   workers: 2,\n"]);
        }
        // Not the configuration itself.
        let luster = check("c.js", "module.exports = require('./other.js');").file("other.js", "const = 1");
        refused(
            &luster.node(node),
            &["c.js: the configuration threw an error\n", "other.js:1\n", "SyntaxError"],
        );
    });
}

#[test]
fn a_program_that_throws_is_shown_where_it_does() {
    on_every_node(|node| {
        for (name, text, place) in [
            (
                "c.js",
                "module.exports = {\n  app: './worker.js',\n  workers: os.cpus().length,\n};\n",
                "c.js:3:12",
            ),
            ("c.mjs", "\n\nexport default { a: os.cpus() };\n", "c.mjs:3:21"),
            ("c.js", "const port = () => nix;\n\nmodule.exports = { port: port() };\n", "c.js:1:20"),
            ("c.js", "module.exports = (async () => {\n  await null;\n  nix();\n})();\n", "c.js:3:3"),
            ("c.js", "\nmodule.exports = require('./nix');\n", "c.js:2:18"),
        ] {
            let line: usize = place.split(':').nth(1).and_then(|line| line.parse().ok()).expect("a line");
            let shown = format!("{line} | {}\n", text.lines().nth(line - 1).expect("it is there"));
            let headline = format!("{place}: the configuration threw an error\n");
            refused(&check(name, text).node(node), &[&headline, &shown, "rror: ", "    at "]);
        }
        let luster = check("c.js", "module.exports = require('./lib/x.js');")
            .file("lib/x.js", "exports.a = 1;\nnix();\n");
        refused(
            &luster.node(node),
            &[
                "c.js: the configuration threw an error in /",
                "/lib/x.js:2:1\n",
                "  2 | nix();\n",
                "ReferenceError: nix",
            ],
        );
    });
}

#[test]
fn times_ports_and_counts_are_told_how_they_are_written() {
    let of = |members: Value| Luster::with("", members).arg("check");
    for (members, words) in [
        (json!({"server": {"port": -1}}), "or the path of a unix socket (\"run/app.sock\"), not -1"),
        (
            json!({"control": {"stopTimeout": "10s"}}),
            "must be a number of milliseconds, not the string \"10s\"; 10s is 10000",
        ),
        (json!({"extensionsLoadTimeout": "1 min"}), "1 min is 60000"),
        (
            json!({"workers": true}),
            "\"workers\" must be a number, not true; leave it out for one worker per CPU",
        ),
        (
            json!({"server": {"groups": "2"}}),
            "\"server.groups\" must be a number, not the string \"2\"; write 2 without quotes",
        ),
        (
            json!({"extensions": ["a", "b"]}),
            "must be an object, not an array; name each with its options, as in { \"a\": {}, \"b\": {} }",
        ),
        (json!({"server": 8080}), "for a port write { \"port\": 8080 }"),
    ] {
        refused(&of(members), &[words]);
    }
    let program = check(
        "c.js",
        "module.exports = { app: './worker.js', workers: String(1), server: { port: Number(undefined) } };",
    );
    refused(
        &program,
        &[
            "not the string \"1\"; Number(…) makes a number of it",
            "not NaN; is an environment variable not set?",
        ],
    );
    warned(
        json!({"server": {"port": "localhost:8080"}}),
        &["is taken for the path of a unix socket; for a TCP port write the number alone"],
    );
}

#[test]
fn every_mistake_is_told_at_once_missing_extensions_too() {
    let members = json!({"workers": "4", "extensions": {"nope": {}, "luster-guard": {}, "nix": 1}});
    let words =
        ["\"workers\" must be a number", "Extension \"nope\" is not found", "Extension \"nix\" is not found"];
    refused(&Luster::with("", members.clone()).arg("check"), &words);
    refused(&Luster::with("", members), &words);
}

#[test]
fn an_app_in_place_of_a_configuration_is_not_run_twice_and_told_how_to_be_run() {
    let sentence = |name: &str| {
        format!(
            "{name} exports nothing, so it is no configuration; to run it as the app: echo '{{ \"app\": \"{name}\" }}' > luster.conf.json"
        )
    };
    let server =
        "require('fs').appendFileSync('runs', '.'); require('http').createServer(() => {}).listen(0);";
    on_nodes(&[node(16), node(20), node(24)], |node| {
        let luster = Luster::new().file("server.js", server).arg("server.js").node(node);
        refused(&luster, &[&sentence("server.js")]);
        assert!(!luster.path().join("runs").exists(), "it was run");
        // One that might export something.
        let luster =
            Luster::new().file("lib/app.js", &format!("{server} // module")).arg("lib/app.js").node(node);
        refused(&luster, &[&sentence("lib/app.js")]);
        assert_eq!(std::fs::read_to_string(luster.path().join("runs")).expect("it was run"), ".");
    });
    // What LUSTER_CONF makes of it counts.
    let luster = Luster::new().file("worker.js", "").file("c.js", "1 + 1;").arg("check").arg("c.js");
    assert_eq!(luster.env("LUSTER_CONF", "app=worker.js").output().0, 0);
}

#[test]
fn what_pm2_calls_otherwise_is_told() {
    warned(
        json!({"instances": 4, "max_memory_restart": "300M", "env": {}, "watch": true, "wait_ready": true}),
        &[
            "unknown key \"instances\": luster's is \"workers\"",
            "unknown key \"max_memory_restart\": luster has no equivalent yet",
            "unknown key \"env\": workers have the environment that luster was started with",
            "unknown key \"watch\": the extension \"luster-guard\" watches files",
            "unknown key \"wait_ready\": luster's is \"control.triggerReadyStateManually\"",
        ],
    );
    // An app's own.
    let (code, _, stderr) =
        Luster::with("", json!({"env": {}, "watch": true, "args": []})).arg("check").output();
    assert_eq!((code, stderr.as_str()), (0, ""));
    let missing = Luster::new().file("luster.conf.json", r#"{"script": "worker.js"}"#).arg("check");
    refused(&missing, &["\"app\" is missing", "unknown key \"script\": luster's is \"app\""]);
}

#[test]
fn an_ecosystem_file_of_pm2_is_told_to_be_one() {
    let text = "const name = 'api' + 1; module.exports = { apps: [{ name, script: './api.js' }, { script: 'b' }, {}] };";
    for line in [&["ecosystem.config.js"][..], &["check", "ecosystem.config.js"]] {
        let luster = Luster::new().file("ecosystem.config.js", text);
        let luster = line.iter().fold(luster, |luster, word| luster.arg(*word));
        let words = "ecosystem.config.js: this is a pm2 ecosystem file (3 apps); luster runs one app: write a configuration \
                     for each, such as { \"app\": \"./api.js\" }";
        refused(&luster, &[words]);
        assert_eq!(luster.output().2.trim_end().lines().count(), 1);
    }
}
