//! The control socket: what is told and asked over it while luster runs.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::{Value, json};

use crate::harness::{
    Control, HTTP, Load, Luster, Running, Style, Target, eventually, free_port, is_alive, node,
};

/// Two workers that serve a port.
fn serving() -> (Running, u16) {
    let port = free_port();
    let luster = Luster::with(HTTP, json!({"workers": 2, "server": {"port": port}})).start();
    luster.await_ready(2);
    luster.await_listening(2);
    (luster, port)
}

fn active_pids(status: &Value) -> Vec<i64> {
    let workers = status["workers"].as_array().expect("workers");
    workers.iter().filter_map(|worker| worker["instances"][0]["pid"].as_i64()).collect()
}

/// Reads events until one of this name: its data.
fn event(events: &mut impl BufRead, name: &str) -> Value {
    let mut found = false;
    loop {
        let mut line = String::new();
        assert!(events.read_line(&mut line).expect("readable") > 0, "the events end before {name}");
        if let Some(data) = line.strip_prefix("data: ").filter(|_| found) {
            return serde_json::from_str(data).expect("JSON");
        }
        found = line.strip_prefix("event: ").map_or(found && line != "\n", |event| event.trim() == name);
    }
}

/// The events from now on. They come in chunks, whose sizes are on lines of their own that are no fields of events.
fn events(control: &Control) -> impl BufRead + use<> {
    let mut connection = control.connect().expect("it listens");
    connection.send(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
    let mut reader = BufReader::new(connection.into_reader());
    let mut line = String::new();
    while line != ": events\n" {
        line.clear();
        reader.read_line(&mut line).expect("a head");
    }
    reader
}

#[test]
fn status_tells_how_master_and_workers_stand() {
    let (luster, port) = serving();
    let control = luster.control();
    let status = control.status();
    let master = &status["master"];
    assert_eq!((&status["schema"], &status["goal"]), (&json!(1), &json!("serving")));
    assert_eq!(master["pid"], luster.pid());
    assert_eq!(master["socket"], control.path().to_str().expect("UTF-8"));
    assert_eq!(master["config"], luster.path().join("luster.conf.json").to_str().expect("UTF-8"));
    assert_eq!(
        (&status["wanted"], &status["ready"], &status["counters"]["started"]),
        (&json!(2), &json!(2), &json!(2))
    );
    for (index, worker) in status["workers"].as_array().expect("workers").iter().enumerate() {
        let wid = u32::try_from(index + 1).expect("few");
        let instance = &worker["instances"][0];
        assert_eq!(
            (&worker["wid"], &worker["state"], &worker["restarts"]),
            (&json!(wid), &json!("ready"), &json!(0))
        );
        assert_eq!((&instance["role"], &instance["state"]), (&json!("active"), &json!("ready")));
        assert_eq!(instance["pid"], luster.worker_pid(wid));
        assert_eq!(instance["endpoints"], json!([format!("tcp *:{port}")]));
        assert!(instance["memory_bytes"].as_u64().expect("memory") > 1 << 20, "{instance}");
        assert!(instance["cpu_ms"].as_u64().expect("time") > 0, "{instance}");
        assert!(instance["uptime_ms"].as_u64() >= instance["ready_ms"].as_u64(), "{instance}");
        // Not since the machine's start, on whose clock luster counts.
        assert!(instance["uptime_ms"].as_u64() <= master["uptime_ms"].as_u64(), "{instance} {master}");
    }
    // Nothing has happened: it is the same state.
    assert_eq!(control.status()["revision"], status["revision"]);
    assert_eq!(control.post("/v1/restart", "{\"workers\":[2]}").0, 200);
    let after = control.status();
    assert!(after["revision"].as_u64() > status["revision"].as_u64());
    assert_eq!((&after["workers"][1]["restarts"], &after["workers"][0]["restarts"]), (&json!(1), &json!(0)));
    assert_eq!(luster.stop().0, 0);
    assert!(!control.path().exists(), "the socket is gone with its master");
}

#[test]
fn health_says_whether_every_wanted_worker_is_ready() {
    let app = "setInterval(() => {}, 1000); const fs = require('fs');
        const timer = setInterval(() => fs.existsSync('go') && (clearInterval(timer), require('luster').ready()), 5);";
    let config = json!({"workers": 2, "control": {"triggerReadyStateManually": true}});
    let luster = Luster::with(app, config).start();
    let control = luster.control();
    let (code, health) = control.ask("GET", "/v1/health", "");
    assert_eq!((code, &health["healthy"], &health["not_ready"]), (503, &json!(false), &json!([1, 2])));
    luster.put("go", "");
    luster.await_ready(2);
    let (code, health) = control.ask("GET", "/v1/health", "");
    assert_eq!((code, &health["healthy"], &health["not_ready"]), (200, &json!(true), &json!([])));
    // One that is not wanted is not missed.
    assert_eq!(control.post("/v1/stop", "{\"workers\":[1]}").0, 200);
    let (code, health) = control.ask("GET", "/v1/health", "");
    assert_eq!((code, &health["wanted"], &health["ready"]), (200, &json!(1), &json!(1)));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn workers_are_restarted_stopped_and_started_and_the_answer_comes_when_that_is_done() {
    let (luster, _) = serving();
    let control = luster.control();
    let before = active_pids(&control.status());
    let (code, answer) = control.post("/v1/restart", "");
    assert_eq!((code, &answer["outcome"], &answer["replaced"]), (200, &json!("done"), &json!(2)), "{answer}");
    let restarted = active_pids(&control.status());
    assert!(before.iter().all(|pid| !restarted.contains(pid)), "{before:?} {restarted:?}");

    let (code, answer) = control.post("/v1/stop", "{\"workers\":[2,2]}");
    assert_eq!((code, &answer["message"]), (200, &json!("worker 2 is stopped")));
    let status = control.status();
    assert_eq!(
        (&status["workers"][1]["state"], &status["workers"][1]["instances"]),
        (&json!("stopped"), &json!([]))
    );
    assert_eq!(active_pids(&status), restarted[..1]);

    let (code, answer) = control.post("/v1/start", "{\"workers\":[2]}");
    assert_eq!((code, &answer["message"]), (200, &json!("worker 2 is ready")));
    assert_eq!(control.status()["ready"], 2);

    let asked = luster.await_event("control_asked", 3);
    assert_eq!((&asked["request"], &asked["pid"]), (&json!("start"), &json!(std::process::id())));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_stop_of_all_is_answered_before_luster_ends() {
    let (mut luster, _) = serving();
    let control = luster.control();
    let pids = luster.all_pids();
    let (code, answer) = control.post("/v1/stop", "{}");
    assert_eq!((code, &answer["outcome"]), (200, &json!("done")), "{answer}");
    assert_eq!(luster.await_end(), 0);
    assert!(pids.into_iter().all(|pid| !is_alive(pid)));
    assert!(!control.path().exists());
}

#[test]
fn a_dead_worker_is_revived_and_started() {
    let app = format!("if (require('fs').existsSync('bad')) {{ process.exit(3); }} {HTTP}");
    let config = json!({"workers": 2, "server": {"port": free_port()}, "control": {"exitThreshold": 60_000}});
    let luster = Luster::with(&app, config).start();
    luster.await_ready(2);
    let control = luster.control();
    luster.put("bad", "");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(luster.worker_pid(1)),
        nix::sys::signal::Signal::SIGKILL,
    )
    .expect("it lives");
    let dead = eventually("worker 1 is dead", || {
        Some(control.status()).filter(|status| status["workers"][0]["state"] == "dead")
    });
    assert_eq!(dead["workers"][0]["last_failure"]["signal"], "SIGKILL");
    assert_eq!(control.ask("GET", "/v1/health", "").1["not_ready"], json!([1]));
    // It still cannot run, and who asks for that is told why.
    let (code, answer) = control.post("/v1/start", "{\"workers\":[1]}");
    assert_eq!((code, &answer["outcome"], &answer["wid"]), (409, &json!("aborted"), &json!(1)), "{answer}");
    assert_eq!(answer["message"], "a start of worker 1 has failed: worker 1 exited with code 3");
    let (code, answer) = control.post("/v1/scale", "{\"count\":3}");
    assert_eq!((code, &answer["outcome"]), (409, &json!("aborted")), "{answer}");
    let words = "a change to 3 workers has failed: worker";
    assert!(answer["message"].as_str().is_some_and(|message| message.starts_with(words)), "{answer}");
    std::fs::remove_file(luster.path().join("bad")).expect("it is there");
    let (code, answer) = control.post("/v1/revive", "");
    assert_eq!((code, &answer["outcome"]), (200, &json!("done")), "{answer}");
    assert_eq!(control.status()["workers"][0]["state"], "stopped");
    assert_eq!(control.post("/v1/start", "{\"workers\":[1]}").0, 200);
    assert_eq!(control.status()["ready"], 2);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_reload_is_checked_first_and_then_rolled_out() {
    let (luster, port) = serving();
    let control = luster.control();
    let before = active_pids(&control.status());
    luster.put("luster.conf.json", "{");
    let (code, answer) = control.post("/v1/reload", "");
    assert_eq!(
        (code, &answer["outcome"], &answer["reason"]),
        (409, &json!("refused"), &json!("configuration"))
    );
    let message = answer["message"].as_str().expect("a sentence");
    assert!(message.contains("luster.conf.json:1:1") && message.contains("nothing was changed"), "{message}");
    assert_eq!(active_pids(&control.status()), before);

    let good = json!({"app": "worker.js", "workers": 2, "server": {"port": port}, "x": 1});
    luster.put("luster.conf.json", &good.to_string());
    let (code, answer) = control.post("/v1/reload", "");
    assert_eq!((code, &answer["outcome"], &answer["replaced"]), (200, &json!("done"), &json!(2)), "{answer}");
    let status = control.status();
    assert_eq!(answer["generation"], status["generation"]);
    assert!(active_pids(&status).iter().all(|pid| !before.contains(pid)));

    let (code, answer) = control.post("/v1/reload?wait=false", "");
    assert_eq!((code, &answer["outcome"]), (202, &json!("accepted")), "{answer}");
    luster.await_event("rollout_finished", 2);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_stop_overrules_what_waits_and_whoever_waits_is_told() {
    let app = format!(
        "if (require('fs').existsSync('hang')) {{ setInterval(() => {{}}, 1000); }} else {{ {HTTP} }}"
    );
    let config = json!({"workers": 1, "server": {"port": free_port()},
        "control": {"restart": "start-first", "triggerReadyStateManually": false}});
    let luster = Luster::with(&app, config).start();
    luster.await_ready(1);
    let control = luster.control();
    luster.put("hang", "");
    let waiting = {
        let control = control.clone();
        std::thread::spawn(move || control.post("/v1/restart", ""))
    };
    luster.await_event("rollout_began", 1);
    let mut luster = luster;
    let (code, answer) = control.post("/v1/stop", "");
    assert_eq!((code, &answer["outcome"]), (200, &json!("done")), "{answer}");
    let (code, answer) = waiting.join().expect("an answer");
    assert_eq!((code, &answer["outcome"]), (409, &json!("overruled")), "{answer}");
    assert_eq!(luster.await_end(), 0);
}

#[test]
fn events_are_the_log_lines_as_json_whatever_stderr_shows() {
    let config = json!({"workers": 1, "server": {"port": free_port()}});
    let mut luster = Luster::with(HTTP, config).start_as(&["-qq", "--name", "quiet-events"]);
    let run = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("run/luster/quiet-events.sock");
    let control = Control::at(run);
    eventually("it is ready", || {
        control.try_ask("GET", "/v1/health", "").ok().filter(|(code, _)| *code == 200)
    });
    let mut told = events(&control);
    assert_eq!(control.post("/v1/restart?wait=false", "").0, 202);
    let asked = event(&mut told, "control_asked");
    assert_eq!((&asked["level"], &asked["request"]), (&json!("INFO"), &json!("restart")));
    assert_eq!(event(&mut told, "fork")["wid"], 1);
    assert_eq!(event(&mut told, "rollout_finished")["replaced"], 1);
    assert_eq!(control.post("/v1/stop", "").0, 200);
    assert_eq!(event(&mut told, "stopped")["message"], "stopped");
    assert_eq!(luster.await_end(), 0);
    assert_eq!(luster.log(), Vec::<Value>::new(), "stderr shows only errors");
}

#[test]
fn the_socket_is_where_the_configuration_says_and_its_group_may_connect() {
    let luster = Luster::with(HTTP, json!({})).file("run/keep", "");
    // Root may give a file to any group, others only to their own.
    let group = if nix::unistd::geteuid().is_root() { 1 } else { nix::unistd::getegid().as_raw() };
    let control = json!({"socket": "run/control.sock", "group": group});
    let luster =
        luster.config(json!({"workers": 1, "server": {"port": free_port()}, "control": control})).start();
    luster.await_ready(1);
    let path = luster.path().join("run/control.sock");
    assert_eq!(luster.control_path(), path);
    let found = std::fs::metadata(&path).expect("it is there");
    assert_eq!((found.permissions().mode() & 0o777, found.gid()), (0o660, group));
    assert_eq!(luster.control().status()["ready"], 1);
    // Somebody else's file in its place stays.
    std::fs::rename(&path, luster.path().join("run/old")).expect("it is there");
    luster.put("run/control.sock", "precious");
    let folder = luster.path().to_owned();
    let kept = luster.path().join("run/kept");
    std::fs::hard_link(folder.join("run/control.sock"), &kept).expect("it is there");
    luster.signal(nix::sys::signal::Signal::SIGTERM);
    let mut luster = luster;
    assert_eq!(luster.await_end(), 0);
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "precious");
}

#[test]
fn the_socket_of_luster_alone_is_its_users_alone_and_there_may_be_none() {
    let config = |control: Value| json!({"workers": 1, "server": {"port": free_port()}, "control": control});
    let luster = Luster::with(HTTP, config(json!({}))).arg("--name").arg("alone").start();
    luster.await_ready(1);
    let path = luster.control_path();
    assert!(path.ends_with("run/luster/alone.sock"), "{}", path.display());
    assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(luster.control().status()["master"]["name"], "alone");
    assert_eq!(luster.stop().0, 0);

    let luster = Luster::with(HTTP, config(json!({"socket": false}))).start();
    luster.await_ready(1);
    assert!(luster.events("control").is_empty() && luster.events("control_socket").is_empty());
    assert_eq!(luster.stop().0, 0);

    let (code, _, stderr) = Luster::with("", json!({})).arg("--name").arg("a.b").output();
    assert_eq!((code, stderr.contains("the name \"a.b\" is not usable")), (2, true), "{stderr}");
}

#[test]
fn a_custom_master_has_a_socket_too() {
    let master = "const luster = require('luster');
        luster.configure({app: 'worker.js', workers: 1, server: {port: Number(process.env.PORT)}}, false, __dirname).run();";
    let luster = Luster::new().file("worker.js", HTTP).file("master.js", master);
    let luster = luster.env("PORT", &free_port().to_string()).by_script(&node(24), &[]).start();
    luster.await_ready(1);
    let control = luster.control();
    let status = control.status();
    assert_eq!(status["master"]["config"], luster.path().join("master.js").to_str().expect("UTF-8"));
    assert_eq!((&status["ready"], &status["host"]["kind"]), (&json!(1), &json!("custom_master")));
    assert_eq!(status["host"]["pid"], luster.pid());
    assert_eq!(control.post("/v1/restart", "").0, 200);
    // How many there are the script says.
    let (code, answer) = control.post("/v1/scale", "{\"count\":2}");
    assert_eq!((code, &answer["reason"]), (409, &json!("script_decides")), "{answer}");
    luster.signal(nix::sys::signal::Signal::SIGTERM);
    let mut luster = luster;
    luster.await_end();
    eventually("the socket is gone", || (!control.path().exists()).then_some(()));
}

#[test]
fn workers_become_more_and_fewer_and_keep_their_numbers() {
    let (luster, port) = serving();
    let control = luster.control();
    let before = active_pids(&control.status());
    let load = Load::begin(&Target::Tcp(port), Style::KEEP_ALIVE.pausing(2, 0, 1));
    let (code, answer) = control.post("/v1/scale", "{\"count\":4}");
    assert_eq!((code, &answer["message"]), (200, &json!("there are 4 workers")), "{answer}");
    let status = control.status();
    assert_eq!((&status["count"], &status["ready"]), (&json!(4), &json!(4)));
    assert_eq!(active_pids(&status)[..2], before);
    let (code, answer) = control.post("/v1/scale", "{\"change\":-1}");
    assert_eq!((code, &answer["message"]), (200, &json!("there are 3 workers")), "{answer}");
    assert_eq!(active_pids(&control.status()), active_pids(&status)[..3]);
    let (code, answer) = control.post("/v1/scale", "{\"change\":-2}");
    assert_eq!((code, &answer["message"]), (200, &json!("there is 1 worker")), "{answer}");
    assert_eq!(active_pids(&control.status()), before[..1]);
    assert_eq!(control.ask("GET", "/v1/health", "").0, 200);
    load.end_without_a_failure();
    assert_eq!(luster.stop().0, 0);
}
