//! The channel between master and worker: what an app sends over it, and what its own children see of it.

use std::io::Read;
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::harness::{
    Luster, PATIENCE, TELL, Target, ending_of, free_port, free_ports, get, on_every_node,
    on_oldest_and_newest,
};

#[test]
fn any_message_of_an_apps_own_is_taken_and_changes_nothing() {
    let app = format!(
        "{TELL}const messages = ['text', 1, true, null, [], {{}}, {{ cmd: 'x' }}, {{ cmd: 'NODE_' }}, {{ cmd: 'NODE_OTHER' }},
            {{ cmd: 'NODE_CLUSTER', act: 'other' }}, {{ cmd: 'NODE_CLUSTER', ack: 77 }}, {{ cmd: 'luster_mine', args: [1] }},
            {{ cmd: 'luster_core.callback', args: ['nobody', 1] }}, {{ cmd: 'luster_core.master.broadcastWorkerEvent', args: [] }},
            {{ cmd: 'luster_core.master.broadcastWorkerEvent', args: ['\\u2028\\ud83d\\ude00 event'] }},
            {{ big: 'x'.repeat(2000000) }}, '\\n\\u0000', {{ args: 5, cmd: 5 }}];
        let sent = 0;
        for (const message of messages) {{
            process.send(message, error => {{
                if (error) tell({{ error: error.message }});
                if (++sent < messages.length) return;
                require('http').createServer((request, response) => response.end('here'))
                    .listen(process.env.port, () => tell({{ sent }}));
            }});
        }}"
    );
    on_oldest_and_newest(|node| {
        let port = free_port();
        let luster = Luster::with(&app, json!({"workers": 1, "server": {"port": port}})).node(node).start();
        assert_eq!(luster.await_told(1)[0]["sent"], 18, "Node {}", node.major);
        luster.await_ready(1);
        assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "here");
        let (code, log) = luster.stop();
        let exit = log.iter().find(|line| line["event"] == "exit").expect("an exit");
        assert_eq!((code, &ending_of(exit)), (0, &json!("exited with code 0")));
    });
}

/// A server that sends each connection to the master, which has no use for it and closes it.
fn sender(after: &str) -> String {
    format!(
        "{TELL}const net = require('net'), port = Number(process.env.port);
        const server = net.createServer(socket => {{
            server.getConnections((error, before) => {{
                process.send({{ take: 'this' }}, socket, error => {{
                    tell({{ name: 'sent', error: error && error.message, before }});
                    {after}
                }});
            }});
        }});
        server.listen(port, '127.0.0.1', () => tell({{ name: 'listens' }}));"
    )
}

fn is_closed(mut connection: TcpStream) -> bool {
    connection.set_read_timeout(Some(PATIENCE)).expect("set");
    matches!(connection.read(&mut [0]), Ok(0))
}

#[test]
fn a_connection_sent_to_the_master_is_closed_and_its_server_can_count_listen_close_and_stop() {
    let app = sender(
        "server.getConnections((error, count) => {
            tell({ name: 'counted', error, count });
            server.close(() => {
                tell({ name: 'closed' });
                require('http').createServer((request, response) => response.end('here'))
                    .listen(port + 1, () => tell({ name: 'listens again' }));
            });
        });",
    );
    on_oldest_and_newest(|node| {
        let port = free_ports(2);
        let luster = Luster::with(&app, json!({"workers": 1, "server": {"port": port}})).node(node).start();
        luster.await_told(1);
        let connection = TcpStream::connect(("127.0.0.1", port)).expect("connects");
        assert!(is_closed(connection), "Node {}", node.major);
        let told = luster.await_told(5);
        let names: Vec<_> = told.iter().map(|told| told["name"].as_str().expect("text")).collect();
        assert_eq!(names, ["listens", "sent", "counted", "closed", "listens again"], "Node {}", node.major);
        assert_eq!((&told[1]["error"], &told[1]["before"]), (&Value::Null, &json!(1)), "Node {}", node.major);
        // The master may be asked before it has closed what it got.
        assert!(told[2]["count"].as_u64().is_some_and(|count| count <= 1), "Node {}: {told:?}", node.major);
        assert_eq!(get(&Target::Tcp(port + 1)).expect("an answer").body, "here");
        luster.await_ready(1);
        let (code, log) = luster.stop();
        let exit = log.iter().find(|line| line["event"] == "exit").expect("an exit");
        assert_eq!((code, &ending_of(exit)), (0, &json!("exited with code 0")), "Node {}", node.major);
    });
}

