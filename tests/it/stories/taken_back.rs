//! Releases that do not work, deployed by a link that is moved and `luster reload`: the old release serves on, whoever asked
//! is told which worker failed, why, and what runs now, and the bad release may be deleted at once.

use std::net::TcpListener;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::harness::{
    Load, Luster, Running, Style, Target, eventually, free_port, get, is_alive, on_every_node,
};

/// Answers with the number of its release.
const GOOD: &str = "
const server = require('http').createServer((req, res) => res.end(require('path').basename(__dirname)));
server.listen(Number(process.env.port));
";

/// How a release is broken.
#[derive(Debug, Clone, Copy)]
struct Broken {
    /// The app; `ELSEWHERE` is the port of another program.
    app: &'static str,
    /// What `luster reload` says of it.
    says: &'static [&'static str],
    /// How it is found out, if not by its death at the start.
    by: Found,
    /// How many requests it may take along: those on their way to it.
    costs: usize,
}

/// How it is found out that a release is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    AtStart,
    InTime,
    ByCanary,
}

impl Broken {
    /// What its configuration has in `control` besides.
    fn control(&self) -> serde_json::Map<String, Value> {
        let control = match self.by {
            Found::AtStart => json!({}),
            Found::InTime => json!({"readyTimeout": 5000}),
            Found::ByCanary => json!({"canary": {"workers": 1, "watch": 20_000}}),
        };
        control.as_object().expect("an object").clone()
    }
}

const BROKEN: [Broken; 9] = [
    Broken {
        app: "const x = {;\n",
        says: &["exited with code 1 before it was ready: SyntaxError: Unexpected token ';'", "worker.js:1"],
        by: Found::AtStart,
        costs: 0,
    },
    Broken {
        app: "process.exit(0);",
        says: &["exited with code 0 before it was ready"],
        by: Found::AtStart,
        costs: 0,
    },
    Broken {
        app: "setInterval(() => {}, 1000);",
        says: &["was not ready within 5000 ms (control.readyTimeout): it does not listen on tcp *:"],
        by: Found::InTime,
        costs: 0,
    },
    Broken {
        app: "require('http').createServer(() => {}).listen(0);",
        says: &["was not ready within 5000 ms (control.readyTimeout): it does not listen on tcp *:"],
        by: Found::InTime,
        costs: 0,
    },
    Broken {
        app: "setTimeout(() => { throw new TypeError('no connection to the database'); }, 1000);\nGOOD",
        says: &[
            "exited with code 1 when it had been ready for ",
            "TypeError: no connection to the database (",
            "worker.js:1",
        ],
        by: Found::ByCanary,
        costs: 16,
    },
    Broken {
        app: "require('net').createServer().listen(ELSEWHERE, '127.0.0.1');",
        says: &["exited with code 1 before it was ready: Error: ", "EADDRINUSE"],
        by: Found::AtStart,
        costs: 0,
    },
    Broken {
        app: "setTimeout(() => require('net').createServer().on('error', () => {}).listen(ELSEWHERE, '127.0.0.1'), 1000);\nGOOD",
        says: &["could not listen on tcp 127.0.0.1:", "address already in use"],
        by: Found::ByCanary,
        costs: 0,
    },
    Broken {
        app: "setTimeout(() => require('cluster').worker.disconnect(), 1000);\nGOOD",
        says: &["exited with code 0 when it had been ready for "],
        by: Found::ByCanary,
        costs: 0,
    },
    Broken {
        app: "setTimeout(() => process.disconnect(), 1000);\nGOOD",
        says: &["when it had been ready for "],
        by: Found::ByCanary,
        costs: 16,
    },
];

/// What releases have in common.
fn config(port: u16, restart: &str, parallel: u32) -> Value {
    let control = json!({"restart": restart, "parallel": parallel, "stopTimeout": 5000});
    json!({"app": "worker.js", "workers": 3, "control": control, "server": {"port": port}})
}

/// The files of a release.
fn release(folder: &std::path::Path, number: u32, app: &str, config: &Value) {
    let folder = folder.join(format!("releases/{number}"));
    std::fs::create_dir_all(&folder).expect("writable");
    std::fs::write(folder.join("worker.js"), app).expect("writable");
    std::fs::write(folder.join("luster.conf.json"), config.to_string()).expect("writable");
}

fn switch(luster: &Running, number: u32) {
    let _ = std::fs::remove_file(luster.path().join("next"));
    symlink(format!("releases/{number}"), luster.path().join("next")).expect("writable");
    std::fs::rename(luster.path().join("next"), luster.path().join("current")).expect("writable");
}

fn prune(luster: &Running, number: u32) {
    std::fs::remove_dir_all(luster.path().join(format!("releases/{number}"))).expect("there");
}

