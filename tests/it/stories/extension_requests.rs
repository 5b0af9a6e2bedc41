//! What extensions and custom masters ask of luster and wait for: `reload()`, `scale(n)` and `status()`.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{
    HTTP, Luster, Running, TELL, Target, free_port, get, is_alive, on_oldest_and_newest, processes_in,
};

/// Serves, and tells which configuration it has; a broken one dies of it.
fn app() -> String {
    format!(
        "{TELL}const version = require('luster').config.get('version');
        if (version === 'broken') {{ process.exit(3); }}
        {HTTP}tell({{ version }});"
    )
}

/// An extension that does this once all workers run. `ask(promise)` gives what became of a request, `write(config)` changes
/// the configuration.
fn extension(body: &str) -> String {
    format!(
        "{TELL}
        const errors = require('luster/lib/errors');
        const ask = promise => promise.then(done => ({{ done }}), error => ({{ code: error.code, outcome: error.outcome,
            message: error.message, data: error.data, is: error instanceof errors.LusterRequestError }}));
        exports.configure = (config, luster) => {{
            if (!luster.isMaster) {{ return; }}
            const write = changes => require('fs').writeFileSync('luster.conf.json', JSON.stringify({{ ...base, ...changes }}));
            const base = JSON.parse(require('fs').readFileSync('luster.conf.json', 'utf8'));
            luster.once('running', async () => {{ {body} }});
        }};"
    )
}

fn with(port: u16, workers: u32, body: &str) -> Luster {
    let config = json!({
        "app": "./worker.js", "workers": workers, "server": {"port": port}, "extensions": {"mine": {}},
        "control": {"restart": "start-first", "stopTimeout": 5000},
    });
    Luster::with(&app(), config).file("node_modules/mine/index.js", &extension(body))
}

#[track_caller]
fn told(luster: &Running, key: &str) -> Value {
    luster.await_told_where(1, key, |told| told.get(key).is_some())[0][key].clone()
}

#[track_caller]
fn ends_well(mut luster: Running) {
    luster.signal(Signal::SIGTERM);
    assert_eq!(luster.await_end(), 0, "{:?}", luster.log());
    assert_eq!(processes_in(luster.path()), []);
}

/// A value without what differs from moment to moment.
fn lasting(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let is_lasting = |name: &str| {
                !name.ends_with("_ms") && !["memory_bytes", "revision", "endpoints"].contains(&name)
            };
            let kept = members.iter().filter(|(name, _)| is_lasting(name));
            kept.map(|(name, value)| (name.clone(), lasting(value))).collect::<serde_json::Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(lasting).collect(),
        plain => plain.clone(),
    }
}

#[test]
fn an_extension_reloads_scales_and_asks_how_everything_stands() {
    let body = "
        write({ version: 2 });
        tell({ reloaded: await ask(luster.reload()) });
        tell({ more: await ask(luster.scale(3)) });
        tell({ status: await luster.status() });";
    on_oldest_and_newest(|node| {
        let port = free_port();
        let luster = with(port, 2, body).node(node).start();
        let reloaded = told(&luster, "reloaded")["done"].clone();
        assert_eq!(
            reloaded,
            json!({"schema": 1, "outcome": "done", "message": "2 workers have been replaced", "replaced": 2, "generation": 1}),
            "Node {}",
            node.major
        );
        assert_eq!(told(&luster, "more")["done"]["message"], "there are 3 workers", "Node {}", node.major);
        let status = told(&luster, "status");
        let expected = luster.control().status();
        assert_eq!(lasting(&status), lasting(&expected), "Node {}", node.major);
        assert_eq!((&status["wanted"], &status["host"]["kind"]), (&json!(3), &json!("extension_host")));
        assert!(status["workers"][0]["instances"][0]["memory_bytes"].as_u64() > Some(0), "{status}");
        luster.await_told_where(3, "version 2", |told| told["version"] == 2);
        let asked = luster.events("host_asked");
        assert_eq!(asked[1]["message"], "the extension host asks for a change to 3 workers");
        ends_well(luster);
    });
}