#[test]
fn a_worker_that_sent_connections_to_the_master_stops_without_a_timeout() {
    on_oldest_and_newest(|node| {
        let port = free_port();
        let luster =
            Luster::with(&sender(""), json!({"workers": 1, "server": {"port": port}})).node(node).start();
        luster.await_told(1);
        for _ in 0..5 {
            assert!(
                is_closed(TcpStream::connect(("127.0.0.1", port)).expect("connects")),
                "Node {}",
                node.major
            );
        }
        luster.await_told(6);
        luster.await_ready(1);
        assert_eq!(luster.rollout()["event"], "rollout_finished");
        luster.await_told_where(2, "listens", |told| told["name"] == "listens");
        assert!(is_closed(TcpStream::connect(("127.0.0.1", port)).expect("connects")), "Node {}", node.major);
        let (code, log) = luster.stop();
        let exits = log.iter().filter(|line| line["event"] == "exit");
        assert!(exits.into_iter().all(|exit| ending_of(exit) == "exited with code 0"), "{log:?}");
        assert_eq!(code, 0);
    });
}

#[test]
fn a_connection_sent_to_the_master_and_kept_open_is_still_the_workers() {
    let app = format!(
        "{TELL}require('net').createServer(socket => {{
            process.send('look', socket, {{ keepOpen: true }}, error => {{ tell({{ error }}); socket.end('still mine'); }});
        }}).listen(process.env.port, '127.0.0.1', () => tell({{}}));"
    );
    on_oldest_and_newest(|node| {
        let port = free_port();
        let luster = Luster::with(&app, json!({"workers": 1, "server": {"port": port}})).node(node).start();
        luster.await_told(1);
        let mut connections = [(); 3].map(|()| TcpStream::connect(("127.0.0.1", port)).expect("connects"));
        for connection in &mut connections {
            let mut text = String::new();
            connection.read_to_string(&mut text).expect("read");
            assert_eq!(text, "still mine", "Node {}", node.major);
        }
        drop(connections);
        luster.await_ready(1);
        let (code, log) = luster.stop();
        let exit = log.iter().find(|line| line["event"] == "exit").expect("an exit");
        assert_eq!((code, &ending_of(exit)), (0, &json!("exited with code 0")), "Node {}", node.major);
    });
}

#[test]
fn a_worker_that_leaves_right_after_it_sent_a_connection_has_not_crashed() {
    let app = |way: &str| {
        format!(
            "{TELL}const cluster = require('cluster'), fs = require('fs');
            require('net').createServer(socket => {{
                process.send('take this', socket);
                process.send('and this');
                {way};
            }}).listen(process.env.port, '127.0.0.1', () => tell({{}}));"
        )
    };
    on_oldest_and_newest(|node| {
        for way in ["cluster.worker.disconnect()", "cluster.worker.kill()", "process.disconnect()"] {
            let port = free_port();
            let config = json!({"workers": 1, "server": {"port": port}});
            let luster = Luster::with(&app(way), config).node(node).start();
            luster.await_told(1);
            assert!(is_closed(TcpStream::connect(("127.0.0.1", port)).expect("connects")));
            luster.await_told(2);
            assert_eq!(
                ending_of(&luster.await_exit_of(1)),
                "exited with code 0",
                "Node {}: {way}",
                node.major
            );
            luster.await_ready(1);
            assert_eq!(luster.stop().0, 0);
        }
    });
}

#[test]
fn servers_and_datagram_sockets_sent_to_the_master_stay_with_the_worker() {
    let app = format!(
        "{TELL}const net = require('net'), dgram = require('dgram'), port = Number(process.env.port);
        const own = net.createServer(socket => socket.end('own'));
        const udp = dgram.createSocket('udp4');
        own.listen({{ port, host: '127.0.0.1', exclusive: true }}, () => {{
            udp.bind({{ port: 0, exclusive: true }}, () => {{
                process.send('a server', own, error => {{
                    process.send('a datagram socket', udp, error => {{
                        require('http').createServer((request, response) => response.end('here'))
                            .listen(port + 1, () => tell({{ error, own: own.listening }}));
                        own.unref(); udp.unref();
                    }});
                }});
            }});
        }});"
    );
    on_oldest_and_newest(|node| {
        let port = free_ports(2);
        let luster = Luster::with(&app, json!({"workers": 1, "server": {"port": port}})).node(node).start();
        let told = luster.await_told(1);
        assert_eq!((&told[0]["error"], &told[0]["own"]), (&Value::Null, &json!(true)), "Node {}", node.major);
        let mut text = String::new();
        TcpStream::connect(("127.0.0.1", port)).expect("connects").read_to_string(&mut text).expect("read");
        assert_eq!(text, "own", "Node {}", node.major);
        assert_eq!(get(&Target::Tcp(port + 1)).expect("an answer").body, "here");
        luster.await_ready(1);
        let (code, log) = luster.stop();
        let exit = log.iter().find(|line| line["event"] == "exit").expect("an exit");
        assert_eq!((code, &ending_of(exit)), (0, &json!("exited with code 0")), "Node {}", node.major);
    });
}

