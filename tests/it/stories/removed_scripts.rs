//! Programs that clean up temporary folders do not ask: luster's own scripts are put back when they are needed.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::harness::{HTTP, Luster, Running, TELL, free_port};

/// A luster with a worker and an extension host, whose scripts are in the folder `run`.
fn start() -> Running {
    let module = format!(
        "{TELL}exports.configure = (config, luster) => {{
            luster.isMaster && luster.on('running', () => tell({{ running: process.pid }}));
        }};"
    );
    let config = json!({"workers": 1, "server": {"port": free_port()}, "extensions": {"mine": {}}});
    let luster = Luster::with(HTTP, config).file("node_modules/mine/index.js", &module);
    let run = luster.path().join("run").display().to_string();
    let luster = luster.env("RUNTIME_DIRECTORY", &run).start();
    luster.await_ready(1);
    luster.await_told_where(1, "running", |told| told["running"].is_i64());
    luster
}

/// Does this to each script; there are two of them, beside the control socket.
fn each_script(luster: &Running, what: fn(&Path)) {
    let files = std::fs::read_dir(luster.path().join("run")).expect("it is used");
    let files = files.map(|file| file.expect("readable").path());
    let files: Vec<_> = files.filter(|file| file.extension().is_some_and(|kind| kind == "cjs")).collect();
    assert_eq!(files.len(), 2);
    files.iter().for_each(|file| what(file));
}

fn kill_of(luster: &Running, event: &str, count: usize) {
    let pid = luster.await_event(event, count)["pid"].as_i64().expect("a pid");
    kill(Pid::from_raw(i32::try_from(pid).expect("a pid")), Signal::SIGKILL).expect("it is there");
}

#[test]
fn scripts_that_were_removed_or_changed_are_put_back_before_anything_runs_them() {
    let harms: [fn(&Path); 3] = [
        |script| std::fs::remove_file(script).expect("it was there"),
        |script| std::fs::write(script, "process.exit(1)").expect("ours"),
        |script| _ = std::fs::remove_dir_all(script.parent().expect("a folder")),
    ];
    for harm in harms {
        let luster = start();
        each_script(&luster, harm);
        kill_of(&luster, "fork", 1);
        luster.await_ready(2);
        assert_eq!(luster.events("script_gone").len(), 1);
        kill_of(&luster, "host_fork", 1);
        luster.await_told_where(2, "running", |told| told["running"].is_i64());
        assert_eq!(luster.events("exit").len(), 1, "{:?}", luster.events("exit"));
        assert_eq!(luster.events("host_exit").len(), 1, "{:?}", luster.events("host_exit"));
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn scripts_whose_folder_is_gone_for_good_are_put_elsewhere() {
    let luster = start();
    // A file in place of the folder.
    each_script(&luster, |script| _ = std::fs::remove_dir_all(script.parent().expect("a folder")));
    luster.put("run", "");
    kill_of(&luster, "fork", 1);
    luster.await_ready(2);
    // Another of the folders they may be in has taken it.
    assert_eq!(luster.events("exit").len(), 1);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn many_lusters_that_put_the_same_script_in_the_same_place_at_once_all_start() {
    let place = tempfile::tempdir().expect("a folder");
    let place = place.path().join("run").display().to_string();
    // Each runs its configuration with a script, and then a worker with another.
    let config = "module.exports = { app: 'worker.js', workers: 1 };";
    let lusters: Vec<_> = (0..6)
        .map(|_| {
            let luster = Luster::new().file("worker.js", "require('http').createServer().listen(0);");
            luster.file("luster.conf.js", config).env("RUNTIME_DIRECTORY", &place).start()
        })
        .collect();
    for luster in lusters {
        luster.await_ready(1);
        assert_eq!(luster.stop().0, 0);
    }
}
