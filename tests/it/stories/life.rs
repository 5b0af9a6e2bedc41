//! A worker's instance: its number and port, its ends of every kind, what follows them, and when it is given up.

use serde_json::{Value, json};

use crate::harness::{
    Connection, Luster, TELL, Target, ending_of, eventually, free_port, free_ports, get, is_alive,
    on_every_node, on_oldest_and_newest,
};

/// Tells who it is, and stays.
fn teller() -> String {
    format!("{TELL}tell({{ port: process.env.port, id: require('cluster').worker.id, pid: process.pid }});")
}

/// `port` by wid.
fn ports_of(config: Value) -> Vec<(u64, String)> {
    let workers = config["workers"].as_u64().expect("a number") as usize;
    let luster = Luster::with(&teller(), config).start();
    let mut ports: Vec<_> = luster
        .await_told(workers)
        .iter()
        .map(|told| (told["wid"].as_u64().expect("a wid"), told["port"].as_str().expect("text").to_owned()))
        .collect();
    ports.sort();
    luster.await_ready(workers);
    assert_eq!(luster.stop().0, 0);
    ports
}

fn pairs(pairs: &[(u64, &str)]) -> Vec<(u64, String)> {
    pairs.iter().map(|(wid, port)| (*wid, (*port).to_owned())).collect()
}

/// Leaves once and then serves: `how` is run by the first instance of each worker.
fn leaver(how: &str) -> String {
    format!(
        "{TELL}const fs = require('fs'), cluster = require('cluster'), http = require('http');
        const mark = `${{__dirname}}/left-${{process.env.LUSTER_WID}}`, first = !fs.existsSync(mark);
        const server = http.createServer((request, response) => response.end('here'));
        server.listen(Number(process.env.port), () => {{
            tell({{ first }});
            if (first) {{ fs.writeFileSync(mark, ''); setImmediate(() => {{ {how} }}); }}
        }});"
    )
}

#[test]
fn leftover_workers_join_the_last_group() {
    let config = json!({"workers": 5, "server": {"port": 18080, "groups": 2, "portsPerGroup": 10}});
    let expected = [(1, "18080"), (2, "18080"), (3, "18090"), (4, "18090"), (5, "18090")];
    assert_eq!(ports_of(config), pairs(&expected));
}

#[test]
fn a_star_in_a_path_becomes_the_offset_of_the_group() {
    let config = json!({"workers": 3, "server": {"port": "/tmp/x.*.sock", "groups": 3, "portsPerGroup": 5}});
    let expected = [(1, "/tmp/x.0.sock"), (2, "/tmp/x.5.sock"), (3, "/tmp/x.10.sock")];
    assert_eq!(ports_of(config), pairs(&expected));
}

#[test]
fn a_path_without_a_star_stays_and_one_group_is_group_0() {
    let config = json!({"workers": 1, "server": {"port": "x.sock"}});
    assert_eq!(ports_of(config), pairs(&[(1, "x.sock")]));
    let config = json!({"workers": 1, "server": {"port": "x-*"}});
    assert_eq!(ports_of(config), pairs(&[(1, "x-0")]));
}

#[test]
fn a_killed_worker_comes_back_with_its_number_and_port_and_a_new_id() {
    let port = free_ports(2);
    let config = json!({"workers": 2, "server": {"port": port, "groups": 2}});
    let luster = Luster::with(&teller(), config).start();
    luster.await_ready(2);
    let old = luster.worker_pid(2);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(old), nix::sys::signal::Signal::SIGKILL)
        .expect("there");
    luster.await_ready(3);
    let exit = luster.await_exit_of(2);
    assert_eq!((&ending_of(&exit), &exit["then"]), (&json!("was killed by SIGKILL"), &json!("restart")));
    let told = luster.await_told(3);
    let lives: Vec<_> = told.iter().filter(|told| told["wid"] == 2).collect();
    assert_eq!(lives.len(), 2, "{told:?}");
    assert_eq!(lives[1]["port"], (port + 1).to_string());
    assert_eq!(lives[1]["id"], 3);
    assert_ne!(lives[1]["pid"], old);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn the_states_of_a_life_are_in_the_log_in_their_order() {
    let port = free_port();
    let app = "require('http').createServer((q, r) => r.end()).listen(process.env.port)";
    let luster = Luster::with(app, json!({"workers": 1, "server": {"port": port}})).start();
    luster.await_ready(1);
    luster.await_listening(1);
    let pid = luster.worker_pid(1);
    let (code, log) = luster.stop();
    assert_eq!(code, 0);
    let states = ["start", "fork", "online", "ready", "asked", "stopping_all", "stopping", "exit", "stopped"];
    let seen: Vec<_> =
        log.iter().filter_map(|line| line["event"].as_str()).filter(|event| states.contains(event)).collect();
    assert_eq!(seen, states);
    let of_worker = |line: &&Value| line.get("wid").is_some();
    assert!(log.iter().filter(of_worker).all(|line| line["wid"] == 1 && line["pid"] == pid), "{log:?}");
}

