//! A luster with its releases, what it must be like when nothing is wrong, and how it is brought back to that.
//!
//! Invariant: nothing is waited for but a condition, with a deadline.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::asking::{ask, command};
use crate::clients::{Clients, Hurt, Style};
use crate::dice::Dice;
use crate::harness::{Luster, Running, Target, children, free_port, processes_in, state};
use crate::journal::Journal;

/// How long it may take until everything is well again. Longest are a worker that hangs at its stop, `killTimeout`, behind a
/// replacement that is never ready, `readyTimeout`, of each worker, on a busy machine.
const RECOVERY: Duration = Duration::from_secs(60);

/// How many log lines of a luster that has failed are shown.
const SHOWN: usize = 80;

/// What a master's memory may have grown by, whatever has happened.
const GROWTH_KIB: i64 = 16 << 10;

/// What serves. It tells who it is, and does what a file says on SIGUSR2.
const APP: &str = r#"
const fs = require('fs');
const read = name => { try { return fs.readFileSync(name, 'utf8'); } catch { return ''; } };
const forever = () => { for (;;) { /* whoever calls this is never heard of again */ } };
const mode = read('mode');
if (mode === 'exit') { process.exit(3); }
if (mode === 'spin') { forever(); }
if (mode === 'hang') { setInterval(() => {}, 1000); return; }
const answer = (request, response) => setTimeout(() => response.end(String(process.pid)), request.url === '/slow' ? 30 : 0);
require('http').createServer(answer).listen(Number(process.env.port));
require('http').createServer(answer).listen('app.sock');
process.on('SIGUSR2', () => {
    const deed = read(`deed.${process.pid}`);
    if (deed === 'garbage') { fs.writeSync(3, '{"cmd":"NODE_CLUSTER","act":\n\0\xff[]\n{}}\n"\n'); }
    if (deed === 'flood') { fs.writeSync(3, 'x'.repeat(1 << 16)); }
    if (deed === 'spin') { forever(); }
    if (deed === 'crash') { throw new Error('as asked'); }
    if (deed === 'leave') { require('cluster').worker.disconnect(); }
    if (deed === 'stay') { process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); }
});
"#;

/// The same, which ends a moment after it has begun to serve, and says beforehand who it is.
const CRASHES: &str = "require('fs').appendFileSync('crashing', `${process.pid}\\n`);
setTimeout(() => process.exit(4), 300);\n";

/// Both sides of an extension.
const EXTENSION: &str = "exports.configure = (config, luster, done) => done();";

/// What kind of luster it is.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) workers: u64,
    restart: &'static str,
    balance: &'static str,
    pub(crate) host: bool,
    /// For how long a replacement is tried, in ms.
    canary: Option<u64>,
}

impl Shape {
    pub(crate) fn any(dice: &mut Dice) -> Self {
        Self {
            workers: dice.number(2..=4),
            restart: dice.pick(&["start-first", "stop-first"]),
            balance: dice.pick(&["round-robin", "round-robin", "shared", "reuseport"]),
            host: dice.once_in(2),
            canary: dice.once_in(3).then_some(600),
        }
    }
}

/// What a release is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    Good,
    /// With another number of workers.
    Resized(u64),
    NoJson,
    WrongType,
    NoConfiguration,
    NoApp,
    SyntaxError,
    Exits,
    NeverReady,
    Crashes,
}

pub(crate) struct Fleet {
    pub(crate) running: Running,
    pub(crate) shape: Shape,
    pub(crate) socket: PathBuf,
    pub(crate) hurt: Arc<Mutex<Hurt>>,
    pub(crate) journal: Journal,
    /// Those that wait for SIGCONT.
    pub(crate) stopped: Vec<i32>,
    /// Whether more has to be done than to wait.
    pub(crate) needs_reload: bool,
    pub(crate) clients: Clients,
    port: u16,
    releases: u32,
    /// Requests under way.
    asked: Vec<JoinHandle<Result<(), String>>>,
    /// Descriptors and memory when nothing had happened yet.
    pub(crate) base: Option<(Vec<String>, i64)>,
}

