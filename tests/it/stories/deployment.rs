//! luster in production, as the README says: under systemd, in a container, behind nginx and haproxy, with logrotate,
//! deployed by symlink, started by npm.

use std::fs::File;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::npm_package::TARBALL;
use super::pid_one::CONTAINER;
use crate::harness::{
    HTTP, Load, Luster, Style, Target, block, blocks, eventually, free_port, free_ports, get, here, node,
    processes_in, tool,
};

/// What else runs in a story's folder; gone at its end, with everything it has started there.
struct Beside {
    child: Child,
    folder: PathBuf,
    /// What it prints; without a name.
    log: File,
}

impl Beside {
    fn start(command: &mut Command, folder: &Path) -> Self {
        let log = tempfile::tempfile().expect("writable");
        let (out, err) = (log.try_clone().expect("open"), log.try_clone().expect("open"));
        let command = command.stdin(Stdio::null()).stdout(out).stderr(err);
        let child = command.current_dir(folder).spawn().expect("it is there");
        Self { child, folder: folder.to_owned(), log }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")), signal).expect("it is there");
    }

    fn told(&self) -> String {
        let mut text = vec![0; usize::try_from(self.log.metadata().expect("ours").len()).expect("small")];
        self.log.read_exact_at(&mut text, 0).expect("ours");
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Beside {
    #[expect(clippy::print_stderr, reason = "a failed story shows what it saw")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what was told beside:\n{}", self.told());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        for (pid, _) in processes_in(&self.folder) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A PATH with `luster` on it, and this Node if there is one.
fn path(folder: &Path, node: Option<&crate::harness::Node>) -> String {
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin).expect("ours");
    symlink(env!("CARGO_BIN_EXE_luster"), bin.join("luster")).expect("ours");
    let node = node.and_then(|node| node.path.parent()).map(utf8).into_iter();
    let rest = std::env::var("PATH").expect("set");
    [utf8(&bin)].into_iter().chain(node).chain([&*rest]).collect::<Vec<_>>().join(":")
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::Builder::new().prefix("luster-it-").tempdir().expect("a folder");
    for (name, text) in files {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("ours");
        std::fs::write(file, text).expect("ours");
    }
    folder
}

/// The commands of the console block number `nth` (from 0) under this heading.
fn commands(heading: &str, nth: usize) -> Vec<String> {
    let wanted = |block: &crate::harness::Block| block.heading == heading && block.language == "console";
    let block = blocks().into_iter().filter(wanted).nth(nth).expect("it is there");
    block.text.lines().map(|line| line.strip_prefix("$ ").expect("a command").to_owned()).collect()
}

#[track_caller]
fn sh(folder: &Path, command: &str) {
    let output = Command::new("sh").args(["-c", command]).current_dir(folder).output().expect("sh");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_first_service_is_an_app_and_a_configuration() {
    let port = free_port();
    let folder = folder(&[]);
    let script = commands("Quick start", 1).join("\n");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).env("PATH", path(folder.path(), None));
    let beside =
        Beside::start(command.env("LUSTER_CONF", format!("server.port={port}; workers=1")), folder.path());
    eventually("it answers", || get(&Target::Tcp(port)).ok());
    drop(beside);
}

#[test]
fn the_systemd_unit_is_valid_and_does_what_it_says() {
    let text = block("systemd", "ini");
    let luster = Luster::with(HTTP, json!({"workers": 1, "server": {"port": free_port()}}));
    let unit = luster.path().join("app.service");
    let binary = env!("CARGO_BIN_EXE_luster");
    std::fs::write(&unit, here(&text, &[("/usr/local/bin/luster", binary)])).expect("ours");
    let output =
        tool("systemd-analyze", "systemd").command().arg("verify").arg(&unit).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.is_empty(), "{told}");
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {key}")).to_owned()
    };
    assert_eq!(value("ExecStart"), "/usr/local/bin/luster /srv/app/current/luster.conf.json");
    let luster = luster.start();
    luster.await_ready(1);
    let reload = value("ExecReload").replace("/usr/local/bin/luster ", "").replace("/srv/app/current/", "");
    let reload = || reload.split(' ').fold(Luster::new().current_dir(luster.path()), Luster::arg).output();
    let (code, _, stderr) = reload();
    assert_eq!(code, 0, "{stderr}");
    luster.await_event("rollout_finished", 1);
    luster.put("luster.conf.json", "{");
    let (code, _, stderr) = reload();
    assert_eq!(code, 78, "{stderr}");
    assert_eq!(luster.stop().0, 0);
    let refused: Vec<_> =
        value("RestartPreventExitStatus").split(' ').map(|code| code.parse::<i32>()).collect();
    let missing = Luster::new().arg("nothing.json").output().0;
    let without_node = Luster::with("", json!({})).arg("--node").arg("/nothing").output().0;
    assert!(
        refused.contains(&Ok(missing)) && refused.contains(&Ok(without_node)),
        "{missing} {without_node}"
    );
}

