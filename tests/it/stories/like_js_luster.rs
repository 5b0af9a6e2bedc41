//! The same script run by JS luster and by ours shows the same: which events there are, in which order, and the members of
//! the objects. What JS luster shows is recorded.

use serde_json::{Value, json};

use crate::harness::{Luster, Node, free_port, on_every_node};

/// Starts two workers one after the other, restarts them, has one killed, stops and starts one, and stops all.
const SCRIPT: &str = "
    const luster = require('luster');
    const app = require('path').join(__dirname, 'worker.js');
    if (luster.isMaster) {
        const first = () => luster.workers[1];
        luster.once('running', () => {
            luster.softRestart();
            luster.once('restarted', () => {
                first().once('ready', () => setTimeout(() => {
                    first().stop();
                    first().once('exit', () => setImmediate(() => {
                        first().run();
                        first().once('ready', () => setTimeout(() => luster.shutdown(), 100));
                    }));
                }, 100));
                // What a worker tells itself may come later than what it tells its master.
                setTimeout(() => first().process.kill('SIGKILL'), 100);
            });
            luster.once('shutdown', () => process.exit());
        });
    }
    luster.configure({
        app, workers: 1, server: { port: PORT }, extensions: EXTENSIONS,
        control: { allowedSequentialDeaths: 5, exitThreshold: 10000, forkTimeout: 5000, stopTimeout: 5000, killTimeout: 6000 },
    }, true, __dirname).run();";

/// The names of the events that `NODE_DEBUG=luster:eex` shows, by emitter.
fn trace(node: &Node, extensions: &str) -> Value {
    let script = SCRIPT.replace("PORT", &free_port().to_string()).replace("EXTENSIONS", extensions);
    let luster = Luster::new().file("master.js", &script);
    let luster = luster.file("worker.js", "require('http').createServer(() => {}).listen(process.env.port)");
    let luster = luster.file("node_modules/one/index.js", "exports.configure = () => {};");
    let luster = luster
        .file("node_modules/two/index.js", "exports.configure = (c, l, done) => { setTimeout(done, 10); };")
        .env("NODE_DEBUG", "luster:eex");
    let (code, stdout, stderr) = luster.by_script(node, &[]).output();
    assert_eq!(code, 0, "{stderr}");
    let of = |emitter: &str| {
        let event = |line: &str| {
            let name = line.strip_prefix(emitter)?.split_once(").emit('")?.1.split('\'').next()?.to_owned();
            // Told of luster's own accord, or when it happens to be.
            let passed =
                ["message", "worker message", "listening", "worker listening", "foreign properties received"];
            let counts = !passed.contains(&name.as_str());
            counts.then_some(name)
        };
        stdout.lines().filter_map(event).collect::<Vec<_>>()
    };
    json!({"Master": of("Master(0"), "WorkerWrapper": of("WorkerWrapper(1"), "Worker": of("Worker(1")})
}

fn recorded() -> Value {
    serde_json::from_str(include_str!("../recorded/js_luster.json")).expect("JSON")
}

#[test]
fn events_are_emitted_in_the_same_order() {
    let recorded = recorded();
    on_every_node(|node| {
        for (extensions, expected) in recorded["events"].as_object().expect("an object") {
            let events = trace(node, extensions);
            for emitter in ["Master", "WorkerWrapper", "Worker"] {
                let version = node.major;
                assert_eq!(events[emitter], expected[emitter], "Node {version}, {emitter}, {extensions}");
            }
        }
    });
}

#[test]
fn every_member_of_the_objects_is_there() {
    let recorded = recorded();
    let script = format!(
        "const luster = require('luster');
        const expected = {};
        const lacks = (who, object) => console.log(who, expected[who].filter(name => !(name in object)).join());
        if (luster.isMaster) {{
            lacks('Master', luster);
            luster.configure({{ app: './worker.js', workers: 1 }}, true, __dirname).run();
            lacks('Configuration', luster.config);
            lacks('WorkerWrapper itself', require('luster/lib/worker_wrapper'));
            luster.once('running', () => {{
                lacks('WorkerWrapper', luster.workers[1]);
                luster.shutdown();
            }});
        }} else {{
            lacks('Worker', luster);
            luster.configure({{ app: './worker.js' }}, true, __dirname).run();
        }}",
        recorded["members"]
    );
    on_every_node(|node| {
        let luster = Luster::new().file("master.js", &script).file("worker.js", "").by_script(node, &[]);
        let (code, stdout, stderr) = luster.output();
        let mut lines: Vec<_> = stdout.lines().collect();
        lines.sort_unstable();
        // After each name, what it lacks.
        let nothing = ["Configuration ", "Master ", "Worker ", "WorkerWrapper ", "WorkerWrapper itself "];
        assert_eq!((code, lines), (0, nothing.to_vec()), "Node {}: {stderr}", node.major);
    });
}
