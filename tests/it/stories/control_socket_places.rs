//! Where the control socket is when something is in its way, and when there are several masters.

use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{HTTP, Luster, Running, free_port};

/// A luster whose socket is to be at this path in its folder.
fn at(path: &str) -> Luster {
    let control = json!({"socket": path});
    Luster::with(HTTP, json!({"workers": 1, "server": {"port": free_port()}, "control": control}))
}

/// It has no socket, says why in one line, and serves all the same.
#[track_caller]
fn runs_without(luster: Luster, words: &str) {
    let luster = luster.start();
    luster.await_ready(1);
    let told = luster.events("control_socket");
    assert_eq!((told.len(), &told[0]["level"]), (1, &json!("WARN")), "{told:?}");
    let message = told[0]["message"].as_str().expect("a sentence");
    assert!(message.starts_with("there is no control socket: ") && message.contains(words), "{message}");
    assert!(luster.events("control").is_empty());
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_path_that_is_too_long_is_told() {
    let long = format!("{}.sock", "x".repeat(100));
    runs_without(at(&long), "and a unix socket's path has at most 107; set control.socket to a shorter one");
}

#[test]
fn a_folder_that_is_not_there_or_a_file_that_is_no_socket_is_told() {
    runs_without(at("nowhere/control.sock"), "nowhere/control.sock cannot be made: ENOENT");
    let luster = at("worker.js");
    let path = luster.path().join("worker.js");
    runs_without(luster, "worker.js is there already and is not a socket");
    assert!(!path.exists(), "the folder is gone, and was ours");
}

#[test]
fn a_folder_of_somebody_else_is_not_used() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    // A user of its own, so that nobody else has its folder in /tmp.
    let uid = 54_322;
    let folder = PathBuf::from(format!("/tmp/luster-{uid}"));
    let by_user = || {
        let luster = at("unused").without_env("XDG_RUNTIME_DIR").without_env("CACHE_DIRECTORY");
        let luster = luster.config(json!({"workers": 1, "server": {"port": free_port()}}));
        std::fs::set_permissions(luster.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("ours");
        luster.adjust(move |command| {
            command.uid(uid).gid(uid);
        })
    };
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).expect("made");
    runs_without(
        by_user(),
        &format!("/tmp/luster-{uid} belongs to another user (uid 0); remove it, or set control.socket"),
    );
    // Nor what a link leads to, even if that is the user's own.
    std::fs::remove_dir(&folder).expect("empty");
    let own = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::chown(own.path(), Some(uid), Some(uid)).expect("root");
    std::os::unix::fs::symlink(own.path(), &folder).expect("made");
    runs_without(by_user(), &format!("/tmp/luster-{uid} is not a folder"));
    std::fs::remove_file(&folder).expect("a link");
    // Where others can write, they could put a socket of theirs.
    std::fs::create_dir(&folder).expect("made");
    std::os::unix::fs::chown(&folder, Some(uid), Some(uid)).expect("root");
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("root");
    runs_without(by_user(), &format!("other users can write to /tmp/luster-{uid}"));
    std::fs::remove_dir_all(&folder).expect("root");
    let luster = by_user().start();
    luster.await_ready(1);
    assert!(luster.control_path().starts_with(&folder));
    assert_eq!(luster.control().status()["master"]["uid"], uid);
    assert_eq!(luster.stop().0, 0);
    std::fs::remove_dir_all(&folder).expect("root");
}