#[test]
fn what_cannot_be_done_is_refused_in_one_sentence_and_changes_nothing() {
    let body = "
        const answers = [];
        require('fs').writeFileSync('luster.conf.json', '{ \"app\": ');
        answers.push(await ask(luster.reload()));
        write({ app: './nowhere.js' });
        answers.push(await ask(luster.reload()));
        for (const count of [0, -1, 100000, 2.5, NaN, '3', undefined, 1e300]) {
            answers.push(await ask(luster.scale(count)));
        }
        tell({ answers });";
    let luster = with(free_port(), 2, body).start();
    luster.await_ready(2);
    let old = luster.all_pids();
    let answers = told(&luster, "answers");
    let answers = answers.as_array().expect("a list");
    for (answer, words) in answers.iter().zip([
        ("CONFIGURATION", "the configuration cannot be used, and nothing was changed: luster.conf.json"),
        ("CONFIGURATION", "nowhere.js"),
        ("OUT_OF_RANGE", "from 1 to 10000, not 0; to stop all of them, ask for a stop"),
        ("OUT_OF_RANGE", "from 1 to 10000, not -1"),
        ("OUT_OF_RANGE", "from 1 to 10000, not 100000"),
        ("OUT_OF_RANGE", "must be a whole number, not 2.5"),
        ("OUT_OF_RANGE", "must be a whole number, not NaN"),
        ("OUT_OF_RANGE", "must be a whole number, not 3"),
        ("OUT_OF_RANGE", "must be a whole number, not undefined"),
        ("OUT_OF_RANGE", "must be a whole number, not 1e+300"),
    ]) {
        assert_eq!((&answer["code"], &answer["is"]), (&json!(words.0), &json!(true)), "{answer}");
        assert!(answer["message"].as_str().expect("text").contains(words.1), "{answer}");
    }
    assert_eq!(answers[0]["outcome"], "refused");
    assert_eq!(luster.all_pids(), old);
    assert!(luster.events("stopping").is_empty());
    ends_well(luster);
}

#[test]
fn a_reload_that_fails_is_taken_back_and_the_promise_says_which_worker_failed() {
    let body = "
        write({ version: 'broken' });
        tell({ answer: await ask(luster.reload()) });";
    on_oldest_and_newest(|node| {
        let port = free_port();
        let luster = with(port, 2, body).node(node).start();
        luster.await_ready(2);
        let old = [luster.worker_pid(1), luster.worker_pid(2)];
        let answer = told(&luster, "answer");
        assert_eq!(
            (&answer["code"], &answer["outcome"]),
            (&json!("TAKEN_BACK"), &json!("taken_back")),
            "{answer}"
        );
        assert_eq!(answer["data"]["wid"], 1, "{answer}");
        let message = answer["message"].as_str().expect("text");
        assert!(
            message.starts_with("the replacement of worker 1 ") && message.contains("code 3"),
            "{message}"
        );
        assert!(old.iter().all(|pid| is_alive(*pid)));
        assert!(get(&Target::Tcp(port)).is_ok());
        ends_well(luster);
    });
}

#[test]
fn a_stop_overrules_what_is_under_way_and_a_promise_nobody_handles_changes_no_exit_code() {
    let body = "
        write({ version: 2, app: './slow.js' });
        luster.on('worker fork', worker => tell({ forked: worker.wid }));
        luster.reload();
        tell({ answer: await ask(luster.reload()) });";
    let slow = format!("{TELL}tell({{ slow: true }}); setInterval(() => {{}}, 1000);");
    let port = free_port();
    let config = json!({
        "app": "./worker.js", "workers": 1, "server": {"port": port}, "extensions": {"mine": {}},
        "control": {"restart": "start-first", "stopTimeout": 5000, "triggerReadyStateManually": true},
    });
    let ready = format!("{}\nrequire('luster').ready();", app());
    let luster = Luster::with(&ready, config)
        .file("slow.js", &slow)
        .file("node_modules/mine/index.js", &extension(body))
        .start();
    told(&luster, "slow");
    let (code, log) = luster.stop();
    assert_eq!(code, 0, "{log:?}");
}

