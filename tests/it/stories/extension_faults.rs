//! What an extension or a configuration can do wrong on the master's side: one clear message, the documented exit code,
//! nothing left behind, and nothing that reaches the workers.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{
    HTTP, Luster, Running, TELL, Target, eventually, free_port, get, node, on_nodes, processes_in,
};

/// An extension `bad` whose master side is this.
fn bad(body: &str) -> Luster {
    let module = format!(
        "{TELL}exports.configure = function (config, luster, done) {{
            if (!luster.isMaster) {{ return done(); }}
            {body}
        }};"
    );
    let config = json!({"workers": 1, "extensions": {"bad": {}}, "extensionsLoadTimeout": 2000});
    Luster::with("", config).file("node_modules/bad/index.js", &module)
}

/// It ends by itself with this code, having said this, and leaves nothing.
#[track_caller]
fn assert_ends(luster: Luster, expected: i32, words: &[&str]) {
    let (code, stdout, stderr) = luster.output();
    assert_eq!(code, expected, "{stderr}");
    assert!(words.iter().all(|words| stderr.contains(words)), "{words:?} in\n{stderr}");
    assert!(!stderr.contains(") started"), "no worker was started:\n{stderr}");
    assert!(!stdout.contains("loaded"), "{stdout}");
    eventually("nothing is left", || processes_in(luster.path()).is_empty().then_some(()));
}

#[test]
fn one_that_throws_ends_luster_with_its_own_stack() {
    on_nodes(&[node(16), node(20), node(24)], |node| {
        let luster = bad("null.missing;").node(node);
        let file = luster.path().join("node_modules/bad/index.js");
        let stack = format!("{}:4", file.display());
        assert_ends(
            luster,
            1,
            &["TypeError", &stack, "stopping because an extension failed: extension \"bad\": TypeError"],
        );
    });
}

#[test]
fn one_that_rejects_says_done_with_an_error_or_never_ends_luster() {
    let stack = ["Error: no such table", "stopping because an extension failed"];
    assert_ends(bad("return Promise.reject(new Error('no such table'));"), 1, &stack);
    let told = "stopping because an extension failed: extension \"bad\": Error: no such table";
    assert_ends(bad("done(new Error('no such table'));"), 1, &["Error: no such table", told]);
    let late = "stopping because an extension failed: LusterClusterProcessError: Extensions bad not loaded in 2000 ms";
    assert_ends(bad("setInterval(() => {}, 1000);"), 1, &[late]);
    let swallowed = "stopping because an extension failed: it was not initialized within 7000 ms";
    assert_ends(
        bad("process.on('uncaughtException', () => {}); setInterval(() => {}, 1000);"),
        1,
        &[swallowed],
    );
}

#[test]
fn one_that_blocks_for_ever_is_killed() {
    let words = "stopping because an extension failed: it was not initialized within 7000 ms: extension \"bad\" was running";
    assert_ends(bad("for (;;) {}"), 1, &[words]);
}

#[test]
fn one_that_ends_its_process_at_the_start_ends_luster() {
    assert_ends(
        bad("process.exit(5);"),
        1,
        &["stopping because an extension failed: extension \"bad\" was running (exited with code 5)"],
    );
    let killed = "extension \"bad\" was running (was killed by SIGKILL)";
    assert_ends(bad("process.kill(process.pid, 'SIGKILL');"), 1, &[killed]);
}