impl Fleet {
    /// Starts one, and waits until it serves.
    pub(crate) fn start(shape: Shape, journal: Journal) -> Result<Self, String> {
        let port = free_port();
        let mut luster = Luster::new();
        if shape.host {
            luster = luster.file("node_modules/mine/index.js", EXTENSION);
        }
        for (name, text) in files(Release::Good, &shape, port) {
            luster = luster.file(&format!("releases/1/{name}"), &text);
        }
        symlink("releases/1", luster.path().join("current")).map_err(|error| error.to_string())?;
        let unix = luster.path().join("app.sock");
        let running = luster.config_file("current/luster.conf.json").start();
        let socket = running.control_path();
        let targets = [Target::Tcp(port), Target::Unix(unix)];
        let mut fleet = Self {
            running,
            socket,
            shape,
            hurt: Arc::default(),
            journal,
            stopped: Vec::new(),
            needs_reload: false,
            clients: Clients::begin(&[], &[]),
            port,
            releases: 1,
            asked: Vec::new(),
            base: None,
        };
        fleet.await_health("the start")?;
        let style = |keep_alive, path| Style { keep_alive, path };
        let styles = [style(true, "/"), style(true, "/slow"), style(false, "/"), style(false, "/slow")];
        fleet.clients = Clients::begin(&targets, &styles);
        // Whatever is opened once is open from now on.
        fleet.needs_reload = true;
        fleet.recover()?;
        let pid = fleet.running.pid();
        fleet.base = Some((descriptors(pid), memory(pid)));
        Ok(fleet)
    }

    pub(crate) fn note(&self, what: impl Into<String>) {
        self.journal.note(what);
    }

    /// Harms these from now on, or may.
    pub(crate) fn hurt(&self, pids: &[i32]) {
        self.hurt.lock().expect("unpoisoned").add(pids);
    }

    pub(crate) fn signal(pid: i32, signal: Signal) {
        // It may have ended meanwhile.
        let _ = kill(Pid::from_raw(pid), signal);
    }

