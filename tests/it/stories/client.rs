//! The commands for a luster that runs: `luster status`, `reload` and the others, as people and scripts use them.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{
    HTTP, Luster, Running, Target, eventually, free_port, get, is_alive, node, state, usual_node,
};

/// A command, asked in the folder of this luster.
fn asking(luster: &Running, words: &[&str]) -> Luster {
    asking_in(luster.path(), words)
}

fn asking_in(folder: &Path, words: &[&str]) -> Luster {
    words.iter().fold(Luster::new().current_dir(folder), |command, word| command.arg(*word))
}

/// What comes of it: exit code, stdout, stderr.
#[track_caller]
fn ask(luster: &Running, words: &[&str]) -> (i32, String, String) {
    asking(luster, words).output()
}

#[track_caller]
fn status(luster: &Running) -> Value {
    let (code, stdout, stderr) = ask(luster, &["status", "--json"]);
    assert_eq!((code, &*stderr), (0, ""), "{stdout}");
    serde_json::from_str(&stdout).expect("JSON")
}

fn pids(luster: &Running) -> Vec<i64> {
    let status = status(luster);
    let workers = status["workers"].as_array().expect("workers");
    workers.iter().filter_map(|worker| worker["instances"][0]["pid"].as_i64()).collect()
}

/// Workers that serve a port.
fn serving(workers: u32) -> (Running, u16) {
    let port = free_port();
    let luster = Luster::with(HTTP, json!({"workers": workers, "server": {"port": port}})).start();
    luster.await_listening(usize::try_from(workers).expect("few"));
    luster.await_ready(usize::try_from(workers).expect("few"));
    (luster, port)
}

/// Workers that are ready as long as the file `go` is there, and otherwise wait for it.
fn waiting_for_go() -> Running {
    let app = "const fs = require('fs'); const timer = setInterval(() =>
        fs.existsSync('go') && (clearInterval(timer), require('luster').ready(), setInterval(() => {}, 1000)), 5);";
    let config = json!({"workers": 2, "control": {"triggerReadyStateManually": true}});
    let luster = Luster::with(app, config).file("go", "").start();
    luster.await_ready(2);
    std::fs::remove_file(luster.path().join("go")).expect("it is there");
    luster
}

