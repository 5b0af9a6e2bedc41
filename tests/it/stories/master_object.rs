//! What code relies on in the Master of JS luster when much happens: calls that arrive, events in their order, an end that
//! waits.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::{
    HTTP, Luster, TELL, Target, eventually, free_port, get, node, on_nodes, processes_in, usual_node,
};

/// A custom master that does this, with workers that do that.
fn script(control: &str, workers: u32, master: &str, app: &str) -> Luster {
    let port = free_port();
    let master = format!(
        "{TELL}const luster = require('luster');
        if (luster.isMaster) {{ {master} }}
        luster.configure({{ app: './worker.js', workers: {workers}, server: {{ port: {port} }}, control: {{ {control} }} }},
            true, __dirname).run();"
    );
    Luster::new().file("worker.js", &format!("{TELL}{app}")).file("master.js", &master)
}

#[test]
fn long_answers_arrive_and_calls_after_them_too() {
    let master = "luster.registerRemoteCommandWithCallback('data', answer => answer('x'.repeat(20e6)));
        luster.registerRemoteCommandWithCallback('more', answer => answer('more'));
        luster.registerRemoteCommandWithCallback('length', (answer, data) => answer(data.length));";
    let app = "const luster = require('luster');
        const ask = (command, data) => new Promise((resolve, reject) => luster.remoteCallWithCallback({
            command, data, callback: (_, error, answer) => error ? reject(error) : resolve(answer) }));
        (async () => {
            const seen = [(await ask('data')).length, await ask('more'), await ask('length', 'y'.repeat(20e6)), await ask('more')];
            tell({ seen });
        })();";
    on_nodes(&[node(16), node(20), node(24)], |node| {
        let luster = script("", 1, master, app).by_script(node, &[]).start();
        let told = luster.await_told(1);
        assert_eq!(told[0]["seen"], json!([20_000_000, "more", 20_000_000, "more"]), "Node {}", node.major);
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn long_messages_to_a_worker_arrive_in_their_order_and_one_that_is_too_long_costs_only_itself() {
    let master = "luster.on('running', () => {
            const worker = luster.workers[1];
            worker.remoteCall('first', 'x'.repeat(18e6));
            for (let i = 0; i < 1000; i++) { worker.send({ number: i, text: 'x'.repeat(10000) }); }
            worker.send({ text: 'x'.repeat(70e6) });
            worker.send({ last: true });
        });";
    let app = "let count = 0, inOrder = true, first = 0;
        require('luster').registerRemoteCommand('first', (_, text) => { first = text.length; });
        process.on('message', message => {
            if (message.number !== undefined) { inOrder = inOrder && message.number === count++; }
            if (message.last) { tell({ first, count, inOrder }); }
        });";
    let luster = script("", 1, master, app).by_script(&usual_node(), &[]).start();
    let told = luster.await_told(1);
    assert_eq!(told[0], json!({"wid": 1, "first": 18_000_000, "count": 1000, "inOrder": true}));
    let warning = luster.await_event("nonsense", 1)["message"].to_string();
    assert!(warning.contains("a message of more than 64 MiB, which is passed over"), "{warning}");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn the_end_of_a_worker_is_told_before_its_successor_even_to_a_busy_master() {
    let master = "const events = [];
        for (const event of ['fork', 'exit']) { luster.on(`worker ${event}`, worker => events.push([event, worker.stopping])); }
        luster.registerRemoteCommand('hello', () => {});
        const busy = ms => { const end = Date.now() + ms; while (Date.now() < end) {} };
        let rounds = 0;
        luster.once('running', () => {
            const worker = luster.workers[1];
            worker.on('disconnect', () => busy(300));
            worker.on('ready', () => {
                if (++rounds < 4) { worker.restart(); return; }
                tell({ events: events.map(([event]) => event).join(' '), stopping: worker.stopping });
            });
            worker.restart();
        });";
    let app = "require('luster').remoteCall('hello');";
    on_nodes(&[node(16), node(20), node(24)], |node| {
        let luster = script("", 1, master, app).by_script(node, &[]).start();
        let told = luster.await_told(1);
        let expected = format!("fork{}", " exit fork".repeat(4));
        assert_eq!(
            (&told[0]["events"], &told[0]["stopping"]),
            (&json!(expected), &json!(false)),
            "Node {}",
            node.major
        );
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn a_shutdown_ends_everything_also_while_a_worker_waits_to_be_started_again() {
    let master = "let exits = 0;
        luster.on('worker exit', () => { if (++exits === 3) { setTimeout(() => luster.shutdown(), 50); } });
        luster.on('shutdown', () => tell({ shutdown: true }));";
    let mut luster = script("", 1, master, "process.exit(1);").by_script(&usual_node(), &[]).start();
    assert_eq!(luster.await_end(), 0, "{:?}", luster.log());
    assert_eq!(luster.told(), [json!({"wid": null, "shutdown": true})]);
    assert_eq!(processes_in(luster.path()), []);
}

#[test]
fn a_script_that_handles_a_stop_itself_has_the_time_it_takes() {
    let by_itself = "process.on('SIGTERM', () => luster.shutdown());
        luster.on('shutdown', async () => {
            await new Promise(resolve => setTimeout(resolve, 300));
            tell({ flushed: true });
            process.exitCode = 3;
        });";
    let at_once = "process.once('SIGTERM', async () => {
            await new Promise(resolve => setTimeout(resolve, 1000));
            tell({ flushed: true });
            process.exit(3);
        });";
    // As many do where a load balancer has to notice first.
    let later = "process.on('SIGTERM', () => setTimeout(() => {
            tell({ serving: Object.values(luster.workers).every(worker => worker.ready) });
            luster.once('shutdown', () => { tell({ flushed: true }); process.exitCode = 3; });
            luster.shutdown();
        }, 1500));";
    let again = "process.on('SIGINT', () => luster.once('shutdown', () => setTimeout(() => {
            luster.once('shutdown', () => { tell({ flushed: true }); process.exit(3); });
            luster.shutdown();
        }, 300)));";
    let nodes = [
        (node(16), by_itself),
        (node(24), by_itself),
        (node(20), at_once),
        (node(22), later),
        (node(18), again),
    ];
    for (node, master) in nodes {
        let luster = script("", 2, master, HTTP).by_script(&node, &[]).start();
        luster.await_listening(2);
        luster.signal(if master == again { Signal::SIGINT } else { Signal::SIGTERM });
        let mut luster = luster;
        assert_eq!(luster.await_end(), 3, "Node {}", node.major);
        let mut expected = vec![json!({"wid": null, "flushed": true})];
        if master == later {
            expected.insert(0, json!({"wid": null, "serving": true}));
        }
        assert_eq!(luster.told(), expected, "Node {}", node.major);
        eventually("nothing is left", || processes_in(luster.path()).is_empty().then_some(()));
    }
}

