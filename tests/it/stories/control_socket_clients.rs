//! Clients of the control socket that are wrong, slow, many, or not to be there: each costs itself at most, and workers serve on.

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Control, HTTP, Load, Luster, PATIENCE, Running, Style, Target, eventually, free_port};

/// Nobody's number.
const NOBODY: u32 = 65_534;

/// Who ask at the same time.
const ASKERS: usize = 8;

/// How long the body of a request may take.
const BODY: Duration = Duration::from_secs(10);

/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(5);

/// A luster under load; what it serves is not to notice anything.
struct Served {
    luster: Running,
    load: Load,
    control: Control,
}

impl Served {
    fn new(control: Value) -> Self {
        let port = free_port();
        let config = json!({"workers": 2, "server": {"port": port}, "control": control});
        let luster = Luster::with(HTTP, config).start();
        luster.await_ready(2);
        luster.await_listening(2);
        let load = Load::begin(&Target::Tcp(port), Style::KEEP_ALIVE.pausing(2, 0, 1));
        let control = luster.control();
        Self { luster, load, control }
    }

    /// No request has failed, no worker was replaced, and it can be asked and stopped as ever.
    #[track_caller]
    fn end(self) {
        let Self { luster, load, control } = self;
        assert_eq!(control.status()["ready"], 2);
        load.end_without_a_failure();
        assert_eq!(luster.all_pids().len(), 2, "no worker was started anew");
        assert_eq!(luster.stop().0, 0);
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.luster.pid())).expect("/proc").count()
    }

    /// The most memory it has ever held, in KiB.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.luster.pid())).expect("/proc");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

/// All that comes until the other side closes.
fn rest(mut stream: &UnixStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        // It has not read what we sent.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn what_is_not_understood_is_refused_with_one_sentence_and_nothing_changes() {
    let served = Served::new(json!({}));
    for (method, path, body, code, reason, words) in [
        ("GET", "/", "", 404, "not_found", "there is no /; there are GET /v1/status"),
        ("GET", "/v1/status/", "", 404, "not_found", "there is no /v1/status/"),
        ("POST", "/v2/stop", "", 404, "not_found", "there is no /v2/stop"),
        ("GET", "/v1/stop", "", 405, "method_not_allowed", "asked with POST, not GET"),
        ("DELETE", "/v1/status", "", 405, "method_not_allowed", "asked with GET, not DELETE"),
        ("POST", "/v1/stop", "{", 400, "bad_request", "the body is not the JSON expected here: EOF"),
        ("POST", "/v1/stop", "[]", 400, "bad_request", "the body is to be a JSON object"),
        ("POST", "/v1/stop", "{\"worker\":[1]}", 400, "bad_request", "unknown field `worker`"),
        ("POST", "/v1/stop", "{\"workers\":[]}", 400, "bad_request", "names no worker"),
        (
            "POST",
            "/v1/stop",
            "{\"workers\":[1,9]}",
            409,
            "unknown_worker",
            "there is no worker 9; there are workers 1 and 2",
        ),
        ("POST", "/v1/restart", "{\"workers\":[0]}", 409, "unknown_worker", "there is no worker 0"),
        ("POST", "/v1/restart?wait=maybe", "", 400, "bad_request", "wait=true or wait=false"),
        ("POST", "/v1/scale", "", 400, "bad_request", "either a count"),
        (
            "POST",
            "/v1/scale",
            "{\"count\":0}",
            409,
            "out_of_range",
            "must be from 1 to 10000, not 0; to stop all of them",
        ),
        ("POST", "/v1/scale", "{\"count\":-1}", 409, "out_of_range", "must be from 1 to 10000, not -1"),
        ("POST", "/v1/scale", "{\"change\":-2}", 409, "out_of_range", "must be from 1 to 10000, not 0"),
        (
            "POST",
            "/v1/scale",
            "{\"count\":100000}",
            409,
            "out_of_range",
            "must be from 1 to 10000, not 100000",
        ),
    ] {
        let (found, answer) = served.control.ask(method, path, body);
        assert_eq!((found, &answer["reason"]), (code, &json!(reason)), "{method} {path} {body}: {answer}");
        assert_eq!((&answer["schema"], &answer["outcome"]), (&json!(1), &json!("refused")), "{answer}");
        let message = answer["message"].as_str().expect("a sentence");
        assert!(message.contains(words), "{method} {path} {body}: {message}");
    }
    // Worker 1 exists, but what was asked for was refused whole.
    served.end();
}