/// Each worker leaves in its own way while it listens; each is replaced, and none by a crash.
#[test]
fn a_worker_that_leaves_by_itself_in_any_way_is_replaced_and_has_not_crashed() {
    let how = "switch (process.env.LUSTER_WID) {
        case '1': cluster.worker.disconnect(); break;
        case '2': cluster.worker.kill(); break;
        case '3': process.exit(0); break;
        case '4': process.disconnect(); break;
        case '5': server.close(() => process.exit(7)); break;
        case '6': process.kill(process.pid, 'SIGTERM'); break;
        }";
    on_oldest_and_newest(|node| {
        let balance = if node.major % 4 == 0 { "round-robin" } else { "shared" };
        let config = json!({"workers": 6, "server": {"port": free_port(), "balance": balance}});
        let luster = Luster::with(&leaver(how), config).node(node).start();
        luster.await_told_where(6, "later lives", |told| told["first"] == false);
        let ends: Vec<_> = (1..=6)
            .map(|wid| ending_of(&luster.await_exit_of(wid)).as_str().expect("text").to_owned())
            .collect();
        let code_0 = "exited with code 0";
        let expected = [code_0, code_0, code_0, code_0, "exited with code 7", "was killed by SIGTERM"];
        assert_eq!(ends, expected, "Node {}: {}", node.major, luster.stderr_of_workers());
        assert_eq!(luster.stop().0, 0);
    });
}

/// What looks like a second disconnect dialogue would kill a Node worker.
#[test]
fn a_worker_that_disconnects_itself_while_it_is_stopped_ends_with_code_0() {
    let ways = [
        "cluster.worker.disconnect()",
        "cluster.worker.kill()",
        "process.disconnect()",
        "process.exit(0)",
        "server.close()",
        "setImmediate(() => cluster.worker.disconnect())",
    ];
    on_oldest_and_newest(|node| {
        let app = |way: &str| {
            format!(
                "const cluster = require('cluster'), server = require('http').createServer((q, r) => r.end());
                require('luster').registerSuspendFunction(() => {{ {way}; }});
                server.listen(process.env.port);"
            )
        };
        let lusters = ways.map(|way| {
            // On a busy machine Node may take longer to leave than it has by default.
            let control = json!({"exitTimeout": 60_000});
            let config = json!({"workers": 1, "server": {"port": free_port()}, "control": control});
            (way, Luster::with(&app(way), config).node(node).start())
        });
        for (way, luster) in lusters {
            luster.await_ready(1);
            luster.await_listening(1);
            let (code, log) = luster.stop();
            let exit = log.iter().find(|line| line["event"] == "exit").expect("an exit");
            let expected = (0, &json!("exited with code 0"));
            assert_eq!((code, &ending_of(exit)), expected, "Node {}: {way}: {log:?}", node.major);
        }
    });
}

#[test]
fn a_worker_that_drains_by_itself_finishes_its_request_though_luster_is_stopped_meanwhile() {
    let app = "const cluster = require('cluster');
        require('http').createServer((request, response) => {
            cluster.worker.disconnect();
            response.write('begun');
            setTimeout(() => response.end(' and ended'), 300);
        }).listen(process.env.port);";
    on_every_node(|node| {
        let port = free_port();
        let config = json!({"workers": 1, "server": {"port": port}});
        let luster = Luster::with(app, config).node(node).start();
        luster.await_ready(1);
        luster.await_listening(1);
        let mut connection = Connection::open(&Target::Tcp(port)).expect("connects");
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
        let answer = std::thread::spawn(move || connection.reply());
        // It has begun to leave.
        luster.await_event("closed", 1);
        let (code, log) = luster.stop();
        let reply = answer.join().expect("no panic").expect("an answer");
        assert_eq!(reply.body, "begun and ended", "Node {}", node.major);
        assert_eq!(code, 0);
        let exits: Vec<_> = log.iter().filter(|line| line["event"] == "exit").collect();
        assert!(exits.iter().all(|exit| ending_of(exit) == "exited with code 0"), "{exits:?}");
    });
}

