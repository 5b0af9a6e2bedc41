//! What people read, and what is made of odd answers, over sockets of a server that says what it is told to.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::connection::Connection;
use super::error::ClientError;
use super::form::Colour;
use super::status_text::{Before, render};
use super::table::WIDTH;
use super::target::runs;
use crate::control::schema::Status;

/// A socket whose every connection gets these bytes, once it has asked, and is closed.
fn served(answer: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("control.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let answer = answer.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut asked = [0; 4096];
            if stream.read(&mut asked).is_ok_and(|length| length > 0) {
                // Whoever has understood enough is gone.
                let _ = stream.write_all(&answer);
            }
        }
    });
    (folder, path)
}

fn http(code: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {code}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn asked(socket: &Path) -> Result<Status, ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { Ok(Connection::open(socket).await?.status().await?.0) })
}

/// What comes of an answer: the exit code and the sentence.
fn failure(answer: &[u8]) -> (u8, String) {
    let (_folder, socket) = served(answer);
    let error = asked(&socket).expect_err("no status");
    (error.exit().code(), error.to_string())
}

#[test]
fn an_answer_that_is_no_status_is_one_sentence() {
    let refusal = |reason: &str| {
        json!({"schema": 1, "outcome": "refused", "reason": reason, "message": "so it is"}).to_string()
    };
    for (answer, code, words) in [
        (http("403 Forbidden", &refusal("forbidden")), 77, "is not yours to ask: so it is"),
        (http("503 Service Unavailable", &refusal("busy")), 75, "too much to do to answer: so it is"),
        (http("404 Not Found", &refusal("not_found")), 70, "404 Not Found, so it is"),
        (http("404 Not Found", "<html>"), 70, "does not answer in luster's JSON"),
        (http("200 OK", "{\"schema\":2}"), 70, "it answers in schema 2, and this is 1"),
        (http("200 OK", "{\"schema\":1}"), 70, "its answer is incomplete: missing field"),
        (b"+PONG\r\n".to_vec(), 70, "it does not answer in HTTP"),
        (Vec::new(), 69, "has ended, or has closed the connection, before it answered"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec(), 69, "before it answered"),
        (b"HTTP/1.1 200 OK\r\n".repeat(100_000), 70, "it does not answer in HTTP"),
    ] {
        let (found, sentence) = failure(&answer);
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(200)]).into_owned();
        assert_eq!(found, code, "{sentence} for {shown}");
        assert!(sentence.contains(words) && !sentence.contains('\n'), "{sentence} for {shown}");
    }
}