#[test]
fn the_container_file_makes_a_folder_that_serves_and_stops() {
    let (port, node) = (free_port(), node(22));
    let tarball = TARBALL.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
    let config = json!({"app": "worker.js", "workers": 2, "server": {"port": port}}).to_string();
    let package = json!({"dependencies": {"luster": format!("file:{tarball}")}}).to_string();
    let context = folder(&[("worker.js", HTTP), ("luster.conf.json", &config), ("package.json", &package)]);
    std::fs::copy(&*TARBALL, context.path().join(&tarball)).expect("ours");
    let image = folder(&[]);
    let path = path(image.path(), Some(&node)).replace(utf8(&image.path().join("bin")), "/nothing");
    let (mut entry, mut stop) = (Vec::<String>::new(), None);
    for line in block("Containers", "dockerfile").lines() {
        let (instruction, rest) = line.split_once(' ').expect("two words");
        match instruction {
            "FROM" => assert_eq!(rest, "node:22-slim"),
            "WORKDIR" | "EXPOSE" => {}
            "COPY" => {
                let (from, _) = rest.rsplit_once(' ').expect("from and to");
                let from = from.split(' ').map(|from| format!("'{}/{from}'", context.path().display()));
                let from = from.collect::<Vec<_>>().join(" ");
                sh(image.path(), &format!("cp -r {from} ."));
                // Of a folder Docker copies what is in it.
                sh(
                    image.path(),
                    "for each in luster-it-*; do [ ! -d \"$each\" ] || cp -r \"$each\"/. .; done",
                );
            }
            "RUN" => {
                let nowhere = "npm_config_registry=http://127.0.0.1:9/";
                sh(image.path(), &format!("PATH='{path}' {nowhere} {rest}"));
            }
            "STOPSIGNAL" => stop = rest.parse::<Signal>().ok(),
            "ENTRYPOINT" => entry = serde_json::from_str(rest).expect("an array"),
            other => panic!("{other} is not known to this story"),
        }
    }
    let mut command = Command::new(CONTAINER[0]);
    let command = command.args(&CONTAINER[1..]).args(&entry).env("PATH", path).env_remove("LUSTER_BINARY");
    let container = Beside::start(command, image.path());
    eventually("it answers", || get(&Target::Tcp(port)).ok());
    let pid_1 = eventually("PID 1", || {
        crate::harness::children(i32::try_from(container.child.id()).expect("a pid")).first().copied()
    });
    kill(Pid::from_raw(pid_1), stop.expect("a stop signal")).expect("it is there");
    eventually("all have gone", || processes_in(image.path()).is_empty().then_some(()));
    assert!(container.told().contains("stopped"), "{}", container.told());
}

