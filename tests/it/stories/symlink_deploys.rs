//! Releases in folders of their own, and a link that deploys move: workers are of one release, configuration and code; of
//! the old one until somebody asks for a restart, of the new one from then on.

use std::os::unix::fs::symlink;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{Luster, Running, TELL, package, usual_node};

/// Two releases whose files differ in their number, and a link to the first.
fn releases(files: impl Fn(u32) -> Vec<(&'static str, String)>) -> Luster {
    let mut luster = Luster::new();
    for release in [1, 2] {
        let app = format!(
            "{TELL}tell({{ code: {release}, config: require('luster').config.get('release'), dep: require('dep'),
                main: require.main === module }});"
        );
        luster = luster.file(&format!("releases/{release}/worker.js"), &app).file(
            &format!("releases/{release}/node_modules/dep/index.js"),
            &format!("module.exports = {release};"),
        );
        for (name, text) in files(release) {
            luster = luster.file(&format!("releases/{release}/{name}"), &text);
        }
    }
    symlink("releases/1", luster.path().join("current")).expect("writable");
    luster
}

fn switch(luster: &Running) {
    symlink("releases/2", luster.path().join("next")).expect("writable");
    std::fs::rename(luster.path().join("next"), luster.path().join("current")).expect("writable");
}

fn prune(luster: &Running) {
    std::fs::remove_dir_all(luster.path().join("releases/1")).expect("there");
}

fn crash(luster: &Running) {
    kill(Pid::from_raw(luster.worker_pid(1)), Signal::SIGKILL).expect("it runs");
}

/// What the instances of worker 1 have been of: code, configuration and node_modules.
#[track_caller]
fn lives(luster: &Running, count: usize) -> Vec<[Value; 3]> {
    let told = luster.await_told_where(count, "a life", |told| told.get("code").is_some());
    told.iter().map(|told| ["code", "config", "dep"].map(|part| told[part].clone())).collect()
}

const fn of(release: u32) -> [u32; 3] {
    [release; 3]
}

/// The whole instance of a deploy: a crash before the restart, the restart, the end of the old release, a crash after that.
#[track_caller]
fn deploys(luster: Luster, restart: impl Fn(&Running)) {
    let luster = luster.start();
    luster.await_ready(1);
    switch(&luster);
    crash(&luster);
    luster.await_ready(2);
    assert_eq!(lives(&luster, 2), [of(1), of(1)], "before it is asked for");
    restart(&luster);
    luster.await_ready(3);
    assert_eq!(lives(&luster, 3)[2], of(2), "when it was asked for");
    prune(&luster);
    crash(&luster);
    luster.await_ready(4);
    assert_eq!(lives(&luster, 4)[3], of(2), "after the old release is gone");
    assert!(luster.told().iter().all(|told| told["main"] == true), "the app is the main module");
    assert_eq!(luster.stop().0, 0);
}

fn hangup(luster: &Running) {
    assert_eq!(luster.rollout()["event"], "rollout_finished");
}

/// A configuration file: its name, and its text by release.
type Form = (&'static str, Box<dyn Fn(u32) -> String>);

/// The configuration in each form, its app as it is written there.
fn forms() -> Vec<Form> {
    vec![
        (
            "luster.conf.js",
            Box::new(|release| {
                format!(
                    "module.exports = {{ app: require('path').join(__dirname, 'worker.js'), workers: 1, release: {release} }};"
                )
            }),
        ),
        (
            "luster.conf.js",
            Box::new(|release| {
                format!("module.exports = {{ app: './worker.js', workers: 0 + 1, release: {release} }};")
            }),
        ),
        (
            "luster.conf.mjs",
            Box::new(|release| {
                format!(
                    "import {{ fileURLToPath }} from 'url';
                    export default {{ app: fileURLToPath(new URL('worker.js', import.meta.url)), workers: 1, release: {release} }};"
                )
            }),
        ),
        (
            "luster.conf.js",
            Box::new(|release| {
                format!("module.exports = {{ app: './worker.js', workers: 1, release: {release} }};")
            }),
        ),
        (
            "luster.conf.json",
            Box::new(|release| json!({"app": "./worker.js", "workers": 1, "release": release}).to_string()),
        ),
        (
            "luster.conf.json5",
            Box::new(|release| format!("{{ app: './worker.js', workers: 1, release: {release} }}")),
        ),
    ]
}

#[test]
fn a_configuration_below_the_link_and_sighup() {
    for (name, text) in forms() {
        let luster = releases(|release| vec![(name, text(release))]).arg(format!("current/{name}"));
        deploys(luster, hangup);
    }
}

/// An extension that restarts the workers once its folder has a file `go`.
const RESTARTER: &str = "exports.configure = (config, luster) => {
    if (luster.isMaster) {
        setInterval(() => {
            try { require('fs').unlinkSync('go'); } catch { return; }
            luster.softRestart();
        }, 20);
    }
};";