    /// Every worker's processes at this moment.
    pub(crate) fn workers(&self) -> Vec<i32> {
        let host = self.host();
        let is_node = |pid: &i32| {
            std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|it| it.contains("worker.js"))
        };
        let all = children(self.running.pid());
        all.into_iter().filter(|pid| Some(*pid) != host).filter(is_node).collect()
    }

    pub(crate) fn host(&self) -> Option<i32> {
        let last = self.running.events("host_fork").pop()?;
        i32::try_from(last["pid"].as_i64()?).ok()
    }

    /// Has a worker do something strange.
    pub(crate) fn has_do(&self, pid: i32, deed: &str) {
        self.running.put(&format!("deed.{pid}"), deed);
        Self::signal(pid, Signal::SIGUSR2);
    }

    /// Makes a release, and has the link point to it.
    pub(crate) fn deploy(&mut self, release: Release) {
        self.releases += 1;
        let folder = format!("releases/{}", self.releases);
        std::fs::create_dir_all(self.running.path().join(&folder)).expect("writable");
        for (name, text) in files(release, &self.shape, self.port) {
            self.running.put(&format!("{folder}/{name}"), &text);
        }
        let next = self.running.path().join("next");
        symlink(folder, &next).expect("writable");
        std::fs::rename(next, self.running.path().join("current")).expect("writable");
    }

    /// Changes the release that the link points to.
    pub(crate) fn edit(&self, release: Release) {
        let files = files(release, &self.shape, self.port);
        for name in ["luster.conf.json", "worker.js"] {
            match files.iter().find(|(file, _)| *file == name) {
                Some((_, text)) => self.running.put(&format!("current/{name}"), text),
                None => _ = std::fs::remove_file(self.running.path().join("current").join(name)),
            }
        }
    }

    /// Asks for something, and goes on. It must be answered, with one of the codes that are meant for it.
    pub(crate) fn ask_for(&mut self, what: &str, body: Value) {
        let (socket, journal) = (self.socket.clone(), self.journal.clone());
        let path = format!("/v1/{what}");
        self.asked.push(std::thread::spawn(move || {
            let answered = ask(&socket, "POST", &path, &body.to_string());
            journal.note(format!("  {path} {body} was answered {answered:?}"));
            match answered {
                Ok((200 | 202 | 400 | 404 | 409 | 503, answer)) if answer["message"].is_string() => Ok(()),
                Ok(other) => Err(format!("{path} {body} was answered {other:?}")),
                Err(error) => Err(format!("{path} {body} was not answered: {error}")),
            }
        }));
    }

    /// The same by the client command.
    pub(crate) fn command_for(&mut self, words: &[&str]) {
        let (socket, journal) = (self.socket.clone(), self.journal.clone());
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        self.asked.push(std::thread::spawn(move || {
            let answered = command(&socket, &words);
            journal.note(format!("  luster {} came to {answered:?}", words.join(" ")));
            match answered {
                Ok((0 | 2 | 20 | 75, _, _)) => Ok(()),
                Ok(other) => Err(format!("luster {} came to {other:?}", words.join(" "))),
                Err(error) => Err(format!("luster {}: {error}", words.join(" "))),
            }
        }));
    }

    /// Ends everything that was done to it, and waits until it is as it was.
    pub(crate) fn recover(&mut self) -> Result<(), String> {
        let _ = std::fs::remove_file(self.running.path().join("mode"));
        for pid in self.stopped.drain(..) {
            Self::signal(pid, Signal::SIGCONT);
        }
        if self.needs_reload {
            self.deploy(Release::Good);
            self.note("recovery: a good release");
            self.reload()?;
            self.needs_reload = false;
        }
        for asked in self.asked.drain(..) {
            asked.join().map_err(|_| "a request panicked".to_owned())??;
        }
        self.await_health("the recovery")?;
        let mut hurt = self.hurt.lock().expect("unpoisoned");
        let crashing = std::fs::read_to_string(self.running.path().join("crashing")).unwrap_or_default();
        hurt.add(&crashing.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>());
        hurt.is_over();
        let unexplained = self.clients.unexplained(&hurt);
        match unexplained.first() {
            None => Ok(()),
            Some(first) => Err(format!(
                "{} requests failed although nobody harmed their workers; {first}",
                unexplained.len()
            )),
        }
    }

    /// Has the release that is there run by as many workers as it says, all of them.
    fn reload(&self) -> Result<(), String> {
        let deadline = Instant::now() + RECOVERY;
        loop {
            let (code, answer) = self.asks("reload", &json!({}))?;
            let scaled = self.asks("scale", &json!({"count": self.shape.workers}))?;
            // Without numbers it would leave alone who was stopped on request.
            let workers: Vec<_> = (1..=self.shape.workers).collect();
            let started = self.asks("start", &json!({"workers": workers}))?;
            if [code, scaled.0, started.0] == [200; 3] {
                return Ok(());
            }
            // It may have joined one that was under way and has failed.
            if Instant::now() > deadline {
                return Err(format!("a good release cannot be reloaded: {answer}, {scaled:?}, {started:?}"));
            }
        }
    }

    fn asks(&self, what: &str, body: &Value) -> Result<(u16, Value), String> {
        let answer = ask(&self.socket, "POST", &format!("/v1/{what}"), &body.to_string());
        self.note(format!("recovery: {what} was answered {answer:?}"));
        answer.map_err(|error| format!("{what} in the recovery was not answered: {error}"))
    }

    /// Waits until everything is as it must be.
    pub(crate) fn await_health(&self, when: &str) -> Result<(), String> {
        let deadline = Instant::now() + RECOVERY;
        while let Err(reason) = self.health() {
            if Instant::now() > deadline {
                return Err(format!("not {RECOVERY:?} after {when}: {reason}"));
            }
            std::thread::sleep(Duration::from_millis(20)); // poll
        }
        let (code, text, error) =
            command(&self.socket, &["status".into(), "--json".into()]).map_err(|error| error.to_string())?;
        let status: Value =
            serde_json::from_str(&text).map_err(|_| format!("luster status: {code} {error}"))?;
        if status["ready"] != self.shape.workers {
            return Err(format!("luster status after {when}: {status}"));
        }
        Ok(())
    }

    /// Whether everything is as it must be; else what is not.
    fn health(&self) -> Result<(), String> {
        let (code, status) = ask(&self.socket, "GET", "/v1/status", "").map_err(|error| error.to_string())?;
        let workers = status["workers"].as_array().map_or(&[][..], Vec::as_slice);
        let right = |worker: &Value| {
            let instances = worker["instances"].as_array().map_or(&[][..], Vec::as_slice);
            let [only] = instances else { return false };
            let endpoints = only["endpoints"].as_array().map_or(0, Vec::len);
            only["state"] == "ready"
                && only["role"] == "active"
                && only["generation"] == status["generation"]
                && endpoints == 2
        };
        let counts = [&status["wanted"], &status["ready"], &json!(workers.len())];
        let host_is_ready = !self.shape.host || status["host"]["state"] == "ready";
        if code != 200
            || counts.iter().any(|count| **count != self.shape.workers)
            || !workers.iter().all(right)
            || !status["rollout"].is_null()
            || status["reading"] != false
            || !host_is_ready
        {
            return Err(format!("{} workers are to be ready: {status}", self.shape.workers));
        }
        self.processes(workers, &status)?;
        self.resources()
    }

    /// Whether the processes that there are are those that there should be.
    fn processes(&self, workers: &[Value], status: &Value) -> Result<(), String> {
        let instances = workers.iter().map(|worker| &worker["instances"][0]).chain([&status["host"]]);
        let told: BTreeSet<_> = instances.filter_map(|it| i32::try_from(it["pid"].as_i64()?).ok()).collect();
        let master = self.running.pid();
        let found: BTreeSet<_> = children(master).into_iter().collect();
        if found != told {
            let states: Vec<_> = found.iter().map(|pid| (*pid, state(*pid))).collect();
            return Err(format!("luster's children are {states:?} and not {told:?}"));
        }
        if let Some(pid) = found.iter().find(|pid| state(**pid) == Some('Z')) {
            return Err(format!("{pid} is a zombie"));
        }
        let here = processes_in(self.running.path());
        match here.iter().find(|(pid, _)| *pid != master && !told.contains(pid)) {
            None => Ok(()),
            Some((pid, what)) => Err(format!("{pid} is an orphan: {what}")),
        }
    }

    /// Whether the master holds what it held at first.
    fn resources(&self) -> Result<(), String> {
        let Some((first, memory_at_first)) = &self.base else { return Ok(()) };
        let (now, memory) = (descriptors(self.running.pid()), memory(self.running.pid()));
        if now.len() > first.len() + self.kept_members() {
            return Err(format!(
                "{} descriptors instead of {}: {now:?} instead of {first:?}",
                now.len(),
                first.len()
            ));
        }
        if memory > memory_at_first + GROWTH_KIB {
            return Err(format!("{memory} KiB of memory instead of {memory_at_first}"));
        }
        Ok(())
    }

    /// How many sockets of a reuseport group there are without a worker: each worker that ever was has one, which its next
    /// instance gets when there are as many again. (Closing one would reset the handshakes that the kernel has on it.)
    fn kept_members(&self) -> usize {
        let ever = self.running.events("fork").iter().filter_map(|fork| fork["wid"].as_u64()).max();
        match self.shape.balance {
            "reuseport" => {
                usize::try_from(ever.unwrap_or(0).saturating_sub(self.shape.workers)).expect("few")
            }
            _ => 0,
        }
    }

    /// The memory at first and now.
    pub(crate) fn memories(&self) -> (i64, i64) {
        (self.base.as_ref().map_or(0, |(_, memory)| *memory), memory(self.running.pid()))
    }

    /// What luster says of itself when something has gone wrong: the end of its log, and its status.
    pub(crate) fn testimony(&self) -> String {
        let log = self.running.log();
        let last: Vec<_> = log[log.len().saturating_sub(SHOWN)..].iter().map(Value::to_string).collect();
        let status = ask(&self.socket, "GET", "/v1/status", "");
        format!("its log ends so:\n{}\nits status: {status:?}", last.join("\n"))
    }

    /// Ends it; nothing may be left.
    pub(crate) fn end(mut self) -> Result<(), String> {
        self.clients.end();
        self.running.signal(Signal::SIGTERM);
        let code = self.running.await_end();
        let left = processes_in(self.running.path());
        match (code, left.is_empty(), self.socket.exists()) {
            (0, true, false) => Ok(()),
            (code, _, socket) => Err(format!("after its end: code {code}, left: {left:?}, socket: {socket}")),
        }
    }
}

