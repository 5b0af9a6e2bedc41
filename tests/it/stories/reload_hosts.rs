//! An extension host that comes with a reload and goes with another, while clients make requests of which none fails.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{
    HTTP, Load, Luster, Running, Style, TELL, Target, children, eventually, free_port, is_alive,
};

/// Serves, tells what it finds, and asks the master if there is something to ask.
fn app() -> String {
    format!(
        "{TELL}{HTTP}const luster = require('luster');
        const found = {{ version: luster.config.get('version'), env: process.env.OF_MASTER, flags: process.execArgv.length }};
        if (luster.config.get('extensions.mine')) {{
            luster.remoteCallWithCallback({{ command: 'double', data: 21, timeout: 20000,
                callback: (of, error, doubled) => tell({{ ...found, doubled }}) }});
        }} else {{
            tell(found);
        }}"
    )
}

/// Answers workers, sets something for those to come, and tells whom it finds running.
fn extension(more: &str) -> String {
    format!(
        "{TELL}exports.configure = (config, luster) => {{
            if (!luster.isMaster) {{ return; }}
            process.env.OF_MASTER = 'set';
            luster.registerRemoteCommandWithCallback('double', (callback, data) => callback(data * 2));
            luster.on('worker online', worker => tell({{ sees: worker.wid, pid: worker.pid }}));
            luster.once('shutdown', () => tell({{ shutdown: process.pid }}));
            {more}
        }};"
    )
}