#[test]
fn a_configuration_below_the_link_and_an_extension_that_restarts_softly() {
    for (name, text) in forms() {
        let with_extension = |release| {
            let text = text(release).replace("workers: ", "extensions: { mine: {} }, workers: ");
            text.replace("\"workers\":", "\"extensions\":{\"mine\":{}},\"workers\":")
        };
        let luster = releases(|release| {
            vec![(name, with_extension(release)), ("node_modules/mine/index.js", RESTARTER.to_owned())]
        });
        deploys(luster.arg(format!("current/{name}")), |luster| luster.put("go", ""));
    }
}

#[test]
fn a_configuration_elsewhere_that_names_the_app_through_the_link() {
    let luster = releases(|_| Vec::new());
    let app = luster.path().join("current/worker.js");
    let config = |release: u32| json!({"app": app, "workers": 1, "release": release}).to_string();
    let luster = luster.file("etc/x.json", &config(1)).arg("etc/x.json");
    let next = config(2);
    deploys(luster, move |luster| {
        luster.put("etc/x.json", &next);
        hangup(luster);
    });
}

#[test]
fn the_npm_command_below_the_link() {
    let node = usual_node();
    let luster = releases(|release| {
        vec![(
            "luster.conf.json",
            json!({"app": "./worker.js", "workers": 1, "release": release}).to_string(),
        )]
    });
    for release in [1, 2] {
        symlink(package(), luster.path().join(format!("releases/{release}/node_modules/luster")))
            .expect("writable");
    }
    deploys(luster.by_package(&node, &[]).arg("current/luster.conf.json"), hangup);
}

/// As in JS luster: each worker runs the script, by the name that it was started by.
#[test]
fn a_custom_master_below_the_link() {
    let master = |release: u32| {
        format!(
            "const luster = require('luster');
            luster.configure({{ app: require('path').join(__dirname, 'worker.js'), workers: 1, release: {release} }}, true, __dirname).run();"
        )
    };
    let luster = releases(|release| vec![("master.js", master(release))]);
    let luster =
        luster.file("master.js", "require('./current/master.js');").by_script(&usual_node(), &[]).start();
    luster.await_ready(1);
    switch(&luster);
    hangup(&luster);
    assert_eq!(lives(&luster, 2), [of(1), of(2)]);
    prune(&luster);
    crash(&luster);
    luster.await_ready(3);
    assert_eq!(lives(&luster, 3)[2], of(2));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_luster_started_in_the_links_folder_stays_with_its_release_and_says_when_that_is_gone() {
    let luster = releases(|release| {
        vec![(
            "luster.conf.json",
            json!({"app": "./worker.js", "workers": 1, "release": release}).to_string(),
        )]
    });
    let folder = luster.path().join("current");
    let luster = luster.current_dir(folder).start();
    luster.await_ready(1);
    switch(&luster);
    hangup(&luster);
    assert_eq!(lives(&luster, 2), [of(1), of(1)]);
    prune(&luster);
    luster.signal(Signal::SIGHUP);
    let refused = luster.await_event("config_refused", 1)["message"].as_str().expect("text").to_owned();
    assert!(refused.contains("the working directory luster was started in"), "{refused}");
    assert_eq!(luster.events("fork").len(), 2);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_worker_that_dies_when_its_release_is_gone_already_runs_the_one_that_there_is() {
    for (name, text) in forms() {
        let luster = releases(|release| vec![(name, text(release))]).arg(format!("current/{name}")).start();
        luster.await_ready(1);
        switch(&luster);
        prune(&luster);
        crash(&luster);
        luster.await_ready(2);
        let [code, _, dep] = lives(&luster, 2)[1].clone();
        assert_eq!((code, dep), (json!(2), json!(2)), "{name}");
        luster.await_stderr("the release that this worker is to run is gone");
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn the_settings_in_force_show_where_the_app_really_is() {
    let luster = releases(|_| vec![("luster.conf.json", r#"{"app": "./worker.js"}"#.to_owned())]);
    let folder = luster.path().canonicalize().expect("there");
    let (code, stdout, stderr) = luster.arg("--print-config").arg("current/luster.conf.json").output();
    assert_eq!(code, 0, "{stderr}");
    let shown: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(shown["app"]["value"], json!(folder.join("current/worker.js")));
    assert_eq!(shown["app"]["real"], json!(folder.join("releases/1/worker.js")));
}