#[test]
fn a_worker_knows_that_it_is_one() {
    let app = format!(
        "{TELL}const cluster = require('cluster');
        tell({{ worker: cluster.isWorker, master: cluster.isMaster, primary: cluster.isPrimary, id: cluster.worker.id,
            connected: process.connected, isConnected: cluster.worker.isConnected(), dead: cluster.worker.isDead(),
            exited: cluster.worker.exitedAfterDisconnect, ppid: process.ppid, same: cluster.worker.process === process }});"
    );
    on_oldest_and_newest(|node| {
        let luster = Luster::with(&app, json!({"workers": 1})).node(node).start();
        let mut told = luster.await_told(1).remove(0);
        assert_eq!(told["ppid"].take(), luster.pid());
        let expected = json!({"wid": 1, "worker": true, "master": false, "primary": false, "id": 1, "connected": true,
            "isConnected": true, "dead": false, "ppid": null, "same": true});
        assert_eq!(told, expected, "Node {}", node.major);
        luster.await_ready(1);
        assert_eq!(luster.stop().0, 0);
    });
}

/// Nothing of the cluster is left for the children of an app to stumble over.
#[test]
fn the_children_and_threads_of_a_worker_are_no_workers() {
    let app = format!(
        "{TELL}const {{ fork, execFileSync }} = require('child_process');
        const seen = () => ({{ execArgv: process.execArgv,
            env: Object.keys(process.env).filter(name => /^NODE_(CHANNEL|UNIQUE)|^LUSTER_BOOT/.test(name)) }});
        tell({{ name: 'worker', ...seen() }});
        const child = fork(__dirname + '/child.js', ['argument']);
        child.on('message', message => {{
            tell({{ name: 'child', ...message }});
            child.send('go');
        }});
        child.on('exit', code => {{
            tell({{ name: 'child left', code }});
            const text = execFileSync(process.execPath, [__dirname + '/plain.js'], {{ encoding: 'utf8' }});
            tell({{ name: 'plain', ...JSON.parse(text) }});
            new (require('worker_threads').Worker)(__dirname + '/thread.js')
                .on('message', message => tell({{ name: 'thread', ...message }}));
        }});"
    );
    let seen = "const seen = () => ({ execArgv: process.execArgv, worker: require('cluster').isWorker,
        luster: (() => { try { return typeof require('luster'); } catch (error) { return error.code; } })(),
        env: Object.keys(process.env).filter(name => /^NODE_(CHANNEL|UNIQUE)|^LUSTER_BOOT/.test(name)) });";
    let child = format!(
        "{seen} process.send({{ ...seen(), argument: process.argv[2] }}); process.on('message', () => process.exit(5));"
    );
    let plain = format!("{seen} console.log(JSON.stringify(seen()));");
    let thread = format!("{seen} require('worker_threads').parentPort.postMessage(seen());");
    on_every_node(|node| {
        let luster = Luster::with(&app, json!({"workers": 1}))
            .file("child.js", &child)
            .file("plain.js", &plain)
            .file("thread.js", &thread)
            .node(node)
            .arg("--node-arg=--no-deprecation")
            .start();
        let flags = json!(["--no-deprecation"]);
        for told in luster.await_told(5) {
            match told["name"].as_str().expect("text") {
                "child left" => assert_eq!(told["code"], 5, "Node {}", node.major),
                name => {
                    assert_eq!(told["env"], json!([]), "Node {}: {name}", node.major);
                    let expected = if name == "plain" { json!([]) } else { flags.clone() };
                    // A thread's are looked at in a story of their own.
                    if name != "thread" {
                        assert_eq!(told["execArgv"], expected, "Node {}: {name}", node.major);
                    }
                    assert!(name == "worker" || told["luster"] == "MODULE_NOT_FOUND", "{told}");
                    assert!(
                        name != "child" || (told["worker"] == false && told["argument"] == "argument"),
                        "{told}"
                    );
                }
            }
        }
        luster.await_ready(1);
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn the_flags_of_a_thread_are_without_the_preload() {
    let app = format!(
        "{TELL}const {{ Worker, isMainThread }} = require('worker_threads');
        if (isMainThread) new Worker(__filename); else tell({{ flags: process.execArgv }});"
    );
    on_every_node(|node| {
        let luster =
            Luster::with(&app, json!({"workers": 1})).node(node).arg("--node-arg=--no-deprecation").start();
        assert_eq!(luster.await_told(1)[0]["flags"], json!(["--no-deprecation"]), "Node {}", node.major);
        luster.await_ready(1);
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn luster_below_a_node_that_gave_it_a_channel_makes_clean_workers() {
    let app = format!(
        "{TELL}tell({{ id: require('cluster').worker.id, mode: process.env.NODE_CHANNEL_SERIALIZATION_MODE,
            port: process.env.port }}); process.send({{ hello: 1 }});"
    );
    let luster = Luster::with(&app, json!({"workers": 1}))
        .env("NODE_CHANNEL_FD", "57")
        .env("NODE_UNIQUE_ID", "9")
        .env("NODE_CHANNEL_SERIALIZATION_MODE", "advanced")
        .env("port", "1")
        .env("LUSTER_WID", "8")
        .start();
    assert_eq!(luster.await_told(1), [json!({"wid": 1, "id": 1, "port": "0"})]);
    luster.await_ready(1);
    assert_eq!(luster.stop().0, 0);
}