/// What `luster reload` comes to: its exit code and what it says.
fn reload(luster: &Running) -> (i32, String, String) {
    Luster::new().current_dir(luster.path()).arg("reload").arg("current/luster.conf.json").output()
}

fn pids(luster: &Running) -> Vec<i64> {
    let status = luster.control().status();
    let workers = status["workers"].as_array().expect("workers");
    workers.iter().filter_map(|worker| worker["instances"][0]["pid"].as_i64()).collect()
}

/// A luster that serves the first release through the link.
fn deployed(port: u16, restart: &str, parallel: u32) -> Running {
    let luster = Luster::new();
    release(luster.path(), 1, GOOD, &config(port, restart, parallel));
    symlink("releases/1", luster.path().join("current")).expect("writable");
    let luster = luster.arg("current/luster.conf.json").start();
    luster.await_ready(3);
    luster.await_listening(3);
    luster
}

/// Two broken deploys of the same kind and a good one, under load.
#[track_caller]
fn costs_nothing(broken: &Broken, restart: &str, parallel: u32) {
    let (port, taken) = (free_port(), TcpListener::bind("127.0.0.1:0").expect("free"));
    let elsewhere = taken.local_addr().expect("bound").port().to_string();
    let luster = deployed(port, restart, parallel);
    let loads = [Style::KEEP_ALIVE, Style::NEW].map(|style| Load::begin(&Target::Tcp(port), style));
    loads.iter().for_each(|load| load.await_answers(20));
    let old = pids(&luster);

    let app = broken.app.replace("ELSEWHERE", &elsewhere).replace("GOOD", GOOD);
    let mut tried = config(port, restart, parallel);
    tried["control"].as_object_mut().expect("an object").extend(broken.control());
    release(luster.path(), 2, &app, &tried);
    switch(&luster, 2);
    let (code, stdout, stderr) = reload(&luster);
    let context = format!("{restart}, {parallel} at a time, {}:\n{stderr}", broken.app);
    assert_eq!((code, &*stdout), (20, ""), "{context}");
    for words in broken.says {
        assert!(stderr.contains(words), "{words:?} in {context}");
    }
    assert!(stderr.contains("worker 1 ") || parallel > 1, "which worker: {context}");
    assert!(stderr.contains("all workers run what they ran before"), "what runs now: {context}");
    let sentences = stderr.lines().filter(|line| line.starts_with("luster: ")).count();
    assert_eq!(
        (sentences, stderr.lines().next_back().is_some_and(|last| last.starts_with("luster: "))),
        (1, true)
    );

    // It is true when it is said, and the bad release is not needed any more.
    prune(&luster, 2);
    let status = luster.control().status();
    assert_eq!((&status["ready"], &status["generation"]), (&json!(3), &json!(0)), "{context}{status:#}");
    let now = pids(&luster);
    let touched = now.iter().filter(|pid| !old.contains(pid)).count();
    let most = match (restart, broken.by) {
        (_, Found::ByCanary) => 1,
        ("start-first", Found::AtStart | Found::InTime) => 0,
        (_, Found::AtStart | Found::InTime) => usize::try_from(parallel).expect("few"),
    };
    assert!(touched <= most, "{touched} of {old:?} were touched: {now:?}; {context}");
    loads.iter().for_each(|load| load.await_answers(20));
    assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "1", "{context}");

    release(luster.path(), 3, GOOD, &config(port, restart, parallel));
    switch(&luster, 3);
    let (code, stdout, stderr) = reload(&luster);
    assert_eq!((code, &*stdout), (0, "3 workers have been replaced\n"), "{stderr}");
    loads.iter().for_each(|load| load.await_answers(20));
    assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "3");
    let failures: Vec<_> = loads.into_iter().flat_map(|load| load.end().failures).collect();
    assert!(failures.len() <= broken.costs, "{failures:?}: {context}");
    assert_eq!(luster.stop().0, 0);
}

#[track_caller]
fn costs_nothing_in_any_way(index: usize) {
    for (restart, parallel) in [("stop-first", 1), ("start-first", 1), ("stop-first", 2), ("start-first", 2)]
    {
        costs_nothing(&BROKEN[index], restart, parallel);
    }
}

#[test]
fn a_release_with_a_syntax_error() {
    costs_nothing_in_any_way(0);
}

#[test]
fn a_release_that_exits_without_an_error() {
    costs_nothing_in_any_way(1);
}

#[test]
fn a_release_that_never_listens() {
    costs_nothing_in_any_way(2);
}

#[test]
fn a_release_that_listens_elsewhere() {
    costs_nothing_in_any_way(3);
}

#[test]
fn a_release_that_crashes_after_a_second_with_a_canary() {
    costs_nothing_in_any_way(4);
}

#[test]
fn a_release_whose_listen_is_refused() {
    costs_nothing_in_any_way(5);
}