/// Two groups of two workers as in the README's JSON, and load on this port while they are replaced twice.
#[track_caller]
fn two_groups_behind(balancer: impl Fn(&Path, u16, u16) -> Beside) -> Beside {
    let (first, front) = (free_ports(2), free_port());
    let mut config: Value = serde_json::from_str(&block("nginx and haproxy", "json")).expect("JSON");
    assert_eq!(config["server"]["port"], 8080);
    config["server"]["port"] = first.into();
    let luster = Luster::with(HTTP, config).start();
    luster.await_ready(4);
    luster.await_listening(4);
    let beside = balancer(luster.path(), first, front);
    eventually("it answers", || get(&Target::Tcp(front)).ok().filter(|reply| reply.status == 200));
    let loads =
        [Style::KEEP_ALIVE.to("/slow"), Style::NEW].map(|style| Load::begin(&Target::Tcp(front), style));
    for _ in 0..2 {
        loads.iter().for_each(|load| load.await_answers(50));
        assert_eq!(luster.rollout()["event"], "rollout_finished");
    }
    loads.iter().for_each(|load| load.await_answers(50));
    loads.into_iter().for_each(Load::end_without_a_failure);
    assert_eq!(luster.stop().0, 0);
    beside
}

#[test]
fn nginx_before_two_groups_loses_nothing() {
    let (text, nginx) = (block("nginx and haproxy", "nginx"), tool("nginx", "nginx"));
    two_groups_behind(|folder, first, front| {
        let http = here(
            &text,
            &[
                ("127.0.0.1:8080", &format!("127.0.0.1:{first}")),
                ("127.0.0.1:8081", &format!("127.0.0.1:{}", first + 1)),
                ("listen 80;", &format!("listen {front};")),
            ],
        );
        let at = folder.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|kind| format!("{kind}_temp_path {at}/{kind};")).join("\n");
        let root = if nix::unistd::geteuid().is_root() { "user root;" } else { "" };
        let config = format!(
            "{root} daemon off; pid {at}/nginx.pid; worker_processes 1; events {{}}
            http {{ access_log off; {temporary}\n{http} }}"
        );
        std::fs::write(folder.join("nginx.conf"), config).expect("ours");
        let mut command = nginx.command();
        Beside::start(command.arg("-p").arg(folder).args(["-e", "stderr", "-c", "nginx.conf"]), folder)
    });
}

#[test]
fn haproxy_before_two_groups_loses_nothing_and_sees_no_group_down() {
    let (text, haproxy) = (block("nginx and haproxy", "haproxy"), tool("haproxy", "haproxy"));
    let haproxy = two_groups_behind(|folder, first, front| {
        let config = here(
            &text,
            &[
                ("127.0.0.1:8080", &format!("127.0.0.1:{first}")),
                ("127.0.0.1:8081", &format!("127.0.0.1:{}", first + 1)),
                ("bind :80", &format!("bind :{front}")),
                ("defaults\n", "global\n    log stdout format raw local0\ndefaults\n    log global\n"),
            ],
        );
        std::fs::write(folder.join("haproxy.cfg"), config).expect("ours");
        Beside::start(haproxy.command().args(["-db", "-f", "haproxy.cfg"]), folder)
    });
    assert!(!haproxy.told().contains("is DOWN"), "{}", haproxy.told());
}