#[test]
fn there_are_answers_without_a_control_socket_and_after_the_host_was_started_again() {
    let body = "
        const { master, host, wanted } = await luster.status();
        tell({ socket: master.socket, host: host.pid, wanted, own: process.pid });
        if (wanted === 1) {
            await luster.scale(2);
            process.kill(process.pid, 'SIGKILL');
        }";
    let config = json!({"workers": 1, "control": {"socket": false}, "extensions": {"mine": {}}});
    let luster = Luster::with(HTTP, config).file("node_modules/mine/index.js", &extension(body)).start();
    let told = luster.await_told_where(2, "statuses", |told| told.get("socket").is_some());
    for (told, wanted) in told.iter().zip([1, 2]) {
        assert_eq!((&told["socket"], &told["wanted"]), (&json!(""), &json!(wanted)), "{told}");
        assert_eq!(told["host"], told["own"]);
    }
    ends_well(luster);
}

#[test]
fn a_custom_master_reloads_and_asks_and_decides_itself_how_many_workers_there_are() {
    let body = "
        if (luster.isMaster) {
            const ask = promise => promise.then(done => ({ done }), error => ({ code: error.code, message: error.message }));
            ask(luster.status()).then(before => tell({ before }));
            luster.once('running', async () => {
                tell({ reloaded: await ask(luster.reload()) });
                tell({ scaled: await ask(luster.scale(3)) });
                tell({ status: await luster.status(), pid: process.pid });
            });
        }";
    on_oldest_and_newest(|node| {
        let port = free_port();
        let master = format!(
            "{TELL}const luster = require('luster');
            {body}
            luster.configure({{ app: './worker.js', workers: 2, server: {{ port: {port} }},
                control: {{ stopTimeout: 5000 }} }}, true, __dirname).run();"
        );
        let luster =
            Luster::new().file("worker.js", HTTP).file("master.js", &master).by_script(node, &[]).start();
        let before = told(&luster, "before");
        assert_eq!(before["code"], "NO_SUPERVISOR", "Node {}: {before}", node.major);
        let reloaded = told(&luster, "reloaded");
        assert_eq!(reloaded["done"]["replaced"], 2, "Node {}: {reloaded}", node.major);
        let scaled = told(&luster, "scaled");
        assert_eq!(scaled["code"], "SCRIPT_DECIDES", "Node {}: {scaled}", node.major);
        let message = scaled["message"].as_str().expect("text");
        assert!(message.contains("luster.add()"), "{message}");
        let status = told(&luster, "status");
        assert_eq!(status["host"], json!({"kind": "custom_master", "pid": luster.pid(), "state": "ready"}));
        assert_eq!((&status["wanted"], &status["ready"]), (&json!(2), &json!(2)), "{status}");
        ends_well(luster);
    });
}

