//! A control socket that moves, opens to a group, comes and goes at a reload: whoever asks is answered.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::harness::{Control, HTTP, Load, Luster, Running, Style, Target, eventually, free_port};

fn config(port: u16, control: Value) -> Value {
    json!({"app": "./worker.js", "workers": 1, "server": {"port": port}, "control": control})
}

/// A luster whose worker serves, and how it is asked.
#[track_caller]
fn serving(port: u16, control: Value) -> Running {
    let luster = Luster::with(HTTP, config(port, control)).start();
    luster.await_listening(1);
    luster.await_ready(1);
    luster
}

/// Asks there for a reload with this configuration, and gives the answer.
#[track_caller]
fn reload(luster: &Running, at: &Control, port: u16, control: Value) -> (u16, Value) {
    luster.put("luster.conf.json", &config(port, control).to_string());
    at.post("/v1/reload", "")
}

fn at(path: impl Into<PathBuf>) -> Control {
    Control::at(path.into())
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

/// What the master that is found by the configuration says of itself.
#[track_caller]
fn found_by_configuration(luster: &Running) -> Value {
    let asking = Luster::new().current_dir(luster.path()).arg("status").arg("--json");
    let (code, stdout, stderr) = asking.output();
    assert_eq!((code, &*stderr), (0, ""), "{stdout}");
    serde_json::from_str(&stdout).expect("JSON")
}

/// The code of the answer to another user of this group; 0 if the kernel lets nobody through.
fn asks_as_another(at: &Path, group: u32) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20", "--unix-socket"]);
    curl.arg(at).arg("http://luster/v1/status").uid(65_534).gid(group);
    String::from_utf8(curl.output().expect("curl is there").stdout).expect("text")
}

#[test]
fn it_moves_and_whoever_asks_at_the_old_place_is_answered() {
    let port = free_port();
    let luster = serving(port, json!({}));
    let default = luster.control_path();
    let [one, two] = ["one.sock", "two.sock"].map(|name| luster.path().join(name));
    let load = Load::begin(&Target::Tcp(port), Style::NEW);
    let mut old = default.clone();
    for (control, new, is_link) in [
        (json!({"socket": one}), &one, true),
        (json!({"socket": two}), &two, true),
        (json!({}), &default, false),
        // The same place by its name.
        (json!({"socket": default}), &default, false),
        (json!({"socket": one}), &one, true),
    ] {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let asker = scope.spawn(|| {
                let mut asked = 0;
                while !over.load(Ordering::Relaxed) || asked == 0 {
                    // Where the configuration leads to, and where it is about to be.
                    let answer = [&old, new]
                        .into_iter()
                        .find_map(|path| at(path.clone()).try_ask("GET", "/v1/status", "").ok());
                    assert_eq!(answer.expect("somebody answers").0, 200);
                    asked += 1;
                }
            });
            // Who asks for it waits at the place that goes.
            let (code, answer) = reload(&luster, &at(old.clone()), port, control.clone());
            assert_eq!((code, &answer["outcome"]), (200, &json!("done")), "{control}: {answer}");
            over.store(true, Ordering::Relaxed);
            asker.join().expect("answered each time");
        });
        eventually("it is there alone", || {
            let names = [&default, &one, &two].into_iter().filter(|path| is_socket(path)).collect::<Vec<_>>();
            (names == [new] && default.is_symlink() == is_link).then_some(())
        });
        assert_eq!(at(new.clone()).status()["master"]["socket"], json!(new), "{control}");
        let found = found_by_configuration(&luster);
        assert_eq!(found["master"]["socket"], json!(new), "{control}");
        old = new.clone();
    }
    let folder = default.parent().expect("one");
    let stem = default.file_stem().expect("one").to_str().expect("text");
    let others = std::fs::read_dir(folder)
        .expect("readable")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let others: Vec<_> = others.filter(|name| name.starts_with(stem) && name.ends_with(".sock")).collect();
    assert_eq!(others, [default.file_name().expect("one").to_str().expect("text")]);
    assert!(luster.events("second_master").is_empty() && luster.events("config_unapplied").is_empty());
    load.end_without_a_failure();
    assert_eq!(luster.stop().0, 0);
    assert!(!one.exists() && !default.is_symlink());
}