#[test]
fn half_a_request_is_waited_for_a_while_and_holds_up_nobody() {
    let served = Served::new(json!({}));
    let began = Instant::now();
    let silent = UnixStream::connect(served.control.path()).expect("it listens");
    let mut half = UnixStream::connect(served.control.path()).expect("it listens");
    half.write_all(b"GET /v1/status HTTP/1.1\r\nHost: ").expect("it reads");
    let mut body = UnixStream::connect(served.control.path()).expect("it listens");
    body.write_all(b"POST /v1/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{").expect("it reads");
    while began.elapsed() < HEAD - Duration::from_secs(1) {
        assert_eq!(served.control.status()["ready"], 2);
        std::thread::sleep(Duration::from_millis(50)); // a pace
    }
    assert_eq!(rest(&silent), "");
    assert_eq!(rest(&half), "");
    assert!(began.elapsed() >= HEAD, "a slow client has its time: {:?}", began.elapsed());
    let answer = rest(&body);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("has not come within 10 s"), "{answer}");
    served.end();
}

#[test]
fn a_head_or_a_body_that_is_too_large_is_not_taken() {
    let served = Served::new(json!({}));
    let before = served.peak();
    // Each chunk is written until the answer is there: nobody has a gibibyte to spare.
    let flood = |head: &str, chunk: &[u8], most: usize| {
        let mut stream = UnixStream::connect(served.control.path()).expect("it listens");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut sent = 0;
        while sent < most && stream.write_all(chunk).is_ok() {
            sent += chunk.len();
        }
        assert!(sent < most, "all of it was taken");
        rest(&stream)
    };
    let gibibyte = 1 << 30;
    let head = format!("POST /v1/scale HTTP/1.1\r\nHost: x\r\nContent-Length: {gibibyte}\r\n\r\n");
    let answer = flood(&head, &[b' '; 1 << 16], gibibyte);
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("larger than 64 KiB"), "{answer}");
    let head = "POST /v1/scale HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut chunk = b"10000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x10000, b' ');
    chunk.extend_from_slice(b"\r\n");
    let answer = flood(head, &chunk, gibibyte);
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("larger than 64 KiB"), "{answer}");
    let answer = flood("GET /v1/status HTTP/1.1\r\n", b"X-Much: of it\r\n", gibibyte);
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    // As curl does it.
    let big = served.luster.path().join("big");
    std::fs::File::create(&big).expect("writable").set_len(gibibyte as u64).expect("sparse");
    let curl =
        curl(served.control.path(), &["-T", big.to_str().expect("UTF-8"), "-X", "POST"], "/v1/scale", |_| {});
    assert_eq!(String::from_utf8_lossy(&curl.stdout), "413", "{curl:?}");
    assert!(served.peak() - before < 8 << 10, "{} KiB more than {before}", served.peak() - before);
    served.end();
}

#[test]
fn a_thousand_idle_clients_are_turned_away_or_time_out() {
    let served = Served::new(json!({}));
    let before = served.descriptors();
    let began = Instant::now();
    let idle: Vec<_> =
        (0..1000).map(|_| UnixStream::connect(served.control.path()).expect("it listens")).collect();
    let told = eventually("somebody is told that there are too many", || {
        served.control.try_ask("GET", "/v1/status", "").ok().filter(|(code, _)| *code == 503)
    });
    assert_eq!(told.1["reason"], "busy", "{}", told.1);
    assert!(began.elapsed() < HEAD, "this is told while they are there");
    assert!(served.descriptors() < before + 200);
    eventually("there is room again", || {
        served.control.try_ask("GET", "/v1/status", "").ok().filter(|(code, _)| *code == 200)
    });
    drop(idle);
    eventually("all of them are gone", || (served.descriptors() <= before + 5).then_some(()));
    served.end();
}