#[test]
fn what_cannot_be_used_is_passed_over_for_the_next_place() {
    // As after `su`, which leaves the variable of the user before.
    let luster = Luster::with(HTTP, json!({"workers": 1, "server": {"port": free_port()}}));
    let run = luster.path().join("run");
    let luster = luster.file("run/keep", "").env("RUNTIME_DIRECTORY", "/proc/nowhere");
    let luster = luster.env("XDG_RUNTIME_DIR", run.to_str().expect("UTF-8")).start();
    luster.await_ready(1);
    assert!(luster.control_path().starts_with(run.join("luster")));
    assert!(luster.events("control_socket").is_empty());
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn systemds_folder_comes_first() {
    let luster = Luster::with(HTTP, json!({"workers": 1, "server": {"port": free_port()}}));
    let run = luster.path().join("run");
    let luster = luster.file("run/keep", "").env("RUNTIME_DIRECTORY", run.to_str().expect("UTF-8"));
    let luster = luster.arg("--name").arg("web").start();
    luster.await_ready(1);
    assert_eq!(luster.control_path(), run.join("web.sock"));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn the_socket_of_a_killed_master_is_taken_over() {
    let mut killed = at("control.sock").start();
    killed.await_ready(1);
    let path = killed.control_path();
    killed.signal(Signal::SIGKILL);
    assert_eq!(killed.await_end(), 128 + 9);
    assert!(path.exists(), "nobody has removed it");
    let luster = at("unused").config(json!({
        "workers": 1, "server": {"port": free_port()}, "control": {"socket": path},
    }));
    let luster = luster.start();
    luster.await_ready(1);
    assert_eq!(luster.control_path(), path);
    assert!(luster.events("second_master").is_empty());
    assert_eq!(luster.control().status()["master"]["pid"], luster.pid());
    assert_eq!(luster.stop().0, 0);
    assert!(!path.exists());
}

/// One more master of this configuration, which is the same for all: workers without a port.
fn one_more(config: &Path) -> Running {
    let luster = Luster::new().config_file(config).start();
    luster.await_ready(1);
    luster
}

fn pid(line: &Value) -> i64 {
    line["pid"].as_i64().expect("a pid")
}

#[test]
fn a_second_master_of_the_same_configuration_says_so_and_has_a_socket_of_its_own() {
    let shared = Luster::with("setInterval(() => {}, 1000);", json!({"workers": 1}));
    let config = shared.path().join("luster.conf.json");
    let first = one_more(&config);
    let second = one_more(&config);
    let told = second.await_event("second_master", 1);
    assert_eq!((pid(&told), &told["level"]), (i64::from(first.pid()), &json!("WARN")));
    let (first_path, second_path) = (first.control_path(), second.control_path());
    let name = first_path.file_stem().expect("a name").to_str().expect("UTF-8");
    assert_eq!(second_path, first_path.with_file_name(format!("{name}.{}.sock", second.pid())));
    assert_eq!(first.control().status()["master"]["pid"], first.pid());
    assert_eq!(second.control().status()["master"]["pid"], second.pid());
    assert_eq!(first.control().status()["master"]["name"], second.control().status()["master"]["name"]);
    // With a name, or with another LUSTER_CONF, it is another one.
    for other in [
        Luster::new().arg("--name").arg(format!("other-{name}")).config_file(&config),
        Luster::new().config_file(&config).env("LUSTER_CONF", "x=1"),
    ] {
        let other = other.start();
        other.await_ready(1);
        assert!(other.events("second_master").is_empty());
        assert_eq!(other.control().status()["master"]["pid"], other.pid());
        assert_eq!(other.stop().0, 0);
    }
    // The second one is killed, and leaves its socket; whoever is next removes it.
    let mut second = second;
    second.signal(Signal::SIGKILL);
    second.await_end();
    assert!(second_path.exists());
    assert_eq!(first.stop().0, 0);
    let third = one_more(&config);
    assert_eq!(third.control_path(), first_path);
    assert!(!second_path.exists());
    assert_eq!(third.stop().0, 0);
}

#[test]
fn a_second_master_that_wants_the_same_port_ends_and_names_who_has_it() {
    let port = free_port();
    let shared = Luster::with(HTTP, json!({"workers": 1, "server": {"port": port}}));
    let config = shared.path().join("luster.conf.json");
    let first = one_more(&config);
    first.await_listening(1);
    let mut second = Luster::new().config_file(&config).start();
    assert_eq!(second.await_end(), 1);
    assert_eq!(pid(&second.await_event("second_master", 1)), i64::from(first.pid()));
    let refused = second.await_event("refused", 1);
    let holder = format!("pid {}", first.pid());
    assert!(refused["message"].as_str().is_some_and(|message| message.contains(&holder)), "{refused}");
    assert_eq!(first.control().status()["ready"], 1);
    assert_eq!(first.stop().0, 0);
}

#[test]
fn many_masters_that_start_at_once_where_one_was_killed_each_have_a_socket() {
    let shared = Luster::with("setInterval(() => {}, 1000);", json!({"workers": 1}));
    let path = shared.path().join("control.sock");
    let config = json!({"workers": 1, "control": {"socket": path}});
    let shared = shared.config(config);
    drop(UnixListener::bind(&path).expect("bound"));
    assert!(UnixStream::connect(&path).is_err(), "its server is dead");
    let config = shared.path().join("luster.conf.json");
    let masters: Vec<_> = (0..5).map(|_| Luster::new().config_file(&config).start()).collect();
    let mut paths: Vec<_> = masters.iter().map(Running::control_path).collect();
    for master in &masters {
        assert_eq!(master.control().status()["master"]["pid"], master.pid());
    }
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 5);
    assert!(paths.contains(&path));
    for master in masters {
        master.await_ready(1);
        assert_eq!(master.stop().0, 0);
    }
    assert!(paths.iter().all(|path| !path.exists()));
}
