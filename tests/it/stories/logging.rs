//! What is written where: workers' output untouched, luster's own words on stderr and only there.

use std::io::{BufRead, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{Connection, Luster, Target, eventually, free_port, get, is_alive};

/// Lives until it is told to end.
const QUIET: &str = "require('http').createServer().listen(0);";

#[test]
fn the_bytes_workers_print_pass_untouched_and_nothing_of_lusters_is_among_them() {
    let app = "process.stdout.write(Buffer.from([...Array(256).keys(), 13, 10, 0xc3]));
        process.stderr.write(Buffer.from([0xff, 0xfe, 10])); require('http').createServer().listen(0);";
    let luster = Luster::with(app, json!({"workers": 1}));
    let mut child =
        luster.command(&["-v"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("built");
    let (mut stdout, mut stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let errors = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).map(|_| bytes)
    });
    let mut bytes = vec![0; 259];
    stdout.read_exact(&mut bytes).expect("the worker's bytes");
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a pid")), Signal::SIGTERM).expect("it is there");
    stdout.read_to_end(&mut bytes).expect("the end");
    let expected: Vec<u8> = (0..=255).chain([13, 10, 0xc3]).collect();
    assert_eq!(bytes, expected);
    assert!(child.wait().expect("ours").success());
    let errors = errors.join().expect("no panic").expect("read");
    assert!(errors.windows(3).any(|window| window == [0xff, 0xfe, 10]), "the worker's stderr passes, too");
}

/// Runs a worker until it is ready, then stops it: what luster said, with these options.
#[track_caller]
fn said(options: &[&str], app: &str) -> Vec<String> {
    let luster = Luster::with(&format!("console.log('up'); {app}"), json!({"workers": 1}));
    let mut luster = luster.start_as(options);
    eventually("it is up", || luster.stdout().contains("up").then_some(()));
    luster.signal(Signal::SIGTERM);
    assert_eq!(luster.await_end(), 0);
    assert_eq!(luster.stdout(), "up\n");
    luster.log().iter().map(|line| line.as_str().map_or_else(|| line.to_string(), str::to_owned)).collect()
}

#[test]
fn lines_for_people_tell_the_main_events_and_more_with_v() {
    let lines = said(&[], QUIET);
    assert!(lines.iter().all(|line| line.contains(" INFO ")), "{lines:?}");
    assert!(lines[0].contains("runs 1 worker of") && lines[1].contains("worker 1 (pid "), "{lines:?}");
    assert!(lines.last().expect("lines").ends_with("stopped"), "{lines:?}");
    let lines = said(&["-v"], QUIET);
    assert!(lines.iter().any(|line| line.contains("DEBUG") && line.contains("is online")), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains('\x1b')), "no colour into a pipe");
}

#[test]
fn q_tells_only_warnings_and_qq_only_errors() {
    assert_eq!(said(&["-q"], QUIET), [""; 0]);
    // A typing mistake is a warning.
    let luster = |option: &str| {
        Luster::with(QUIET, json!({"workers": 1, "control": {"exitThreshold": 60_000, "stopTimout": 9}}))
            .arg(option)
    };
    let warned = luster("-q").file("worker.js", "process.exit(1)").output().2;
    let warned: Vec<_> = warned.lines().collect();
    assert!(warned.len() == 3 && warned[0].contains(" WARN ") && warned[2].contains("ERROR"), "{warned:?}");
    let failed = luster("-qq").file("worker.js", "process.exit(1)").output().2;
    assert_eq!(failed.matches("ERROR").count(), failed.lines().count(), "{failed}");
    assert!(failed.contains("every worker is dead"), "{failed}");
}

#[test]
fn with_log_format_json_every_line_is_an_object_with_its_event() {
    for line in said(&["--log-format", "json"], QUIET) {
        let line: Value = serde_json::from_str(&line).expect("JSON");
        for field in ["timestamp", "level", "message", "event"] {
            assert!(line[field].is_string(), "no {field} in {line}");
        }
    }
}

