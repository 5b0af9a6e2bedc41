//! Workers that break, flood, leak or close the channel to the master.

use serde_json::{Value, json};

use crate::harness::{
    Connection, HTTP, Injection, Load, Luster, PATIENCE, Pair, Style, Target, children, ending_of,
    eventually, free_port, is_alive, stat,
};

/// Writes all of it; the channel does not block, so a full one is tried again.
const WRITE: &str = "const write = bytes => { for (let at = 0; at < bytes.length;) {
    try { at += fs.writeSync(3, bytes, at); } catch (error) { if (error.code !== 'EAGAIN') throw error; } } };";

/// Such a crime breaks the protocol in this way: the worker gets SIGTERM and is replaced.
#[track_caller]
fn breaks(crime: &str, how: &str) {
    let pair = Pair::running(&format!("{WRITE} {crime}"), json!({}));
    let exit = pair.commit_and_be_replaced();
    assert_eq!(ending_of(&exit), "was killed by SIGTERM");
    let broken = pair.luster.await_event("stopping", 1);
    assert_eq!((&broken["wid"], &broken["reason"]), (&json!(1), &json!(how)));
    pair.end();
}

#[test]
fn a_worker_that_writes_garbage_to_its_channel_is_replaced() {
    breaks("write(Buffer.from('no JSON\\n'))", "a message is not JSON");
}

#[test]
fn a_worker_that_writes_binary_garbage_to_its_channel_is_replaced() {
    breaks("write(Buffer.from([0xff, 0xfe, 0, 0x80, 10]))", "a message is not JSON");
}

#[test]
fn a_worker_that_writes_an_empty_line_to_its_channel_is_replaced() {
    breaks("write(Buffer.from('\\n'))", "a message is empty");
}

#[test]
fn a_worker_that_writes_a_line_without_end_is_replaced() {
    breaks("write(Buffer.alloc(17 << 20, 'x'))", "a message is longer than 16 MiB");
}

#[test]
fn messages_no_master_understands_change_nothing() {
    let crime = "process.send(null); process.send([1]); process.send({cmd: 1}); process.send({cmd: 'luster_'});
        process.send({cmd: 'luster_core.callback', args: ['x']}); process.send({cmd: 'luster_nobodys', args: [1]});
        process.send({cmd: 'NODE_CLUSTER', act: 'nonsense', seq: -1});
        process.send({cmd: 'NODE_CLUSTER', act: 'listening'}); process.send({cmd: 'NODE_CLUSTER', act: 'queryServer'});
        process.send({cmd: 'NODE_CLUSTER', act: 'close', key: 'none'}); process.send({cmd: 'luster_last'})";
    let pair = Pair::running(crime, json!({}));
    let criminal = pair.commit();
    pair.luster.await_event_where("unknown_command", 1, |line| line["name"] == "last");
    assert_eq!(pair.await_answer(0), criminal);
    pair.end();
}

#[test]
fn a_worker_that_floods_its_channel_still_serves_and_can_be_stopped() {
    // Past Node, which would slow it down by queueing.
    let crime = "const line = Buffer.from(`${JSON.stringify('x'.repeat(1 << 20))}\\n`);
        const flood = () => { write(line); if (++sent === 16) console.log('flooded'); setImmediate(flood); };
        let sent = 0; flood()";
    let control = json!({"stopTimeout": 1000, "killTimeout": 2000});
    let pair = Pair::running(&format!("{WRITE} {crime}"), control);
    let criminal = pair.commit();
    eventually("luster has read a lot", || pair.luster.stdout().contains("flooded").then_some(()));
    // A luster that is not optimized reads too slowly to call that a flood.
    if cfg!(not(debug_assertions)) {
        let told = pair.luster.await_event("flooding", 1);
        assert_eq!((&told["wid"], &told["pid"]), (&json!(1), &json!(criminal)));
    }
    assert_eq!(pair.await_answer(0), criminal);
    pair.end();
}

#[test]
fn a_worker_that_disconnects_is_replaced() {
    let pair = Pair::running("process.disconnect()", json!({}));
    let exit = pair.commit_and_be_replaced();
    assert_eq!(ending_of(&exit), "exited with code 0");
    pair.end();
}

#[test]
fn a_worker_that_closes_its_channels_descriptor_is_replaced() {
    let pair = Pair::running("fs.closeSync(3)", json!({}));
    pair.commit_and_be_replaced();
    pair.end();
}

#[test]
fn a_worker_that_closes_its_channel_and_will_not_go_is_killed() {
    // Node ends a worker whose channel closes; this one is too busy to see it.
    let crime = "process.on('SIGTERM', () => {}); fs.closeSync(3); for (;;) {}";
    let pair = Pair::running(crime, json!({}));
    let exit = pair.commit_and_be_replaced();
    assert_eq!(ending_of(&exit), "was killed by SIGKILL");
    let signals = pair.luster.events("signalled");
    let signals: Vec<_> = signals.iter().map(|line: &Value| line["signal"].clone()).collect();
    assert_eq!(signals, ["SIGTERM", "SIGKILL"]);
    pair.end();
}