#[test]
fn one_that_is_done_twice_is_told_and_otherwise_fine() {
    let luster = bad("done(); done();").start();
    luster.await_ready(1);
    luster.await_stderr("luster: extension \"bad\" said more than once that it is configured");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn one_that_is_missing_is_told_once_in_the_same_words_whoever_looks() {
    let told = |folder: &str, luster: Luster| {
        let sentence = format!(
            "Extension \"nope\" is not found in {}, nor in node_modules there or above: install it (npm install nope), or \
             set extensionsPath to the folder it is in",
            luster.path().join(folder).display().to_string().trim_end_matches('/')
        );
        let (code, _, stderr) = luster.output();
        assert_eq!(code, 78, "{stderr}");
        assert_eq!(stderr.matches(&sentence).count(), 1, "{sentence} in\n{stderr}");
        assert!(!stderr.contains("stopping 0"), "{stderr}");
        eventually("nothing is left", || processes_in(luster.path()).is_empty().then_some(()));
        stderr.replace(luster.path().to_str().expect("UTF-8"), "")
    };
    let config = json!({"workers": 1, "extensions": {"nope": {}}, "extensionsPath": "deep/down"});
    let data = told("deep/down", Luster::with("", config.clone()));
    assert!(data.contains("luster.conf.json:4:") && !data.contains("is started"), "{data}");
    assert_eq!(told("deep/down", Luster::with("", config).arg("check")), data);
    // A program may change what is found, so the extension host has the last word.
    let program = "module.exports = { app: './worker.js', workers: 0 + 1, extensions: { nope: {} } };";
    told("", Luster::new().file("worker.js", "").file("luster.conf.js", program));
}

#[test]
fn one_that_is_named_by_its_path_and_missing_is_told_with_the_path_where_it_should_be() {
    let start =
        "; a name that begins with a dot starts from extensionsPath, which is the app's folder unless set";
    let sentence = |name: &str, path: &str, start: &str| {
        format!(
            "Extension \"{name}\" is not found: {path} should be a file (.js may be left out), or a folder with index.js or a \
             package.json that names its main module{start}"
        )
    };
    for (name, below, start) in
        [("./ext/log.it", "deep/ext/log.it", start), ("../up", "up", start), ("/none/such", "", "")]
    {
        let config = json!({"workers": 1, "extensions": {name: {}}, "extensionsPath": "deep"});
        // Where the module is no module, only Node finds that out.
        let empty = |luster: Luster| match below {
            "" => luster,
            below => luster.file(&format!("{below}/notes.txt"), ""),
        };
        let as_data = Luster::with("", config.clone());
        let program = format!("module.exports = Object.assign({{}}, {config}, {{ app: './worker.js' }});");
        let as_program = Luster::new().file("worker.js", "").file("luster.conf.js", &program);
        for luster in [as_data, empty(Luster::with("", config.clone())), as_program] {
            let path = if below.is_empty() { name.into() } else { luster.path().join(below) };
            let sentence = sentence(name, path.to_str().expect("UTF-8"), start);
            let (code, _, stderr) = luster.output();
            assert_eq!((code, stderr.matches(&sentence).count()), (78, 1), "{sentence} in\n{stderr}");
            assert!(!stderr.contains("npm install"), "{stderr}");
        }
        // Also where its name has dots.
        let (code, _, stderr) = Luster::with("", config).arg("check").output();
        assert!(code == 78 && stderr.starts_with("luster.conf.json:4:"), "{stderr}");
    }
}

#[test]
fn one_that_misses_a_module_or_exports_nothing_is_its_own_fault() {
    let luster = bad("").file("node_modules/bad/index.js", "require('left-out')");
    assert_ends(luster, 1, &["Cannot find module 'left-out'", "extension \"bad\""]);
    let luster = bad("").file("node_modules/bad/index.js", "exports.configurate = () => {}");
    assert_ends(luster, 1, &["Extension \"bad\" failed: its module exports no function \"configure\""]);
    let luster = bad("").file("node_modules/bad/index.js", "exports.configure = (");
    assert_ends(luster, 1, &["SyntaxError", "node_modules/bad/index.js:1"]);
}

#[test]
fn one_that_crashes_later_costs_the_workers_nothing() {
    let port = free_port();
    let module = "exports.configure = (config, luster) => {
        if (luster.isMaster) {
            const fs = require('fs'), crash = () => { fs.writeFileSync('crashed', ''); throw new Error('late'); };
            // Once: the next host, told of the ready worker too, would crash while luster is stopped.
            if (!fs.existsSync('crashed')) { luster.once('worker ready', () => setTimeout(crash, 50)); }
        }
    };";
    let config = json!({"workers": 1, "server": {"port": port}, "extensions": {"bad": {}}});
    let luster = Luster::with(HTTP, config).file("node_modules/bad/index.js", module).start();
    luster.await_ready(1);
    let pid = luster.worker_pid(1);
    let exit = luster.await_event("host_exit", 1);
    let message = exit["message"].as_str().expect("a message");
    assert!(message.contains("Error: late") && message.contains("workers keep running"), "{message}");
    luster.await_stderr("Error: late");
    let body = get(&Target::Tcp(port)).expect("an answer").body;
    assert!(body.starts_with(&pid.to_string()), "{body}");
    luster.await_event("host_ready", 2);
    let (code, log) = luster.stop();
    assert_eq!(code, 0, "{log:?}");
}