/// A command that runs meanwhile.
fn spawned(command: &Luster) -> (Child, BufReader<Box<dyn Read + Send>>) {
    let mut child = command
        .command(&[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary is built");
    let lines: Box<dyn Read + Send> = Box::new(child.stderr.take().expect("piped"));
    (child, BufReader::new(lines))
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).expect("readable");
    line
}

#[test]
fn status_shows_luster_and_every_worker_in_80_columns() {
    let (luster, port) = serving(2);
    let (code, stdout, stderr) = ask(&luster, &["status"]);
    assert_eq!((code, &*stderr), (0, ""));
    let config = luster.path().join("luster.conf.json");
    let mut lines = stdout.lines();
    assert_eq!(lines.next(), config.to_str());
    assert!(lines.next().expect("a line").contains(&format!("pid {}, up ", luster.pid())), "{stdout}");
    assert_eq!(lines.next(), Some("2 of 2 workers ready"));
    assert!(stdout.lines().skip(1).all(|line| line.chars().count() <= 80), "{stdout}");
    for wid in [1, 2] {
        let row = stdout.lines().find(|line| line.trim_start().starts_with(&format!("{wid}  ready")));
        let row = row.unwrap_or_else(|| panic!("no row of worker {wid}: {stdout}"));
        let (pid, port) = (luster.worker_pid(wid).to_string(), format!("*:{port}"));
        assert!(row.contains(&pid) && row.ends_with(&port) && row.contains(" MiB"), "{row}");
    }
    assert!(!stdout.contains('\x1b'), "{stdout}");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn colours_are_for_terminals_of_those_who_like_them() {
    let (luster, _) = serving(1);
    let on_terminal = |command: Luster| {
        let pty = nix::pty::openpty(None, None).expect("a terminal");
        let mut child = command.command(&[]).stdout(pty.slave).spawn().expect("the binary is built");
        let (mut terminal, mut shown) = (std::fs::File::from(pty.master), Vec::new());
        // The terminal's end, once the last who writes to it is gone, is an error.
        let _ = terminal.read_to_end(&mut shown);
        assert!(child.wait().expect("it ends").success());
        String::from_utf8(shown).expect("UTF-8")
    };
    let status = || asking(&luster, &["status"]).env("TERM", "xterm").without_env("NO_COLOR");
    let shown = on_terminal(status());
    assert!(shown.contains("\x1b[32m1 of 1 worker ready\x1b[0m"), "{shown:?}");
    for plain in [status().env("NO_COLOR", "1"), status().env("TERM", "dumb")] {
        let shown = on_terminal(plain);
        assert!(shown.contains("1 of 1 worker ready") && !shown.contains('\x1b'), "{shown:?}");
    }
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn json_is_what_the_control_socket_answers() {
    let (luster, _) = serving(1);
    let socket = luster.control_path();
    let told = status(&luster);
    assert_eq!((&told["schema"], &told["master"]["pid"]), (&json!(1), &json!(luster.pid())));
    let (code, stdout, _) = ask(&luster, &["--json", "--socket", socket.to_str().expect("UTF-8"), "status"]);
    let by_socket: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((code, &by_socket["master"]["name"]), (0, &told["master"]["name"]));
    let (code, stdout, stderr) = ask(&luster, &["restart", "--json"]);
    let answer: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((code, &*stderr), (0, ""));
    assert_eq!((&answer["outcome"], &answer["replaced"]), (&json!("done"), &json!(1)));
    let (code, stdout, _) = ask(&luster, &["restart", "9", "--json"]);
    let answer: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((code, &answer["reason"]), (2, &json!("unknown_worker")));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_broken_configuration_keeps_nobody_from_asking_and_its_reload_changes_nothing() {
    let luster = Luster::new()
        .file("worker.js", "setInterval(() => {}, 1000)")
        .file("luster.conf.js", "module.exports = { app: './worker.js', workers: [2][0] };")
        .start();
    luster.await_ready(2);
    let before = pids(&luster);
    for broken in ["{", "while (true) {}", "process.exit(3)", "throw new Error('boom')"] {
        luster.put("luster.conf.js", broken);
        assert_eq!(ask(&luster, &["status"]).0, 0, "{broken}");
        assert_eq!(ask(&luster, &["status", "luster.conf"]).0, 0, "{broken}");
        if broken.starts_with("while") {
            continue;
        }
        let (code, stdout, stderr) = ask(&luster, &["reload"]);
        assert_eq!((code, &*stdout), (78, ""), "{stderr}");
        assert!(stderr.contains("nothing was changed"), "{stderr}");
        assert_eq!(pids(&luster), before, "{broken}");
    }
    // The path is enough: the file may be gone.
    std::fs::remove_file(luster.path().join("luster.conf.js")).expect("it is there");
    let pid = format!("pid {}, up ", luster.pid());
    let elsewhere = Luster::with("setInterval(() => {}, 1000)", json!({"workers": 1})).start();
    elsewhere.await_ready(1);
    for words in [&["status", "luster.conf.js"][..], &["status"]] {
        let (code, stdout, stderr) = ask(&luster, words);
        assert!(code == 0 && stdout.contains(&pid), "{words:?}: {stdout}{stderr}");
    }
    let (code, stdout, stderr) = ask(&luster, &["reload"]);
    assert_eq!((code, &*stdout), (78, ""), "{stderr}");
    assert!(stderr.contains("nothing was changed") && stderr.contains("there is no such"), "{stderr}");
    assert_eq!(pids(&luster), before);
    assert_eq!(elsewhere.stop().0, 0);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_reload_applies_the_new_configuration_and_says_so() {
    let (luster, port) = serving(2);
    let before = pids(&luster);
    luster.put("other.js", &HTTP.replace("hello", "other"));
    let config = json!({"app": "other.js", "workers": 2, "server": {"port": port}});
    luster.put("luster.conf.json", &config.to_string());
    let (code, stdout, stderr) = ask(&luster, &["reload", "luster.conf"]);
    assert_eq!((code, &*stdout), (0, "2 workers have been replaced\n"), "{stderr}");
    // It is over when it says so.
    let after = pids(&luster);
    assert!(after.len() == 2 && after.iter().all(|pid| !before.contains(pid)), "{before:?} {after:?}");
    assert_eq!(status(&luster)["generation"], 1);
    assert!(get(&Target::Tcp(port)).is_ok());
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_failed_reload_is_told_with_what_serves_now() {
    let port = free_port();
    let config = json!({"workers": 2, "server": {"port": port}, "control": {"restart": "start-first"}});
    let luster = Luster::with(HTTP, config).start();
    luster.await_listening(2);
    luster.await_ready(2);
    let before = pids(&luster);
    luster.put("worker.js", "process.exit(3)");
    let (code, stdout, stderr) = ask(&luster, &["reload"]);
    assert_eq!((code, &*stdout), (20, ""), "{stderr}");
    for words in ["worker 1", "code 3", "what they ran before"] {
        assert!(stderr.contains(words), "{words} in {stderr}");
    }
    assert_eq!(pids(&luster), before);
    assert!(get(&Target::Tcp(port)).is_ok());
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn some_workers_are_restarted_stopped_and_started() {
    let (luster, _) = serving(3);
    let before = pids(&luster);
    let (code, stdout, stderr) = ask(&luster, &["restart", "1", "3"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let after = pids(&luster);
    assert!(before[0] != after[0] && before[1] == after[1] && before[2] != after[2], "{before:?} {after:?}");
    let (code, stdout, _) = ask(&luster, &["stop", "2", "luster.conf.json"]);
    assert_eq!((code, &*stdout), (0, "worker 2 is stopped\n"));
    assert!(ask(&luster, &["status"]).1.contains("  2  stopped"));
    let (code, stdout, _) = ask(&luster, &["start", "2"]);
    assert_eq!((code, &*stdout), (0, "worker 2 is ready\n"));
    assert_eq!(pids(&luster).len(), 3);
    let (code, _, stderr) = ask(&luster, &["stop", "1", "7"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("there is no worker 7"), "{stderr}");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn stop_returns_when_lusters_process_is_gone() {
    let (mut luster, _) = serving(2);
    let workers = luster.all_pids();
    let (code, stdout, stderr) = ask(&luster, &["stop"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(!stdout.is_empty());
    // Its parent, who is this story, has not reaped it.
    assert_eq!(state(luster.pid()), Some('Z'));
    assert!(workers.into_iter().all(|pid| !is_alive(pid)));
    assert_eq!(luster.await_end(), 0);
    let (code, _, stderr) = ask(&luster, &["stop"]);
    assert_eq!(code, 69, "{stderr}");
}

#[test]
fn progress_is_a_line_for_each_step() {
    let luster = waiting_for_go();
    let (mut child, mut stderr) = spawned(&asking(&luster, &["restart"]));
    assert_eq!(line(&mut stderr), "replaced 0 of 2\n");
    luster.put("go", "");
    assert!(child.wait().expect("it ends").success());
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("readable");
    assert!(rest.is_empty() || rest == "replaced 1 of 2\n", "{rest}");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn progress_is_a_bar_on_a_terminal_and_goes_away() {
    let luster = waiting_for_go();
    let pty = nix::pty::openpty(None, None).expect("a terminal");
    let mut child = asking(&luster, &["restart"])
        .env("TERM", "xterm")
        .command(&[])
        .stdout(Stdio::piped())
        .stderr(pty.slave)
        .spawn()
        .expect("the binary is built");
    let mut terminal = std::fs::File::from(pty.master);
    let (mut shown, mut buffer) = (String::new(), [0; 4096]);
    let bar = format!("\r\x1b[K[{}] replaced 0 of 2", "-".repeat(40));
    while !shown.contains(&bar) {
        let length = terminal.read(&mut buffer).expect("readable");
        shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    luster.put("go", "");
    // The terminal's end, once the last who writes to it is gone, is an error.
    while let Ok(length @ 1..) = terminal.read(&mut buffer) {
        shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    assert!(child.wait().expect("it ends").success());
    assert!(shown.ends_with("\r\x1b[K"), "{shown:?}");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn who_stops_waiting_stops_nothing_and_is_told_so() {
    let luster = waiting_for_go();
    let (code, stdout, stderr) = ask(&luster, &["restart", "--timeout", "0.5"]);
    assert_eq!((code, &*stdout), (124, ""), "{stderr}");
    assert!(stderr.contains("the restart goes on (replaced 0 of 2); luster status shows"), "{stderr}");
    let (child, mut stderr) = spawned(&asking(&luster, &["restart"]));
    assert_eq!(line(&mut stderr), "replaced 0 of 2\n");
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    kill(pid, Signal::SIGINT).expect("it is there");
    let told = line(&mut stderr);
    assert!(told.contains("no longer waiting: the restart goes on"), "{told}");
    assert_eq!(child.wait_with_output().expect("it ends").status.code(), Some(130));
    let (code, stdout, _) = ask(&luster, &["restart", "--no-wait"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("accepted"), "{stdout}");
    assert!(ask(&luster, &["status"]).1.contains("rollout: replaced 0 of 2"));
    luster.put("go", "");
    luster.await_event("rollout_finished", 1);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_stop_overrules_a_restart_whose_asker_is_told() {
    let mut luster = waiting_for_go();
    let (child, mut stderr) = spawned(&asking(&luster, &["restart"]));
    assert_eq!(line(&mut stderr), "replaced 0 of 2\n");
    assert_eq!(ask(&luster, &["stop"]).0, 0);
    let told = child.wait_with_output().expect("it ends");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("readable");
    assert_eq!(told.status.code(), Some(20), "{rest}");
    assert!(rest.contains("overruled"), "{rest}");
    assert_eq!(luster.await_end(), 0);
}

#[test]
fn where_nobody_runs_it_is_said_what_runs_instead() {
    let (luster, _) = serving(1);
    let empty = Luster::new().file("luster.conf.json", "{}");
    let (code, stdout, stderr) = asking_in(empty.path(), &["status"]).output();
    assert_eq!((code, &*stdout), (69, ""));
    let config = empty.path().join("luster.conf.json");
    assert!(
        stderr.starts_with(&format!("luster: no luster runs {}; what runs:\n", config.display())),
        "{stderr}"
    );
    assert!(stderr.contains(&format!("pid {}", luster.pid())), "{stderr}");
    let (code, _, stderr) = asking_in(empty.path(), &["reload", "none.js"]).output();
    assert_eq!(code, 69);
    assert!(stderr.contains("none.js (and there is no such file)"), "{stderr}");
    let (code, _, stderr) = asking_in(empty.path(), &["start"]).output();
    assert_eq!(code, 69);
    assert!(stderr.contains("luster CONFIG starts one"), "{stderr}");
    let (code, _, stderr) = asking_in(empty.path(), &["status", "--socket", "none.sock"]).output();
    assert_eq!((code, &*stderr), (69, "luster: no luster listens on none.sock: there is no such socket\n"));
    let (code, _, stderr) = asking_in(empty.path(), &["status", "--name", "nobody-has-it"]).output();
    assert_eq!(code, 69);
    assert!(stderr.contains("no luster runs under the name nobody-has-it"), "{stderr}");
    let (code, _, stderr) = ask(&luster, &["status", "--pid", "1"]);
    assert_eq!(code, 69);
    assert!(stderr.contains("no luster runs as pid 1"), "{stderr}");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_master_that_was_killed_runs_no_more() {
    let (mut luster, _) = serving(1);
    let socket = luster.control_path();
    luster.signal(Signal::SIGKILL);
    luster.await_end();
    assert!(socket.exists());
    let (code, _, stderr) = ask(&luster, &["status"]);
    assert_eq!(code, 69, "{stderr}");
    let (code, _, stderr) = ask(&luster, &["status", "--socket", socket.to_str().expect("UTF-8")]);
    assert_eq!(code, 69);
    assert!(stderr.contains("whoever made it is gone"), "{stderr}");
}

#[test]
fn a_master_that_hangs_is_given_up_on() {
    let (luster, _) = serving(1);
    luster.signal(Signal::SIGSTOP);
    let (code, _, stderr) = ask(&luster, &["status"]);
    assert_eq!(
        (code, &*stderr),
        (75, &*format!("luster: luster (pid {}) does not answer within 10 s\n", luster.pid()))
    );
    luster.signal(Signal::SIGCONT);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn where_several_run_they_are_listed_and_the_pid_chooses() {
    let app = "setInterval(() => {}, 1000)";
    let first = Luster::with(app, json!({"workers": 1})).start();
    first.await_ready(1);
    let config = first.path().join("luster.conf.json");
    let second = Luster::new().config_file(&config).start();
    second.await_ready(1);
    let (code, stdout, stderr) = ask(&first, &["stop"]);
    assert_eq!((code, &*stdout), (2, ""));
    assert!(stderr.starts_with("luster: more than one luster runs "), "{stderr}");
    for luster in [&first, &second] {
        let pid = luster.pid().to_string();
        assert!(stderr.contains(&format!("  pid {pid}, up ")), "{stderr}");
        let (code, stdout, _) = ask(&first, &["status", "--pid", &pid]);
        assert_eq!(code, 0);
        assert!(stdout.contains(&format!("pid {pid}, up ")), "{stdout}");
        // Also together with the configuration.
        let (code, stdout, _) = ask(&first, &["status", "--pid", &pid, "luster.conf.json"]);
        assert!(code == 0 && stdout.contains(&format!("pid {pid}, up ")), "{stdout}");
    }
    let (code, stdout, _) = ask(&first, &["list", "luster.conf.json", "--json"]);
    let list: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((code, list["masters"].as_array().map(Vec::len)), (0, Some(2)));
    assert_eq!((first.stop().0, second.stop().0), (0, 0));
}

#[test]
fn the_same_configuration_with_another_luster_conf_or_name_is_another() {
    let app = "setInterval(() => {}, 1000)";
    let plain = Luster::with(app, json!({"workers": 1})).start();
    plain.await_ready(1);
    let config = plain.path().join("luster.conf.json");
    let more = Luster::new().config_file(&config).env("LUSTER_CONF", "workers=2").start();
    more.await_ready(2);
    let name = format!("story-{}", std::process::id());
    let named = Luster::new().arg("--name").arg(&name).config_file(&config).start();
    named.await_ready(1);
    let pid = |command: Luster| {
        let (code, stdout, stderr) = command.output();
        assert_eq!(code, 0, "{stderr}");
        serde_json::from_str::<Value>(&stdout).expect("JSON")["master"]["pid"].as_i64()
    };
    let ask = ["status", "--json"];
    assert_eq!(pid(asking(&plain, &ask)), Some(plain.pid().into()));
    assert_eq!(pid(asking(&plain, &ask).env("LUSTER_CONF", "workers=2")), Some(more.pid().into()));
    assert_eq!(pid(asking(&plain, &["status", "--json", "--name", &name])), Some(named.pid().into()));
    // Where none has that name, the configuration says which could be meant.
    let (code, _, stderr) = asking(&plain, &ask).env("LUSTER_CONF", "workers=3").output();
    assert!(code == 2 && stderr.matches("  pid ").count() == 3, "{stderr}");
    assert_eq!(more.stop().0, 0);
    assert_eq!(named.stop().0, 0);
    let (code, _, stderr) = asking(&plain, &["status"]).env("LUSTER_CONF", "workers=3").output();
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(plain.stop().0, 0);
}

#[test]
fn the_only_one_needs_no_name_and_all_are_listed() {
    let run = tempfile::tempdir().expect("a folder");
    let (elsewhere, path) = (tempfile::tempdir().expect("a folder"), run.path().to_str().expect("UTF-8"));
    let own = |luster: Luster| {
        let path = path.to_owned();
        luster.env("XDG_RUNTIME_DIR", &path).adjust(|command| {
            // Others may have theirs where root looks.
            if nix::unistd::geteuid().is_root() {
                command.uid(NOBODY).gid(NOBODY);
            }
        })
    };
    open_to_nobody(&[run.path(), elsewhere.path()]);
    let asked = |words: &[&str]| own(asking_in(elsewhere.path(), words)).output();
    let (code, stdout, stderr) = asked(&["list"]);
    assert_eq!((code, &*stdout, &*stderr), (0, "", "luster: no luster of this user runs\n"));
    let (code, stdout, stderr) = asked(&["list", "/no/such.json"]);
    assert_eq!((code, &*stdout, &*stderr), (0, "", "luster: no luster of this user runs /no/such.json\n"));
    let start = |luster: Luster| {
        open_to_nobody(&[luster.path()]);
        let luster = own(luster).start();
        luster.await_ready(1);
        luster
    };
    let luster = || {
        Luster::with("setInterval(() => {}, 1000)", json!({"workers": 1, "control": {"compileCache": false}}))
    };
    let first = start(luster());
    let (code, stdout, stderr) = asked(&["status"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains(&format!("pid {}", first.pid())), "{stdout}");
    let second = start(luster());
    let (code, _, stderr) = asked(&["reload"]);
    assert_eq!(code, 2);
    assert!(stderr.contains(&format!("pid {}", second.pid())), "{stderr}");
    let (code, stdout, _) = asked(&["list"]);
    assert_eq!((code, stdout.lines().count()), (0, 3), "{stdout}");
    for luster in [&first, &second] {
        let row = stdout.lines().find(|line| line.contains(&luster.pid().to_string())).expect("a row");
        assert!(row.contains("1/1") && row.ends_with("luster.conf.json"), "{row}");
    }
    let (_, stdout, _) = asked(&["list", "--json"]);
    let list: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((&list["schema"], list["masters"].as_array().map(Vec::len)), (&json!(1), Some(2)));
    assert_eq!((first.stop().0, second.stop().0), (0, 0));
}

/// The user `nobody`.
const NOBODY: u32 = 65_534;

/// Has these folders belong to nobody, where we may.
fn open_to_nobody(folders: &[&Path]) {
    for folder in folders.iter().filter(|_| nix::unistd::geteuid().is_root()) {
        std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY)).expect("root may");
    }
}

#[test]
fn another_users_luster_is_not_ones_own_to_ask() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let luster = Luster::with("setInterval(() => {}, 1000)", json!({"workers": 1}));
    let socket = luster.path().join("control.sock");
    let luster = luster.config(json!({"workers": 1, "control": {"socket": socket}})).start();
    luster.await_ready(1);
    let words = ["stop", "--socket", socket.to_str().expect("UTF-8")];
    let nobody = || {
        asking_in(Path::new("/"), &words).adjust(|command| {
            command.uid(NOBODY).gid(NOBODY);
        })
    };
    let denied = |words: &str| {
        let (code, stdout, stderr) = nobody().output();
        assert_eq!((code, &*stdout), (77, ""), "{stderr}");
        assert!(stderr.contains("is not yours to ask: ") && stderr.contains(words), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    };
    use std::os::unix::fs::PermissionsExt;
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("ours");
    };
    open(luster.path(), 0o755);
    denied("permission denied");
    // Whoever gets through the permissions is known by the kernel's word.
    open(&socket, 0o666);
    denied("own user, root");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_socket_that_is_elsewhere_is_found_by_the_configuration() {
    let at =
        |luster: &Luster, name: &str| json!({"workers": 1, "control": {"socket": luster.path().join(name)}});
    let luster = Luster::with("setInterval(() => {}, 1000)", json!({"workers": 1}));
    let config = at(&luster, "control.sock");
    let mut luster = luster.config(config).start();
    luster.await_ready(1);
    assert_eq!(luster.control_path(), luster.path().join("control.sock"));
    assert_eq!(status(&luster)["master"]["pid"], luster.pid());
    // Not the table, which shortens paths where others have longer numbers.
    let (_, list, _) = ask(&luster, &["list", "--json"]);
    let config = format!("\"config\":\"{}/", luster.path().to_str().expect("UTF-8"));
    assert_eq!(list.matches(&config).count(), 1, "{list}");
    // The next one takes the place of one that was killed, with or without such a setting.
    luster.signal(Signal::SIGKILL);
    luster.await_end();
    assert_eq!(ask(&luster, &["status"]).0, 69);
    let config = luster.path().join("luster.conf.json");
    let next = Luster::new().config_file(&config).start();
    next.await_ready(1);
    assert_eq!(status(&luster)["master"]["pid"], next.pid());
    assert_eq!(next.stop().0, 0);
    luster.put("luster.conf.json", &json!({"app": "worker.js", "workers": 1}).to_string());
    let next = Luster::new().config_file(&config).start();
    next.await_ready(1);
    assert_eq!(status(&luster)["master"]["pid"], next.pid());
    assert!(
        !next.log().iter().any(|line| line["event"] == "control_socket" || line["event"] == "second_master")
    );
    assert_eq!(next.stop().0, 0);
}

#[test]
fn the_number_of_workers_is_changed() {
    let (luster, port) = serving(2);
    let before = pids(&luster);
    for (size, count) in [("+1", 3), ("4", 4), ("-2", 2)] {
        let (code, stdout, stderr) = ask(&luster, &["scale", size, "luster.conf.json"]);
        assert_eq!((code, stdout), (0, format!("there are {count} workers\n")), "{stderr}");
        let status = status(&luster);
        assert_eq!((&status["ready"], &status["wanted"]), (&json!(count), &json!(count)));
    }
    assert_eq!(pids(&luster), before);
    for size in ["0", "-2", "100000"] {
        let (code, stdout, stderr) = ask(&luster, &["scale", size]);
        assert_eq!((code, &*stdout), (2, ""));
        assert!(stderr.contains("must be from 1 to 10000"), "{stderr}");
    }
    assert!(get(&Target::Tcp(port)).is_ok());
    assert_eq!((pids(&luster), luster.stop().0), (before, 0));
}

#[test]
fn a_worker_that_is_dead_is_shown_and_revived() {
    let app = "if (process.env.LUSTER_WID === '2' && !require('fs').existsSync('go')) process.exit(3);
        setInterval(() => {}, 1000);";
    let control = json!({"exitThreshold": 60_000, "allowedSequentialDeaths": 0});
    let luster = Luster::with(app, json!({"workers": 2, "control": control})).start();
    luster.await_ready(1);
    eventually("worker 2 is dead", || ask(&luster, &["status"]).1.contains("  2  dead").then_some(()));
    let (_, stdout, _) = ask(&luster, &["status"]);
    assert!(
        stdout.contains("1 of 2 workers ready") && stdout.contains("last failure: worker 2, "),
        "{stdout}"
    );
    assert!(stdout.contains("code 3"), "{stdout}");
    luster.put("go", "");
    let (code, stdout, stderr) = ask(&luster, &["revive", "2"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let (code, stdout, stderr) = ask(&luster, &["start", "2"]);
    assert_eq!((code, &*stdout), (0, "worker 2 is ready\n"), "{stderr}");
    assert!(ask(&luster, &["status"]).1.contains("2 of 2 workers ready"));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_reload_that_is_taken_back_is_told_as_that() {
    let app = "setInterval(() => {}, 1000)";
    let luster = Luster::with(app, json!({"workers": 2})).start();
    luster.await_ready(2);
    luster.put("broken.js", "process.exit(3)");
    luster.put("luster.conf.json", &json!({"app": "broken.js", "workers": 2}).to_string());
    let (code, stdout, stderr) = ask(&luster, &["reload"]);
    assert_eq!((code, &*stdout), (20, ""), "{stderr}");
    for words in ["worker 1", "code 3", "all workers run what they ran before"] {
        assert!(stderr.contains(words), "{words} in {stderr}");
    }
    let told = status(&luster);
    assert_eq!((&told["ready"], &told["generation"]), (&json!(2), &json!(0)));
    assert_eq!(luster.stop().0, 0);
}

/// What the status has of the last rollout that failed: for people, and for programs without how long ago it was.
fn failed_rollout(luster: &Running) -> (Option<String>, Value) {
    let (code, stdout, stderr) = ask(luster, &["status"]);
    assert_eq!(code, 0, "{stderr}");
    let line = stdout.lines().find(|line| line.starts_with("the last rollout failed "));
    let mut failed = status(luster)["failed_rollout"].clone();
    if let Some(members) = failed.as_object_mut() {
        assert!(members.remove("ago_ms").is_some_and(|ago| ago.is_u64()));
    }
    (line.map(ToOwned::to_owned), failed)
}

#[test]
fn status_says_whether_the_last_rollout_worked() {
    let luster = Luster::with("setInterval(() => {}, 1000)", json!({"workers": 2})).start();
    luster.await_ready(2);
    let config = |app: &str| json!({"app": app, "workers": 2}).to_string();
    assert_eq!(failed_rollout(&luster), (None, Value::Null));
    luster.put("broken.js", "process.exitCode = 3; throw new Error('no database')");
    luster.put("luster.conf.json", &config("broken.js"));
    assert_eq!(ask(&luster, &["reload"]).0, 20);
    let (line, failed) = failed_rollout(&luster);
    let line = line.expect("a line");
    let why = "the replacement of worker 1 exited with code 1 before it was ready: Error: no database (";
    assert!(line.contains(&format!(" ago and was taken back: {why}")), "{line}");
    assert!(line.ends_with("; generation 0 is in force: all workers run what they ran before"), "{line}");
    let reason = failed["reason"].as_str().expect("a clause");
    assert!(reason.starts_with(why) && reason.contains("broken.js:1"), "{reason}");
    let expected = json!({"outcome": "taken_back", "culprit": "worker", "wid": 1, "generation": 1, "code": 1,
        "replaced": 0, "reason": reason, "serving": "all workers run what they ran before"});
    assert_eq!(failed, expected);
    // Another process of a worker is no other release.
    assert_eq!(ask(&luster, &["restart", "2"]).0, 0);
    assert_eq!(failed_rollout(&luster).1, expected);
    // One that was asked for by a signal has no other answer.
    luster.put("luster.conf.json", "{");
    luster.signal(Signal::SIGHUP);
    luster.await_event("config_refused", 1);
    let (line, failed) = failed_rollout(&luster);
    assert_eq!(
        (&failed["outcome"], &failed["culprit"], &failed["generation"]),
        (&json!("refused"), &json!("configuration"), &json!(2))
    );
    let line = line.expect("a line");
    assert!(line.contains(" ago before it began: the configuration cannot be used: "), "{line}");
    assert!(line.ends_with("; generation 0 is in force: nothing was changed"), "{line}");
    luster.put("luster.conf.json", &config("worker.js"));
    assert_eq!(ask(&luster, &["reload"]).0, 0);
    assert_eq!(failed_rollout(&luster), (None, Value::Null));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_rollout_that_is_being_taken_back_is_shown_as_that() {
    let luster = waiting_for_go();
    luster.put("broken.js", "process.exit(3)");
    let control = json!({"triggerReadyStateManually": true});
    luster
        .put("luster.conf.json", &json!({"app": "broken.js", "workers": 2, "control": control}).to_string());
    let (mut child, mut stderr) = spawned(&asking(&luster, &["reload"]));
    // Worker 1 is back on what it ran before, which waits.
    while line(&mut stderr) != "failed, taking back 0 of 1\n" {
        assert!(child.try_wait().expect("a child").is_none(), "it waits");
    }
    let (_, stdout, _) = ask(&luster, &["status"]);
    assert!(stdout.contains("\ntaking back the last rollout: replaced 0 of 1, 1 under way"), "{stdout}");
    let (line, failed) = failed_rollout(&luster);
    let line = line.expect("a line");
    assert!(line.contains(" ago and is being taken back: the replacement of worker 1 exited"), "{line}");
    assert_eq!((&failed["outcome"], &failed["code"]), (&json!("taken_back"), &json!(3)));
    assert_eq!(status(&luster)["rollout"]["taking_back"], true);
    luster.put("go", "");
    assert_eq!(child.wait().expect("it ends").code(), Some(20));
    assert!(status(&luster)["rollout"].is_null());
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn events_are_told_as_they_happen() {
    let (luster, _) = serving(1);
    let follow = |words: &[&str]| {
        let mut child = asking(&luster, words).command(&[]).stdout(Stdio::piped()).spawn().expect("built");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        (child, lines)
    };
    let (mut people, mut sentences) = follow(&["events"]);
    let (mut programs, mut objects) = follow(&["events", "--json"]);
    // Until both listen: each restart is told to those who do.
    let heard = std::thread::spawn(move || {
        let (sentence, object) = (line(&mut sentences), line(&mut objects));
        (sentence, object, sentences, objects)
    });
    eventually("both listen", || {
        assert_eq!(ask(&luster, &["restart", "1"]).0, 0);
        heard.is_finished().then_some(())
    });
    let (sentence, object, sentences, mut objects) = heard.join().expect("it heard");
    assert!(sentence.contains(" INFO ") || sentence.contains("DEBUG "), "{sentence}");
    let object: Value = serde_json::from_str(&object).expect("JSON");
    assert!(object["event"].is_string() && object["message"].is_string(), "{object}");
    assert_eq!(luster.stop().0, 0);
    let rest: Vec<_> = sentences.lines().map_while(Result::ok).collect();
    assert!(rest.iter().any(|line| line.ends_with("stopped")), "{rest:?}");
    while !line(&mut objects).is_empty() {}
    assert!(people.wait().expect("it ends").success() && programs.wait().expect("it ends").success());
}

#[test]
fn a_watched_status_is_shown_until_luster_ends() {
    let (mut luster, _) = serving(1);
    let mut child = asking(&luster, &["status", "--watch", "--json"])
        .command(&[])
        .stdout(Stdio::piped())
        .spawn()
        .expect("built");
    let mut lines = BufReader::new(child.stdout.take().expect("piped"));
    for _ in 0..2 {
        let status: Value = serde_json::from_str(&line(&mut lines)).expect("JSON");
        assert_eq!(status["ready"], 1);
    }
    assert_eq!(ask(&luster, &["stop"]).0, 0);
    assert_eq!(luster.await_end(), 0);
    assert_eq!(child.wait().expect("it ends").code(), Some(69));
}

#[test]
fn the_npm_packages_command_asks_as_well() {
    let (luster, _) = serving(1);
    for node in [node(16), node(24)] {
        let (code, stdout, stderr) = asking(&luster, &["status"]).by_package(&node, &[]).output();
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.contains("1 of 1 worker ready"), "{stdout}");
        let (code, stdout, stderr) = asking(&luster, &["restart", "9"]).by_package(&node, &[]).output();
        assert_eq!((code, &*stdout), (2, ""), "{stderr}");
    }
    // The binary itself needs no Node.
    let (code, _, stderr) = asking(&luster, &["reload"]).env("PATH", "").output();
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_custom_master_answers_by_its_scripts_path() {
    let script = "require('luster').configure({ app: './worker.js', workers: 1 }, true, __dirname).run();";
    let luster = Luster::new()
        .file("worker.js", "setInterval(() => {}, 1000)")
        .file("master.js", script)
        .by_script(&usual_node(), &[])
        .start();
    luster.await_ready(1);
    let (code, stdout, stderr) = ask(&luster, &["status", "master.js"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains(&format!("script: ready, pid {}", luster.pid())), "{stdout}");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn what_cannot_be_meant_is_said() {
    let ask = |words: &[&str]| asking_in(Path::new("/"), words).output();
    for (line, words) in [
        (&["status", "--socket", "s", "c.js"][..], "only one of --socket, --name and CONFIG"),
        (&["status", "--name", "a/b"], "the name \"a/b\" is not usable"),
        (&["stop", "a.js", "b.js"], "a.js and b.js cannot both be CONFIG"),
        (&["restart", "99999999999"], "99999999999 is no worker's number"),
        (&["scale"], "<N>"),
        (&["scale", "many"], "a number of workers, such as 4"),
        (&["reload", "--timeout", "soon"], "it takes seconds"),
        (&["reload", "--no-wait", "--timeout", "1"], "cannot be used with"),
        (&["status", "--pid", "0"], "0 is not in"),
        (&["reload", "--watch"], "--watch"),
    ] {
        let (code, stdout, stderr) = ask(line);
        assert_eq!((code, &*stdout), (2, ""), "{line:?} {stderr}");
        assert!(stderr.contains(words), "{line:?} {stderr}");
    }
    for command in ["status", "reload", "restart", "stop", "start", "scale", "revive", "events", "list"] {
        let (code, stdout, _) = ask(&[command, "--help"]);
        assert_eq!(code, 0);
        assert!(stdout.contains(&format!("Usage: luster {command} ")), "{stdout}");
    }
}

#[test]
fn a_configuration_called_like_a_command_is_given_with_its_folder() {
    let luster = Luster::with("setInterval(() => {}, 1000)", json!({}))
        .file("status.json", r#"{"app": "worker.js", "workers": 1}"#);
    let luster = luster.arg("./status").start();
    luster.await_ready(1);
    let (code, stdout, stderr) = ask(&luster, &["status", "./status"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("/status.json\n"), "{stdout}");
    assert_eq!(luster.stop().0, 0);
}