#[test]
fn a_slow_reader_of_events_is_told_how_many_it_has_lost() {
    let served = Served::new(json!({}));
    let mut slow = UnixStream::connect(served.control.path()).expect("it listens");
    slow.write_all(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
    let mut first = [0; 1];
    slow.read_exact(&mut first).expect("an answer");
    // Each is an event; together they are more than is kept for a reader, and than sockets hold. Several ask at once, because
    // who reads nothing at all for a minute is turned away, and on a busy machine one after the other takes longer.
    let ask = || {
        let mut fast = served.control.connect().expect("it listens");
        for _ in 0..6000 / ASKERS {
            let reply = fast.request("POST /v1/start HTTP/1.1", b"{}").expect("an answer");
            assert_eq!(reply.status, 200, "{}", reply.body);
        }
    };
    std::thread::scope(|scope| (0..ASKERS).for_each(|_| drop(scope.spawn(ask))));
    slow.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let (mut told, mut buffer) = (String::new(), [0; 1 << 16]);
    let (mut counted, lost) = loop {
        let read = slow.read(&mut buffer).expect("events");
        assert!(read > 0, "the events end");
        told.push_str(&String::from_utf8_lossy(&buffer[..read]));
        if let Some((before, after)) = told.split_once("event: lost\ndata: ")
            && let Some((data, _)) = after.split_once('\n')
        {
            let lost: Value = serde_json::from_str(data).expect("JSON");
            break (before.matches("event: control_asked").count(), lost["lost"].as_u64().expect("a number"));
        }
    };
    assert!(lost > 0);
    // What comes behind the gap, to the last.
    let after = |told: &str| {
        let (_, after) = told.split_once("event: lost").expect("found before");
        after.matches("event: control_asked").count()
    };
    while counted + after(&told) + usize::try_from(lost).expect("few") < 6000 {
        let read = slow.read(&mut buffer).expect("events");
        told.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    counted += after(&told);
    assert_eq!(counted + usize::try_from(lost).expect("few"), 6000);
    served.end();
}

/// curl's answer: its exit code, and the HTTP code on stdout.
fn curl(socket: &std::path::Path, args: &[&str], path: &str, adjust: impl Fn(&mut Command)) -> Output {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20", "--unix-socket"]);
    curl.arg(socket).args(args).arg(format!("http://luster{path}"));
    adjust(&mut curl);
    curl.output().expect("curl is there")
}

#[test]
fn another_user_is_not_answered_unless_a_group_lets_it() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let group = 54_321;
    let served = Served::new(json!({"socket": "control.sock", "group": group}));
    let folder = PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(served.luster.path(), folder).expect("ours");
    let path = served.control.path();
    let asks = |gid: u32, code: &str, exit: i32| {
        let answer = curl(path, &[], "/v1/status", |curl| {
            curl.uid(NOBODY).gid(gid);
        });
        let told = String::from_utf8_lossy(&answer.stdout).into_owned();
        assert_eq!((told.as_str(), answer.status.code()), (code, Some(exit)), "{answer:?}");
    };
    // The kernel does not even let it connect.
    asks(NOBODY, "000", 7);
    asks(group, "200", 0);
    // Somebody has opened the file to all: who connects is asked for, and told of once.
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o666)).expect("ours");
    for _ in 0..3 {
        asks(NOBODY, "403", 0);
    }
    asks(group, "200", 0);
    let refused = served.luster.await_event("control_refused", 1);
    assert_eq!(refused["uid"], NOBODY);
    assert_eq!(served.luster.events("control_refused").len(), 1);
    served.end();
}

#[test]
fn who_asks_without_a_pause_keeps_no_worker_from_serving() {
    let served = Served::new(json!({}));
    let until = Instant::now() + Duration::from_secs(2);
    let asking: Vec<_> = (0..16)
        .map(|_| {
            let mut connection = served.control.connect().expect("it listens");
            std::thread::spawn(move || {
                let mut answers = 0;
                while Instant::now() < until {
                    let reply = connection.request("GET /v1/status HTTP/1.1", b"").expect("an answer");
                    assert_eq!(reply.status, 200, "{}", reply.body);
                    answers += 1;
                }
                answers
            })
        })
        .collect();
    let before = served.load.answered();
    let answers: usize = asking.into_iter().map(|thread| thread.join().expect("it asks")).sum();
    assert!(answers > 100 && served.load.answered() > before, "{answers}");
    served.end();
}

#[test]
fn a_stop_does_not_wait_for_clients_that_take_their_time() {
    let port = free_port();
    let mut luster = Luster::with(HTTP, json!({"workers": 1, "server": {"port": port}})).start();
    luster.await_ready(1);
    let control = luster.control();
    let mut half = UnixStream::connect(control.path()).expect("it listens");
    half.write_all(b"POST /v1/restart HTTP/1.1\r\nContent-Length: 9\r\n\r\n{").expect("it reads");
    let mut unread = UnixStream::connect(control.path()).expect("it listens");
    unread.write_all(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
    let mut first = [0; 1];
    unread.read_exact(&mut first).expect("an answer");
    let began = Instant::now();
    assert_eq!(control.post("/v1/stop", "").0, 200);
    assert_eq!(luster.await_end(), 0);
    assert!(began.elapsed() < BODY, "{:?}", began.elapsed());
    // The head of the events was read; their end is an end, not a cut.
    let told = rest(&unread);
    assert!(told.contains("event: stopped") && told.ends_with("0\r\n\r\n"), "{told}");
}
