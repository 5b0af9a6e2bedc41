//! Each key of `control` at a reload: another value is put in place, and what it does is seen.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{Connection, HTTP, Luster, Running, TELL, Target, eventually, free_port, node};

/// One key: its value before and after the reload, what else is in `control`, and how the effect is seen.
struct Row {
    key: &'static str,
    before: Value,
    after: Value,
    /// What else is in `control`.
    beside: Value,
    workers: u32,
    app: String,
    /// Is given a luster that runs on `before`, with the configuration of `after` in place. Ends it.
    sees: fn(Running, Target),
}

/// Each row ends before it is given up on.
const NEVER: u32 = 0;

/// It serves, goes when nobody asks any more, and says that it is ready when a file is there.
fn patient_app() -> String {
    format!(
        "{HTTP}const fs = require('fs');
        const timer = setInterval(() => {{
            if (fs.existsSync('go')) {{ clearInterval(timer); require('luster').ready(); }}
        }}, 5); timer.unref();
        process.on('disconnect', () => clearInterval(timer));"
    )
}

/// It serves, and never ends by itself.
fn stubborn_app(more: &str) -> String {
    format!("{HTTP}{more} process.on('disconnect', () => {{}}); setInterval(() => {{}}, 1000);")
}

fn reload(luster: &Running) {
    luster.signal(Signal::SIGHUP);
}

#[track_caller]
fn is_done(luster: &Running) {
    luster.await_event("rollout_finished", 1);
}

#[track_caller]
fn ends(luster: Running) {
    assert!(luster.events("config_unapplied").is_empty());
    assert_eq!(luster.stop().0, 0);
}

/// How the old worker of a reload ends.
#[track_caller]
fn old_one_ends_by(luster: Running, signal: &str) {
    reload(&luster);
    let exit = luster.await_event("exit", 1);
    assert_eq!(exit["signal"], signal, "{exit}");
    is_done(&luster);
    ends(luster);
}