#[test]
fn every_life_of_a_worker_gets_what_was_called_for_all_and_the_environment_of_now() {
    let master = "luster.once('configured', () => luster.remoteCallToAll('flags', { a: 1 }));
        luster.once('running', () => {
            process.env.TOKEN = 'renewed';
            luster.workers[1].send({ die: true });
        });";
    let app = "const luster = require('luster');
        process.on('message', message => message.die && process.exit(1));
        luster.registerRemoteCommand('flags', (_, flags) => tell({ flags, token: process.env.TOKEN }));";
    let luster = script("", 1, master, app).by_script(&usual_node(), &[]).env("TOKEN", "old").start();
    let told = luster.await_told(2);
    assert_eq!(told[0], json!({"wid": 1, "flags": {"a": 1}, "token": "old"}));
    assert_eq!(told[1], json!({"wid": 1, "flags": {"a": 1}, "token": "renewed"}));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn whoever_asks_is_answered_also_when_its_successor_runs_already() {
    let master = "let answerFirst = null;
        luster.registerRemoteCommandWithCallback('slow', (answer, pid) => {
            if (answerFirst === null) { answerFirst = () => answer(pid); } else { answer(pid); }
        });
        luster.once('running', () => {
            luster.once('worker fork', () => answerFirst());
            luster.softRestart();
        });";
    let app = "const luster = require('luster');
        luster.remoteCallWithCallback({ command: 'slow', data: process.pid, timeout: 5000,
            callback: (_, error, pid) => tell({ error: error && error.code, own: pid === process.pid }) });
        require('http').createServer((_, r) => r.end('served')).listen(process.env.port);";
    let luster = script("restart: 'start-first'", 1, master, app).by_script(&usual_node(), &[]).start();
    luster.await_ready(2);
    let told = luster.await_told(2);
    assert!(told.iter().all(|told| told["error"].is_null() && told["own"] == true), "{told:?}");
    let port =
        luster.events("listening")[0]["on"].as_str().and_then(|on| on.rsplit(':').next()?.parse().ok());
    if let Some(port) = port {
        assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "served");
    }
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn workers_that_the_script_gives_up_end_it() {
    let master = "luster.on('running', () => luster.forEach(worker => {
            worker.dead = true;
            worker.process.kill('SIGKILL');
            worker.once('exit', () => setImmediate(() => tell({ dead: worker.dead, running: worker.isRunning() })));
        }));";
    let mut luster = script("", 2, master, HTTP).by_script(&usual_node(), &[]).start();
    assert_eq!(luster.await_end(), 0, "{:?}", luster.log());
    assert_eq!(luster.told(), vec![json!({"wid": null, "dead": true, "running": false}); 2]);
    assert_eq!(processes_in(luster.path()), []);
}