#[test]
fn a_worker_that_is_not_online_in_time_is_ended_and_started_again() {
    let slow_once = "#!/bin/sh\nif [ -e slow ]; then rm slow; exec sleep 100; fi\nexec node \"$@\"\n";
    let luster = Luster::with("", json!({"workers": 1, "control": {"forkTimeout": 5000}}))
        .file("node.sh", slow_once)
        .file("slow", "");
    let path = luster.path().join("node.sh");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("ours");
    let luster = luster.arg("--node").arg(path).start();
    luster.await_ready(1);
    let stopping = luster.await_event("stopping", 1);
    assert!(stopping["message"].as_str().expect("text").contains("control.forkTimeout"), "{stopping}");
    let exit = luster.await_exit_of(1);
    assert_eq!((&ending_of(&exit), &exit["then"]), (&json!("was killed by SIGTERM"), &json!("restart")));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_worker_with_too_many_sequential_deaths_is_dead_and_luster_ends_with_the_reason() {
    let config = json!({"workers": 1, "control": {"exitThreshold": 60000, "allowedSequentialDeaths": 2}});
    let mut luster = Luster::with("process.exit(3)", config).start();
    assert_eq!(luster.await_end(), 1);
    let exits = luster.events("exit");
    let thens: Vec<_> = exits.iter().map(|exit| exit["then"].as_str().expect("text")).collect();
    assert_eq!(thens, ["restart", "restart", "dead"]);
    assert!(exits.iter().all(|exit| ending_of(exit) == "exited with code 3"), "{exits:?}");
    assert_eq!(exits[2]["deaths"], 3);
    let all_dead = luster.await_event("all_dead", 1);
    assert!(all_dead["causes"].as_str().expect("text").contains("worker 1 exited with code 3"), "{all_dead}");
}

#[test]
fn by_default_no_sequential_death_is_allowed_and_the_other_workers_go_on() {
    let app = format!("{} if (process.env.LUSTER_WID === '1') process.exit(1);", teller());
    let luster = Luster::with(&app, json!({"workers": 2, "control": {"exitThreshold": 60000}})).start();
    let dead = luster.await_exit_of(1);
    assert_eq!((&dead["then"], &dead["deaths"]), (&json!("dead"), &json!(1)));
    luster.await_ready(1);
    assert!(is_alive(luster.worker_pid(2)));
    assert_eq!(luster.events("fork").len(), 2);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn the_pauses_of_a_worker_that_dies_at_boot_grow_and_are_told() {
    let luster = Luster::with("throw new Error('broken at boot')", json!({"workers": 1})).start();
    let fourth = luster.await_event("exit", 4);
    let pauses: Vec<_> = luster.events("exit").iter().map(|exit| exit["pause_ms"].as_u64()).take(4).collect();
    assert_eq!(pauses[0], None);
    let rest: Vec<_> = pauses[1..].iter().map(|pause| pause.expect("a pause")).collect();
    assert!(rest.is_sorted() && rest[0] >= 75 && rest[2] >= 300, "{rest:?}");
    assert!(fourth["message"].as_str().expect("text").contains("keeps crashing"), "{fourth}");
    luster.await_stderr("broken at boot");
    // A stop does not wait for the pause.
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_life_beyond_the_threshold_forgives_the_deaths_before_it() {
    // Young, young, old, young, young: five deaths, but never three young ones in a row.
    let app = "const fs = require('fs'), lives = __dirname + '/lives';
        fs.appendFileSync(lives, 'x');
        const life = fs.statSync(lives).size;
        if (life === 3) setTimeout(() => process.exit(1), 900);
        else if (life < 6) process.exit(1);";
    let config = json!({"workers": 1, "control": {"exitThreshold": 800, "allowedSequentialDeaths": 2}});
    let luster = Luster::with(app, config).start();
    luster.await_ready(2);
    eventually("the sixth life", || (luster.events("fork").len() == 6).then_some(()));
    assert!(luster.events("exit").iter().all(|exit| exit["then"] == "restart"));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_worker_that_cannot_listen_names_the_reason_in_the_last_word_of_luster() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let app = "require('http').createServer(() => {}).listen(process.env.port, '127.0.0.1')";
    let config = json!({"workers": 1, "server": {"port": port}, "control": {"exitThreshold": 60000}});
    let mut luster = Luster::with(app, config).start();
    assert_eq!(luster.await_end(), 1);
    let causes = luster.await_event("all_dead", 1)["causes"].as_str().expect("text").to_owned();
    assert!(causes.contains(&format!("127.0.0.1:{port}")) && causes.contains("in use"), "{causes}");
    luster.await_stderr("EADDRINUSE");
}

#[test]
fn a_port_serves_on_while_one_of_its_workers_keeps_dying() {
    let port = free_port();
    let app = "if (process.env.LUSTER_WID === '1') process.exit(1);
        require('http').createServer((q, r) => r.end('here')).listen(process.env.port)";
    let luster = Luster::with(app, json!({"workers": 2, "server": {"port": port}})).start();
    luster.await_listening(1);
    luster.await_event("exit", 3);
    for _ in 0..20 {
        assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "here");
    }
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn an_app_that_never_calls_ready_is_told_of_once() {
    let app =
        "require('http').createServer((_, r) => r.end('x')).listen(process.env.port); process.send('ready');";
    let config = json!({"workers": 1, "control": {"triggerReadyStateManually": true}, "server": {"port": free_port()}});
    let luster = Luster::with(app, config).start();
    let told = luster.await_event("unready", 1);
    assert_eq!((&told["level"], &told["wid"]), (&json!("WARN"), &json!(1)), "{told}");
    assert!(told["message"].as_str().expect("text").contains("has not called ready() for 10 s"), "{told}");
    let (code, log) = luster.stop();
    assert_eq!((code, log.iter().filter(|line| line["event"] == "unready").count()), (0, 1));
}