/// The master's memory in KiB.
fn memory_of(luster: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", luster.pid())).expect("it is there");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

#[test]
fn one_that_floods_a_worker_is_slowed_down_and_nobody_else_is() {
    let body = "luster.on('worker ready', worker => {
            if (worker.wid !== 1) { return; }
            const flood = () => {
                for (let i = 0; i < 100; i++) { worker.send({ junk: 'x'.repeat(10000) }); }
                setImmediate(flood);
            };
            flood();
        });
        done();";
    // It never reads.
    let app = format!(
        "if (process.env.LUSTER_WID === '1') {{ setTimeout(() => {{ for (;;) {{}} }}, 300); }} {HTTP}"
    );
    let port = crate::harness::free_ports(2);
    let config = json!({
        "workers": 2, "server": {"port": port, "groups": 2}, "extensions": {"bad": {}},
        "control": {"stopTimeout": 500, "killTimeout": 1000},
    });
    let module = format!(
        "exports.configure = function (config, luster, done) {{ if (!luster.isMaster) {{ return done(); }} {body} }};"
    );
    let luster = Luster::with(&app, config).file("node_modules/bad/index.js", &module).start();
    luster.await_ready(2);
    let before = memory_of(&luster);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(3);
    while std::time::Instant::now() < until {
        get(&Target::Tcp(port + 1)).expect("worker 2 answers");
    }
    let grown = memory_of(&luster).saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB");
    let (code, log) = luster.stop();
    assert_eq!(code, 0, "{log:?}");
}

#[test]
fn one_that_floods_luster_costs_only_itself() {
    let body = "let count = 0;
        const flood = () => {
            for (let i = 0; i < 10; i++) { luster.setup({ args: [String(count++).padEnd(1e6)] }); }
            setImmediate(flood);
        };
        luster.on('running', () => { tell({}); flood(); });
        done();";
    let port = free_port();
    let luster = bad(body).file("worker.js", HTTP).env("LUSTER_CONF", &format!("server.port={port}"));
    // Not everything: each ask would be a line.
    let luster = luster.start_as(&["--log-format", "json"]);
    luster.await_ready(1);
    luster.await_told(1);
    get(&Target::Tcp(port)).expect("an answer");
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    let memory = memory_of(&luster);
    assert!(memory < 100 << 10, "{memory} KiB");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn one_that_is_flooded_by_workers_and_does_not_read_loses_messages_and_luster_says_so() {
    let module = "exports.configure = (config, luster) => {
        if (luster.isMaster) { luster.once('worker ready', () => { for (;;) {} }); }
    };";
    let port = free_port();
    let app = format!(
        "{HTTP}const flood = () => process.send({{ junk: 'x'.repeat(10000) }}, () => setImmediate(flood)); flood();"
    );
    let config = json!({"workers": 1, "server": {"port": port}, "extensions": {"bad": {}}});
    let luster = Luster::with(&app, config).file("node_modules/bad/index.js", module).start();
    luster.await_ready(1);
    luster.await_event("messages_lost", 1);
    get(&Target::Tcp(port)).expect("an answer");
    let memory = memory_of(&luster);
    assert!(memory < 100 << 10, "{memory} KiB");
    // It does not hear that all is over, either.
    let mut luster = luster;
    luster.signal(Signal::SIGTERM);
    assert_eq!(luster.await_end(), 0, "{:?}", luster.log());
    assert_eq!(processes_in(luster.path()), []);
}

#[test]
fn a_configuration_that_throws_shows_its_own_stack_and_leaves_nothing() {
    for (body, words) in [
        ("throw new Error('no database')", "luster.conf.js:1:7: "),
        ("module.exports = Promise.reject(new Error('no database'))", "luster.conf.js:1:33: "),
        ("setInterval(() => {}, 1000); throw new Error('no database')", "luster.conf.js:1:36: "),
    ] {
        let luster = Luster::new().file("worker.js", "").file("luster.conf.js", body);
        assert_ends(luster, 78, &[words, "the configuration threw an error", "1 | ", "Error: no database"]);
    }
}

#[test]
fn one_that_stops_reading_signals_and_ignores_the_end_is_killed() {
    let body = "process.on('exit', () => { for (;;) {} }); done();";
    let luster = bad(body).start();
    luster.await_ready(1);
    let mut luster = luster;
    luster.signal(Signal::SIGTERM);
    assert_eq!(luster.await_end(), 0, "{:?}", luster.log());
    assert_eq!(processes_in(luster.path()), []);
}

#[test]
fn what_it_emits_as_an_error_without_a_listener_is_an_uncaught_exception_as_ever() {
    let luster =
        bad("done(); setTimeout(() => luster.emit('error', new Error('from an extension')), 200);").start();
    luster.await_ready(1);
    luster.await_stderr("Error: from an extension");
    let exit: Value = luster.await_event("host_exit", 1);
    assert!(exit["message"].as_str().expect("a message").contains("Error: from an extension"), "{exit}");
    assert_eq!(luster.stop().0, 0);
}