/// The files of a release.
fn files(release: Release, shape: &Shape, port: u16) -> Vec<(&'static str, String)> {
    let workers = match release {
        Release::Resized(workers) => workers,
        _ => shape.workers,
    };
    let mut config = json!({
        "app": "worker.js",
        "workers": workers,
        "server": {"port": port, "balance": shape.balance},
        "control": {
            "restart": shape.restart, "forkTimeout": 15_000, "readyTimeout": 5000, "stopTimeout": 4000, "killTimeout": 5000,
            "allowedSequentialDeaths": 1_000_000,
        },
    });
    if shape.host {
        config["extensions"] = json!({"mine": {}});
    }
    if let Some(watch) = shape.canary {
        config["control"]["canary"] = json!({"workers": 1, "watch": watch});
    }
    if release == Release::WrongType {
        config["workers"] = "many".into();
    }
    let config = match release {
        Release::NoJson => "{".to_owned(),
        _ => config.to_string(),
    };
    let app = match release {
        Release::SyntaxError => "const = 1;".to_owned(),
        Release::Exits => "process.exit(0);".to_owned(),
        Release::NeverReady => "setInterval(() => {}, 1000);".to_owned(),
        Release::Crashes => format!("{CRASHES}{APP}"),
        _ => APP.to_owned(),
    };
    let mut files = vec![("luster.conf.json", config), ("worker.js", app)];
    files.retain(|(name, _)| match release {
        Release::NoConfiguration => *name != "luster.conf.json",
        Release::NoApp => *name != "worker.js",
        _ => true,
    });
    files
}

/// What a process has open.
fn descriptors(pid: i32) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let target =
        |entry: std::fs::DirEntry| Some(std::fs::read_link(entry.path()).ok()?.display().to_string());
    entries.filter_map(|entry| target(entry.ok()?)).collect()
}

/// The resident memory of a process, in KiB.
fn memory(pid: i32) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