/// The configuration in its two forms, with an extension or without.
fn forms(port: u16, version: u32, extended: bool) -> [(&'static str, String); 2] {
    let mut config = json!({
        "app": "./worker.js", "workers": 2, "version": version, "server": {"port": port},
        "control": {"restart": "start-first"},
    });
    if extended {
        config["extensions"] = json!({"mine": {}});
    }
    [("luster.conf.json", config.to_string()), ("luster.conf.js", format!("module.exports = {config};"))]
}

/// A luster without an extension, whose workers serve.
#[track_caller]
fn serving(form: usize, port: u16, extension: &str) -> Running {
    let (file, text) = forms(port, 1, false)[form].clone();
    let luster = Luster::new()
        .file("worker.js", &app())
        .file("node_modules/mine/index.js", extension)
        .file(file, &text)
        .start();
    luster.await_ready(2);
    luster.await_listening(2);
    luster
}

#[track_caller]
fn reload(luster: &Running, (file, text): &(&'static str, String)) {
    luster.put(file, text);
    let over = luster.rollout();
    assert_eq!(over["event"], "rollout_finished", "{over}");
}

fn loads(port: u16) -> [Load; 2] {
    [Style::KEEP_ALIVE, Style::NEW].map(|style| Load::begin(&Target::Tcp(port), style))
}

#[track_caller]
fn end(loads: [Load; 2]) {
    loads.iter().for_each(|load| load.await_answers(20));
    loads.into_iter().for_each(Load::end_without_a_failure);
}

/// What was told with this key, once so many have.
#[track_caller]
fn told(luster: &Running, key: &str, count: usize) -> Vec<Value> {
    luster.await_told_where(count, key, |told| told.get(key).is_some())
}

/// The host's process, if there is one.
fn host(luster: &Running) -> Option<i32> {
    let pid = luster.control().status()["host"]["pid"].as_i64()?;
    i32::try_from(pid).ok()
}

/// The workers' processes that were started last.
fn workers(luster: &Running) -> Vec<i32> {
    [1, 2].map(|wid| luster.worker_pid(wid)).to_vec()
}

/// No worker has ended that luster had not asked to.
#[track_caller]
fn nobody_was_harmed(luster: &Running) {
    for exit in luster.events("exit") {
        assert_eq!((&exit["code"], &exit["signal"]), (&json!(0), &Value::Null), "{exit}");
    }
    assert!(luster.events("config_unapplied").is_empty(), "{:?}", luster.events("config_unapplied"));
}

#[test]
fn the_first_extension_brings_a_host_and_the_last_takes_it_away() {
    for form in 0..2 {
        let port = free_port();
        let luster = serving(form, port, &extension(""));
        let old = luster.all_pids();
        assert_eq!(host(&luster), None);
        let loads = loads(port);

        reload(&luster, &forms(port, 2, true)[form]);
        let pid = host(&luster).expect("a host");
        luster.await_event("host_ready", 1);
        // Those that ran before it, and those that have come since.
        let seen = told(&luster, "sees", 4);
        let of_before: Vec<_> = seen[..2].iter().map(|told| told["pid"].clone()).collect();
        assert_eq!(of_before, old, "{seen:?}");
        let asked = told(&luster, "doubled", 2);
        for one in &asked {
            assert_eq!(
                (&one["version"], &one["doubled"], &one["env"]),
                (&json!(2), &json!(42), &json!("set"))
            );
        }
        let middle = workers(&luster);
        assert!(children(luster.pid()).contains(&pid));

        reload(&luster, &forms(port, 3, false)[form]);
        let gone = told(&luster, "shutdown", 1);
        assert_eq!(gone[0]["shutdown"], pid);
        eventually("it is gone", || (!is_alive(pid)).then_some(()));
        assert_eq!(luster.await_event("host_exit", 1)["level"], "INFO");
        assert_eq!(host(&luster), None);
        let versions = luster.await_told_where(2, "version 3", |told| told["version"] == 3);
        assert!(
            versions.iter().all(|told| told.get("env").is_none()),
            "what it had set is gone: {versions:?}"
        );
        assert!(workers(&luster).iter().all(|pid| !middle.contains(pid)));

        // And once more, for nothing is left that would be in the way.
        reload(&luster, &forms(port, 4, true)[form]);
        assert_ne!(host(&luster).expect("a host"), pid);
        told(&luster, "doubled", 4);
        nobody_was_harmed(&luster);
        end(loads);
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn a_host_that_cannot_start_takes_the_reload_back_and_is_not_tried_again() {
    for form in 0..2 {
        let port = free_port();
        let fails =
            "exports.configure = (c, luster) => { if (luster.isMaster) { throw new Error('no vault'); } };";
        let luster = serving(form, port, fails);
        let old = luster.all_pids();
        let loads = loads(port);
        let (file, text) = &forms(port, 2, true)[form];
        luster.put(file, text);
        let over = luster.rollout();
        assert_eq!(over["event"], "rollout_aborted", "{over}");
        assert!(over.to_string().contains("no vault"), "{over}");
        eventually("all is as it was", || (children(luster.pid()) == old).then_some(()));
        assert_eq!((luster.all_pids(), host(&luster)), (old.clone(), None));
        loads.iter().for_each(|load| load.await_answers(20));
        assert_eq!(luster.events("host_fork").len(), 1);
        // Who dies is followed by one on what has stayed in force.
        kill(Pid::from_raw(old[0]), Signal::SIGKILL).expect("it runs");
        let told = luster.await_told_where(3, "version", |told| told["version"] == 1);
        assert_eq!(told[2].get("doubled"), None);
        loads.into_iter().for_each(|load| drop(load.end()));
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn a_host_that_goes_answers_what_it_is_asked_as_long_as_there_is_somebody_to_ask() {
    let port = free_port();
    // It asks luster for the reload that takes it away, and the workers ask it until their last request is answered.
    let host = extension(
        "luster.registerRemoteCommandWithCallback('slow', callback => { tell({ slow: true }); setTimeout(callback, 1000, 'late'); });
        luster.registerRemoteCommand('go', async () => tell({ reloaded: await luster.reload() }));",
    );
    let app = format!(
        "{TELL}const luster = require('luster');
        require('http').createServer((request, response) => {{
            if (request.url !== '/slow') {{ response.end(String(process.pid)); return; }}
            luster.remoteCallWithCallback({{ command: 'slow', timeout: 20000,
                callback: (of, error, data) => response.end(String(error || data)) }});
        }}).listen(process.env.port);
        if (luster.wid === 1) {{ process.on('SIGUSR2', () => luster.remoteCall('go')); }}"
    );
    let (file, text) = forms(port, 1, true)[0].clone();
    let luster = Luster::new()
        .file("worker.js", &app)
        .file("node_modules/mine/index.js", &host)
        .file(file, &text)
        .start();
    luster.await_ready(2);
    luster.await_listening(2);
    let loads = loads(port);
    let slow = std::thread::spawn(move || {
        let mut connection = crate::harness::Connection::open(&Target::Tcp(port)).expect("it listens");
        connection.request("GET /slow HTTP/1.1", b"").expect("an answer").body
    });
    told(&luster, "slow", 1);
    let (file, text) = &forms(port, 2, false)[0];
    luster.put(file, text);
    kill(Pid::from_raw(luster.worker_pid(1)), Signal::SIGUSR2).expect("it runs");
    let answer = &told(&luster, "reloaded", 1)[0]["reloaded"];
    assert_eq!(answer["outcome"], "done", "{answer}");
    assert_eq!(slow.join().expect("it ends"), "late");
    luster.await_event("host_exit", 1);
    nobody_was_harmed(&luster);
    end(loads);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn what_a_configuration_leaves_running_comes_and_goes_in_the_same_way() {
    let port = free_port();
    let program = |version: u32, more: &str| {
        format!(
            "{TELL}{more} module.exports = {{ app: './worker.js', workers: 2, version: {version}, server: {{ port: {port} }} }};"
        )
    };
    let stays =
        "if (require('cluster').isMaster) { setInterval(() => {}, 1000); process.env.OF_MASTER = 'set'; }";
    let luster = Luster::new().file("worker.js", &app()).file("luster.conf.js", &program(1, "")).start();
    luster.await_ready(2);
    luster.await_listening(2);
    let loads = loads(port);
    reload(&luster, &("luster.conf.js", program(2, stays)));
    let pid = host(&luster).expect("a host");
    reload(&luster, &("luster.conf.js", program(3, "")));
    eventually("it is gone", || (!is_alive(pid)).then_some(()));
    let told = luster.await_told(6);
    let found: Vec<_> = told.iter().map(|told| told.get("env").is_some()).collect();
    assert_eq!(found, [false, false, true, true, false, false], "{told:?}");
    nobody_was_harmed(&luster);
    end(loads);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn the_last_extension_that_goes_with_a_failed_reload_stays() {
    let port = free_port();
    let (file, text) = forms(port, 1, true)[0].clone();
    let luster = Luster::new()
        .file("worker.js", &app())
        .file("node_modules/mine/index.js", &extension(""))
        .file(file, &text)
        .start();
    luster.await_ready(2);
    luster.await_listening(2);
    let (pid, old) = (host(&luster), children(luster.pid()));
    let loads = loads(port);
    luster.put(
        "worker.js",
        &format!("if (require('luster').config.get('version') === 2) {{ process.exit(3); }}{}", app()),
    );
    luster.put(file, &forms(port, 2, false)[0].1);
    assert_eq!(luster.rollout()["event"], "rollout_aborted");
    eventually("neither was touched", || (children(luster.pid()) == old).then_some(()));
    assert_eq!(host(&luster), pid);
    assert!(luster.events("host_exit").is_empty());
    end(loads);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn how_long_extensions_may_take_holds_for_the_next_host_and_those_that_run_are_left_alone() {
    let port = free_port();
    // Where a file is, it never says that it is configured.
    let extension = "exports.configure = (config, luster, done) => {
        if (!luster.isMaster || !require('fs').existsSync('slow')) { done(); }
    };";
    let config = |timeout: u32| {
        json!({"app": "./worker.js", "workers": 1, "server": {"port": port}, "extensions": {"mine": {}},
            "extensionsLoadTimeout": timeout})
    };
    let luster = Luster::with(HTTP, config(0)).file("node_modules/mine/index.js", extension).start();
    luster.await_listening(1);
    let first = host(&luster).expect("a host");
    let load = Load::begin(&Target::Tcp(port), Style::NEW);
    reload(&luster, &("luster.conf.json", config(300).to_string()));
    assert_eq!(host(&luster), Some(first));
    luster.put("slow", "");
    kill(Pid::from_raw(first), Signal::SIGKILL).expect("it runs");
    let exit = luster.await_event("host_exit", 2);
    assert!(exit["fault"].as_str().is_some_and(|fault| fault.contains("300 ms")), "{exit}");
    std::fs::remove_file(luster.path().join("slow")).expect("there");
    luster.await_event("host_ready", 2);
    load.end_without_a_failure();
    assert!(luster.events("config_unapplied").is_empty());
    assert_eq!(luster.stop().0, 0);
}