#[test]
fn it_goes_and_comes_back() {
    let port = free_port();
    let luster = serving(port, json!({}));
    let path = luster.control_path();
    let (code, answer) = reload(&luster, &at(path.clone()), port, json!({"socket": false}));
    assert_eq!((code, &answer["outcome"]), (200, &json!("done")));
    eventually("it is gone", || (!path.exists()).then_some(()));
    // The log may come later than the answer, and the next one is to be told from it.
    luster.await_event("rollout_finished", 1);
    luster.put("luster.conf.json", &config(port, json!({})).to_string());
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    assert_eq!(at(path).status()["count"], 1);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn one_that_cannot_be_made_refuses_the_reload() {
    let port = free_port();
    let luster = serving(port, json!({}));
    let control = luster.control();
    let old = luster.all_pids();
    let taken = luster.path().join("taken.sock");
    let _listener = UnixListener::bind(&taken).expect("it is free");
    let long = luster.path().join(format!("{}.sock", "x".repeat(100)));
    let load = Load::begin(&Target::Tcp(port), Style::NEW);
    for (path, expected) in [
        (luster.path().join("nowhere/control.sock"), "nowhere/control.sock cannot be made: ENOENT"),
        (long, "a unix socket's path has at most 107"),
        (luster.path().join("worker.js"), "worker.js is there already and is not a socket"),
        (taken.clone(), "taken.sock is the socket of another process (pid"),
    ] {
        let (code, answer) = reload(&luster, &control, port, json!({"socket": path}));
        assert_eq!((code, &answer["outcome"]), (409, &json!("refused")), "{answer}");
        let message = answer["message"].as_str().expect("a sentence");
        assert!(
            message.contains("the control socket cannot be opened as configured")
                && message.contains(expected),
            "{message}"
        );
    }
    assert_eq!(luster.all_pids(), old);
    assert_eq!(control.status()["generation"], 0);
    let names: Vec<_> = std::fs::read_dir(luster.path())
        .expect("ours")
        .map(|entry| entry.expect("one").file_name())
        .collect();
    assert!(
        names.iter().all(|name| !name.to_str().expect("text").ends_with(".sock") || *name == "taken.sock"),
        "{names:?}"
    );
    load.end_without_a_failure();
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_reload_that_is_taken_back_takes_it_back_too() {
    let port = free_port();
    let luster = serving(port, json!({}));
    let (control, new) = (luster.control(), luster.path().join("new.sock"));
    luster.put("bad.js", "process.exit(3);");
    let mut changed = config(port, json!({"socket": new, "restart": "start-first"}));
    changed["app"] = "./bad.js".into();
    luster.put("luster.conf.json", &changed.to_string());
    let (code, answer) = control.post("/v1/reload", "");
    assert_ne!(code, 200, "{answer}");
    eventually("the new one is gone", || (!new.exists()).then_some(()));
    assert_eq!(control.status()["master"]["socket"], json!(control.path()));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn who_may_ask_changes_where_it_is() {
    let root = nix::unistd::geteuid().is_root();
    let group = if root { 1 } else { nix::unistd::getegid().as_raw() };
    let port = free_port();
    let luster = serving(port, json!({"socket": "control.sock"}));
    std::fs::set_permissions(luster.path(), PermissionsExt::from_mode(0o755)).expect("ours");
    let control = luster.control();
    let found = || {
        let found = std::fs::metadata(control.path()).expect("it is there");
        (found.permissions().mode() & 0o777, found.gid(), found.ino())
    };
    let first = found();
    assert_eq!(first.0, 0o600);
    assert_eq!(reload(&luster, &control, port, json!({"socket": "control.sock", "group": group})).0, 200);
    assert_eq!(found(), (0o660, group, first.2));
    if root {
        assert_eq!(asks_as_another(control.path(), group), "200");
    }
    assert_eq!(reload(&luster, &control, port, json!({"socket": "control.sock"})).0, 200);
    assert_eq!((found().0, found().2), (0o600, first.2));
    if root {
        assert_eq!(asks_as_another(control.path(), group), "000", "the kernel lets nobody through");
    } else {
        let (code, answer) = reload(&luster, &control, port, json!({"socket": "control.sock", "group": 0}));
        assert_eq!(code, 409, "{answer}");
        assert!(answer["message"].as_str().expect("text").contains("group 0 of control.group"), "{answer}");
        assert_eq!((found().0, found().2), (0o600, first.2));
    }
    assert!(luster.events("config_unapplied").is_empty());
    assert_eq!(luster.stop().0, 0);
}