#[test]
fn what_no_channel_can_carry_is_refused_at_once_as_node_does() {
    let master = "luster.on('running', () => {
            const worker = luster.workers[1];
            const refusal = message => {
                try {
                    return worker.send(message);
                } catch (error) {
                    return `${error.name} ${error.code} ${error.message}`;
                }
            };
            tell({ refused: [undefined, () => {}, function named() {}, Symbol('s'), 1n].map(refusal) });
            [null, 0, '', false].forEach(message => worker.process.send(message));
            worker.send({ last: true });
            worker.once('disconnect', () => tell({ tooLate: refusal(() => {}) }));
        });";
    let app = "const heard = [];
        process.on('message', message => {
            heard.push(message);
            if (message && message.last) { tell({ heard }); process.disconnect(); }
        });";
    let types = "TypeError ERR_INVALID_ARG_TYPE The \"message\" argument must be one of type string, object, number, or boolean.";
    let luster = script("", 1, master, app).by_script(&usual_node(), &[]).start();
    let told = luster.await_told(3);
    let refused = json!([
        "TypeError ERR_MISSING_ARGS The \"message\" argument must be specified",
        format!("{types} Received function "),
        format!("{types} Received function named"),
        format!("{types} Received type symbol (Symbol(s))"),
        format!("{types} Received type bigint (1n)"),
    ]);
    let of = |name: &str| told.iter().find_map(|told| told.get(name)).cloned();
    assert_eq!(of("refused"), Some(refused));
    let heard = of("heard").expect("it was told");
    let own = heard.as_array().expect("a list").iter().filter(|message| message["cmd"].is_null());
    assert_eq!(
        own.cloned().collect::<Vec<_>>(),
        [json!(null), json!(0), json!(""), json!(false), json!({"last": true})]
    );
    assert_eq!(of("tooLate"), Some(json!(false)));
    let (code, log) = luster.stop();
    assert_eq!(code, 0);
    assert!(log.iter().all(|line| line["event"] != "nonsense"), "{log:?}");
}

#[test]
fn a_worker_runs_without_being_added_and_numbers_stay_right_whoever_is_never_run() {
    let master = "luster.once('running', () => {
            const Worker = require('luster/lib/worker_wrapper');
            const make = () => new Worker(luster, { port: 0 });
            const [, stray, , added] = [make(), make(), make(), make()];
            const isRight = worker => tell({ wid: worker.wid, pid: worker.pid > 0, running: worker.isRunning() });
            luster.on('worker fork', worker => { tell({ forked: worker.wid }); });
            stray.once('online', () => {
                isRight(stray);
                luster.add(added);
                added.run();
            });
            added.once('ready', () => {
                isRight(added);
                luster.shutdown();
                stray.stop();
            });
            stray.run();
        });";
    on_nodes(&[node(16), node(24)], |node| {
        let mut luster = script("", 1, master, HTTP).by_script(node, &[]).start();
        assert_eq!(luster.await_end(), 0, "Node {}: {:?}", node.major, luster.log());
        let expected = [
            json!({"wid": 3, "pid": true, "running": true}),
            json!({"wid": null, "forked": 5}),
            json!({"wid": 5, "pid": true, "running": true}),
        ];
        assert_eq!(luster.told(), expected, "Node {}", node.major);
        let pids = luster.events("fork").iter().map(|fork| fork["wid"].clone()).collect::<Vec<_>>();
        assert_eq!(pids, [1, 3, 5]);
        assert_eq!(processes_in(luster.path()), []);
    });
}
