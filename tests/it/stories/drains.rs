//! What becomes of connections whose worker is stopped: finished where that is possible, cut at `stopTimeout` where not.

use std::io::Read;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Connection, HTTP, Luster, Running, Script, Target, eventually, free_port, packages};

fn start(app: &str, mut config: Value) -> (Running, Target) {
    let port = free_port();
    config["server"]["port"] = port.into();
    config["workers"] = 1.into();
    let luster = Luster::with(app, config).start();
    luster.await_ready(1);
    luster.await_listening(1);
    (luster, Target::Tcp(port))
}

/// Begins a rollout, and waits until the old worker does not wait for connections without a request any more.
#[track_caller]
fn begin_rollout(luster: &Running, target: &Target) {
    let mut idle = Connection::open(target).expect("open");
    // It is in the worker's hands for sure when it has been used.
    assert_eq!(idle.request("GET / HTTP/1.1", b"").expect("an answer").status, 200);
    luster.signal(Signal::SIGHUP);
    luster.await_event("stopping", 1);
    assert!(idle.is_closed_by_peer());
}

#[track_caller]
fn await_rollout(luster: &Running) {
    luster.await_event("rollout_finished", 1);
}

#[test]
fn a_slow_head_and_a_slow_upload_cross_a_rollout() {
    for restart in ["stop-first", "start-first"] {
        let (luster, target) = start(HTTP, json!({"control": {"restart": restart}}));
        let mut head = Connection::open(&target).expect("open");
        head.send(b"GET / HTTP/1.1\r\nHost: loc").expect("sent");
        let mut upload = Connection::open(&target).expect("open");
        upload.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n0123").expect("sent");
        begin_rollout(&luster, &target);
        head.send(b"alhost\r\n\r\n").expect("sent");
        for _ in 0..996 {
            upload.send(b"x").expect("sent");
        }
        for (connection, wanted) in [(&mut head, "read 0"), (&mut upload, "read 1000")] {
            let reply = connection.reply().expect("an answer");
            assert!(reply.status == 200 && reply.closes && reply.body.ends_with(wanted), "{reply:?}");
        }
        await_rollout(&luster);
        assert!(luster.events("signalled").is_empty());
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn a_pipeline_is_answered_to_its_end() {
    let (luster, target) = start(HTTP, json!({}));
    let mut pipeline = Connection::open(&target).expect("open");
    let slow = "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(8);
    pipeline.send(slow.as_bytes()).expect("sent");
    luster.signal(Signal::SIGHUP);
    let closes: Vec<_> = (0..8).map(|_| pipeline.reply().expect("an answer").closes).collect();
    assert_eq!(closes, [false, false, false, false, false, false, false, true]);
    await_rollout(&luster);
}

/// When these are cut, in ms: what they say while they drain comes before, on a busy machine too.
const CUT: u32 = 5000;

/// An endless stream for `/events`, an upgraded connection for those who ask.
const LONG: &str = r#"
const server = require('http').createServer((req, res) => {
    if (req.url !== '/events') {
        return res.end('ok');
    }
    res.write('data: begun\n\n');
    setInterval(() => res.write('data: more\n\n'), 50);
});
server.on('upgrade', (req, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    socket.on('data', data => socket.write(data));
    process.on('SIGTERM', () => socket.end('goodbye', () => process.exit()));
});
server.listen(process.env.port);
"#;

#[test]
fn a_stream_of_events_is_cut_at_the_stop_timeout() {
    let (luster, target) = start(LONG, json!({"control": {"stopTimeout": CUT, "restart": "start-first"}}));
    let mut events = Connection::open(&target).expect("open");
    events.send(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    events.read_until(b"begun").expect("it has begun");
    begin_rollout(&luster, &target);
    events.read_until(b"more").expect("it goes on while the worker drains");
    await_rollout(&luster);
    let signalled = luster.await_event("signalled", 1);
    assert_eq!(signalled["wid"], 1, "{signalled}");
    assert!(events.rest().is_ok());
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn an_upgraded_connection_lives_until_the_stop_timeout_and_is_told_by_the_signal() {
    let (luster, target) = start(LONG, json!({"control": {"stopTimeout": CUT}}));
    let mut socket = Connection::open(&target).expect("open");
    socket
        .send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        .expect("sent");
    socket.read_until(b"echo\r\n\r\n").expect("upgraded");
    begin_rollout(&luster, &target);
    socket.send(b"are you there?").expect("sent");
    socket.read_until(b"are you there?").expect("it is");
    assert_eq!(socket.rest().expect("the end"), b"goodbye");
    await_rollout(&luster);
    assert_eq!(luster.stop().0, 0);
}

/// Tells its upgraded connections goodbye in a suspend function, and closes its server there, as some apps do.
const CLOSING: &str = r#"
const server = require('http').createServer((req, res) => res.end(String(process.pid))).listen(process.env.port);
require('luster').registerSuspendFunction(() => new Promise(resolve => server.close(resolve)));
process.on('SIGTERM', () => server.close());
"#;

#[test]
fn an_app_that_closes_its_own_server_when_it_is_suspended_drops_nothing() {
    for (restart, balance) in [
        ("stop-first", "round-robin"),
        ("start-first", "round-robin"),
        ("stop-first", "shared"),
        ("stop-first", "reuseport"),
    ] {
        let config = json!({"control": {"restart": restart}, "server": {"balance": balance}});
        let (luster, target) = start(CLOSING, config);
        load_across(&luster, &target, 2);
        assert_eq!(luster.stop().0, 0);
    }
}

/// Closes its server in its own SIGTERM handler, which comes when it does not leave in time.
const STUBBORN: &str = r#"
const server = require('http').createServer((req, res) => res.end(String(process.pid))).listen(process.env.port);
const busy = setInterval(() => {}, 1000);
process.on('SIGTERM', () => { server.close(); clearInterval(busy); });
"#;

#[test]
fn an_app_that_closes_its_own_server_at_sigterm_drops_nothing() {
    let (luster, target) = start(STUBBORN, json!({"control": {"stopTimeout": 500}}));
    load_across(&luster, &target, 2);
    assert_eq!(luster.stop().0, 0);
}

/// Rolls out so often under load.
#[track_caller]
fn load_across(luster: &Running, target: &Target, rollouts: usize) {
    use crate::harness::{Load, Style};
    let loads = [Style::KEEP_ALIVE, Style::NEW].map(|style| Load::begin(target, style));
    for _ in 0..rollouts {
        loads.iter().for_each(|load| load.await_answers(20));
        assert_eq!(luster.rollout()["event"], "rollout_finished");
    }
    loads.iter().for_each(|load| load.await_answers(20));
    loads.into_iter().for_each(Load::end_without_a_failure);
}

#[test]
fn express_drops_nothing() {
    framework(
        "express",
        r#"
        const app = require('express')();
        app.get('/', (req, res) => res.send(String(process.pid)));
        app.listen(process.env.port);
    "#,
    );
}

#[test]
fn fastify_drops_nothing() {
    framework(
        "fastify",
        r#"
        const fastify = require('fastify')();
        fastify.get('/', async () => String(process.pid));
        fastify.listen({ port: Number(process.env.port) });
    "#,
    );
}

#[track_caller]
fn framework(name: &str, app: &str) {
    for restart in ["stop-first", "start-first"] {
        let port = free_port();
        let config = json!({"workers": 2, "control": {"restart": restart}, "server": {"port": port}});
        let modules = packages(&[name]);
        let modules = modules.to_str().expect("UTF-8");
        let luster = Luster::with(app, config).env("NODE_PATH", modules).start();
        luster.await_listening(2);
        luster.await_ready(2);
        load_across(&luster, &Target::Tcp(port), 2);
        assert_eq!(luster.stop().0, 0);
    }
}

/// Serves over TLS or HTTP/2: `KIND`.
const SECURE: &str = r#"
const { key, cert } = require('./certificate');
const answer = (req, res) => setTimeout(() => res.end(String(process.pid)), req.url === '/slow' ? 100 : 0);
const make = {
    https: () => require('https').createServer({ key, cert }, answer),
    http2: () => require('http2').createServer(answer),
    http2s: () => require('http2').createSecureServer({ key, cert }, answer),
};
make[process.env.KIND]().listen(process.env.port);
"#;

/// The report of Node's own clients after two rollouts of each order.
#[track_caller]
fn secure(kind: &str) -> Vec<Value> {
    let certificate = include_str!("../../../npm/test/apps/certificate.js");
    let of = |restart: &str| {
        let port = free_port();
        let config = json!({"workers": 2, "control": {"restart": restart}, "server": {"port": port}});
        let luster =
            Luster::with(SECURE, config).file("certificate.js", certificate).env("KIND", kind).start();
        luster.await_listening(2);
        luster.await_ready(2);
        let clients = Script::start("load.js", &[kind, &port.to_string()]);
        for _ in 0..2 {
            assert_eq!(luster.rollout()["event"], "rollout_finished");
        }
        let report = clients.end();
        assert_eq!(report["failures"], json!([]), "{report}");
        assert_eq!(luster.stop().0, 0);
        report
    };
    ["stop-first", "start-first"].map(of).to_vec()
}

#[test]
fn https_drops_nothing() {
    secure("https");
}

#[test]
fn http2_drops_nothing() {
    secure("http2");
}

#[test]
fn http2_over_tls_drops_nothing() {
    secure("http2s");
}

/// Reads what is left, for connections that are not HTTP any more.
trait Raw {
    fn read_until(&mut self, end: &[u8]) -> std::io::Result<()>;
    fn rest(&mut self) -> std::io::Result<Vec<u8>>;
}

impl Raw for Connection {
    fn read_until(&mut self, end: &[u8]) -> std::io::Result<()> {
        let (mut read, mut byte) = (Vec::new(), [0]);
        while !read.ends_with(end) {
            self.reader().read_exact(&mut byte)?;
            read.push(byte[0]);
        }
        Ok(())
    }

    fn rest(&mut self) -> std::io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        match self.reader().read_to_end(&mut rest) {
            // A cut connection may be reset.
            Ok(_) => Ok(rest),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(rest),
            Err(error) => Err(error),
        }
    }
}

#[test]
fn with_one_worker_clients_wait_while_it_is_replaced() {
    // It takes its time to start.
    let slow = format!("const until = Date.now() + 500; while (Date.now() < until);\n{HTTP}");
    for balance in ["round-robin", "shared", "reuseport"] {
        let (luster, target) = start(&slow, json!({"server": {"balance": balance}}));
        load_across(&luster, &target, 1);
        eventually("the first worker is gone", || (luster.events("exit").len() == 1).then_some(()));
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn clients_that_pause_on_kept_connections_lose_nothing() {
    use crate::harness::{Load, Style};
    let port = free_port();
    let luster = Luster::with(HTTP, json!({"workers": 2, "server": {"port": port}})).start();
    luster.await_ready(2);
    luster.await_listening(2);
    let load = Load::begin(&Target::Tcp(port), Style::KEEP_ALIVE.pausing(50, 300, 500));
    for _ in 0..4 {
        load.await_answers(50);
        assert_eq!(luster.rollout()["event"], "rollout_finished");
    }
    load.end_without_a_failure();
    assert_eq!(luster.stop().0, 0);
}

/// One connection that was used and then is not any more: how long its worker's end takes, in ms.
#[track_caller]
fn end_with_an_idle_connection(control: Value, workers: u32) -> u64 {
    let port = free_port();
    let luster =
        Luster::with(HTTP, json!({"workers": workers, "control": control, "server": {"port": port}})).start();
    luster.await_ready(workers as usize);
    luster.await_listening(workers as usize);
    let mut idle = Connection::open(&Target::Tcp(port)).expect("open");
    let reply = idle.request("GET / HTTP/1.1", b"").expect("an answer");
    let pid: i32 = reply.body.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid");
    luster.signal(Signal::SIGHUP);
    let stopping = luster.await_event_where("stopping", 1, |line| line["pid"] == pid);
    assert!(idle.is_closed_by_peer());
    let exit = luster.await_event_where("exit", 1, |line| line["pid"] == pid);
    assert_eq!(luster.stop().0, 0);
    let time = |line: &Value| chrono::DateTime::parse_from_rfc3339(line["timestamp"].as_str().expect("text"));
    let took = time(&exit).expect("a time") - time(&stopping).expect("a time");
    u64::try_from(took.num_milliseconds()).expect("in this order")
}

#[test]
fn an_idle_connection_has_its_time_where_others_serve_meanwhile() {
    let took = end_with_an_idle_connection(json!({}), 2);
    assert!(took >= 1900, "{took} ms");
    let took = end_with_an_idle_connection(json!({"idleTimeout": 4000}), 2);
    assert!(took >= 3900, "{took} ms");
    let alone = end_with_an_idle_connection(json!({"idleTimeout": 30_000}), 1);
    assert!((200..30_000).contains(&alone), "clients wait for its successor: {alone} ms");
}

/// Keeps something open, as a pool of connections to a database does, and ends at SIGTERM, as every guide says.
const POOL: &str = "require('http').createServer((_, r) => r.end('x')).listen(process.env.port);
    setInterval(() => {}, 1000);
    process.on('SIGTERM', () => { console.log('SIGTERM'); process.exit(); });";

#[test]
fn workers_with_nothing_left_but_a_pool_get_sigterm_after_two_seconds() {
    for (control, most) in [(json!({}), 9000), (json!({"stopTimeout": 30_000, "exitTimeout": 300}), 9000)] {
        let config = json!({"workers": 2, "control": control, "server": {"port": free_port()}});
        let luster = Luster::with(POOL, config).start();
        luster.await_ready(2);
        let begun = std::time::Instant::now();
        let (code, log) = luster.stop();
        let signalled: Vec<_> = log.iter().filter(|line| line["event"] == "signalled").collect();
        assert_eq!((code, signalled.len()), (0, 2), "{signalled:?}");
        assert!(signalled.iter().all(|line| line["ms"] == control["exitTimeout"].as_u64().unwrap_or(2000)));
        // The time itself is the log's to show; on a busy machine exits take longer.
        assert!(begun.elapsed().as_millis() < most, "{:?}", begun.elapsed());
    }
}

#[test]
fn an_app_that_closed_its_server_itself_and_still_answers_is_not_cut_by_the_exit_timeout() {
    let app = "const server = require('http').createServer((_, r) => { console.log('asked');
            setTimeout(() => r.end('done'), 4000); }).listen(process.env.port);
        require('luster').registerSuspendFunction(() => { server.close(); });";
    let (luster, target) = start(app, json!({"control": {"exitTimeout": 300}}));
    let client = std::thread::spawn(move || crate::harness::get(&target));
    eventually("the request has arrived", || luster.stdout().contains("asked").then_some(()));
    let (code, log) = luster.stop();
    assert_eq!(client.join().expect("no panic").expect("an answer").body, "done");
    assert_eq!(code, 0, "{log:?}");
}

/// Nothing is read here, so Node does not find out that the client is gone.
const UNREAD: &str =
    "require('net').createServer(socket => socket.write('hello\\n')).listen(process.env.port);";

#[test]
fn what_holds_a_stop_up_without_a_limit_is_told() {
    for (control, told) in [(json!({}), true), (json!({"stopTimeout": 12_000}), false)] {
        let (luster, target) = start(UNREAD, json!({ "control": control }));
        let mut connection = Connection::open(&target).expect("open");
        connection.send(b"a word\n").expect("sent");
        connection.reader().read_exact(&mut [0; 6]).expect("its greeting");
        luster.signal(Signal::SIGHUP);
        if told {
            let busy = luster.await_event("still_busy", 1);
            assert_eq!((&busy["wid"], &busy["level"]), (&json!(1), &json!("WARN")), "{busy}");
            assert!(luster.events("signalled").is_empty());
        } else {
            luster.await_event("signalled", 1);
            assert!(luster.events("still_busy").is_empty());
        }
    }
}
