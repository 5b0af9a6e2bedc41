//! `luster unit`: a systemd unit for a configuration.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::service_manager::Manager;
use crate::harness::{HTTP, Luster, Target, eventually, free_port, get, on_oldest_and_newest, tool};

/// A folder whose name has in it all that systemd reads in a way of its own.
const FOLDER: &str = r#"my "app" 100% $HOME 'x' \ü"#;

/// A luster with this configuration in such a folder.
fn odd(config: Value) -> (Luster, PathBuf) {
    let mut config = config;
    config["app"] = "worker.js".into();
    let luster = Luster::new()
        .file(&format!("{FOLDER}/worker.js"), HTTP)
        .file(&format!("{FOLDER}/luster.conf.json"), &config.to_string());
    let folder = luster.path().join(FOLDER);
    (luster.current_dir(&folder).arg("unit"), folder)
}

#[track_caller]
fn printed(luster: &Luster) -> String {
    let (code, unit, stderr) = luster.output();
    assert_eq!((code, stderr.as_str()), (0, ""), "{unit}");
    unit
}

/// The values of a setting, as systemd reads them.
fn values(unit: &str, key: &str) -> Vec<String> {
    let lines = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.map(|value| value.replace("%%", "%")).collect()
}

#[track_caller]
fn value(unit: &str, key: &str) -> String {
    let mut values = values(unit, key);
    assert_eq!(values.len(), 1, "{key} in\n{unit}");
    values.remove(0)
}

/// The words of a value, by the rules of systemd.syntax(7).
fn words(value: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, false);
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                quote = !quote;
                word.get_or_insert_default();
            }
            '\\' => word.get_or_insert_default().extend(characters.next()),
            ' ' if !quote => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

/// A command of the unit's, started as systemd does it.
fn command(unit: &str, key: &str, manager: &Manager) -> Command {
    let line = words(&value(unit, key));
    let environment: BTreeMap<_, _> = values(unit, "Environment")
        .iter()
        .flat_map(|value| words(value))
        .map(|it| {
            it.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).expect("NAME=VALUE")
        })
        .collect();
    let mut command = Command::new(&line[0]);
    // The program's own word is no place for variables, the others are: `$$` is a dollar.
    command.args(line[1..].iter().map(|word| word.replace("$$", "$")));
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.envs(environment).current_dir(value(unit, "WorkingDirectory"));
    let folder = |name: &str| {
        let folder = manager.folder.path().join(name);
        std::fs::create_dir_all(&folder).expect("ours");
        folder
    };
    command.env("RUNTIME_DIRECTORY", folder("run")).env("CACHE_DIRECTORY", folder("cache"));
    command.env("NOTIFY_SOCKET", manager.folder.path().join("notify"));
    command
}

/// Ends with it.
struct Started(Child);