#[test]
fn the_workers_of_the_master_follow_when_their_number_and_limits_change_and_a_later_host_knows_them() {
    let body = "
        const until = async is => { while (!is()) { await new Promise(go => setTimeout(go, 10)); } };
        const isServing = () => luster.getWorkersArray().every(worker => worker.ready && worker.state === 'running');
        const show = () => ({ ids: luster.getWorkersIds(), stop: luster.getWorkersArray().map(worker => worker.options.stopTimeout),
            ports: luster.getWorkersArray().map(worker => String(worker.options.port)) });
        if (require('fs').existsSync('again')) {
            return tell({ later: { ...show(), atOnce, serving: isServing() } });
        }
        const heard = [];
        luster.on('worker fork', worker => heard.push(`fork ${worker.wid}`));
        luster.on('worker exit', worker => heard.push(`exit ${worker.wid}`));
        await luster.scale(3);
        await until(isServing);
        tell({ grown: show(), heard: heard.splice(0), own: luster.workers[3].pid });
        await luster.scale(1);
        tell({ shrunk: show(), heard: heard.splice(0).sort() });
        await luster.scale(2);
        write({ workers: 3, control: { restart: 'start-first', stopTimeout: 6000 } });
        await luster.reload();
        await until(isServing);
        tell({ reloaded: show() });
        luster.workers[2].options.killTimeout = 7000;
        luster.remoteCallToAll('nothing');
        require('fs').writeFileSync('again', '');
        process.kill(process.pid, 'SIGKILL');";
    on_oldest_and_newest(|node| {
        let port = free_port();
        let module = extension(body).replace(
            "luster.once('running'",
            "const atOnce = luster.getWorkersIds();\nluster.once('running'",
        );
        let luster = with(port, 2, "").file("node_modules/mine/index.js", &module).node(node).start();
        let expected = |count: u32, stop: u32| {
            let all = |each: Value| vec![each; count as usize];
            let ids: Vec<_> = (1..=count).collect();
            json!({"ids": ids, "stop": all(stop.into()), "ports": all(port.to_string().into())})
        };
        assert_eq!(told(&luster, "grown"), expected(3, 5000), "Node {}", node.major);
        let grown = luster.await_told_where(1, "grown", |told| told.get("grown").is_some())[0].clone();
        assert_eq!((&grown["heard"], &grown["own"]), (&json!(["fork 3"]), &json!(luster.worker_pid(3))));
        assert_eq!(told(&luster, "shrunk"), expected(1, 5000), "Node {}", node.major);
        let shrunk = luster.await_told_where(1, "shrunk", |told| told.get("shrunk").is_some())[0].clone();
        assert_eq!(shrunk["heard"], json!(["exit 2", "exit 3"]), "Node {}", node.major);
        assert_eq!(told(&luster, "reloaded"), expected(3, 6000), "Node {}", node.major);
        let later = told(&luster, "later");
        let mut expected = expected(3, 6000);
        expected["atOnce"] = json!([1, 2, 3]);
        expected["serving"] = json!(true);
        assert_eq!(later, expected, "Node {}", node.major);
        ends_well(luster);
    });
}

#[test]
fn a_worker_that_an_extension_has_added_is_replaced_by_a_reload_and_not_taken_away() {
    let body = "
        const WorkerWrapper = require('luster/lib/worker_wrapper');
        const mine = new WorkerWrapper(luster, { port: 0, stopTimeout: 5000 });
        luster.add(mine);
        mine.run();
        await new Promise(ready => mine.once('ready', ready));
        const before = mine.pid;
        const done = await luster.reload();
        tell({ first: [done.replaced, luster.getWorkersIds(), mine.pid !== before && mine.isRunning()] });
        write({ workers: 1 });
        const removed = luster.workers[2];
        const gone = new Promise(gone => removed.once('exit', gone));
        await Promise.all([luster.reload(), gone]);
        while (luster.workers[2] !== undefined) { await new Promise(soon => setTimeout(soon, 5)); }
        const counted = async () => {
            const { count, wanted, ready, workers } = await luster.status();
            return [count, wanted, ready, workers.map(worker => worker.wid), luster.getWorkersIds()];
        };
        tell({ second: [mine.wid, mine.isRunning(), removed.isRunning(), await counted()] });
        const { pid } = mine;
        await luster.scale(2);
        tell({ third: [mine.pid === pid, await counted()] });
        await luster.scale(3);
        tell({ fourth: await counted() });
        const next = new WorkerWrapper(luster, { port: 0, stopTimeout: 5000 });
        luster.add(next);
        next.run();
        await new Promise(ready => next.once('ready', ready));
        tell({ fifth: await counted() });";
    let luster = with(free_port(), 2, body).start();
    assert_eq!(told(&luster, "first"), json!([3, [1, 2, 3], true]));
    // Worker 2 is no more, and those that are left count.
    assert_eq!(told(&luster, "second"), json!([3, true, false, [2, 2, 2, [1, 3], [1, 3]]]));
    assert_eq!(told(&luster, "third"), json!([true, [2, 2, 2, [1, 3], [1, 3]]]), "there are two already");
    assert_eq!(told(&luster, "fourth"), json!([3, 3, 3, [1, 2, 3], [1, 2, 3]]));
    assert_eq!(told(&luster, "fifth"), json!([4, 4, 4, [1, 2, 3, 4], [1, 2, 3, 4]]));
    ends_well(luster);
}
