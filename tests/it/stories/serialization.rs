//! `serialization: 'advanced'`: what JSON has no word for arrives as it was sent.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Luster, TELL, free_port, node, on_every_node, on_nodes, packages};

/// Makes a value that JSON would spoil, and says what became of one.
const RICH: &str = "
    const rich = () => {
        const value = { map: new Map([['key', new Set([2n ** 70n])]]), buffer: Buffer.from([0, 255]), none: undefined,
            floats: new Float64Array([0.1, NaN]), date: new Date(7), error: new RangeError('far'), pattern: /x/g };
        value.itself = value;
        return value;
    };
    const spoiled = value => {
        const right = {
            map: () => value.map.get('key').has(2n ** 70n),
            buffer: () => Buffer.isBuffer(value.buffer) && value.buffer[1] === 255,
            none: () => 'none' in value && value.none === undefined,
            floats: () => value.floats instanceof Float64Array && Number.isNaN(value.floats[1]),
            date: () => value.date instanceof Date && value.date.getTime() === 7,
            error: () => value.error instanceof RangeError && value.error.message === 'far',
            pattern: () => value.pattern instanceof RegExp && value.pattern.flags === 'g',
            itself: () => value.itself === value,
        };
        return Object.keys(right).filter(name => { try { return !right[name](); } catch { return true; } });
    };\n";

/// A worker that sends one by each way there is, and tells what it gets by each.
fn worker() -> String {
    format!(
        "{TELL}{RICH}
        const luster = require('luster');
        const cluster = require('cluster');
        process.on('message', message => message.rich && tell({{ way: 'process', spoiled: spoiled(message.rich) }}));
        cluster.worker.on('message', message => message.rich && tell({{ way: 'worker', spoiled: spoiled(message.rich) }}));
        luster.registerRemoteCommand('take', (sender, value) => tell({{ way: 'call', spoiled: spoiled(value) }}));
        luster.once('ready', () => {{
            process.send({{ rich: rich() }});
            process.send('text');
            process.send([1, 'two']);
            luster.remoteCall('take', rich(), 'more');
            luster.remoteCallWithCallback({{ command: 'return', data: rich(),
                callback: (worker, error, data) => tell({{ way: 'answer', spoiled: error ? [error.code] : spoiled(data) }}) }});
            try {{ process.send({{ f() {{}} }}); }} catch (error) {{ tell({{ way: 'refused', spoiled: [error.message.includes('could not be cloned')] }}); }}
        }});"
    )
}

/// What a master answers, and tells of what it gets; `tellAll` is called with its luster.
const MASTER: &str = "
    const tellMaster = what => require('fs').writeSync(1, JSON.stringify({ wid: 0, ...what }) + '\\n');
    const tellAll = luster => {
        const cluster = require('cluster');
        (cluster.setupPrimary || cluster.setupMaster).call(cluster, { serialization: 'advanced' });
        luster.on('worker message', (worker, message) => {
            if (message && message.rich) {
                tellMaster({ way: 'worker message', spoiled: spoiled(message.rich) });
                worker.send({ rich: message.rich });
                worker.remoteCall('take', message.rich);
            } else if (message === 'text' || Array.isArray(message)) {
                tellMaster({ way: typeof message, spoiled: [] });
            }
        });
        cluster.on('message', (worker, message) => message.rich
            && tellMaster({ way: 'cluster message', spoiled: spoiled(message.rich) }));
        luster.registerRemoteCommand('take', (worker, value, more) =>
            tellMaster({ way: 'call', spoiled: more === 'more' ? spoiled(value) : [more] }));
        luster.registerRemoteCommandWithCallback('return', (answer, value) => answer(value));
    };\n";

/// Everything told, by who and how; nothing is spoiled.
fn ways(told: &[Value]) -> Vec<String> {
    let mut ways: Vec<_> = told
        .iter()
        .map(|told| {
            let unspoiled = if told["way"] == "refused" {
                told["spoiled"] == json!([true])
            } else {
                told["spoiled"] == json!([])
            };
            assert!(unspoiled, "{told}");
            format!("{} {}", told["wid"], told["way"].as_str().expect("a way"))
        })
        .collect();
    ways.sort();
    ways
}

const EVERY_WAY: [&str; 10] = [
    "0 call",
    "0 cluster message",
    "0 object",
    "0 string",
    "0 worker message",
    "1 answer",
    "1 call",
    "1 process",
    "1 refused",
    "1 worker",
];

