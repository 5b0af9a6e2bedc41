//! What workers get when the configuration's file has changed: nothing of it before somebody asks for a reload.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{HTTP, Luster, Running, TELL, free_port};

/// Serves, and tells which configuration it has.
fn app() -> String {
    format!("{TELL}{HTTP}tell({{ version: require('luster').config.get('version') }});")
}

/// A configuration of this version in each form that is data, by its file's name.
fn data(port: u16, version: u32) -> [(&'static str, String); 3] {
    let body = format!(
        "app: './worker.js', workers: 2, version: {version}, server: {{ port: {port} }}, control: {{ stopTimeout: 5000 }}"
    );
    let json = json!({
        "app": "./worker.js", "workers": 2, "version": version, "server": {"port": port}, "control": {"stopTimeout": 5000},
    });
    [
        ("luster.conf.json", json.to_string()),
        ("luster.conf.json5", format!("{{ {body} }}")),
        ("luster.conf.js", format!("module.exports = {{ {body} }};")),
    ]
}

/// The versions told so far.
fn versions(luster: &Running, count: usize) -> Vec<Value> {
    let told = luster.await_told_where(count, "a version", |told| told.get("version").is_some());
    told.iter().map(|told| told["version"].clone()).collect()
}

#[test]
fn workers_that_crash_after_an_edit_nobody_asked_to_take_get_what_was_read_at_the_start() {
    for index in 0..3 {
        let port = free_port();
        let (file, text) = data(port, 1)[index].clone();
        let luster = Luster::new().file("worker.js", &app()).file(file, &text).start();
        luster.await_ready(2);
        for (nth, edit) in
            ["{ \"app\": ", "module.exports = {};\n", &data(port, 2)[index].1].iter().enumerate()
        {
            luster.put(file, edit);
            for wid in [1, 2] {
                kill(Pid::from_raw(luster.worker_pid(wid)), Signal::SIGKILL).expect("it runs");
            }
            luster.await_ready(2 * (nth + 2));
        }
        std::fs::remove_file(luster.path().join(file)).expect("there");
        kill(Pid::from_raw(luster.worker_pid(1)), Signal::SIGKILL).expect("it runs");
        luster.await_ready(9);
        assert_eq!(versions(&luster, 9), vec![json!(1); 9], "{file}");
        assert_eq!(luster.stop().0, 0);
    }
}