impl Started {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).expect("a pid")), signal).expect("it runs");
    }

    #[track_caller]
    fn stops(mut self) {
        self.signal(Signal::SIGTERM);
        let status = eventually("it ends", || self.0.try_wait().expect("ours"));
        assert!(status.success(), "{status}");
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// What systemd's own tool says of a unit; it knows what is misspelt, relative, or not executable.
#[track_caller]
fn verify(unit: &str, by: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.service");
    std::fs::write(&path, unit).expect("ours");
    std::fs::create_dir(folder.path().join("run")).expect("ours");
    let output = tool("systemd-analyze", "systemd")
        .command()
        .arg("verify")
        .args(by)
        .arg(&path)
        .env("XDG_RUNTIME_DIR", folder.path().join("run"))
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    if by == ["--user"] && told.contains("Failed to initialize manager") {
        let mut stderr = std::io::stderr().lock();
        let _ = writeln!(stderr, "SKIPPED: systemd-analyze verify --user cannot run on this machine: {told}");
        return;
    }
    assert!(output.status.success() && told.is_empty(), "{told}\n{unit}");
}

#[test]
fn systemd_understands_it_whatever_is_configured() {
    let log =
        json!({"luster-log-file": {"stdout": "/var/log/my app/out.log", "stderr": "/var/log/other/err.log"}});
    for (config, expected) in [
        (
            json!({"workers": 4}),
            &["TimeoutStopSec=90", "FileDescriptorStoreMax=64", "ProtectSystem=strict"][..],
        ),
        (
            json!({"server": {"port": 80, "balance": "reuseport"}, "workers": 50}),
            &["FileDescriptorStoreMax=164"],
        ),
        (
            json!({"server": {"port": "/run/my-app/web.sock"}, "control": {"socket": "/run/other/l.sock", "killTimeout": 1500}}),
            &["RuntimeDirectory=my-app other", "TimeoutStopSec=12"],
        ),
        (
            json!({"control": {"socket": false, "stopTimeout": 5000, "readyTimeout": 1000, "parallel": 2}, "workers": 4}),
            &["ExecReload=/bin/kill -HUP $MAINPID", "TimeoutStopSec=25", "TimeoutStartSec=88"],
        ),
        (json!({"extensions": log}), &["ReadWritePaths=\"-/var/log/my app\" -/var/log/other"]),
        (json!({"control": {"compileCache": false, "group": "root"}}), &["SupplementaryGroups=root"]),
    ] {
        let (luster, _folder) = odd(config);
        let unit = printed(&luster);
        verify(&unit, &[]);
        for line in expected {
            assert!(unit.lines().any(|found| found == *line), "{line} in\n{unit}");
        }
        // All sockets are kept, by whatever systemd: it tells of its store since 254.
        let store = value(&unit, "FileDescriptorStoreMax");
        assert!(values(&unit, "Environment").contains(&format!("FDSTORE={store}")), "{unit}");
        let unit = printed(&luster.arg("--user"));
        verify(&unit, &["--user"]);
        assert!(unit.contains("WantedBy=default.target") && !unit.contains("ProtectSystem"), "{unit}");
    }
}

#[test]
fn its_commands_run_luster_and_reload_it() {
    let (manager, port) = (Manager::new(), free_port());
    let (luster, folder) = odd(json!({"workers": 2, "server": {"port": port}}));
    let luster = luster.env("LUSTER_CONF", "workers=3").arg("./luster.conf.json").arg("a $WORD %i");
    let unit = printed(&luster);
    assert_eq!(Path::new(&value(&unit, "WorkingDirectory")), folder);
    let mut start = command(&unit, "ExecStart", &manager);
    let started = Started(start.stderr(Stdio::null()).spawn().expect("it starts"));
    let heard = manager.hears_until("READY=1");
    assert!(heard.contains(&"STATUS=3 of 3 workers ready".to_owned()), "{heard:?}");
    // It is told how many sockets are kept, and has its own kept.
    assert!(heard.iter().any(|line| line.starts_with("FDNAME=luster-listen/")), "{heard:?}");
    let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", started.0.id())).expect("it runs");
    assert!(arguments.ends_with("\0a $WORD %i\0"), "{arguments:?}");
    let before = get(&Target::Tcp(port)).expect("an answer").body;
    let reload = || command(&unit, "ExecReload", &manager).output().expect("it runs");
    let told = reload();
    assert!(told.status.success(), "{told:?}");
    assert_ne!(get(&Target::Tcp(port)).expect("an answer").body, before);
    std::fs::write(folder.join("luster.conf.json"), "{").expect("ours");
    assert_eq!(reload().status.code(), Some(78));
    started.stops();
}

#[test]
fn the_npm_package_prints_one_for_itself() {
    on_oldest_and_newest(|node| {
        let (manager, port) = (Manager::new(), free_port());
        let luster = Luster::with(HTTP, json!({"workers": 1, "server": {"port": port}}));
        let luster = luster.by_package(node, &["--no-warnings"]).arg("unit").arg("--name").arg("mine");
        let unit = printed(&luster);
        assert_eq!(value(&unit, "NotifyAccess"), "all", "the script may stay in front");
        let line = words(&value(&unit, "ExecStart"));
        assert!(
            line[1..3] == ["--no-warnings".to_owned(), line[2].clone()] && line[2].ends_with("bin/luster.js"),
            "{line:?}"
        );
        let mut start = command(&unit, "ExecStart", &manager);
        let started = Started(start.stderr(Stdio::null()).spawn().expect("it starts"));
        manager.hears_until("READY=1");
        let reload = command(&unit, "ExecReload", &manager).output().expect("it runs");
        assert!(reload.status.success(), "Node {}: {reload:?}", node.major);
        started.stops();
    });
}

#[test]
fn a_program_is_run_by_the_interpreter_that_was_found() {
    let manager = Manager::new();
    let luster = Luster::new()
        .file("bin/mine", "#!/bin/sh\nexec sleep 1000\n")
        .file("app.txt", "")
        .file(
            "luster.conf.json",
            r#"{"app": "app.txt", "interpreter": "mine", "workers": 1, "control": {"ready": "after"}}"#,
        )
        .arg("unit");
    let bin = luster.path().join("bin");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bin.join("mine"), executable).expect("ours");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let luster = luster.env("PATH", &path);
    let unit = printed(&luster);
    verify(&unit, &[]);
    let expected = format!("PATH={}:/usr/local/sbin:", bin.display());
    assert!(values(&unit, "Environment").iter().any(|it| it.starts_with(&expected)), "{unit}");
    let mut start = command(&unit, "ExecStart", &manager);
    let started = Started(start.stderr(Stdio::null()).spawn().expect("it starts"));
    manager.hears_until("READY=1");
    started.stops();
}

#[test]
fn paths_that_lead_up_are_written_as_they_end() {
    let (luster, folder) = odd(json!({}));
    std::fs::create_dir(folder.join("below")).expect("ours");
    let binary = Path::new(env!("CARGO_BIN_EXE_luster"));
    let folder_of_it = binary.parent().expect("a folder");
    let up = folder_of_it.join("..").join(folder_of_it.file_name().expect("a name")).join("luster");
    let luster = luster.current_dir(folder.join("below")).arg("../luster.conf.json");
    let unit = printed(&luster.adjust(move |command| _ = command.arg0(&up)));
    verify(&unit, &[]);
    assert!(!unit.contains(".."), "{unit}");
    assert_eq!(Path::new(&value(&unit, "WorkingDirectory")), folder);
}

#[test]
fn what_cannot_be_run_gets_no_unit() {
    let (code, unit, stderr) = Luster::with("", json!({"workers": -1})).arg("unit").output();
    assert_eq!((code, unit.as_str()), (78, ""));
    assert!(stderr.contains("workers"), "{stderr}");
    let (code, unit, stderr) = Luster::with("", json!({"extensions": {"missing": {}}})).arg("unit").output();
    assert_eq!((code, unit.as_str()), (78, ""));
    assert!(stderr.contains("missing"), "{stderr}");
    let (code, unit, stderr) = Luster::with("", json!({})).arg("unit").arg("--node").arg("/nothing").output();
    assert_eq!((code, unit.as_str()), (71, ""), "{stderr}");
    let luster =
        Luster::new().file("a\nb/worker.js", "").file("a\nb/luster.conf.json", r#"{"app": "worker.js"}"#);
    let folder = luster.path().join("a\nb");
    let (code, unit, stderr) = luster.current_dir(folder).arg("unit").output();
    assert_eq!((code, unit.as_str()), (78, ""));
    assert!(
        stderr.contains("WorkingDirectory= of a unit cannot hold") && stderr.contains("line end"),
        "{stderr}"
    );
}
