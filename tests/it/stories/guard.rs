//! `luster-guard` without its module: luster watches files itself and restarts the workers.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Luster, Running, children, eventually};

fn guarding(options: Value) -> Luster {
    let config = json!({"workers": 2, "extensions": {"luster-guard": options}});
    let luster = Luster::with("", config).file("lib/code.js", "").file("node_modules/x/index.js", "");
    luster.file(".hidden/x.js", "").file("data/text.txt", "")
}

fn watching(options: Value) -> Running {
    let luster = guarding(options).start();
    luster.await_event("watching", 1);
    luster.await_ready(2);
    luster
}

/// The changes told so far, by kind and file.
fn told(luster: &Running) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    luster.events("fs_event").iter().map(|event| (text(&event["change"]), text(&event["file"]))).collect()
}

#[test]
fn a_change_restarts_the_workers_one_by_one_without_a_node_for_it() {
    let luster = watching(json!({"patterns": ["**/*.js", "!**/node_modules/**"], "debounce": 50}));
    assert_eq!(children(luster.pid()).len(), 2, "two workers, and no Node besides");
    for path in ["node_modules/x/index.js", ".hidden/x.js", "data/text.txt"] {
        fs::write(luster.path().join(path), "changed").expect("writable");
    }
    fs::write(luster.path().join("lib/code.js"), "changed").expect("writable");
    luster.await_event("rollout_finished", 1);
    assert!(told(&luster).iter().all(|(_, file)| file == "lib/code.js"), "{:?}", told(&luster));
    let message = luster.await_event("fs_event", 1)["message"].clone();
    assert_eq!(message, "FS event <change> on file \"lib/code.js\"");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn what_is_watched_is_named() {
    for (options, folder, words) in [
        (json!({"patterns": ["lib/*"]}), "lib", "watching the folder "),
        (json!({"patterns": ["worker.js"]}), "", "watching single files for changes in "),
        (json!({"patterns": ["lib/**", "data/**"]}), "", "watching 2 folders in "),
    ] {
        let luster = watching(options);
        let told = luster.await_event("watching", 1);
        let path = luster.path().canonicalize().expect("it is there").join(folder);
        let path = path.display().to_string();
        let (path, message) = (path.trim_end_matches('/'), told["message"].as_str().expect("text"));
        assert!(message.starts_with(&format!("{words}{path}")), "{told}");
        assert_eq!(told["below"], path);
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn without_options_every_file_counts_those_with_a_leading_dot_too() {
    let luster = watching(Value::Null);
    fs::write(luster.path().join(".hidden/x.js"), "changed").expect("writable");
    fs::write(luster.path().join(".env"), "A=1").expect("writable");
    luster.await_event("rollout_finished", 1);
    let told = told(&luster);
    assert!(told.iter().all(|(_, file)| file == ".env") && !told.is_empty(), "{told:?}");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn files_and_folders_that_come_and_go_are_noticed() {
    let luster = watching(json!({"patterns": "**/*.js", "debounce": 50}));
    let change = |count: usize, what: &str, kind: &str, file: &str, act: &dyn Fn()| {
        act();
        luster.await_event_where("fs_event", 1, |event| event["change"] == kind && event["file"] == file);
        luster.await_event("rollout_finished", count);
        assert!(!what.is_empty());
    };
    let path = |name: &str| luster.path().join(name);
    change(1, "a new folder", "add", "new/deep/a.js", &|| {
        fs::create_dir_all(path("made/deep")).expect("writable");
        fs::write(path("made/deep/a.js"), "").expect("writable");
        fs::rename(path("made"), path("new")).expect("writable");
    });
    change(2, "a file in it", "change", "new/deep/a.js", &|| {
        fs::write(path("new/deep/a.js"), "x").expect("writable");
    });
    change(3, "saved as editors do", "add", "lib/code.js", &|| {
        fs::write(path("lib/code.js.tmp"), "x").expect("writable");
        fs::rename(path("lib/code.js.tmp"), path("lib/code.js")).expect("writable");
    });
    change(4, "a file that goes", "unlink", "new/deep/a.js", &|| {
        fs::remove_file(path("new/deep/a.js")).expect("it is there");
    });
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn many_changes_are_one_restart_and_silence_can_be_had() {
    let luster =
        watching(json!({"patterns": ["lib/*"], "debounce": 300, "silent": true, "softRestart": false}));
    for number in 0..100 {
        fs::write(luster.path().join(format!("lib/{number}.js")), "").expect("writable");
    }
    let began = luster.await_event("rollout_began", 1);
    assert!(began["message"].as_str().expect("a message").contains("stop-first"), "{began}");
    luster.await_event("rollout_finished", 1);
    assert_eq!(luster.events("rollout_began").len(), 1);
    assert_eq!(told(&luster), []);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_change_during_a_restart_restarts_again() {
    let luster = watching(json!({"patterns": ["lib/*"], "debounce": 10}));
    // The first worker of the restart changes the code that the second one is still to load.
    luster.put("worker.js", "require('fs').writeFileSync('lib/code.js', String(process.pid)); ");
    fs::write(luster.path().join("lib/code.js"), "x").expect("writable");
    luster.await_event_where("fs_event", 3, |event| event["file"] == "lib/code.js");
    luster.put("worker.js", "");
    luster.await_ready(6);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn log_files_below_do_not_restart_for_ever() {
    let config = json!({"workers": 1, "extensions": {
        "luster-guard": {"debounce": 10}, "luster-log-file": {"stdout": "out.log"},
    }});
    let luster = Luster::with("console.log('printed')", config).start();
    luster.await_event("watching", 1);
    luster.await_ready(1);
    fs::write(luster.path().join("worker.js"), "console.log('changed')").expect("writable");
    luster.await_event("rollout_finished", 1);
    // Its own printing, and that of the restart, would have been noticed before the next change.
    fs::write(luster.path().join("last"), "").expect("writable");
    luster.await_event_where("fs_event", 1, |event| event["file"] == "last");
    assert!(told(&luster).iter().all(|(_, file)| file != "out.log"), "{:?}", told(&luster));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_folder_that_is_excluded_by_its_name_is_so_with_all_that_is_in_it() {
    let luster =
        watching(json!({"patterns": ["**/*", "!**/data", "!node_modules", "!**/*.log"], "debounce": 10}));
    for path in ["data/text.txt", "data/new", "node_modules/x/index.js", "node_modules/y", "lib/x.log"] {
        fs::write(luster.path().join(path), "changed").expect("writable");
    }
    fs::write(luster.path().join("lib/last"), "").expect("writable");
    luster.await_event_where("fs_event", 1, |event| event["file"] == "lib/last");
    assert!(told(&luster).iter().all(|(_, file)| file == "lib/last"), "{:?}", told(&luster));
    luster.await_event("rollout_finished", 1);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn what_is_built_anew_is_noticed_again_and_what_is_not_there_yet_when_it_comes() {
    let luster = watching(json!({"patterns": ["lib/**/*.js", "dist/app/*.js", "settings"], "debounce": 30}));
    let path = |name: &str| luster.path().join(name);
    let noticed = |name: &str, act: &dyn Fn()| {
        let before = luster.events("rollout_finished").len();
        act();
        luster.await_event_where("fs_event", 1, |event| event["file"] == name);
        luster.await_event("rollout_finished", before + 1);
    };
    noticed("dist/app/a.js", &|| {
        fs::create_dir_all(path("dist/app")).expect("writable");
        fs::write(path("dist/app/a.js"), "").expect("writable");
    });
    for round in 0..3 {
        noticed(&format!("lib/deep/{round}.js"), &|| {
            fs::remove_dir_all(path("lib")).expect("it is there");
            fs::create_dir_all(path("lib/deep")).expect("writable");
            fs::write(path(&format!("lib/deep/{round}.js")), "").expect("writable");
        });
        noticed(&format!("dist/app/{round}.js"), &|| {
            fs::rename(path("dist"), path(&format!("old{round}"))).expect("it is there");
            fs::create_dir_all(path("made/app")).expect("writable");
            fs::write(path(&format!("made/app/{round}.js")), "").expect("writable");
            fs::rename(path("made"), path("dist")).expect("writable");
        });
    }
    noticed("settings/a", &|| {
        fs::create_dir(path("settings")).expect("writable");
        fs::write(path("settings/a"), "").expect("writable");
    });
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn sources_that_are_moved_away_restart_the_workers() {
    let luster = watching(json!({"patterns": ["**/*.js", "!**/node_modules/**"], "debounce": 30}));
    fs::rename(luster.path().join("lib"), luster.path().join(".lib")).expect("it is there");
    luster.await_event("rollout_finished", 1);
    assert_eq!(told(&luster), []);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn lusters_own_words_in_a_file_that_is_watched_are_no_change() {
    let luster = guarding(json!({"debounce": 30}));
    let folder = luster.path().to_owned();
    let running = luster.through(&["sh", "-c", "exec \"$@\" 2> err.log", "sh"]).start();
    let log = || fs::read_to_string(folder.join("err.log")).unwrap_or_default();
    eventually("it watches", || log().contains("\"watching\"").then_some(()));
    fs::rename(folder.join("err.log"), folder.join("err.log.1")).expect("it is there");
    let log = || fs::read_to_string(folder.join("err.log.1")).unwrap_or_default();
    fs::write(folder.join("lib/code.js"), "changed").expect("writable");
    eventually("it restarts", || log().contains("rollout_finished").then_some(()));
    fs::write(folder.join("lib/last.js"), "").expect("writable");
    eventually("it notices more", || log().contains("lib/last.js").then_some(()));
    let lines =
        log().lines().filter(|line| line.contains("\"fs_event\"") && line.contains("err.log")).count();
    // Its new name has come.
    assert!(lines <= 2, "{}", log());
    let mut running = running;
    running.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(running.await_end(), 0);
}

#[test]
fn patterns_that_cannot_be_used_are_told() {
    for (options, words) in [
        (json!({"patterns": ["a["]}), "the pattern \"a[\" cannot be used"),
        (json!({"patterns": ["!(a).js"]}), "extended globs"),
        (
            json!({"patterns": {}}),
            "\"extensions.luster-guard.patterns\" must be a string or an array, not an object",
        ),
    ] {
        let (code, _, stderr) = guarding(options).output();
        assert_eq!(code, 78);
        assert!(stderr.contains(words), "{stderr}");
    }
}
