//! Programs that are not Node's as workers: Python, shell scripts, executables. They live, end, are replaced and taken back as
//! Node's workers are.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{
    HTTP, Luster, Running, Target, block, eventually, free_port, free_ports, get, here, is_alive,
    processes_in, usual_node,
};

/// Answers with what the environment and the command line say; ends at SIGTERM when it has answered.
const PYTHON: &str = r#"
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        names = [name for name in os.environ if name.startswith(("NODE_", "LUSTER_", "LISTEN_")) or name == "PORT"]
        open_files = [int(number) for number in os.listdir("/proc/self/fd")]
        told = {"args": sys.argv[1:], "env": {name: os.environ[name] for name in names}, "files": open_files}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", int(os.environ["port"])), Handler).serve_forever()
"#;

/// A luster of this configuration with an executable script beside it.
fn with_script(script: &str, config: Value) -> Luster {
    let luster = Luster::with_python().file("run", script).config(config);
    executable(&luster.path().join("run"));
    luster
}

fn executable(path: &Path) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("ours");
}

/// Says something in a file of its own folder, as scripts do here with `say`.
const SAY: &str = "#!/bin/bash\nsay() { echo \"$@\" >> said; }\n";

fn said(luster: &Running) -> String {
    std::fs::read_to_string(luster.path().join("said")).unwrap_or_default()
}

#[track_caller]
fn await_said(luster: &Running, what: &str) {
    eventually(what, || said(luster).lines().any(|line| line == what).then_some(()));
}

#[test]
fn an_interpreter_runs_the_app_with_its_arguments_port_and_number_and_nothing_of_node() {
    let first = free_ports(2);
    let config = json!({
        "app": "app.py", "interpreter": ["python3", "-B"], "args": ["--flag", "a b"], "workers": 2,
        "server": {"port": first, "groups": 2, "pass": false},
    });
    let luster = Luster::with_python()
        .file("app.py", PYTHON)
        .config(config)
        .env("NODE_UNIQUE_ID", "7")
        .env("LISTEN_FDS", "1")
        .start();
    luster.await_ready(2);
    for wid in [1, 2] {
        let port = first + wid - 1;
        let body = eventually("it serves", || Some(get(&Target::Tcp(port)).ok()?.body));
        let told: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(told["args"], json!(["--flag", "a b"]));
        assert_eq!(told["env"]["LUSTER_WID"], json!(wid.to_string()));
        assert_eq!(told["env"]["PORT"], json!(port.to_string()));
        let env = told["env"].as_object().expect("an object").keys();
        let of_node: Vec<_> = env
            .filter(|name| {
                ["NODE_UNIQUE_ID", "NODE_CHANNEL_FD", "LUSTER_BOOT", "LISTEN_FDS"].contains(&&***name)
            })
            .collect();
        assert!(of_node.is_empty(), "{of_node:?}");
        let files = told["files"].as_array().expect("numbers").len();
        // Its three streams, its own listener, the connection, and the folder it looks into.
        assert_eq!(files, 6, "{told}");
    }
    let status = luster.control().status();
    assert_eq!((&status["ready"], &status["workers"][0]["state"]), (&json!(2), &json!("ready")), "{status}");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn the_configuration_of_the_readme_runs_python() {
    let port = free_port();
    let (config, app) =
        (block("Any program as a worker", "json"), block("Any program as a worker", "python"));
    let text = here(&config, &[("8080", &port.to_string())]);
    let luster = || Luster::with_python().file("app.py", &app).file("luster.conf.json", &text);
    let (code, _, stderr) = luster().arg("check").arg("--strict").output();
    assert_eq!(code, 0, "{stderr}");
    let luster = luster().start();
    luster.await_ready(2);
    assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "hello\n");
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "hello\n");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn an_executable_is_run_by_itself_and_ready_when_it_has_lived_for_as_long_as_is_written() {
    let script = format!("{SAY}say \"$LUSTER_WID $port $1\"; exec sleep 1000\n");
    let config = json!({"app": "run", "args": ["x"], "workers": 1, "control": {"ready": {"after": 200}}});
    let luster = with_script(&script, config).start();
    luster.await_ready(1);
    let ready = luster.events("ready").remove(0);
    assert!(ready["ms"].as_u64().is_some_and(|ms| ms >= 200), "{ready}");
    assert_eq!(said(&luster), "1 0 x\n");
    let (code, log) = luster.stop();
    assert_eq!(code, 0);
    assert!(log.iter().any(|line| line["event"] == "exit" && line["signal"] == "SIGTERM"), "{log:?}");
}