#[test]
fn logrotate_loses_no_line() {
    let app = "let count = 0; setInterval(() => console.log(`line ${++count}.`), 5);";
    let log = tempfile::tempdir().expect("a folder");
    let output = log.path().join("output.log");
    let extensions = json!({"luster-log-file": {"stdout": output}});
    let luster = Luster::with(app, json!({"workers": 1, "extensions": extensions})).start();
    let config = here(
        &block("logrotate", "text"),
        &[
            ("/var/log/app", utf8(log.path())),
            (
                "systemctl kill --kill-who=main --signal=SIGUSR1 app.service",
                &format!("kill -USR1 {}", luster.pid()),
            ),
        ],
    );
    let file = luster.path().join("logrotate.conf");
    std::fs::write(&file, config).expect("ours");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("ours");
    let lines = |path: &Path| std::fs::read_to_string(path).unwrap_or_default().matches("line ").count();
    for _ in 0..3 {
        eventually("some lines", || (lines(&output) > 20).then_some(()));
        let mut logrotate = tool("logrotate", "logrotate").command();
        let state = luster.path().join("state");
        let rotated =
            logrotate.arg("--force").arg("--state").arg(state).arg(&file).output().expect("it runs");
        assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    }
    eventually("some lines", || (lines(&output) > 20).then_some(()));
    assert_eq!(luster.stop().0, 0);
    let all = format!("gzip -dc {0}/*.gz; cat {0}/output.log.1 {0}/output.log", log.path().display());
    let all = Command::new("sh").args(["-c", &all]).output().expect("sh").stdout;
    let all = String::from_utf8(all).expect("UTF-8");
    let number = |line: &str| line.split("line ").nth(1)?.strip_suffix('.')?.parse::<usize>().ok();
    let mut numbers: Vec<_> = all.lines().filter_map(number).collect();
    numbers.sort_unstable();
    assert!(numbers.len() > 80);
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "a line is lost or doubled");
}

#[test]
fn a_moved_symlink_is_rolled_out() {
    let javascript = "const path = require('path');
        module.exports = { app: path.join(__dirname, 'worker.js'), workers: 1 };";
    for (name, config) in [("json", r#"{"app": "worker.js", "workers": 1}"#), ("js", javascript)] {
        let (port, luster) = (free_port(), Luster::new());
        let luster = (1..=2).fold(luster, |luster, release| {
            let app = format!(
                "require('http').createServer((q, r) => r.end('{release}')).listen(process.env.port)"
            );
            luster
                .file(&format!("releases/{release}/luster.conf.{name}"), config)
                .file(&format!("releases/{release}/worker.js"), &app)
        });
        let (before, after) = (commands("Deploying by symlink", 0), commands("Deploying by symlink", 1));
        sh(luster.path(), &before[0]);
        assert_eq!(before[1], "luster /srv/app/current/luster.conf.json");
        let config = luster.path().join("current").join(format!("luster.conf.{name}"));
        let luster = luster.config_file(config).env("LUSTER_CONF", &format!("server.port={port}")).start();
        luster.await_listening(1);
        assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "1");
        sh(luster.path(), &after[0]);
        assert_eq!(after[1], "systemctl reload app");
        assert_eq!(luster.rollout()["event"], "rollout_finished");
        assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "2", "luster.conf.{name}");
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn npm_start_forwards_its_stop() {
    let port = free_port();
    let app = "require('http').createServer((q, r) => {
            if (q.url === '/') { return r.end(); }
            console.log('asked'); setTimeout(() => r.end('done'), 500);
        }).listen(process.env.port)";
    let config = json!({"app": "worker.js", "workers": 1, "server": {"port": port}}).to_string();
    let package = block("npm start", "json");
    let folder = folder(&[("worker.js", app), ("luster.conf.json", &config), ("package.json", &package)]);
    let mut command = Command::new("npm");
    let npm = Beside::start(command.arg("start").env("PATH", path(folder.path(), None)), folder.path());
    eventually("it answers", || get(&Target::Tcp(port)).ok());
    let asked = std::thread::spawn(move || {
        let mut connection = crate::harness::Connection::open(&Target::Tcp(port)).expect("it listens");
        connection.request("GET /slow HTTP/1.1\r\nConnection: close", b"").expect("an answer").body
    });
    eventually("it is asked", || npm.told().contains("asked").then_some(()));
    npm.signal(Signal::SIGTERM);
    assert_eq!(asked.join().expect("no panic"), "done");
    eventually("all have gone", || processes_in(folder.path()).is_empty().then_some(()));
}
