//! What workers get when the configuration's file has changed: nothing of it before somebody asks for a reload, nothing of
//! a wrong one ever.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{
    HTTP, Load, Luster, Running, Style, TELL, Target, children, eventually, free_port, free_ports, get,
    on_every_node, processes_in,
};

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

fn program(port: u16, version: u32) -> String {
    format!(
        "module.exports = {{ app: require.resolve('./worker.js'), workers: 1 + 1, version: {version}, server: {{ port: {port} }},
            control: {{ stopTimeout: 5000 }} }};"
    )
}

/// Asks for a reload; the line about its refusal.
#[track_caller]
fn is_refused(luster: &Running) -> String {
    let count = luster.events("config_refused").len();
    luster.signal(Signal::SIGHUP);
    let line = luster.await_event("config_refused", count + 1);
    assert_eq!(line["level"], "ERROR", "{line}");
    let message = line["message"].as_str().expect("text").to_owned();
    assert!(
        message.starts_with("the configuration is refused, and the workers run on as they are: "),
        "{message}"
    );
    message
}

#[test]
fn a_wrong_configuration_is_refused_before_any_worker_is_touched_and_costs_no_request() {
    let port = free_port();
    let luster = Luster::new().file("worker.js", &app()).file("luster.conf.js", &program(port, 1)).start();
    luster.await_ready(2);
    luster.await_listening(2);
    let loads = [Style::KEEP_ALIVE, Style::NEW].map(|style| Load::begin(&Target::Tcp(port), style));
    let old = luster.all_pids();
    for (text, expected) in [
        ("throw new Error('no DATABASE_URL');", "no DATABASE_URL"),
        ("module.exports = { app: ", "SyntaxError"),
        ("process.exit(3);", "exited with code 3"),
        ("module.exports = { app: './nowhere.js' };", "there is no such file"),
        ("module.exports = { app: './worker.js', workers: 'many' };", "workers"),
        (
            "module.exports = { app: './worker.js', extensions: { nowhere: {} } };",
            "Extension \"nowhere\" is not found",
        ),
        ("module.exports = { app: './worker.js', x: 'x'.repeat(20 << 20) };", "16 MiB"),
        ("module.exports = new Promise((_, no) => setTimeout(no, 10, new Error('no vault')));", "no vault"),
    ] {
        luster.put("luster.conf.js", text);
        let message = is_refused(&luster);
        assert!(message.contains(expected), "{expected:?} in {message}");
        loads.iter().for_each(|load| load.await_answers(5));
    }
    std::fs::remove_file(luster.path().join("luster.conf.js")).expect("there");
    assert!(is_refused(&luster).contains("luster.conf.js"), "where it was looked for");
    loads.iter().for_each(|load| load.await_answers(20));
    assert_eq!(luster.all_pids(), old);
    assert!(luster.events("stopping").is_empty());
    assert_eq!(children(luster.pid()), old, "nothing that has read configurations is left");

    luster.put("luster.conf.js", &program(port, 2));
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    assert_eq!(versions(&luster, 4), [1, 1, 2, 2]);
    loads.into_iter().for_each(Load::end_without_a_failure);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_right_one_reaches_workers_with_its_app_and_what_needs_a_full_restart_is_named() {
    for index in 0..3 {
        let ports = free_ports(2);
        let (file, text) = data(ports, 1)[index].clone();
        let luster = Luster::new().file("worker.js", &app()).file(file, &text).start();
        luster.await_ready(2);
        let other = app().replace("tell({ version", "tell({ other: true, version");
        luster.put("other.js", &other);
        let text = data(ports + 1, 2)[index].1.replace("./worker.js", "./other.js");
        let text = text.replace("workers: 2", "workers: 3").replace("\"workers\":2", "\"workers\":3");
        let text = text
            .replace("control: {", "extensions: { 'luster-guard': { debounce: 10 } }, control: {")
            .replace("\"control\":{", "\"extensions\":{\"luster-guard\":{\"debounce\":10}},\"control\":{");
        luster.put(file, &text);
        assert_eq!(luster.rollout()["event"], "rollout_finished");
        assert_eq!(versions(&luster, 5), [1, 1, 2, 2, 2], "{file}");
        assert!(luster.await_told(5)[2..].iter().all(|told| told["other"] == true), "{file}");
        let warned = luster.await_event("config_unapplied", 1);
        assert_eq!(
            (&warned["level"], &warned["keys"]),
            (&json!("WARN"), &json!("extensions.luster-guard")),
            "{file}"
        );
        // As of now, a crash is followed by the new one, too.
        kill(Pid::from_raw(luster.worker_pid(1)), Signal::SIGKILL).expect("it runs");
        assert_eq!(versions(&luster, 6)[5], 2, "{file}");
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn workers_serve_while_a_program_hangs_and_a_stop_does_not_wait_for_it() {
    let port = free_port();
    let mut luster =
        Luster::new().file("worker.js", &app()).file("luster.conf.js", &program(port, 1)).start();
    luster.await_ready(2);
    luster.await_listening(2);
    let load = Load::begin(&Target::Tcp(port), Style::KEEP_ALIVE);
    luster.put("luster.conf.js", "require('fs').writeSync(1, 'it is run\\n'); for (;;);");
    for _ in 0..3 {
        luster.signal(Signal::SIGHUP);
    }
    eventually("it is run", || luster.stdout().contains("it is run").then_some(()));
    load.await_answers(50);
    assert_eq!((luster.events("fork").len(), children(luster.pid()).len()), (2, 3));
    luster.signal(Signal::SIGTERM);
    drop(load.end());
    assert_eq!(luster.await_end(), 0);
    assert_eq!(processes_in(luster.path()), []);
}

#[test]
fn a_program_that_prints_without_end_is_heard_and_holds_nobody_up() {
    let port = free_port();
    let luster = Luster::new().file("worker.js", &app()).file("luster.conf.js", &program(port, 1)).start();
    luster.await_ready(2);
    luster.await_listening(2);
    let load = Load::begin(&Target::Tcp(port), Style::KEEP_ALIVE);
    let noise = "const line = 'x'.repeat(1 << 20); for (let i = 0; i < 64; i++) { console.log(line); }";
    luster.put("luster.conf.js", &format!("{noise}\n{}", program(port, 2)));
    load.await_answers(20);
    luster.signal(Signal::SIGHUP);
    luster.await_event("rollout_began", 1);
    load.end_without_a_failure();
    assert_eq!(luster.stop().0, 0);
}

/// The most memory a process has had so far, in KiB.
fn most_memory(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_program_that_prints_or_exports_a_gigabyte_is_refused_and_costs_luster_no_memory() {
    let port = free_port();
    let luster = Luster::new()
        .file("worker.js", &app())
        .file("luster.conf.js", &program(port, 1))
        .through(&["sh", "-c", "exec \"$0\" \"$@\" >/dev/null"])
        .start();
    luster.await_ready(2);
    luster.await_listening(2);
    let load = Load::begin(&Target::Tcp(port), Style::NEW);
    let old = luster.all_pids();
    let part = "const part = 'x'.repeat(1 << 20);";
    for (text, expected) in [
        (
            "for (let i = 0; i < 1024; i++) { require('fs').writeSync(1, part); } throw new Error('after all that');",
            "after all that",
        ),
        (
            "module.exports = { app: './worker.js', x: Array(1024).fill(part) };",
            "is larger than 16 MiB as JSON",
        ),
    ] {
        luster.put("luster.conf.js", &format!("{part} {text}"));
        let message = is_refused(&luster);
        assert!(message.contains(expected), "{expected:?} in {message}");
        load.await_answers(5);
        assert!(most_memory(luster.pid()) < 100 << 10, "{} KiB", most_memory(luster.pid()));
    }
    assert_eq!((luster.all_pids(), children(luster.pid())), (old.clone(), old));
    load.end_without_a_failure();
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_configuration_that_may_not_be_read_any_more_is_refused_and_costs_no_request() {
    /// Nobody's number.
    const NOBODY: u32 = 65_534;
    let as_nobody = |luster: Luster| {
        luster.without_env("XDG_RUNTIME_DIR").without_env("HOME").adjust(|command| {
            command.uid(NOBODY).gid(NOBODY);
        })
    };
    let port = free_port();
    for (file, text) in [data(port, 1)[0].clone(), ("luster.conf.js", program(port, 1))] {
        let luster = as_nobody(Luster::new().file("worker.js", &app()).file(file, &text));
        std::fs::set_permissions(luster.path(), PermissionsExt::from_mode(0o755)).expect("ours");
        let luster = luster.start();
        luster.await_ready(2);
        luster.await_listening(2);
        let load = Load::begin(&Target::Tcp(port), Style::NEW);
        let old = luster.all_pids();
        std::fs::set_permissions(luster.path().join(file), PermissionsExt::from_mode(0o000)).expect("ours");
        let message = is_refused(&luster);
        let sentence = format!("/{file}: cannot read the configuration: Permission denied");
        assert!(message.contains(&sentence), "{message}");
        let reload = as_nobody(Luster::new()).current_dir(luster.path()).arg("reload").arg(file);
        let (code, stdout, stderr) = reload.output();
        assert!(code == 78 && stdout.is_empty() && stderr.contains(&sentence), "{code}: {stderr}");
        assert!(stderr.contains("nothing was changed"), "{stderr}");
        load.await_answers(20);
        assert_eq!(luster.all_pids(), old);
        load.end_without_a_failure();
        std::fs::set_permissions(luster.path().join(file), PermissionsExt::from_mode(0o644)).expect("ours");
        assert_eq!(luster.rollout()["event"], "rollout_finished");
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn a_working_directory_that_is_gone_is_told_at_a_reload() {
    let luster = Luster::new()
        .file("conf/worker.js", &app())
        .file("conf/luster.conf.js", "module.exports = { app: './worker.js', workers: 0 + 1, version: 1 };")
        .file("cwd/luster.conf.json", "{}");
    let (config, cwd) = (luster.path().join("conf/luster.conf.js"), luster.path().join("cwd"));
    let luster = luster.config_file(config).current_dir(&cwd).start();
    luster.await_ready(1);
    std::fs::remove_dir_all(&cwd).expect("there");
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    let warned = luster.await_event("config_warning", 1)["message"].as_str().expect("text").to_owned();
    assert!(
        warned.contains("the working directory luster was started in") && warned.contains("/cwd"),
        "{warned}"
    );
    assert_eq!(versions(&luster, 2), [1, 1]);
    assert_eq!(luster.stop().0, 0);

    let luster = Luster::new()
        .file("cwd/worker.js", &app())
        .file("cwd/luster.conf.json", r#"{"app": "./worker.js", "workers": 1, "version": 1}"#);
    let cwd = luster.path().join("cwd");
    let luster = luster.current_dir(&cwd).start();
    luster.await_ready(1);
    let old = luster.all_pids();
    std::fs::remove_dir_all(&cwd).expect("there");
    assert!(is_refused(&luster).contains("the working directory luster was started in"));
    assert_eq!(luster.all_pids(), old);
    assert_eq!(luster.stop().0, 0);
}

/// An extension that restarts workers by the method named when a file called `go` is there.
fn restarter(method: &str) -> String {
    format!(
        "{TELL}exports.configure = (config, luster) => {{
            if (!luster.isMaster) {{ return; }}
            tell({{ host: luster.config.get('version') }});
            luster.on('restart aborted', (worker, reason) => tell({{ aborted: String(worker), reason }}));
            luster.on('restarted', () => tell({{ restarted: true }}));
            setInterval(() => {{
                try {{ require('fs').unlinkSync('go'); }} catch {{ return; }}
                luster.{method}();
            }}, 20);
        }};"
    )
}

#[test]
fn extensions_restart_workers_on_the_configuration_of_now_and_not_on_a_wrong_one() {
    for method in ["softRestart", "restart"] {
        let port = free_port();
        let config = |version: u32| {
            json!({"app": "./worker.js", "workers": 2, "version": version, "server": {"port": port}, "extensions": {"mine": {}}})
                .to_string()
        };
        let luster = Luster::new()
            .file("worker.js", &app())
            .file("luster.conf.json", &config(1))
            .file("node_modules/mine/index.js", &restarter(method))
            .start();
        luster.await_ready(2);
        let old = luster.all_pids();
        luster.put("luster.conf.json", "{ \"app\": ");
        luster.put("go", "");
        let aborted = luster.await_told_where(1, "it is given up", |told| told.get("aborted").is_some());
        assert_eq!(aborted[0]["aborted"], "null");
        assert!(aborted[0]["reason"].as_str().expect("text").contains("luster.conf.json"), "{aborted:?}");
        // What the host prints comes by another pipe than the log.
        luster.await_event("config_refused", 1);
        assert_eq!(luster.events("config_refused").len(), 1);
        assert_eq!(luster.all_pids(), old, "{method}");

        luster.put("luster.conf.json", &config(2));
        luster.put("go", "");
        luster.await_told_where(1, "it is over", |told| told.get("restarted").is_some());
        assert_eq!(versions(&luster, 4), [1, 1, 2, 2], "{method}");

        // A host that comes later has it, too.
        let host =
            i32::try_from(luster.await_event("host_fork", 1)["pid"].as_i64().expect("a pid")).expect("a pid");
        kill(Pid::from_raw(host), Signal::SIGKILL).expect("it runs");
        let hosts = luster.await_told_where(2, "a host", |told| told.get("host").is_some());
        assert_eq!((&hosts[0]["host"], &hosts[1]["host"]), (&json!(1), &json!(2)), "{method}");
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn a_reload_is_the_same_on_every_node_and_by_the_npm_command() {
    on_every_node(|node| {
        let port = free_port();
        for by_package in [false, true] {
            let luster = Luster::new()
                .file("worker.js", &app())
                .file("luster.conf.js", &program(port, 1))
                .arg("luster.conf.js");
            let luster = if by_package { luster.by_package(node, &[]) } else { luster.node(node) };
            let luster = luster.start();
            luster.await_ready(2);
            luster.put("luster.conf.js", "throw new Error('broken');");
            assert!(is_refused(&luster).contains("Error: broken"), "Node {}", node.major);
            luster.put("luster.conf.js", &program(port, 2));
            assert_eq!(luster.rollout()["event"], "rollout_finished");
            assert_eq!(versions(&luster, 4), [1, 1, 2, 2], "Node {}", node.major);
            assert_eq!(luster.stop().0, 0);
        }
    });
}

#[test]
fn what_a_configuration_listens_on_in_the_master_is_not_in_the_way_of_reading_it_again() {
    let (port, control) = (free_port(), free_port());
    let text = |version: u32| {
        format!(
            "if (require('luster').isMaster) {{
                const server = require('http').createServer((request, response) => response.end(String(process.pid)));
                module.exports = new Promise(done => server.listen({control}, '127.0.0.1', () => {{
                    require('dgram').createSocket('udp4').bind({control}, '127.0.0.1', () => done(settings(server.address().port)));
                }}));
            }} else {{
                module.exports = settings(1);
            }}
            function settings(port) {{
                return {{ app: './worker.js', workers: 1, version: {version}, isAt: port > 0, server: {{ port: {port} }} }};
            }}"
        )
    };
    let luster = Luster::new().file("worker.js", &app()).file("luster.conf.js", &text(1)).start();
    luster.await_ready(1);
    let host = get(&Target::Tcp(control)).expect("it is served").body;
    luster.put("luster.conf.js", &text(2));
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    assert_eq!(versions(&luster, 2), [1, 2]);
    assert_eq!(get(&Target::Tcp(control)).expect("it is served").body, host);
    assert_eq!(luster.stop().0, 0);
}