#[test]
fn a_custom_master_and_its_workers_exchange_what_json_has_no_word_for() {
    on_every_node(|node| {
        let master = format!(
            "{RICH}{MASTER}const luster = require('luster');
            if (luster.isMaster) {{ tellAll(luster); }}
            luster.configure({{ app: 'worker.js', workers: 1 }}, true, __dirname).run();"
        );
        let luster = Luster::new()
            .file("master.js", &master)
            .file("worker.js", &worker())
            .by_script(node, &[])
            .start();
        assert_eq!(ways(&luster.await_told(10)), EVERY_WAY, "Node {}", node.major);
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn an_extension_and_its_workers_exchange_what_json_has_no_word_for() {
    on_nodes(&[node(16), node(24)], |node| {
        let extension = format!(
            "{RICH}{MASTER}exports.configure = (config, luster) => {{ if (luster.isMaster) {{ tellAll(luster); }} }};"
        );
        let luster = Luster::new()
            .file("node_modules/rich/index.js", &extension)
            .file("worker.js", &worker())
            .config(json!({"workers": 1, "extensions": {"rich": {}}}))
            .node(node)
            .start();
        assert_eq!(ways(&luster.await_told(10)), EVERY_WAY, "Node {}", node.major);
        assert_eq!(luster.stop().0, 0);
    });
}

/// The order of luster's own start and end is what it is; nothing of ours is left for the app's children.
#[test]
fn a_fleet_with_advanced_messages_restarts_and_drains_as_ever() {
    let master = "const cluster = require('cluster');
        const luster = require('luster');
        if (luster.isMaster) {
            (cluster.setupPrimary || cluster.setupMaster).call(cluster, { serialization: 'advanced' });
            luster.once('running', () => luster.softRestart());
            luster.registerRemoteCommand('hello', () => {});
        }
        luster.configure({ app: 'worker.js', workers: 2, control: { stopTimeout: 20000, triggerReadyStateManually: true } }, true, __dirname).run();";
    let app = format!(
        "{TELL}const luster = require('luster');
        luster.remoteCall('hello');
        // By now there is a direct channel.
        setTimeout(() => luster.ready(), 100);
        luster.registerSuspendFunction(() => new Promise(done => setTimeout(done, 20)));
        require('http').createServer((request, response) => response.end()).listen(0);
        tell({{ ours: Object.keys(process.env).filter(name => /^LUSTER_SERIAL|^NODE_CHANNEL/.test(name)) }});"
    );
    on_every_node(|node| {
        let luster =
            Luster::new().file("master.js", master).file("worker.js", &app).by_script(node, &[]).start();
        for told in luster.await_told(4) {
            assert_eq!(told["ours"], json!([]), "Node {}", node.major);
        }
        luster.await_event("rollout_finished", 1);
        let (exit, log) = luster.stop();
        assert_eq!(exit, 0, "{log:?}");
        let killed = log.iter().filter(|line| line["event"] == "exit" && line["code"] != 0);
        assert_eq!(killed.count(), 0, "Node {}", node.major);
    });
}

/// A master that hands each connection to one worker.
const STICKY_MASTER: &str = "const cluster = require('cluster');
        const luster = require('luster');
        if (luster.isMaster) {
            const server = require('http').createServer();
            (cluster.setupPrimary || cluster.setupMaster).call(cluster, { serialization: 'advanced' });
            require('@socket.io/sticky').setupMaster(server, { loadBalancingMethod: 'round-robin' });
            require('@socket.io/cluster-adapter').setupPrimary();
            server.listen(Number(process.env.STICKY));
        }
        luster.configure({ app: 'worker.js', workers: 3 }, true, __dirname).run();";

/// A worker whose clients speak to all clients.
const STICKY_APP: &str = "const io = new (require('socket.io').Server)(require('http').createServer());
        io.adapter(require('@socket.io/cluster-adapter').createAdapter());
        require('@socket.io/sticky').setupWorker(io);
        io.on('connection', socket => socket.on('binary', (data, answer) => {
            io.emit('heard', data);
            answer(Number(process.env.LUSTER_WID));
        }));";

/// Twelve clients that each speak once; prints what became of that.
const STICKY_CLIENT: &str = "const { io } = require('socket.io-client');
        const sockets = Array.from({ length: 12 }, () => io(`http://127.0.0.1:${process.argv[2]}`));
        const report = { wids: [], heard: 0, errors: [] };
        const end = () => { console.log(JSON.stringify(report)); process.exit(); };
        setTimeout(end, 20000).unref();
        let connected = 0;
        for (const socket of sockets) {
            socket.on('connect_error', error => report.errors.push(error.message));
            socket.on('heard', data => {
                report.heard += data[1] === 255 ? 1 : 0;
                if (report.heard === 144) { end(); }
            });
            // Everybody is heard by everybody once everybody is there.
            socket.on('connect', () => ++connected === 12 && sockets.forEach(each =>
                each.emit('binary', Buffer.from([0, 255]), wid => report.wids.push(wid))));
        }";

/// Sessions that stay with their workers: the master hands each connection to one, with what it has read of it.
#[test]
fn sticky_sessions_of_socket_io_connect_every_client() {
    let modules =
        packages(&["socket.io", "socket.io-client", "@socket.io/sticky", "@socket.io/cluster-adapter"]);
    let clients = node(18);
    on_nodes(&[node(16), node(20), node(24)], |node| {
        let port = free_port().to_string();
        let luster = Luster::new()
            .file("master.js", STICKY_MASTER)
            .file("worker.js", STICKY_APP)
            .file("client.js", STICKY_CLIENT)
            .env("NODE_PATH", modules.to_str().expect("UTF-8"))
            .env("STICKY", &port)
            .by_script(node, &[])
            .start();
        luster.await_ready(3);
        // Newer Nodes would send one client's request by another one's connection, which has another worker.
        let client = Command::new(&clients.path)
            .arg(luster.path().join("client.js"))
            .arg(&port)
            .env("NODE_PATH", &modules)
            .output()
            .expect("node runs");
        let report: Value = serde_json::from_slice(&client.stdout).expect("a report");
        assert_eq!(
            (&report["errors"], &report["heard"]),
            (&json!([]), &json!(144)),
            "Node {}: {report}",
            node.major
        );
        let mut wids: Vec<_> =
            report["wids"].as_array().expect("numbers").iter().filter_map(Value::as_u64).collect();
        wids.sort_unstable();
        assert_eq!(wids, [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3], "Node {}", node.major);
        assert_eq!(luster.stop().0, 0);
    });
}
