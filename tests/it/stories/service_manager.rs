//! A service manager that wants to be told how luster is: systemd's `Type=notify`, `Type=notify-reload` and `WatchdogSec`.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use serde_json::json;

use crate::harness::{HTTP, Load, Luster, PATIENCE, Style, Target, free_port};

/// What stands where systemd would, with a folder for its socket.
pub(super) struct Manager {
    socket: UnixDatagram,
    pub(super) folder: tempfile::TempDir,
}

impl Manager {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("bound");
        Self { socket, folder }
    }

    /// Has a luster told of it.
    fn starts(&self, luster: Luster) -> Luster {
        luster.env("NOTIFY_SOCKET", self.folder.path().join("notify").to_str().expect("UTF-8"))
    }

    /// One datagram's lines, if one comes within this time.
    fn hears(&self, within: Duration) -> Option<Vec<String>> {
        let mut buffer = [0; 4096];
        self.socket.set_read_timeout(Some(within)).expect("not zero");
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned).collect())
    }

    /// Everything that is said until this is.
    #[track_caller]
    pub(super) fn hears_until(&self, word: &str) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut heard: Vec<String> = Vec::new();
        while Instant::now() < deadline {
            heard.extend(self.hears(Duration::from_secs(1)).unwrap_or_default());
            if heard.iter().any(|line| line == word) {
                return heard;
            }
        }
        panic!("{word} was not said, only {heard:?}")
    }
}

/// Sends until there is no room even for somebody who has sent nothing yet: each has a limit of its own besides.
pub(super) fn fill_queue(path: &Path) -> Vec<UnixDatagram> {
    let senders = std::iter::from_fn(|| {
        let sender = UnixDatagram::unbound().expect("a socket");
        sender.set_nonblocking(true).expect("it can be");
        let sent = std::iter::repeat_with(|| sender.send_to(b"x", path)).take_while(Result::is_ok).count();
        (sent > 0).then_some(sender)
    });
    senders.collect()
}

/// Microseconds on the clock that the manager reads, too.
fn monotonic() -> u128 {
    Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has it")).as_micros()
}

/// When the reload began, by its announcement.
#[track_caller]
fn began(heard: &[String]) -> u128 {
    assert!(heard.contains(&"RELOADING=1".to_owned()), "{heard:?}");
    let moment = heard.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    moment.expect("with the time").parse().expect("a number")
}

#[test]
fn it_is_told_of_the_start_a_reload_and_the_stop() {
    let (manager, port) = (Manager::new(), free_port());
    let config = json!({"workers": 2, "server": {"port": port}, "control": {"killTimeout": 20_000}});
    let mut luster = manager.starts(Luster::with(HTTP, config)).start();
    let heard = manager.hears_until("READY=1");
    assert_eq!(luster.events("ready").len(), 2, "not before all serve: {heard:?}");
    assert!(heard.contains(&format!("MAINPID={}", luster.pid())), "{heard:?}");
    assert!(heard.contains(&"STATUS=starting: 0 of 2 workers ready".to_owned()), "{heard:?}");
    assert!(heard.contains(&"STATUS=2 of 2 workers ready".to_owned()), "{heard:?}");

    let load = Load::begin(&Target::Tcp(port), Style::KEEP_ALIVE);
    load.await_answers(10);
    let asked = monotonic();
    luster.signal(Signal::SIGHUP);
    let heard = manager.hears_until("READY=1");
    assert!(began(&heard) >= asked, "what systemd takes for an answer to an earlier signal");
    assert_eq!(luster.events("rollout_finished").len(), 1, "not before it is over: {heard:?}");
    load.end_without_a_failure();

    luster.signal(Signal::SIGTERM);
    let heard = manager.hears_until("STOPPING=1");
    assert!(heard.contains(&"EXTEND_TIMEOUT_USEC=30000000".to_owned()), "{heard:?}");
    assert_eq!(luster.await_end(), 0);
}