/// What luster says on a terminal when it has to give up at once.
fn said_on_a_terminal(variables: &[(&str, &str)]) -> String {
    let terminal = nix::pty::openpty(None, None).expect("a terminal");
    let luster =
        Luster::with("", json!({})).without_env("NO_COLOR").env("TERM", "xterm").env("PATH", "/nowhere");
    let luster = variables.iter().fold(luster, |luster, (name, value)| luster.env(name, value));
    let mut command = luster.command(&[]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::from(terminal.slave)).spawn().expect("built");
    drop(command); // and with it our own copy of the terminal's other end
    assert_eq!(child.wait().expect("ours").code(), Some(71));
    let mut text = Vec::new();
    // A terminal without its other end is an error, after the last byte.
    let _ = std::fs::File::from(terminal.master).read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_terminal_gets_colour_unless_the_user_objects() {
    assert!(said_on_a_terminal(&[]).contains("\x1b[31mERROR\x1b[0m no node on PATH"));
    assert!(said_on_a_terminal(&[("NO_COLOR", "")]).contains('\x1b'), "an empty value is no objection");
    for objection in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let said = said_on_a_terminal(&[objection]);
        assert!(said.contains("ERROR no node on PATH") && !said.contains('\x1b'), "{said:?}");
    }
}

/// Answers with its pid; has luster log `?N` lines of two thousand characters first.
const NOISY: &str = "require('http').createServer((req, res) => {
        const lines = Number(req.url.split('?')[1] || 0);
        for (let i = 0; i < lines; i++) {
            process.send({ cmd: 'luster_core.master.broadcastWorkerEvent', args: ['x'.repeat(1000)] });
        }
        res.end(String(process.pid));
    }).listen(process.env.port);";

/// A luster whose stderr is a pipe as small as can be, which nobody reads.
struct Unread {
    child: std::process::Child,
    reader: OwnedFd,
    target: Target,
    luster: Luster,
}

impl Unread {
    fn start(app: &str) -> Self {
        let port = free_port();
        let luster = Luster::with(app, json!({"workers": 1, "server": {"port": port}}));
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        // A few lines fill it.
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).expect("a smaller pipe");
        let mut command = luster.command(&["-v", "--log-format", "json"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::from(writer)).spawn().expect("built");
        Self { child, reader, target: Target::Tcp(port), luster }
    }

    /// Waits until a worker answers that is not this one.
    #[track_caller]
    fn serving(&self, but: i32) -> i32 {
        eventually("a worker answers", || {
            let pid = get(&self.target).ok()?.body.parse::<i32>().ok()?;
            (pid != but).then_some(pid)
        })
    }

    /// Has luster log so many long lines; they are on their way when this comes back.
    #[track_caller]
    fn make_noise(&self, lines: usize) {
        let mut connection = Connection::open(&self.target).expect("open");
        assert_eq!(
            connection.request(&format!("GET /?{lines} HTTP/1.1"), b"").expect("an answer").status,
            200
        );
    }

    fn terminate(&self) {
        let master = i32::try_from(self.child.id()).expect("a pid");
        kill(Pid::from_raw(master), Signal::SIGTERM).expect("it is there");
    }
}

#[test]
fn a_reader_of_stderr_that_stops_reading_does_not_hold_luster_up() {
    let mut unread = Unread::start(NOISY);
    let mut pid = unread.serving(0);
    // Twice as much as is kept.
    unread.make_noise(300);
    for _ in 0..4 {
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it is there");
        pid = unread.serving(pid);
    }
    // Once there is room again, the next line says how many are missing.
    let mut text = String::new();
    eventually("the gap is told", || {
        text += &read_what_is_there(&unread.reader);
        unread.make_noise(1);
        text.contains("log lines were dropped because stderr was not read").then_some(())
    });
    // In its place: what was logged after the gap comes after it, and nothing is torn.
    let whole = text.lines().filter(|line| line.starts_with('{') && line.ends_with('}')).count();
    assert!(whole > 100, "{whole} lines");
    // And nobody reads its last words either.
    unread.make_noise(300);
    unread.terminate();
    assert!(unread.child.wait().expect("ours").success());
    assert!(!is_alive(pid));
    drop(unread.luster);
}