fn put(luster: &Running, name: &str) {
    luster.put(name, "");
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn rows() -> Vec<Row> {
    let row = |key, before, after| Row {
        key,
        before,
        after,
        beside: json!({}),
        workers: 1,
        app: HTTP.to_owned(),
        sees: |luster, _| ends(luster),
    };
    vec![
        Row {
            // Node hangs before it is online.
            sees: |luster, _| {
                put(&luster, "hang");
                reload(&luster);
                let stopped = luster.await_event_where("stopping", 1, |line| {
                    line["message"].to_string().contains("forkTimeout")
                });
                assert!(
                    stopped["message"].as_str().is_some_and(|text| text.contains("within 300 ms")),
                    "{stopped}"
                );
                std::fs::remove_file(luster.path().join("hang")).expect("there");
                luster.await_event("ready", 2);
                ends(luster);
            },
            ..row("control.forkTimeout", json!(NEVER), json!(300))
        },
        Row {
            beside: json!({"exitTimeout": NEVER}),
            app: stubborn_app(""),
            sees: |luster, _| old_one_ends_by(luster, "SIGTERM"),
            ..row("control.stopTimeout", json!(NEVER), json!(300))
        },
        Row {
            beside: json!({"exitTimeout": NEVER}),
            app: stubborn_app("process.on('SIGTERM', () => {});"),
            sees: |luster, _| old_one_ends_by(luster, "SIGKILL"),
            ..row("control.killTimeout", json!(NEVER), json!(300))
        },
        Row {
            app: stubborn_app(""),
            sees: |luster, _| old_one_ends_by(luster, "SIGTERM"),
            ..row("control.exitTimeout", json!(NEVER), json!(300))
        },
        Row {
            // Of several, so that no client waits for a worker's place.
            workers: 2,
            // Node itself would end it after five seconds.
            app: "const server = require('http').createServer((request, response) => response.end('x'));
                server.keepAliveTimeout = 0; server.listen(process.env.port);"
                .to_owned(),
            // An idle connection keeps a worker for as long as it likes, or for so long.
            sees: |luster, target| {
                reload(&luster);
                is_done(&luster);
                let mut idle = Connection::open(&target).expect("it listens");
                assert_eq!(idle.request("GET / HTTP/1.1", b"").expect("an answer").status, 200);
                assert_eq!(luster.control().post("/v1/restart", "").0, 200);
                ends(luster);
            },
            ..row("control.idleTimeout", json!(NEVER), json!(100))
        },
        Row {
            beside: json!({"allowedSequentialDeaths": 0}),
            sees: |mut luster, _| {
                reload(&luster);
                is_done(&luster);
                kill(Pid::from_raw(luster.worker_pid(1)), Signal::SIGKILL).expect("it runs");
                assert_eq!(luster.await_end(), 1, "that was one too many");
            },
            ..row("control.exitThreshold", json!(NEVER), json!(3_600_000))
        },
        Row {
            beside: json!({"exitThreshold": 3_600_000}),
            sees: |mut luster, _| {
                reload(&luster);
                is_done(&luster);
                kill(Pid::from_raw(luster.worker_pid(1)), Signal::SIGKILL).expect("it runs");
                assert_eq!(luster.await_end(), 1, "that was one too many");
            },
            ..row("control.allowedSequentialDeaths", json!(10), json!(0))
        },
        Row {
            app: patient_app(),
            sees: |luster, _| {
                std::fs::remove_file(luster.path().join("go")).expect("there");
                reload(&luster);
                // It has loaded and listens, which was enough before.
                luster.await_event("listening", 2);
                luster.await_event_where("worker_event", 2, |line| line["name"] == "loaded");
                assert_eq!(luster.control().status()["ready"], 0);
                put(&luster, "go");
                is_done(&luster);
                ends(luster);
            },
            ..row("control.triggerReadyStateManually", json!(false), json!(true))
        },
        Row {
            beside: json!({"triggerReadyStateManually": true, "readyTimeout": NEVER}),
            app: patient_app(),
            sees: |luster, _| {
                std::fs::remove_file(luster.path().join("go")).expect("there");
                reload(&luster);
                luster.await_event("fork", 2);
                assert!(luster.events("exit").is_empty(), "the old one stays until the new one is ready");
                put(&luster, "go");
                is_done(&luster);
                ends(luster);
            },
            ..row("control.restart", json!("stop-first"), json!("start-first"))
        },
        Row {
            beside: json!({"triggerReadyStateManually": true, "restart": "start-first"}),
            workers: 2,
            app: patient_app(),
            sees: |luster, _| {
                std::fs::remove_file(luster.path().join("go")).expect("there");
                reload(&luster);
                luster.await_event("fork", 4);
                assert_eq!(luster.control().status()["rollout"]["under_way"], 2);
                put(&luster, "go");
                is_done(&luster);
                ends(luster);
            },
            ..row("control.parallel", json!(1), json!(2))
        },
        Row {
            beside: json!({"triggerReadyStateManually": true, "restart": "start-first"}),
            app: patient_app(),
            sees: |luster, _| {
                std::fs::remove_file(luster.path().join("go")).expect("there");
                reload(&luster);
                let aborted = luster.await_event("rollout_aborted", 1);
                assert!(aborted.to_string().contains("300 ms"), "{aborted}");
                ends(luster);
            },
            ..row("control.readyTimeout", json!(NEVER), json!(300))
        },
        Row {
            workers: 2,
            sees: |luster, _| {
                reload(&luster);
                luster.await_event("rollout_finished", 1);
                let [first, .., last] = &luster.events("fork")[2..] else { panic!("two have come") };
                let at = |line: &Value| chrono_ms(line["timestamp"].as_str().expect("a time"));
                assert!(at(last) - at(first) >= 1000, "it has served for a second: {first} {last}");
                ends(luster);
            },
            ..row("control.canary", json!(null), json!({"workers": 1, "watch": 1000}))
        },
        Row {
            app: format!("{TELL}{HTTP}tell({{ folder: require('module').getCompileCacheDir() || null }});"),
            sees: |luster, _| {
                reload(&luster);
                is_done(&luster);
                let told = luster.await_told(2);
                assert!(told[0]["folder"].is_null() && told[1]["folder"].is_string(), "{told:?}");
                ends(luster);
            },
            ..row("control.compileCache", json!(false), json!(true))
        },
        Row {
            sees: |luster, _| {
                reload(&luster);
                is_done(&luster);
                eventually("it is gone", || (!luster.control_path().exists()).then_some(()));
                ends(luster);
            },
            ..row("control.socket", json!(true), json!(false))
        },
        Row {
            sees: |luster, _| {
                reload(&luster);
                is_done(&luster);
                let mode = std::fs::metadata(luster.control_path()).expect("there").permissions().mode();
                assert_eq!(mode & 0o777, 0o660);
                ends(luster);
            },
            ..row("control.group", json!(null), json!(nix::unistd::getegid().as_raw()))
        },
    ]
}

/// Milliseconds of the day.
fn chrono_ms(timestamp: &str) -> i64 {
    let time = timestamp.split_once('T').expect("a time").1.trim_end_matches('Z');
    let mut parts = time.split(':');
    let mut next = || parts.next().expect("a part").parse::<f64>().expect("a number");
    #[expect(clippy::cast_possible_truncation, reason = "a day has few milliseconds")]
    let whole = ((next() * 3600.0 + next() * 60.0 + next()) * 1000.0) as i64;
    whole
}

fn config(row: &Row, port: u16, value: &Value) -> Value {
    let mut control = row.beside.clone();
    if !value.is_null() {
        control[row.key.strip_prefix("control.").expect("one of them")] = value.clone();
    }
    json!({"app": "./worker.js", "workers": row.workers, "server": {"port": port}, "control": control})
}

/// Runs those rows whose numbers leave this rest, so that two stories do half each.
fn each_row(rest: usize) {
    for row in rows().into_iter().skip(rest).step_by(2) {
        let port = free_port();
        let luster = Luster::with(&row.app, config(&row, port, &row.before))
            .file("go", "")
            .file("node.sh", "#!/bin/sh\nif [ -e hang ]; then exec sleep 1000; fi\nexec node \"$@\"\n");
        let shell = luster.path().join("node.sh");
        std::fs::set_permissions(&shell, PermissionsExt::from_mode(0o755)).expect("ours");
        let luster = match row.key {
            "control.forkTimeout" => luster.arg(format!("--node={}", shell.display())).start(),
            "control.compileCache" => luster.node(&node(22)).start(),
            _ => luster.start(),
        };
        let workers = usize::try_from(row.workers).expect("few");
        luster.await_listening(workers);
        luster.await_ready(workers);
        luster.put("luster.conf.json", &config(&row, port, &row.after).to_string());
        (row.sees)(luster, Target::Tcp(port));
    }
}

#[test]
fn every_other_key_does_what_it_says() {
    each_row(0);
}

#[test]
fn and_so_do_the_others() {
    each_row(1);
}

#[test]
fn there_is_no_other_key() {
    let (code, shown, stderr) = Luster::with(HTTP, json!({"workers": 1})).arg("--print-config").output();
    assert_eq!(code, 0, "{stderr}");
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let keys = shown.as_object().expect("keys").keys().filter(|key| key.starts_with("control."));
    // These are seen in `programs`: they have no meaning for apps of Node's.
    let of_programs = ["control.ready", "control.stopSignal"].map(str::to_owned);
    let known: BTreeSet<_> = rows().iter().map(|row| row.key.to_owned()).chain(of_programs).collect();
    assert_eq!(keys.cloned().collect::<BTreeSet<_>>(), known);
}
