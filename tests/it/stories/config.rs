//! The configuration is found, read in the master and in each worker, and overridden, as documented.

use serde_json::{Value, json};

use crate::harness::{Luster, TELL, children, eventually, free_port, on_every_node, on_oldest_and_newest};

/// An app that tells what it reads of the configuration.
fn reader() -> String {
    format!(
        "{TELL}const {{ config }} = require('luster');
        tell({{ name: config.get('my.name', 'absent'), list: config.get('list', null), workers: config.get('workers'),
            gone: config.has('gone'), base: config.getBaseDir(), app: config.resolve('app'), cwd: process.cwd(),
            keys: config.getKeys('my'), port: process.env.port }});"
    )
}

fn settings(luster: Luster) -> Value {
    let (code, stdout, stderr) = luster.arg("--print-config").output();
    assert_eq!(code, 0, "{stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

#[test]
fn every_kind_of_configuration_file_reaches_the_app_with_its_unknown_keys() {
    let object = "{ app: './worker.js', workers: 1, my: { name: 'Ann', n: 1 }, list: [1, null, 'x'] }";
    let json =
        r#"{"app": "./worker.js", "workers": 1, "my": {"name": "Ann", "n": 1}, "list": [1, null, "x"]}"#;
    let kinds = [
        ("luster.conf", format!("module.exports = {object};")),
        ("luster.conf.js", format!("'use strict';\n// a literal\nmodule.exports = {object};")),
        ("luster.conf.js", format!("const name = ['A', 'nn'].join('');\nmodule.exports = {object};")),
        ("luster.conf.json", format!("\u{feff}{json}")),
        ("luster.conf.cjs", format!("exports = module.exports = Object.assign({object});")),
        ("luster.conf.mjs", format!("const it = await Promise.resolve({object});\nexport default it;")),
        ("luster.conf.json5", format!("// commented\n{object}")),
        ("luster.conf/package.json", r#"{"main": "lib/conf.js"}"#.to_owned()),
        ("luster.conf/index.js", format!("module.exports = {object};")),
    ];
    let lusters = kinds.iter().map(|(file, text)| {
        let luster = Luster::new().file("worker.js", &reader()).file(file, text);
        let luster = match *file {
            // Paths start where CONFIG as given lies, as in JS luster.
            "luster.conf/package.json" => {
                luster.file("luster.conf/lib/conf.js", &format!("module.exports = {object};"))
            }
            _ => luster,
        };
        (file, luster.start())
    });
    for (file, luster) in lusters.collect::<Vec<_>>() {
        let told = luster.await_told(1).remove(0);
        assert_eq!(
            (&told["name"], &told["list"], &told["keys"]),
            (&json!("Ann"), &json!([1, null, "x"]), &json!(["name", "n"])),
            "{file}: {told}"
        );
        luster.await_ready(1);
        let (code, log) = luster.stop();
        assert_eq!(code, 0, "{file}: {log:?}");
    }
}

#[test]
fn programs_of_every_kind_are_understood_by_every_node() {
    let object =
        "{ app: './worker.js', workers: 1, my: { name: ['A', 'nn'].join('') }, list: [require('os').EOL] }";
    let kinds = [
        ("luster.conf.js", format!("module.exports = {object};")),
        ("luster.conf.cjs", format!("exports.__esModule = true; exports.default = {object};")),
        (
            "luster.conf.mjs",
            format!(
                "import {{ createRequire }} from 'module'; const require = createRequire(import.meta.url);
                export default await Promise.resolve({object});"
            ),
        ),
    ];
    on_every_node(|node| {
        let lusters = kinds.iter().map(|(file, text)| {
            let luster = Luster::new().file("worker.js", &reader()).file(file, text);
            (file, luster.node(node).start())
        });
        for (file, luster) in lusters.collect::<Vec<_>>() {
            let told = luster.await_told(1).remove(0);
            let expected = (&json!("Ann"), &json!(["\n"]));
            assert_eq!((&told["name"], &told["list"]), expected, "Node {}: {file}", node.major);
            luster.await_ready(1);
            assert_eq!(luster.stop().0, 0);
        }
    });
}

#[test]
fn a_program_is_run_once_by_the_master_and_once_by_each_worker() {
    let program = "
        const fs = require('fs'), cluster = require('cluster');
        if (!process.env.WANTED) throw new Error('WANTED is missing');
        fs.appendFileSync(__dirname + '/runs', `${process.pid} ${cluster.isMaster} ${require('luster').isMaster}\\n`);
        cluster.on('fork', () => {});
        console.log('the configuration speaks');
        module.exports = { app: require.resolve('./app'), workers: Number(process.env.WANTED), my: { name: 'Ann' },
            log: message => message };";
    let luster = Luster::new()
        .file("conf.d/app.js", &reader())
        .file("conf.d/luster.js", program)
        .arg("conf.d/luster.js")
        .env("WANTED", "2")
        .start();
    luster.await_ready(2);
    let runs = std::fs::read_to_string(luster.path().join("conf.d/runs")).expect("it ran");
    let masters = runs.lines().filter(|line| line.ends_with(" true true")).count();
    assert_eq!((masters, runs.lines().count()), (1, 3), "{runs}");
    for pid in luster.all_pids() {
        assert!(runs.contains(&format!("{pid} false false\n")), "{pid} in {runs}");
    }
    eventually("it is heard three times", || {
        (luster.stdout().matches("the configuration speaks").count() == 3).then_some(())
    });
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_program_that_throws_ends_luster_with_its_message_before_anything_is_started() {
    let luster = Luster::new()
        .file("worker.js", "")
        .file("luster.conf.js", "module.exports = { app: 'worker.js', x: process.env.NOT_THERE.y }");
    let (code, _, stderr) = luster.output();
    assert_eq!(code, 78, "{stderr}");
    assert!(stderr.contains("luster.conf.js:1") && stderr.contains("TypeError"), "{stderr}");
}

#[test]
fn a_program_that_prints_does_not_spoil_the_printed_settings() {
    let luster = Luster::new().file("worker.js", "").file(
        "luster.conf.js",
        "console.error('on stderr'); module.exports = { app: 'worker.js', workers: 1 + 1, my: { name: 'Ann' } }",
    );
    let shown = settings(luster);
    assert_eq!(shown["workers"]["value"], 2);
    assert_eq!(shown["my"]["value"]["name"], "Ann");
}

#[test]
fn luster_conf_overrides_in_the_master_and_in_each_worker() {
    let port = free_port();
    let overrides =
        format!("workers = 2 ;my.name=\"A;nn\"; server.port={port}; gone=; list=[1,2]; app = ./other.js");
    let luster = || {
        Luster::new()
            .file("other.js", &reader())
            .config(json!({"workers": 1, "gone": 1, "my": {"a": 1}, "app": "./missing.js"}))
            .env("LUSTER_CONF", &overrides)
    };
    let shown = settings(luster());
    assert_eq!(shown["workers"], json!({"value": 2, "from": "LUSTER_CONF"}));
    assert_eq!(shown["my.name"], Value::Null, "unknown keys are shown whole");
    assert_eq!(shown["my"]["value"], json!({"a": 1, "name": "A;nn"}));
    assert_eq!(shown["server.groups"], json!({"value": 1, "from": "default"}));
    let luster = luster().start();
    luster.await_ready(2);
    for told in luster.await_told(2) {
        assert_eq!(told["name"], "A;nn");
        assert_eq!(told["list"], json!([1, 2]));
        assert_eq!(told["workers"], 2);
        assert_eq!(told["gone"], false);
        assert_eq!(told["keys"], json!(["a", "name"]));
        assert_eq!(told["port"], port.to_string());
    }
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn paths_start_at_the_configuration_and_the_workers_at_luster() {
    let luster = Luster::new()
        .file("app/worker.js", &reader())
        .file("etc/deep/luster.conf.json", r#"{"app": "../../app/worker", "workers": 1}"#)
        .file("cwd/x", "");
    let (folder, cwd) = (luster.path().canonicalize().expect("there"), luster.path().join("cwd"));
    let luster = luster.arg("../etc/deep/luster.conf").current_dir(cwd).start();
    let told = luster.await_told(1).remove(0);
    assert_eq!(told["cwd"], folder.join("cwd").to_str().expect("UTF-8"));
    assert_eq!(told["base"], folder.join("etc/deep").to_str().expect("UTF-8"));
    assert_eq!(told["app"], folder.join("app/worker").to_str().expect("UTF-8"));
    assert_eq!(told["port"], "0");
    luster.await_ready(1);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn by_default_there_is_a_worker_for_each_cpu() {
    let luster = Luster::with("", json!({})).start();
    let cpus = std::thread::available_parallelism().expect("known").get();
    luster.await_ready(cpus);
    assert_eq!(luster.await_event("start", 1)["workers"], cpus);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn check_lists_every_mistake_and_starts_nothing() {
    let text = "{\n  \"workers\": \"4\",\n  \"control\": {\"killTimeout\": \"soon\"},\n  \"server\": {\"portsPerGroup\": []}\n}";
    let luster = Luster::new().file("luster.conf.json", text).arg("check");
    let (code, stdout, stderr) = luster.output();
    assert_eq!((code, stdout.as_str()), (78, ""), "{stderr}");
    for expected in [
        "\"app\" is missing",
        "\"workers\" must be a number, not the string \"4\"",
        "\"control.killTimeout\" must be a number of milliseconds, not the string \"soon\"",
        "server.portsPerGroup",
        "luster.conf.json:2:",
        "luster.conf.json:3:",
        "luster.conf.json:4:",
    ] {
        assert!(stderr.contains(expected), "{expected} in {stderr}");
    }
}

#[test]
fn check_understands_a_program_and_names_it() {
    let luster = Luster::new()
        .file("worker.js", "throw 1")
        .file("luster.conf.js", "module.exports = { app: 'worker.js', workers: 2 + 1 }")
        .arg("check");
    let (code, stdout, stderr) = luster.output();
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains("luster.conf.js") && stdout.contains("3 workers"), "{stdout}");
}

#[test]
fn a_missing_app_or_configuration_is_told_with_where_it_was_looked_for() {
    let (code, _, stderr) = Luster::new().output();
    assert_eq!(code, 78, "{stderr}");
    assert!(stderr.contains("luster.conf.json5"), "{stderr}");
    let luster = Luster::new().config(json!({"app": "./dist/app"}));
    let (code, _, stderr) = luster.output();
    assert_eq!(code, 78, "{stderr}");
    assert!(stderr.contains("dist/app.js"), "{stderr}");
}

#[test]
fn a_changed_configuration_reaches_the_workers_that_come_after() {
    let luster = Luster::new()
        .file("worker.js", &reader())
        .file(
            "luster.conf.js",
            "module.exports = { app: 'worker.js', workers: 1, my: { name: String('old') } }",
        )
        .start();
    luster.await_ready(1);
    let text = "module.exports = { app: 'worker.js', workers: 1, my: { name: String('new') } }";
    luster.put("luster.conf.js", text);
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    eventually("the new name is told", || {
        luster.told().last().is_some_and(|told| told["name"] == "new").then_some(())
    });
    assert_eq!(luster.stop().0, 0);
}

/// As deployments by releases do it: `current` is a link that is moved.
#[test]
fn a_rollout_runs_the_release_that_the_link_leads_to_by_then() {
    let release = |number: u32| {
        format!(
            "{TELL}tell({{ release: {number}, name: require('luster').config.get('name'), main: require.main === module }});"
        )
    };
    let config = |number: u32| {
        format!("module.exports = {{ app: './worker.js', workers: 1, name: 'release ' + {number} }};")
    };
    let luster = Luster::new()
        .file("1/worker.js", &release(1))
        .file("1/luster.conf.js", &config(1))
        .file("2/worker.js", &release(2))
        .file("2/luster.conf.js", &config(2));
    let link = luster.path().join("current");
    std::os::unix::fs::symlink("1", &link).expect("writable");
    let luster = luster.arg("current/luster.conf.js").start();
    luster.await_ready(1);
    std::fs::remove_file(&link).expect("there");
    std::os::unix::fs::symlink("2", &link).expect("writable");
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    let expected = [1, 2].map(
        |number| json!({"wid": 1, "release": number, "name": format!("release {number}"), "main": true}),
    );
    assert_eq!(luster.await_told(2), expected);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn what_a_configuration_changes_for_workers_reaches_them_without_a_process_for_it() {
    // Node reads this one when it starts, so it is too late in the worker itself.
    let config = "if (require('cluster').isMaster) {
            process.env.NODE_OPTIONS = '--max-http-header-size=20000';
            delete process.env.LEFT_OUT;
            require('cluster').setupMaster({ cwd: require('path').join(__dirname, 'deep') });
        }
        module.exports = { app: require('path').join(__dirname, 'worker.js'), workers: 1 };";
    let app = format!(
        "{TELL}tell({{ size: require('http').maxHeaderSize, cwd: require('path').basename(process.cwd()),
            left: process.env.LEFT_OUT === undefined }});"
    );
    on_oldest_and_newest(|node| {
        let luster = Luster::new().file("luster.conf.js", config).file("worker.js", &app).file("deep/x", "");
        let luster = luster.env("LEFT_OUT", "1").node(node).start();
        let told = luster.await_told(1);
        let expected = json!({"wid": 1, "size": 20_000, "cwd": "deep", "left": true});
        assert_eq!(told[0], expected, "Node {}", node.major);
        assert_eq!(children(luster.pid()), luster.all_pids());
        assert_eq!(luster.stop().0, 0);
    });
}

/// What configurations that count CPUs come to on another machine. The ports are those seen with JS luster 2.8.1.
#[test]
fn fractions_and_too_many_groups_run_as_under_js_luster_with_a_warning() {
    for (workers, groups, expected, warning) in [
        (json!(1.5), json!(1), [0, 0].as_slice(), "workers is 1.5, which is rounded up to 2"),
        (json!(2), json!(4), &[0, 1], "server.groups is 4, but there are only 2 workers"),
        (json!(2.5), json!(2), &[0, 1, 1], "workers is 2.5, which is rounded up to 3"),
        (json!(2), json!(0), &[0, 0], "server.groups is 0, which is taken for 1"),
    ] {
        let config = json!({"workers": workers, "server": {"port": 9100, "groups": groups}});
        let luster = Luster::with(&reader(), config).start();
        luster.await_ready(expected.len());
        let mut told = luster.await_told(expected.len());
        told.sort_by_key(|line| line["wid"].as_u64());
        let ports: Vec<_> = told.iter().map(|line| line["port"].as_str().expect("text").to_owned()).collect();
        let expected: Vec<_> = expected.iter().map(|group| (9100 + group).to_string()).collect();
        assert_eq!(ports, expected, "{workers} workers, {groups} groups");
        assert_eq!(luster.events("start")[0]["workers"], expected.len());
        let warned = luster.await_event("config_warning", 1)["message"].clone();
        assert!(warned.as_str().expect("text").contains(warning), "{warned}");
        assert_eq!(luster.stop().0, 0);
    }
}

/// A mebibyte of configuration, which neither an argument nor an environment variable can hold, for whoever reads it.
const LARGE: usize = 1 << 20;

/// An extension of both sides, which tells how much it has been given.
fn weigher() -> String {
    format!(
        "{TELL}exports.configure = (config, luster) => tell({{ master: luster.isMaster,
            extension: luster.config.get('large').length }});"
    )
}

#[test]
fn a_large_configuration_reaches_workers_and_the_extension_host_in_every_form() {
    let large = "x".repeat(LARGE);
    let object =
        format!("{{ app: './worker.js', workers: 2, extensions: {{ weigher: {{}} }}, large: '{large}' }}");
    let json = json!({"app": "./worker.js", "workers": 2, "extensions": {"weigher": {}}, "large": large});
    for (file, text) in [
        ("luster.conf.json", json.to_string()),
        ("luster.conf.json5", object.clone()),
        ("luster.conf.js", format!("module.exports = {object};")),
        ("luster.conf.js", format!("module.exports = Object.assign({object});")),
        ("luster.conf.mjs", format!("export default await Promise.resolve({object});")),
    ] {
        let app = format!("{TELL}tell({{ worker: require('luster').config.get('large').length }});");
        let luster = Luster::new()
            .file("worker.js", &app)
            .file(file, &text)
            .file("node_modules/weigher/index.js", &weigher())
            .start();
        luster.await_ready(2);
        for (who, count) in [("worker", 2), ("extension", 3)] {
            let told = luster.await_told_where(count, who, |told| told.get(who).is_some());
            assert!(told.iter().all(|told| told[who] == LARGE), "{file}: {told:?}");
        }
        assert_eq!(luster.told().iter().filter(|told| told["master"] == true).count(), 1);
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn a_large_configuration_reaches_the_workers_of_a_custom_master() {
    let master = format!(
        "require('luster').configure({{ app: __dirname + '/worker.js', workers: 2,
        extensions: {{ weigher: {{}} }}, large: 'x'.repeat({LARGE}) }}).run();"
    );
    let app = format!("{TELL}tell({{ worker: require('luster').config.get('large').length }});");
    on_oldest_and_newest(|node| {
        let luster = Luster::new()
            .file("worker.js", &app)
            .file("master.js", &master)
            .file("node_modules/weigher/index.js", &weigher())
            .by_script(node, &[])
            .start();
        luster.await_ready(2);
        for (who, count) in [("worker", 2), ("extension", 3)] {
            let told = luster.await_told_where(count, who, |told| told.get(who).is_some());
            assert!(told.iter().all(|told| told[who] == LARGE), "Node {}: {told:?}", node.major);
        }
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn a_worker_is_left_no_descriptor_of_its_configuration() {
    let app = format!(
        "{TELL}const fs = require('fs');
        const links = fs.readdirSync('/proc/self/fd').map(fd => {{ try {{ return fs.readlinkSync(`/proc/self/fd/${{fd}}`); }} catch {{ return ''; }} }});
        tell({{ left: links.filter(link => link.includes('luster-configuration')),
            env: Object.keys(process.env).filter(name => name.startsWith('LUSTER_')) }});"
    );
    on_oldest_and_newest(|node| {
        let luster = Luster::with(&app, json!({"workers": 1, "secret": "s3cret"})).node(node).start();
        let told = luster.await_told(1).remove(0);
        assert_eq!(
            (&told["left"], &told["env"]),
            (&json!([]), &json!(["LUSTER_WID"])),
            "Node {}",
            node.major
        );
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn infinite_numbers_reach_the_app_in_every_form() {
    let app = format!(
        "{TELL}const {{ config }} = require('luster');
        tell({{ limit: String(config.get('limit')), list: config.get('list').map(String), zero: Object.is(config.get('zero'), -0) }});"
    );
    for (file, text) in [
        (
            "luster.conf.json5",
            "{ app: './worker.js', workers: 1, limit: Infinity, list: [-Infinity, 1e21, 0x10], zero: -0 }",
        ),
        (
            "luster.conf.js",
            "module.exports = { app: './worker.js', workers: 1, limit: Infinity, list: [-Infinity, 1e21, 0x10], zero: -0 }",
        ),
        (
            "luster.conf.json",
            r#"{"app": "./worker.js", "workers": 1, "limit": "Infinity", "list": ["-Infinity", 1e21, 16], "zero": -0}"#,
        ),
    ] {
        let luster = Luster::new().file("worker.js", &app).file(file, text).start();
        let told = luster.await_told(1).remove(0);
        let expected =
            json!({"wid": 1, "limit": "Infinity", "list": ["-Infinity", "1e+21", "16"], "zero": true});
        assert_eq!(told, expected, "{file}");
        assert_eq!(luster.stop().0, 0);
    }
}