/// Lines that come faster than a thread gets to write them are all there, in order, to the last.
#[test]
fn a_reader_that_reads_misses_no_line() {
    let port = free_port();
    let luster = Luster::with(NOISY, json!({"workers": 1, "server": {"port": port}})).start();
    luster.await_ready(1);
    luster.await_listening(1);
    let mut connection = Connection::open(&Target::Tcp(port)).expect("open");
    for _ in 0..20 {
        assert_eq!(connection.request("GET /?50 HTTP/1.1", b"").expect("an answer").status, 200);
    }
    let (code, log) = luster.stop();
    assert_eq!(code, 0);
    let noise = log.iter().filter(|line| line["name"].as_str().is_some_and(|name| name.len() == 1000));
    assert_eq!(noise.count(), 1_000);
    assert_eq!(log.last().expect("lines")["event"], "stopped");
    let stamps: Vec<_> = log.iter().filter_map(|line| line["timestamp"].as_str()).collect();
    assert!(stamps.is_sorted());
}

/// Workers that write to luster's own stderr, which nobody reads: they wait for room, luster does not.
#[test]
fn workers_that_fill_the_stderr_they_share_with_luster_do_not_hold_it_up() {
    let app = "const server = require('http').createServer((_, res) => res.end(String(process.pid)));
        server.listen(process.env.port, () => require('child_process').spawn('sh',
            ['-c', 'while :; do echo filling >&2; done'], { stdio: 'inherit' }));";
    let mut unread = Unread::start(app);
    let mut pid = unread.serving(0);
    for _ in 0..5 {
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it is there");
        pid = unread.serving(pid);
    }
    unread.terminate();
    assert!(unread.child.wait().expect("ours").success());
}