#[test]
fn a_socket_nobody_listens_on_is_one_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let dead = folder.path().join("dead.sock");
    drop(UnixListener::bind(&dead).expect("a socket"));
    let file = folder.path().join("file.sock");
    std::fs::write(&file, "").expect("writable");
    let long = folder.path().join("x".repeat(120));
    for (socket, code, words) in [
        (folder.path().join("none.sock"), 69, "there is no such socket"),
        (dead, 69, "whoever made it is gone"),
        (file, 69, "it is no socket"),
        (long, 70, "cannot be connected to"),
    ] {
        let error = asked(&socket).expect_err("nobody");
        assert_eq!(error.exit().code(), code, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_status_of_a_later_version_is_understood() {
    let mut later = status();
    later["mood"] = json!("good");
    later["workers"][0]["state"] = json!("hibernating");
    let (_folder, socket) = served(&http("200 OK", &later.to_string()));
    let status = asked(&socket).expect("a status");
    assert!(render(&status, None, Colour::No).contains("  1  unknown"), "{status:?}");
}

fn instance(id: u32, role: &str, state: &str) -> Value {
    json!({"id": id, "role": role, "state": state, "pid": 4_194_300 + id, "generation": 2, "uptime_ms": 312_000,
        "cpu_ms": 4_200, "memory_bytes": 64 << 20, "endpoints": ["tcp *:8080", "unix /run/app.sock", "udp *:53"]})
}

fn worker(wid: u32, state: &str, instances: Vec<Value>) -> Value {
    json!({"wid": wid, "state": state, "restarts": wid, "instances": instances,
        "counters": {"started": 1, "crashed": 0, "late": 0, "asked": 0}})
}

fn status() -> Value {
    let mut backing_off = worker(3, "backing_off", Vec::new());
    backing_off["backoff_ms"] = json!(59_000);
    backing_off["last_failure"] = json!({"code": 3, "reason": "exited with code 3\n  at x", "ago_ms": 4000});
    let successor = [instance(1, "active", "ready"), instance(4, "successor", "starting")];
    json!({"schema": 1, "revision": 7, "goal": "serving", "generation": 2, "wanted": 3, "ready": 2, "reading": true,
        "master": {"pid": 4711, "version": "3.0.0", "name": "web", "socket": "/run/luster/web.sock", "uid": 0,
            "uptime_ms": 190_800_000, "config": "/srv/current/luster.conf.json",
            "config_real": "/srv/releases/7/luster.conf.json", "cpu_ms": 1_000, "memory_bytes": 4 << 20},
        "rollout": {"total": 3, "replaced": 1, "under_way": 1, "waiting": 1, "held": true, "elapsed_ms": 2000},
        "counters": {"started": 9, "crashed": 1, "late": 0, "asked": 5},
        "host": {"kind": "extension_host", "pid": 4712, "state": "ready"},
        "workers": [worker(1, "ready", successor.to_vec()), worker(2, "ready", vec![instance(2, "active", "ready")]),
            backing_off, worker(4, "dead", Vec::new())]})
}

fn read(status: Value) -> Status {
    serde_json::from_value(status).expect("a status")
}

#[test]
fn people_see_who_answers_how_it_goes_and_every_worker() {
    let text = render(&read(status()), None, Colour::No);
    let expected = "\
/srv/current/luster.conf.json
luster 3.0.0, pid 4711, up 2d05h, generation 2, CPU 1.0s, 4 MiB
2 of 3 workers ready
the configuration is being read
rollout: replaced 1 of 3, 1 under way, 1 waiting, 2s; it waits for one that does not start
extension host: ready, pid 4712
last failure: worker 3, 4s ago: exited with code 3

WID  STATE                PID     UP  RESTARTS   CPU  MEMORY  GEN  PORTS
  1  ready            4194301  5m12s         1  4.2s  64 MiB    2  *:8080 +2
     starting (new)   4194304  5m12s            4.2s  64 MiB    2  *:8080 +2
  2  ready            4194302  5m12s         2  4.2s  64 MiB    2  *:8080 +2
  3  backing off 59s                         3
  4  dead                                    4
";
    assert_eq!(text, expected);
}

#[test]
fn people_see_how_the_last_rollout_failed_and_what_runs_now() {
    let failed = |outcome: &str, reason: &str, serving: &str| {
        json!({"outcome": outcome, "culprit": "worker", "wid": 1, "generation": 3, "replaced": 0, "code": 3,
            "reason": reason, "serving": serving, "ago_ms": 180_000})
    };
    let died = "the replacement of worker 1 exited with code 3";
    let mut told = status();
    let line = |told: &Value| {
        let text = render(&read(told.clone()), None, Colour::No);
        text.lines().find(|line| line.starts_with("the last rollout")).map(ToOwned::to_owned)
    };
    assert_eq!(line(&told), None);
    for (failed, expected) in [
        (
            failed("taken_back", died, "all run as before"),
            "failed 3m00s ago and is being taken back: the replacement of worker 1 exited with code 3; generation 2 is in \
             force: workers go back to it",
        ),
        (
            failed("aborted", died, "all run as before"),
            "failed 3m00s ago: the replacement of worker 1 exited with code 3; generation 2 is in force: all run as before",
        ),
        (
            failed("refused", "it is wrong:\n  here", "nothing was changed"),
            "failed 3m00s ago before it began: it is wrong:; generation 2 is in force: nothing was changed",
        ),
    ] {
        told["failed_rollout"] = failed;
        told["rollout"]["taking_back"] = json!(true);
        assert_eq!(line(&told), Some(format!("the last rollout {expected}")));
    }
    let text = render(&read(told.clone()), None, Colour::No);
    assert!(text.contains("\ntaking back the last rollout: replaced 1 of 3, "), "{text}");
    told["failed_rollout"] = failed("taken_back", died, "all run as before");
    told.as_object_mut().expect("an object").remove("rollout");
    let expected = "failed 3m00s ago and was taken back: the replacement of worker 1 exited with code 3; generation 2 is in \
        force: all run as before";
    assert_eq!(line(&told), Some(format!("the last rollout {expected}")));
}

#[test]
fn the_share_of_a_processor_is_shown_where_something_went_before() {
    let mut earlier = status();
    earlier["workers"][0]["instances"][0]["cpu_ms"] = json!(3_700);
    let before = Before { status: read(earlier), ago: Duration::from_secs(1) };
    let text = render(&read(status()), Some(&before), Colour::No);
    assert!(text.contains("CPU 0%") && text.contains(" 50%  64 MiB"), "{text}");
}

#[test]
fn the_widest_row_fits_the_table() {
    let mut widest = status();
    let mut instance = instance(3, "retiring", "draining");
    (instance["uptime_ms"], instance["cpu_ms"]) = (json!(86_400_000_u64 * 99), json!(86_400_000_u64 * 99));
    (instance["memory_bytes"], instance["generation"]) = (json!(1_u64 << 38), json!(999));
    widest["workers"][3] = worker(9_999, "ready", vec![instance.clone(), instance]);
    for status in [widest, status()] {
        let text = render(&read(status), None, Colour::No);
        let table = text.split("\n\n").nth(1).expect("a table");
        for line in table.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }
}

#[test]
fn colours_are_where_they_are_wanted() {
    assert!(!render(&read(status()), None, Colour::No).contains('\x1b'));
    let text = render(&read(status()), None, Colour::Yes);
    assert!(text.contains("\x1b[32mready\x1b[0m") && text.contains("\x1b[31mdead\x1b[0m"), "{text}");
}

#[test]
fn what_a_master_says_cannot_move_the_cursor() {
    let mut odd = status();
    odd["master"]["config"] = json!("/srv/\u{1b}[2J");
    odd["workers"][2]["last_failure"]["reason"] = json!("\u{7}oops");
    assert!(!render(&read(odd), None, Colour::No).contains(|each: char| each.is_control() && each != '\n'));
}

#[test]
fn a_master_runs_a_file_by_the_path_it_was_given_or_by_where_that_leads() {
    let root = tempfile::tempdir().expect("a folder");
    for release in ["7", "8"] {
        std::fs::create_dir_all(root.path().join(release)).expect("writable");
        std::fs::write(root.path().join(release).join("c.json"), "{}").expect("writable");
    }
    std::os::unix::fs::symlink("8", root.path().join("current")).expect("writable");
    let path = |path: &str| root.path().join(path);
    let mut told = status();
    told["master"]["config"] = json!(path("current/c.json"));
    // It was read before the link was moved.
    told["master"]["config_real"] = json!(path("7/c.json"));
    let told = read(told);
    for (file, expected) in
        [("current/c.json", true), ("8/c.json", true), ("7/c.json", true), ("9/c.json", false)]
    {
        assert_eq!(runs(&told, &[path(file)]), expected, "{file}");
    }
}