/// A canary's fault costs the same however many are replaced at a time.
#[track_caller]
fn costs_nothing_one_at_a_time(index: usize) {
    for restart in ["stop-first", "start-first"] {
        costs_nothing(&BROKEN[index], restart, 1);
    }
}

#[test]
fn a_release_whose_later_listen_is_refused_with_a_canary() {
    costs_nothing_one_at_a_time(6);
}

#[test]
fn a_release_that_leaves_by_itself_with_a_canary() {
    costs_nothing_one_at_a_time(7);
}

#[test]
fn a_release_that_cannot_be_talked_to_any_more_with_a_canary() {
    costs_nothing_one_at_a_time(8);
}

#[test]
fn a_deploy_in_place_has_nothing_to_go_back_to_and_says_so() {
    for (restart, now) in [
        ("stop-first", "worker 1 is tried on, and the others run what they ran before"),
        ("start-first", "no worker was replaced, and all run what they ran before"),
    ] {
        let port = free_port();
        let luster = Luster::new().file("worker.js", GOOD).config(config(port, restart, 1));
        let luster = luster.start();
        luster.await_ready(3);
        luster.await_listening(3);
        let loads = [Style::KEEP_ALIVE, Style::NEW].map(|style| Load::begin(&Target::Tcp(port), style));
        let old = pids(&luster);
        luster.put("worker.js", "const x = {;\n");
        let ask = || Luster::new().current_dir(luster.path()).arg("reload").output();
        let (code, stdout, stderr) = ask();
        assert_eq!((code, &*stdout), (20, ""), "{stderr}");
        assert!(stderr.contains("SyntaxError: Unexpected token ';'") && stderr.contains(now), "{stderr}");
        let untouched = if restart == "stop-first" { &old[1..] } else { &old[..] };
        assert!(untouched.iter().all(|pid| is_alive(i32::try_from(*pid).expect("a pid"))), "{restart}");
        if restart == "stop-first" {
            let (_, shown, _) = Luster::new().current_dir(luster.path()).arg("status").output();
            assert!(shown.contains("SyntaxError: Unexpected token ';'"), "{shown}");
        }
        loads.iter().for_each(|load| load.await_answers(20));
        luster.put("worker.js", GOOD);
        let (code, _, stderr) = ask();
        assert_eq!(code, 0, "{stderr}");
        loads.into_iter().for_each(Load::end_without_a_failure);
        assert_eq!(luster.stop().0, 0);
    }
}

/// Runs an app that fails, and gives what the log says it died of.
fn died_of(app: &str, file: &str, node: &crate::harness::Node) -> String {
    let luster = Luster::new()
        .file(file, "")
        .config(json!({"app": file, "workers": 1, "control": {"restart": "start-first"}}))
        .node(node)
        .start();
    luster.await_ready(1);
    luster.put(file, app);
    let aborted = luster.rollout();
    assert_eq!(aborted["event"], "rollout_aborted", "{aborted}");
    let message = aborted["message"].as_str().expect("text").to_owned();
    if let Some(error) = aborted["error"].as_str() {
        assert!(message.contains(error), "{aborted}");
    }
    assert_eq!(luster.stop().0, 0);
    message
}

#[test]
fn what_a_worker_died_of_is_told_on_every_node_and_nothing_more() {
    on_every_node(|node| {
        let cases = [
            ("worker.js", "const x = {;", "SyntaxError: Unexpected token ';' (", "worker.js:1"),
            (
                "worker.mjs",
                "const x = {;",
                "code 1 before it was ready: SyntaxError: Unexpected token ';'",
                ";",
            ),
            (
                "worker.js",
                "\nfunction f() { throw new RangeError('too\\nmuch'); }\nf();",
                "RangeError: too much (",
                "worker.js:2:",
            ),
            ("worker.mjs", "\nawait 0; throw new Error('late');", "Error: late (", "worker.mjs:2:"),
            (
                "worker.js",
                "Promise.reject(new Error('nobody caught it'));setInterval(() => {}, 9);",
                "Error: nobody caught it (",
                "worker.js:1:",
            ),
            ("worker.js", "require('./nowhere');", "Error: Cannot find module './nowhere'", "("),
            ("worker.js", "throw 'a string';", "code 1 before it was ready: a string", ";"),
            ("worker.js", "throw { token: 'secret' };", "a thrown object, which is no Error", ";"),
            (
                "worker.js",
                "process.on('uncaughtException', () => process.exit(7)); throw new Error('mine');",
                "exited with code 7 before it was ready: Error: mine",
                "(",
            ),
            (
                "worker.js",
                "process.on('uncaughtException', () => {}); setTimeout(() => process.exit(0)); throw new Error('x');",
                "exited with code 0 before it was ready;",
                "",
            ),
        ];
        for (file, app, says, and) in cases {
            let told = died_of(app, file, node);
            assert!(told.contains(says) && told.contains(and), "Node {}: {app}: {told}", node.major);
            assert!(!told.contains("secret"), "{told}");
        }
        let long = died_of("throw new Error('é'.repeat(100000));", "worker.js", node);
        assert!(long.len() < 5000 && long.contains("éé"), "Node {}: {}", node.major, long.len());
    });
}