/// Without waiting for more.
fn read_what_is_there(pipe: &OwnedFd) -> String {
    let mut text = String::new();
    let mut buffer = [0; 8192];
    let ready = || {
        let mut fds = [nix::poll::PollFd::new(pipe.as_fd(), nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(&mut fds, nix::poll::PollTimeout::ZERO) == Ok(1)
    };
    while ready() {
        let read = nix::unistd::read(pipe, &mut buffer).expect("readable");
        if read == 0 {
            break;
        }
        text += &String::from_utf8_lossy(&buffer[..read]);
    }
    text
}

#[test]
fn a_stderr_that_is_gone_does_not_end_luster() {
    let port = free_port();
    let app = "require('http').createServer((_, r) => r.end(String(process.pid))).listen(process.env.port);";
    let luster = Luster::with(app, json!({"workers": 1, "server": {"port": port}}));
    let (reader, writer) = nix::unistd::pipe().expect("a pipe");
    let mut command = luster.command(&["-v"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::from(writer)).spawn().expect("built");
    drop((command, reader));
    eventually("a worker answers", || get(&Target::Tcp(port)).ok());
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a pid")), Signal::SIGTERM).expect("it is there");
    assert!(child.wait().expect("ours").success());
}

/// Runs a worker that is refused a listen, then stops it, with stderr as a pipe that has this name; what was on stderr.
fn said_to_a_journal(options: &[&str], name: impl Fn(&nix::sys::stat::FileStat) -> String) -> String {
    let app = "console.error('of the worker'); process.on('uncaughtException', () => {});
        require('net').createServer().listen('/nowhere/at/all'); setInterval(() => {}, 1e6);";
    let luster = Luster::with(app, json!({"workers": 1, "control": {"stopTimeout": 100}}));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let status = nix::sys::stat::fstat(&writer).expect("a pipe");
    let mut command = luster.command(options);
    command.env("JOURNAL_STREAM", name(&status));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::from(writer)).spawn().expect("built");
    drop(command);
    let mut lines = std::io::BufReader::new(reader).lines().map_while(Result::ok);
    let mut text = String::new();
    while !(text.contains("cannot listen") && text.contains("is ready")) {
        text += &lines.next().expect("more");
        text.push('\n');
    }
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a pid")), Signal::SIGTERM).expect("it is there");
    lines.for_each(|line| text += &format!("{line}\n"));
    assert!(child.wait().expect("ours").success());
    text
}

#[test]
fn the_journal_gets_priorities_and_no_second_time() {
    let own = |status: &nix::sys::stat::FileStat| format!("{}:{}", status.st_dev, status.st_ino);
    let text = said_to_a_journal(&[], own);
    let of_luster = || text.lines().filter(|line| *line != "of the worker");
    assert!(of_luster().all(|line| line.starts_with("<6>") || line.starts_with("<4>")), "{text}");
    assert!(text.contains("<6>luster 3") && text.contains("<4>worker 1 (pid "), "{text}");
    let json = said_to_a_journal(&["--log-format", "json"], own);
    let warned = json.lines().filter_map(|line| line.strip_prefix("<4>")).collect::<Vec<_>>();
    let parsed: Value = serde_json::from_str(warned[0]).expect("JSON");
    assert_eq!(parsed["event"], "refused");
    // Inherited by somebody who has sent stderr elsewhere.
    let elsewhere = said_to_a_journal(&[], |status| format!("{}:{}", status.st_dev, status.st_ino + 1));
    assert!(elsewhere.lines().all(|line| line == "of the worker" || line.starts_with("20")), "{elsewhere}");
}

#[test]
fn a_configuration_that_is_refused_is_an_error_to_the_journal_too() {
    let luster = Luster::with("", json!({"workers": "x"}));
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let status = nix::sys::stat::fstat(&writer).expect("a pipe");
    let mut command = luster.command(&[]);
    command.env("JOURNAL_STREAM", format!("{}:{}", status.st_dev, status.st_ino));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::from(writer)).spawn().expect("built");
    drop(command);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("UTF-8");
    assert_eq!(child.wait().expect("ours").code(), Some(78));
    assert!(text.contains("workers") && text.lines().all(|line| line.starts_with("<3>")), "{text}");
}

#[test]
fn where_it_listens_is_told_once_for_all_workers_and_not_again_by_a_restart() {
    let port = free_port();
    let app = "require('http').createServer((_, r) => r.end()).listen(process.env.port);";
    let luster = Luster::with(app, json!({"workers": 3, "server": {"port": port}})).start();
    luster.await_ready(3);
    let told = luster.await_event("listening_on", 1);
    assert_eq!(
        (&told["level"], &told["message"]),
        (&json!("INFO"), &json!(format!("listening on tcp *:{port} (workers 1-3)")))
    );
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    let (code, log) = luster.stop();
    assert_eq!((code, log.iter().filter(|line| line["event"] == "listening_on").count()), (0, 1));
}

#[test]
fn an_app_that_listens_late_is_told_of_when_it_does() {
    let port = free_port();
    let app = "setTimeout(() => require('http').createServer().listen(process.env.port), 200);";
    let luster = Luster::with(app, json!({"workers": 1, "server": {"port": port}})).start();
    assert_eq!(luster.await_event("listening_on", 1)["workers"], "1");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn v_tells_sentences_and_vv_what_goes_on_inside() {
    let inside =
        |lines: &[String]| lines.iter().any(|line| line.contains("Life(") || line.contains("Asked("));
    assert!(!inside(&said(&["-v"], QUIET)));
    assert!(inside(&said(&["-vv"], QUIET)));
}