#[test]
fn a_reload_that_is_refused_is_begun_and_over() {
    let manager = Manager::new();
    let luster =
        manager.starts(Luster::with(HTTP, json!({"workers": 1, "server": {"port": free_port()}}))).start();
    manager.hears_until("READY=1");
    luster.put("luster.conf.json", "{");
    let asked = monotonic();
    luster.signal(Signal::SIGHUP);
    let heard = manager.hears_until("READY=1");
    assert!(began(&heard) >= asked);
    assert_eq!(luster.events("fork").len(), 1, "nobody was touched");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn it_is_told_when_a_reload_that_failed_is_being_taken_back() {
    let (manager, port) = (Manager::new(), free_port());
    // Slow enough for a look at it while it comes.
    let good = format!("setTimeout(() => {{{HTTP}}}, 500);");
    let bad = format!("{HTTP}setTimeout(() => process.exit(3), 300);");
    let config = |app: &str| {
        json!({"app": app, "workers": 2, "server": {"port": port},
            "control": {"canary": {"workers": 1, "watch": 20_000}}})
    };
    let luster = manager.starts(Luster::with(&good, config("worker.js")).file("bad.js", &bad)).start();
    manager.hears_until("READY=1");
    luster.put("luster.conf.json", &config("bad.js").to_string());
    luster.signal(Signal::SIGHUP);
    let heard = manager.hears_until("READY=1");
    let words = "STATUS=taking back the last rollout: 0 of 1 replaced; ";
    assert!(heard.iter().any(|line| line.starts_with(words)), "{heard:?}");
    luster.await_event("rollout_taken_back", 1);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn its_watchdog_hears_of_a_luster_whose_loop_turns_and_whose_workers_serve() {
    let manager = Manager::new();
    let config =
        json!({"workers": 1, "server": {"port": free_port()}, "control": {"allowedSequentialDeaths": 100}});
    let app = format!("if (require('fs').existsSync(__dirname + '/broken')) process.exit(1);{HTTP}");
    let luster = manager.starts(Luster::with(&app, config)).env("WATCHDOG_USEC", "400000").start();
    manager.hears_until("READY=1");
    (0..3).for_each(|_| drop(manager.hears_until("WATCHDOG=1")));

    luster.signal(Signal::SIGSTOP);
    while manager.hears(Duration::from_millis(500)).is_some() {}
    assert_eq!(manager.hears(Duration::from_secs(1)), None, "its loop does not turn");
    luster.signal(Signal::SIGCONT);
    manager.hears_until("WATCHDOG=1");

    luster.put("broken", "");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(luster.worker_pid(1)), Signal::SIGKILL).expect("runs");
    // Its pauses grow: sooner or later one is longer than this.
    let deadline = Instant::now() + PATIENCE;
    let mut heard = Vec::new();
    while let Some(lines) = manager.hears(Duration::from_millis(700)) {
        assert!(Instant::now() < deadline, "it goes on though nobody serves");
        heard.extend(lines);
    }
    assert!(heard.contains(&"STATUS=0 of 1 worker ready, 1 backing off".to_owned()), "{heard:?}");
    std::fs::remove_file(luster.path().join("broken")).expect("there");
    manager.hears_until("WATCHDOG=1");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn one_that_does_not_listen_or_is_gone_costs_nothing_but_a_warning() {
    let manager = Manager::new();
    let _others = fill_queue(&manager.folder.path().join("notify"));
    let luster =
        manager.starts(Luster::with(HTTP, json!({"workers": 1, "server": {"port": free_port()}}))).start();
    luster.await_ready(1);
    luster.await_event("service_manager", 1);
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    manager.hears_until("READY=1");
    drop(manager);
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    let (code, log) = luster.stop();
    let warnings = log.iter().filter(|line| line["event"] == "service_manager").count();
    assert_eq!((code, warnings), (0, 2), "once each time");

    let luster = Luster::with(HTTP, json!({"workers": 1, "server": {"port": free_port()}}))
        .env("NOTIFY_SOCKET", "vsock:2:1")
        .start();
    luster.await_ready(1);
    luster.await_event("service_manager", 1);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn an_abstract_socket_does_as_well() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("luster-story-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("short");
    let manager = Manager {
        socket: UnixDatagram::bind_addr(&address).expect("bound"),
        folder: tempfile::tempdir().expect("one"),
    };
    let config = json!({"workers": 1, "server": {"port": free_port()}});
    let luster = Luster::with(HTTP, config).env("NOTIFY_SOCKET", &format!("@{name}")).start();
    manager.hears_until("READY=1");
    assert_eq!(luster.stop().0, 0);
}
