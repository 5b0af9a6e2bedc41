//! Node's `cluster` used beside luster, by a custom master or an extension: workers of its own, `disconnect`, `setup`.

use serde_json::json;

use crate::harness::{
    HTTP, Luster, TELL, free_port, node, on_every_node, on_nodes, processes_in, usual_node,
};

/// A custom master that does this when its workers run.
fn script(workers: u32, when_running: &str) -> Luster {
    let port = free_port();
    let master = format!(
        "{TELL}const cluster = require('cluster');
        const luster = require('luster');
        if (luster.isMaster) {{
            luster.once('running', () => {{
                const setup = cluster.setupPrimary || cluster.setupMaster;
                {when_running}
            }});
        }}
        luster.configure({{ app: './worker.js', workers: {workers}, server: {{ port: {port} }} }}, true, __dirname).run();"
    );
    Luster::new().file("worker.js", HTTP).file("master.js", &master)
}

const OWN: &str = "const server = require('http').createServer((_, r) => r.end('own'));
    server.listen(0, () => process.send({ id: require('cluster').worker.id }));
    process.on('message', () => process.exit(0));";

#[test]
fn workers_that_a_script_forks_itself_live_beside_lusters() {
    let body = "
        setup.call(cluster, { exec: __dirname + '/own.js' });
        const own = [cluster.fork(), cluster.fork()];
        setup.call(cluster, { exec: __filename });
        const isThere = worker => cluster.workers[worker.id] === worker;
        const ids = own.map(worker => new Promise(resolve => worker.once('message', ({ id }) => resolve(id === worker.id))));
        const listen = own.map(worker => new Promise(resolve => worker.once('listening', resolve)));
        Promise.all([...ids, ...listen]).then(([a, b]) => {
            const count = Object.keys(cluster.workers).length;
            const ofLuster = luster.getWorkersArray().every(worker => cluster.workers[worker.id].process === worker.process);
            tell({ know: [a, b], count, own: own.every(isThere), ofLuster });
            luster.workers[1].process.kill('SIGKILL');
            luster.workers[1].once('ready', () => {
                tell({ later: own.every(isThere) });
                luster.shutdown();
            });
        });
        luster.once('shutdown', () => {
            tell({ left: Object.keys(cluster.workers).length });
            own[0].once('exit', () => own[1].send('end'));
            own[1].once('exit', () => setImmediate(() => tell({ left: Object.keys(cluster.workers).length })));
            own[0].send('end');
        });";
    on_every_node(|node| {
        let mut luster = script(2, body).file("own.js", OWN).by_script(node, &[]).start();
        assert_eq!(luster.await_end(), 0, "Node {}: {:?}", node.major, luster.log());
        let expected = [
            json!({"wid": null, "know": [true, true], "count": 4, "own": true, "ofLuster": true}),
            json!({"wid": null, "later": true}),
            json!({"wid": null, "left": 2}),
            json!({"wid": null, "left": 0}),
        ];
        assert_eq!(luster.told(), expected, "Node {}", node.major);
        assert_eq!(processes_in(luster.path()), []);
    });
}

#[test]
fn who_imports_cluster_as_a_namespace_has_the_same() {
    let master = format!(
        "import {{ createRequire }} from 'module';
        import * as cluster from 'cluster';
        import luster from 'luster';
        const require = createRequire(import.meta.url);
        {TELL}
        luster.configure({{ app: './worker.cjs', workers: 1, server: {{ port: {} }} }}, true, process.cwd()).run();
        if (luster.isMaster) {{
            luster.once('running', () => {{
                cluster.setupMaster({{ exec: process.cwd() + '/own.cjs' }});
                const own = cluster.fork();
                tell({{ count: Object.keys(cluster.workers).length }});
                own.once('message', () => {{ own.kill(); luster.shutdown(); }});
            }});
        }}",
        free_port()
    );
    on_nodes(&[node(16), node(24)], |node| {
        let luster = Luster::new().file("package.json", r#"{"type":"module"}"#).file("master.js", &master);
        let luster = luster.file("worker.cjs", HTTP).file("own.cjs", OWN);
        let mut luster = luster.by_script(node, &[]).start();
        assert_eq!(luster.await_end(), 0, "Node {}: {:?}", node.major, luster.log());
        assert_eq!(luster.told(), [json!({"wid": null, "count": 2})], "Node {}", node.major);
    });
}

#[test]
fn clusters_disconnect_calls_back_when_all_have_left_whoever_forked_them() {
    let body = "
        setup.call(cluster, { exec: __dirname + '/own.js' });
        const own = cluster.fork();
        setup.call(cluster, { exec: __filename });
        own.once('listening', () => {
            const pids = Object.values(cluster.workers).map(worker => worker.process.pid);
            const isAlive = pid => { try { return process.kill(pid, 0); } catch (_) { return false; } };
            luster.forEach(worker => { worker.options.persistent = false; });
            cluster.disconnect(() => {
                tell({ were: pids.length, alive: pids.filter(isAlive).length });
                setImmediate(() => cluster.disconnect(() => tell({ nobody: true })));
            });
        });";
    on_every_node(|node| {
        let mut luster = script(2, body).file("own.js", OWN).by_script(node, &[]).start();
        assert_eq!(luster.await_end(), 0, "Node {}: {:?}", node.major, luster.log());
        let expected = [json!({"wid": null, "were": 3, "alive": 0}), json!({"wid": null, "nobody": true})];
        assert_eq!(luster.told(), expected, "Node {}", node.major);
    });
}

#[test]
fn clusters_setup_is_told_once_for_each_fork_before_it() {
    let body = "
        const seen = [];
        for (const event of ['setup', 'fork']) { cluster.on(event, () => seen.push(event)); }
        const settings = new Promise(resolve => cluster.once('setup', resolve));
        luster.workers[1].process.kill('SIGKILL');
        luster.workers[1].once('ready', async () => {
            tell({ seen, names: Object.keys(await settings).filter(name => ['args', 'exec', 'silent'].includes(name)).sort() });
            luster.shutdown();
        });";
    let first = "const seen = []; const cluster = require('cluster');
        for (const event of ['setup', 'fork']) { cluster.on(event, () => seen.push(event)); }
        exports.configure = (_, luster) => luster.isMaster && luster.once('running', () => tell({ seen }));";
    let mut luster = script(1, body).by_script(&usual_node(), &[]).start();
    assert_eq!(luster.await_end(), 0, "{:?}", luster.log());
    let seen = json!({"wid": null, "seen": ["setup", "fork"], "names": ["args", "exec", "silent"]});
    assert_eq!(luster.told(), [seen]);

    let luster = Luster::with(
        HTTP,
        json!({"workers": 2, "server": {"port": free_port()}, "extensions": {"first": {}}}),
    );
    let luster = luster.file("node_modules/first/index.js", &format!("{TELL}{first}")).start();
    assert_eq!(luster.await_told(1), [json!({"wid": null, "seen": ["setup", "fork", "setup", "fork"]})]);
    assert_eq!(luster.stop().0, 0);
}
