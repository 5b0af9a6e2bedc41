//! What a reload applies: each setting, while clients make requests of which none fails.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{
    HTTP, Load, Luster, Running, Style, TELL, Target, eventually, free_port, free_ports, get,
};

/// Serves, and tells what it was told.
fn app() -> String {
    format!(
        "{TELL}{HTTP}tell({{ port: process.env.port, version: require('luster').config.get('version') }});"
    )
}

/// Clients of both kinds.
fn loads(target: &Target) -> [Load; 2] {
    [Style::KEEP_ALIVE, Style::NEW].map(|style| Load::begin(target, style))
}

#[track_caller]
fn end(loads: [Load; 2]) {
    loads.iter().for_each(|load| load.await_answers(20));
    loads.into_iter().for_each(Load::end_without_a_failure);
}

/// A luster with this configuration whose workers serve.
#[track_caller]
fn serving(config: Value, workers: usize) -> Running {
    let luster = Luster::with(&app(), config).start();
    luster.await_ready(workers);
    luster.await_listening(workers);
    luster
}

/// Puts another configuration in place and reloads.
#[track_caller]
fn reload(luster: &Running, config: &Value) {
    let mut config = config.clone();
    if config.get("app").is_none() {
        config["app"] = "worker.js".into();
    }
    luster.put("luster.conf.json", &config.to_string());
    let over = luster.rollout();
    assert_eq!(over["event"], "rollout_finished", "{over}");
}

/// The workers that there are.
#[track_caller]
fn wids(luster: &Running) -> Vec<u64> {
    let status = luster.control().status();
    let all = status["workers"].as_array().expect("workers").iter();
    all.map(|worker| worker["wid"].as_u64().expect("a number")).collect()
}

fn is_refused(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port))
        .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

const STRATEGIES: [&str; 2] = ["stop-first", "start-first"];