#[test]
fn what_an_app_hears_of_its_own_errors_is_the_same() {
    let app = "
        process.on('uncaughtException', (error, origin) => {
            console.log(JSON.stringify([error.message, origin, process.listenerCount('uncaughtException')]));
            setTimeout(() => console.log('it lives'), 10);
        });
        setTimeout(() => { throw new Error('mine'); }, 10);
        setInterval(() => {}, 1000);";
    let luster = Luster::with(app, json!({"workers": 1})).start();
    eventually("it goes on", || luster.stdout().contains("it lives").then_some(()));
    assert!(luster.stdout().contains(r#"["mine","uncaughtException",1]"#), "{}", luster.stdout());
    assert_eq!(luster.events("exit").len(), 0);
    assert_eq!(luster.stop().0, 0);
}

/// A release with an extension whose master side is this.
fn with_extension(folder: &std::path::Path, number: u32, restart: &str, port: u16, body: &str) {
    let mut config = config(port, restart, 1);
    config["extensions"] = json!({"mine": {"release": number}});
    config["extensionsLoadTimeout"] = json!(1500);
    release(folder, number, GOOD, &config);
    let module = folder.join(format!("releases/{number}/node_modules/mine"));
    std::fs::create_dir_all(&module).expect("writable");
    let text = format!(
        "exports.configure = (config, luster, done) => {{ if (!luster.isMaster) {{ return done(); }} {body} }};"
    );
    std::fs::write(module.join("index.js"), text).expect("writable");
}

#[test]
fn extensions_that_fail_on_the_new_configuration_take_the_reload_back() {
    for (restart, body, says) in [
        ("stop-first", "throw new Error('no vault');", "no vault"),
        ("start-first", "process.exit(3);", "exited with code 3"),
        ("start-first", "/* never done */", "1500"),
    ] {
        let port = free_port();
        let luster = Luster::new();
        with_extension(luster.path(), 1, restart, port, "setInterval(() => {}, 1000); done();");
        symlink("releases/1", luster.path().join("current")).expect("writable");
        let luster = luster.arg("current/luster.conf.json").start();
        luster.await_ready(3);
        luster.await_listening(3);
        let loads = [Style::KEEP_ALIVE, Style::NEW].map(|style| Load::begin(&Target::Tcp(port), style));
        let old = pids(&luster);
        with_extension(luster.path(), 2, restart, port, body);
        switch(&luster, 2);
        let (code, stdout, stderr) = reload(&luster);
        assert_eq!((code, &*stdout), (20, ""), "{stderr}");
        for words in ["the new extension host", says, "all workers run what they ran before"] {
            assert!(stderr.contains(words), "{words:?} in {stderr}");
        }
        prune(&luster, 2);
        assert_eq!(pids(&luster), old, "no worker is touched");
        luster.await_event("host_ready", 2);
        let status = luster.control().status();
        assert_eq!((&status["generation"], &status["host"]["state"]), (&json!(0), &json!("ready")));

        with_extension(luster.path(), 3, restart, port, "done();");
        switch(&luster, 3);
        let (code, _, stderr) = reload(&luster);
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "3");
        loads.into_iter().for_each(Load::end_without_a_failure);
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn extensions_that_are_started_again_after_the_link_was_moved_are_of_the_release_that_runs() {
    let port = free_port();
    let luster = Luster::new();
    for number in [1, 2] {
        let body = format!("console.log('extension {number}'); setInterval(() => {{}}, 1000); done();");
        with_extension(luster.path(), number, "stop-first", port, &body);
    }
    symlink("releases/1", luster.path().join("current")).expect("writable");
    let luster = luster.arg("current/luster.conf.json").start();
    luster.await_ready(3);
    switch(&luster, 2);
    let host = luster.await_event("host_fork", 1)["pid"].as_i64().expect("a pid");
    let host = nix::unistd::Pid::from_raw(i32::try_from(host).expect("a pid"));
    nix::sys::signal::kill(host, nix::sys::signal::Signal::SIGKILL).expect("it runs");
    luster.await_event("host_ready", 2);
    assert_eq!(luster.stdout(), "extension 1\nextension 1\n");
    assert_eq!(reload(&luster).0, 0);
    assert_eq!(luster.stdout(), "extension 1\nextension 1\nextension 2\n");
    assert_eq!(luster.stop().0, 0);
}