#[test]
fn a_dead_worker_is_replaced_although_somebody_still_holds_its_channel() {
    let crime = "const heir = child_process.spawn('sleep', ['1000'],
            { detached: true, stdio: ['ignore', 'ignore', 'ignore', 3] });
        fs.writeFileSync('heir', String(heir.pid)); process.exit(5)";
    let pair = Pair::running(crime, json!({}));
    let exit = pair.commit_and_be_replaced();
    assert_eq!(ending_of(&exit), "exited with code 5");
    let heir = std::fs::read_to_string(pair.luster.path().join("heir")).expect("written");
    let heir = heir.parse().expect("a pid");
    assert!(is_alive(heir), "it left its worker's group");
    pair.end();
    eventually("the heir is gone with luster", || (!is_alive(heir)).then_some(()));
}

#[test]
fn what_an_heir_writes_to_a_dead_workers_channel_reaches_nobody() {
    let crime =
        "child_process.spawn('sh', ['-c', 'trap \"\" PIPE; while echo garbage >&3; do :; done 2>/dev/null; touch cut; exec sleep 1000'],
            { detached: true, stdio: ['ignore', 'ignore', 'ignore', 3] });
        setTimeout(() => process.kill(process.pid, 'SIGKILL'), 50)";
    let pair = Pair::running(crime, json!({}));
    pair.commit_and_be_replaced();
    eventually("the heir's channel is cut", || pair.luster.path().join("cut").exists().then_some(()));
    pair.end();
}

#[test]
fn a_connection_that_a_broken_worker_took_is_closed_with_it_and_not_given_to_its_successor() {
    // While worker 1 is busy a second connection is offered to it; it takes that one after it broke its channel,
    // reads the request and never answers. Its successor would wait for a request that has been read already.
    let app = "const fs = require('fs'), http = require('http');
        process.on('SIGTERM', () => {});
        http.createServer((request, response) => {
            if (request.url === '/hang') { console.log('taken'); return; }
            if (request.url === '/crime') {
                console.log('busy');
                while (!fs.existsSync('offered')) {}
                fs.writeSync(3, '\\n');
            }
            response.end(`${process.env.LUSTER_WID} ${process.pid}`);
        }).listen(process.env.port);";
    let (luster, port) = Pair::of_app(app, json!({"killTimeout": 500}));
    let pair = Pair::start(luster, port);
    let criminal = pair.await_answer(0);
    let ask = move |path: &str| {
        let mut connection = Connection::open(&Target::Tcp(port)).expect("it listens");
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).expect("open");
        connection
    };
    let _crime = ask("/crime");
    eventually("worker 1 is busy", || pair.luster.stdout().contains("busy").then_some(()));
    let mut hanging = ask("/hang");
    // Nothing tells when luster has offered it; the idle moment afterwards does.
    eventually("luster is at rest", || {
        let before = stat(pair.luster.pid(), 14);
        std::thread::sleep(std::time::Duration::from_millis(200)); // a measurement's window
        (stat(pair.luster.pid(), 14) == before).then_some(())
    });
    std::fs::write(pair.luster.path().join("offered"), "").expect("ours");
    eventually("worker 1 has the request", || pair.luster.stdout().contains("taken").then_some(()));
    pair.await_answer(criminal);
    let asked = std::time::Instant::now();
    assert!(hanging.reply().is_err());
    assert!(asked.elapsed() < PATIENCE / 2, "the connection was left open");
    pair.end();
}

#[test]
fn a_kernel_that_lacks_memory_to_read_what_workers_say_costs_no_worker_and_no_request() {
    let port = free_port();
    let luster = Luster::with(HTTP, json!({"workers": 2, "server": {"port": port}})).start();
    luster.await_ready(2);
    luster.await_listening(2);
    let workers = children(luster.pid());
    let loads = [Style::NEW, Style::KEEP_ALIVE].map(|style| Load::begin(&Target::Tcp(port), style));
    let injection = Injection::attach(luster.pid(), "recvmsg", "ENOMEM", 1, 2).expect("strace");
    loads.iter().for_each(|load| load.await_answers(50));
    drop(injection);
    loads.iter().for_each(|load| load.await_answers(200));
    loads.into_iter().for_each(Load::end_without_a_failure);
    assert_eq!(children(luster.pid()), workers);
    assert_eq!(luster.events("stopping"), [] as [Value; 0]);
    assert_eq!(luster.stop().0, 0);
}