#[test]
fn more_and_fewer_workers() {
    for restart in STRATEGIES {
        let port = free_port();
        let config = |workers: u32| json!({"workers": workers, "server": {"port": port}, "control": {"restart": restart}});
        let luster = serving(config(2), 2);
        let loads = loads(&Target::Tcp(port));
        for count in [4, 1, 3] {
            reload(&luster, &config(count));
            let wanted: Vec<_> = (1..=count.into()).collect();
            eventually("those that go are gone", || (wids(&luster) == wanted).then_some(()));
        }
        end(loads);
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn a_port_that_moves_is_open_in_its_new_place_before_it_is_closed_in_the_old_one() {
    for restart in STRATEGIES {
        for balance in ["round-robin", "shared", "reuseport"] {
            let ports = free_ports(2);
            let config = |port: u16| json!({"workers": 2, "server": {"port": port, "balance": balance}, "control": {"restart": restart}});
            let luster = serving(config(ports), 2);
            let loads = loads(&Target::FirstOf(vec![ports, ports + 1]));
            reload(&luster, &config(ports + 1));
            eventually("the old port is closed", || is_refused(ports).then_some(()));
            end(loads);
            let told: Vec<_> = luster.await_told(4)[2..].iter().map(|told| told["port"].clone()).collect();
            assert_eq!(told, vec![(ports + 1).to_string(); 2], "{restart} {balance}");
            assert_eq!(luster.stop().0, 0);
        }
    }
}

#[test]
fn groups_that_come_and_go_open_and_close_their_ports() {
    for restart in STRATEGIES {
        let port = free_ports(21);
        let config = |groups: u16, per_group: u16| {
            json!({"workers": 2, "control": {"restart": restart},
                "server": {"port": port, "groups": groups, "portsPerGroup": per_group}})
        };
        let luster = serving(config(1, 1), 2);
        let loads = loads(&Target::Tcp(port));
        reload(&luster, &config(2, 1));
        let second = Load::begin(&Target::FirstOf(vec![port + 1, port + 20]), Style::NEW);
        second.await_answers(10);
        reload(&luster, &config(2, 20));
        eventually("it has moved", || is_refused(port + 1).then_some(()));
        second.await_answers(10);
        second.end_without_a_failure();
        reload(&luster, &config(1, 1));
        eventually("it is closed", || is_refused(port + 20).then_some(()));
        end(loads);
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn another_app_and_another_version_of_the_configuration() {
    let port = free_port();
    let config = |app: &str, version: u32| json!({"app": app, "version": version, "workers": 2, "server": {"port": port}});
    let luster = Luster::new()
        .file("worker.js", &app())
        .file("other.js", &app().replace("${process.pid} read", "other"))
        .config(config("worker.js", 1))
        .start();
    luster.await_listening(2);
    luster.await_ready(2);
    let loads = loads(&Target::Tcp(port));
    reload(&luster, &config("other.js", 2));
    assert!(get(&Target::Tcp(port)).expect("an answer").body.starts_with("other"));
    let versions: Vec<_> = luster.await_told(4).iter().map(|told| told["version"].clone()).collect();
    assert_eq!(versions, [1, 1, 2, 2]);
    end(loads);
    assert_eq!(luster.stop().0, 0);
}

/// The listening sockets of a TCP port, and for each worker which of them it has.
fn sockets(luster: &Running, port: u16) -> (BTreeSet<String>, Vec<BTreeSet<String>>) {
    let table = std::fs::read_to_string("/proc/net/tcp6").expect("readable");
    let listens = |line: &&str| line.contains(&format!(":{port:04X} ")) && line.contains(" 0A ");
    let inode = |line: &str| format!("socket:[{}]", line.split_whitespace().nth(9).expect("an inode"));
    let all: BTreeSet<_> = table.lines().filter(listens).map(inode).collect();
    let of = |wid: u32| {
        let pid = luster.worker_pid(wid);
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it is there");
        let targets = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        targets.map(|path| path.to_string_lossy().into_owned()).filter(|it| all.contains(it)).collect()
    };
    let each = (1..=2).map(of).collect();
    (all, each)
}

/// Two workers that share connections in this way have these sockets.
#[track_caller]
fn shares_by(luster: &Running, port: u16, balance: &str) {
    let (all, each) = sockets(luster, port);
    let counts: Vec<_> = each.iter().map(BTreeSet::len).collect();
    match balance {
        "round-robin" => assert_eq!(counts, [0, 0], "{balance}: {all:?} {each:?}"),
        "shared" => assert!(counts == [1, 1] && each[0] == each[1], "{balance}: {all:?} {each:?}"),
        "reuseport" => assert!(counts == [1, 1] && each[0] != each[1], "{balance}: {all:?} {each:?}"),
        other => panic!("{other}"),
    }
}

#[test]
fn connections_are_shared_in_another_way_on_the_same_port() {
    for restart in STRATEGIES {
        let port = free_port();
        let config = |balance: &str| json!({"workers": 2, "server": {"port": port, "balance": balance}, "control": {"restart": restart}});
        let luster = serving(config("round-robin"), 2);
        let loads = loads(&Target::Tcp(port));
        // From each to each of the others.
        for balance in [
            "shared",
            "round-robin",
            "reuseport",
            "shared",
            "reuseport",
            "round-robin",
            "shared",
            "round-robin",
        ] {
            reload(&luster, &config(balance));
            shares_by(&luster, port, balance);
            loads.iter().for_each(|load| load.await_answers(20));
            let answered = eventually("both workers answer", || {
                let bodies = (0..20).map(|_| get(&Target::Tcp(port)).expect("an answer").body);
                Some(bodies.collect::<BTreeSet<_>>()).filter(|bodies| bodies.len() == 2)
            });
            assert_eq!(answered.len(), 2, "{restart} {balance}");
        }
        end(loads);
        assert!(luster.events("config_unapplied").is_empty());
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn who_may_connect_to_a_unix_socket() {
    let group = if nix::unistd::geteuid().is_root() { 1 } else { nix::unistd::getegid().as_raw() };
    let luster = Luster::new().file("worker.js", &app());
    let path = luster.path().join("app.sock");
    let config = |server: Value| {
        let mut all = json!({"app": "worker.js", "workers": 2, "server": {"port": path}});
        all["server"].as_object_mut().expect("one").extend(server.as_object().expect("one").clone());
        all
    };
    let luster = luster.config(config(json!({}))).start();
    luster.await_listening(2);
    luster.await_ready(2);
    let found = || {
        let found = std::fs::metadata(&path).expect("it is there");
        (found.permissions().mode() & 0o777, found.gid(), found.ino())
    };
    let first = found();
    let loads = loads(&Target::Unix(path.clone()));
    reload(&luster, &config(json!({"socketMode": "0620", "socketGroup": group})));
    assert_eq!(found(), (0o620, group, first.2));
    reload(&luster, &config(json!({"socketMode": "0666"})));
    assert_eq!(found(), (0o666, first.1, first.2));
    reload(&luster, &config(json!({})));
    assert_eq!(found(), first, "as it was made");
    end(loads);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn limits_hold_for_workers_that_wait_for_their_turn_too() {
    let port = free_port();
    // It never ends by itself.
    let app = format!("{HTTP}process.on('disconnect', () => {{}}); setInterval(() => {{}}, 1000);");
    let config = |control: Value| json!({"app": "worker.js", "workers": 2, "server": {"port": port}, "control": control});
    let luster = Luster::with(&app, config(json!({"stopTimeout": 0, "exitTimeout": 0}))).start();
    luster.await_listening(2);
    luster.await_ready(2);
    let loads = loads(&Target::Tcp(port));
    // Under the old limits the first would never go.
    reload(&luster, &config(json!({"stopTimeout": 300, "restart": "start-first"})));
    let exits = luster.events("exit");
    assert_eq!(exits.len(), 2, "{exits:?}");
    assert!(exits.iter().all(|exit| exit["signal"] == "SIGTERM"), "{exits:?}");
    end(loads);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn how_many_deaths_are_allowed_holds_at_once() {
    let app = format!("{HTTP}if (require('fs').existsSync('bad')) process.exit(3);");
    let port = free_port();
    let config = |deaths: u32| {
        json!({"app": "worker.js", "workers": 1, "server": {"port": port},
            "control": {"exitThreshold": 60_000, "allowedSequentialDeaths": deaths}})
    };
    let luster = Luster::with(&app, config(1000)).start();
    luster.await_listening(1);
    reload(&luster, &config(1));
    luster.put("bad", "");
    kill(Pid::from_raw(luster.worker_pid(1)), Signal::SIGKILL).expect("it runs");
    luster.await_event("all_dead", 1);
    assert_eq!(luster.events("exit").len(), 3, "the old one, the one killed, and one more");
    let mut luster = luster;
    assert_eq!(luster.await_end(), 1);
}

/// Answers with what the extension was given.
const EXTENSION: &str = "exports.configure = (config, luster) => {
    if (luster.isMaster) {
        require('fs').writeSync(1, JSON.stringify({ master: config.get('name'), pid: process.pid }) + '\\n');
        setInterval(() => {}, 1000);
    } else {
        require('fs').writeSync(1, JSON.stringify({ worker: config.get('name') }) + '\\n');
    }
};";

#[test]
fn an_extensions_options_in_its_host_and_in_workers() {
    let port = free_port();
    let config = |name: &str| json!({"app": "worker.js", "workers": 2, "server": {"port": port}, "extensions": {"mine": {"name": name}}});
    let luster = Luster::with(HTTP, config("first")).file("node_modules/mine/index.js", EXTENSION).start();
    luster.await_listening(2);
    luster.await_ready(2);
    let loads = loads(&Target::Tcp(port));
    reload(&luster, &config("second"));
    let names = |side: &str, count: usize| {
        let told = luster.await_told_where(count, side, |told| told.get(side).is_some());
        told.iter().map(|told| told[side].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("master", 2), ["first", "second"]);
    assert_eq!(names("worker", 4), ["first", "first", "second", "second"]);
    end(loads);
    assert!(luster.events("config_unapplied").is_empty());
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn where_inspectors_are_found() {
    let code = format!("{TELL}{HTTP}tell({{ debug: process.debugPort }});");
    let (port, debug) = (free_port(), free_ports(6));
    let config = |base: u16| json!({"app": "worker.js", "workers": 2, "server": {"port": port}, "properties": {"masterInspectPort": base}});
    let luster = Luster::with(&code, config(debug)).arg("--node-arg=--inspect").start();
    luster.await_listening(2);
    let loads = loads(&Target::Tcp(port));
    reload(&luster, &config(debug + 3));
    let mut told: Vec<_> = luster.await_told(4).iter().map(|told| told["debug"].as_u64()).collect();
    // The first two start together.
    told.sort_unstable();
    assert_eq!(told, [1, 2, 4, 5].map(|more| Some(u64::from(debug + more))));
    assert!(luster.events("config_unapplied").is_empty());
    end(loads);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn what_luster_conf_overrides_stays_overridden() {
    let ports = free_ports(2);
    let config =
        |port: u16, workers: u32| json!({"app": "worker.js", "workers": workers, "server": {"port": port}});
    let luster = Luster::with(&app(), config(ports, 2)).env("LUSTER_CONF", "workers=1").start();
    luster.await_listening(1);
    luster.await_ready(1);
    reload(&luster, &config(ports + 1, 3));
    // The file's port is new, and it is still one worker.
    assert_eq!(wids(&luster), [1]);
    assert_eq!(luster.await_told(2)[1]["port"], (ports + 1).to_string());
    assert!(luster.events("config_unapplied").is_empty());
    assert_eq!(luster.stop().0, 0);
}