#[test]
fn a_program_that_is_to_say_when_it_is_ready_is_heard_and_nobody_else_for_it() {
    let app = r#"
import os, socket, subprocess, sys, time
def say(text):
    name = os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(text, name)
if sys.argv[1:] == ["stranger"]:
    say(b"READY=1")
    open("stranger", "w").close()
    time.sleep(1000)
for turn in range(2000):
    say(b"STATUS=starting %d\nEXTEND_TIMEOUT_USEC=1" % turn)
say(b"X" * 20000)
subprocess.Popen([sys.executable, __file__, "stranger"], start_new_session=True)
while not os.path.exists("go"):
    time.sleep(0.01)
say(b"STATUS=up\nREADY=1")
while True:
    say(b"WATCHDOG=1")
    time.sleep(0.01)
"#;
    let config =
        json!({"app": "app.py", "interpreter": "python3", "workers": 1, "control": {"ready": "notify"}});
    let luster = Luster::with_python().file("app.py", app).config(config.clone()).start();
    eventually("a stranger has spoken", || luster.path().join("stranger").exists().then_some(()));
    // Whoever asks is answered behind what was said before.
    let status = luster.control().status();
    assert_eq!(
        (&status["ready"], &status["workers"][0]["state"]),
        (&json!(0), &json!("starting")),
        "{status}"
    );
    luster.put("go", "");
    luster.await_ready(1);
    // One that never says so is taken back.
    std::fs::remove_file(luster.path().join("go")).expect("there");
    let mut next = config;
    next["control"]["readyTimeout"] = 1500.into();
    luster.put("luster.conf.json", &next.to_string());
    let aborted = luster.rollout();
    assert_eq!(aborted["event"], "rollout_aborted");
    assert!(aborted.to_string().contains("it has not shown what control.ready waits for"), "{aborted}");
    luster.put("go", "");
    luster.await_event("rollout_taken_back", 1);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_program_that_keeps_dying_is_started_with_ever_longer_pauses_and_given_up_as_is_written() {
    let config = json!({
        "app": "run", "workers": 1, "control": {"exitThreshold": 60_000, "allowedSequentialDeaths": 3},
    });
    let mut luster = with_script(&format!("{SAY}say started; exit 3\n"), config).start();
    assert_eq!(luster.await_end(), 1);
    assert_eq!(said(&luster).lines().count(), 4);
    let exits = luster.events("exit");
    assert!(exits.iter().all(|line| line["code"] == 3), "{exits:?}");
    assert_eq!(luster.events("online").len(), 4, "each of them ran");
}

#[test]
fn a_stop_is_the_signal_that_is_written_and_waits_for_what_is_under_way() {
    let script = format!(
        "{SAY}trap 'say asked; sleep 0.2; say done; exit 0' INT; say up; while :; do sleep 0.05; done\n"
    );
    let config =
        json!({"app": "run", "workers": 1, "control": {"stopSignal": "SIGINT", "ready": {"after": 1}}});
    let luster = with_script(&script, config).start();
    await_said(&luster, "up");
    let folder = luster.path().to_owned();
    luster.signal(Signal::SIGHUP);
    luster.await_event("rollout_finished", 1);
    eventually("the next one is up", || (said(&luster) == "up\nasked\ndone\nup\n").then_some(()));
    assert!(luster.events("signalled").is_empty());
    assert_eq!(luster.stop().0, 0);
    assert_eq!(processes_in(&folder), []);
}

#[test]
fn a_program_that_ignores_its_signal_is_killed_with_all_it_has_started() {
    // One in its group, one that has left it, and both ignore what ignores the program.
    let script =
        format!("{SAY}trap '' TERM; sleep 1000 & setsid sleep 1001 & say up; while :; do sleep 0.05; done\n");
    let config = json!({"app": "run", "workers": 1, "control": {"killTimeout": 300, "ready": {"after": 1}}});
    let luster = with_script(&script, config).start();
    await_said(&luster, "up");
    luster.await_ready(1);
    let folder = luster.path().to_owned();
    let (code, log) = luster.stop();
    assert_eq!(code, 0);
    let killed = log.iter().find(|line| line["event"] == "signalled").expect("it is told");
    assert_eq!(killed["signal"], "SIGKILL", "{killed}");
    assert_eq!(processes_in(&folder), [], "nothing is left");
}

#[test]
fn where_nothing_is_written_a_program_has_ten_seconds_to_end() {
    let show = |config| {
        let (code, shown, stderr) = with_script("#!/bin/sh\n", config).arg("--print-config").output();
        assert_eq!(code, 0, "{stderr}");
        serde_json::from_str::<Value>(&shown).expect("JSON")
    };
    let shown = show(json!({"app": "run"}));
    assert_eq!(shown["control.killTimeout"]["value"], 10_000);
    assert_eq!(shown["control.stopSignal"]["value"], "SIGTERM");
    assert_eq!(shown["control.ready"]["value"], json!({"after": 1000}));
    let shown = show(json!({"app": "run", "control": {"stopTimeout": 5000}}));
    assert_eq!(shown["control.killTimeout"]["value"], 15_000);
    let shown = show(json!({"app": "run", "control": {"killTimeout": 0}}));
    assert_eq!(shown["control.killTimeout"]["value"], Value::Null);
}

#[test]
fn another_program_is_rolled_out_and_one_that_ends_is_taken_back() {
    let config = |app: &str| json!({"app": app, "workers": 2, "control": {"ready": {"after": 100}}});
    let script = |name: &str| format!("{SAY}say {name}; exec sleep 1000\n");
    let luster = with_script(&script("run"), config("run"))
        .file("next", &script("next"))
        .file("broken", &format!("{SAY}say broken; exit 4\n"));
    executable(&luster.path().join("next"));
    executable(&luster.path().join("broken"));
    let luster = luster.start();
    luster.await_ready(2);
    luster.put("luster.conf.json", &config("next").to_string());
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    assert_eq!(said(&luster), "run\nrun\nnext\nnext\n");
    let serving = luster.worker_pid(2);
    luster.put("luster.conf.json", &config("broken").to_string());
    let aborted = luster.rollout();
    assert_eq!(aborted["event"], "rollout_aborted");
    assert!(aborted.to_string().contains("exited with code 4"), "{aborted}");
    luster.await_event("rollout_taken_back", 1);
    assert!(is_alive(serving), "the other one was left alone");
    assert!(said(&luster).ends_with("broken\nnext\n"), "{}", said(&luster));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_node_app_becomes_a_program_that_binds_by_itself_and_a_node_app_again() {
    let first = free_ports(2);
    // Each binds its port itself: that of a Node app is given up for it.
    let server = json!({"port": first, "groups": 2, "pass": false});
    let node = json!({"app": "worker.js", "workers": 2, "server": server});
    let python = json!({"app": "app.py", "interpreter": "python3", "workers": 2, "server": server});
    let luster = Luster::with(HTTP, node.clone()).file("app.py", PYTHON).start();
    luster.await_ready(2);
    let is_python = |port| Some(get(&Target::Tcp(port)).ok()?.body.contains("files"));
    for (config, wanted) in [(&python, true), (&node, false)] {
        luster.put("luster.conf.json", &config.to_string());
        assert_eq!(luster.rollout()["event"], "rollout_finished");
        for port in [first, first + 1] {
            eventually("it serves", || is_python(port).filter(|python| *python == wanted));
        }
    }
    let rows = luster.control().status()["workers"].as_array().expect("workers").len();
    assert_eq!(rows, 2);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn what_cannot_be_run_is_refused_with_one_sentence() {
    for (config, says) in [
        (
            json!({"app": "app.py"}),
            "\"app\" is \"app.py\", a .py file; name what runs it (\"interpreter\": \"python3\")",
        ),
        (
            json!({"app": "app.py", "interpreter": "no-such-python"}),
            "\"interpreter\" is \"no-such-python\", which is not in PATH; install it, or write its path",
        ),
        (
            json!({"app": "app.py", "interpreter": "./venv/python"}),
            "which is no executable file; check the path",
        ),
        (json!({"app": "gone.py", "interpreter": "python3"}), "gone.py cannot be read: No such file"),
        (json!({"app": "worker.js", "interpreter": "node"}), "Node.js apps need none: leave it out"),
        (json!({"app": "elf"}), "which is a program, but not executable: chmod +x it"),
        (json!({"app": "run", "args": "x"}), "\"args\" must be a list of strings"),
        (json!({"app": "run", "control": {"stopSignal": "SIGFOO"}}), "a signal's name or number"),
        (
            json!({"app": "run", "control": {"ready": {"after": "1s"}}}),
            "\"control.ready\" must be { \"after\": 1000 } (milliseconds) or",
        ),
    ] {
        for command in [None, Some("check")] {
            let luster = with_script("#!/bin/sh\n", config.clone())
                .file("app.py", "")
                .file("worker.js", "")
                .file("elf", "\x7fELF");
            let luster = command.into_iter().fold(luster, Luster::arg);
            let (code, _, stderr) = luster.output();
            assert_eq!(code, 78, "{config}: {stderr}");
            assert!(stderr.contains(says), "{config}: {stderr}");
        }
    }
}

#[test]
fn a_key_of_programs_is_told_where_the_app_is_node_s_and_the_other_way_round() {
    let node = Luster::with("", json!({"control": {"ready": "after", "stopSignal": "SIGINT"}})).arg("check");
    let (code, _, stderr) = node.output();
    assert_eq!(code, 0);
    for key in ["control.ready", "control.stopSignal"] {
        assert!(stderr.contains(&format!("{key} has no effect: the app is a Node.js app")), "{stderr}");
    }
    let config = json!({"app": "run", "control": {"exitTimeout": 1000, "triggerReadyStateManually": true}});
    let (code, _, stderr) = with_script("#!/bin/sh\n", config).arg("check").output();
    assert_eq!(code, 0);
    for key in ["control.exitTimeout", "control.triggerReadyStateManually"] {
        assert!(stderr.contains(&format!("{key} has no effect: the app is no Node.js app")), "{stderr}");
    }
}

#[test]
fn no_node_is_needed_and_a_reload_that_needs_one_says_so() {
    let config = json!({"app": "run", "workers": 1, "control": {"ready": {"after": 1}}});
    let luster = with_script("#!/bin/sh\nexec /bin/sleep 1000\n", config)
        .file("worker.js", HTTP)
        .env("PATH", "/nowhere");
    let luster = luster.start();
    luster.await_ready(1);
    luster.put("luster.conf.json", r#"{"app": "worker.js", "workers": 1}"#);
    luster.signal(Signal::SIGHUP);
    let refused = luster.await_event("config_refused", 1);
    assert!(refused.to_string().contains("the app needs Node.js"), "{refused}");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn an_extension_host_runs_beside_programs() {
    let config = json!({
        "app": "run", "workers": 1, "extensions": {"watcher": {}}, "control": {"ready": {"after": 1}},
    });
    let extension = "exports.configure = (config, luster) => luster.on('worker ready', worker => console.log('saw ' + worker.wid + ' ' + worker.ready));";
    let luster = with_script("#!/bin/sh\nexec sleep 1000\n", config)
        .file("node_modules/watcher.js", extension)
        .node(&usual_node())
        .start();
    eventually("the extension sees it", || luster.stdout().contains("saw 1 true").then_some(()));
    assert_eq!(luster.stop().0, 0);
}
