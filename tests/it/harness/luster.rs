//! A luster in a folder of its own: written, started, watched through its JSON log, and gone at the end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use super::PATIENCE;
use super::control::Control;
use super::front::{Front, package};
use super::growing::Growing;

/// A luster to be started.
pub(crate) struct Luster {
    pub(crate) folder: TempDir,
    args: Vec<OsString>,
    env: BTreeMap<String, Option<String>>,
    config: Option<PathBuf>,
    cwd: Option<PathBuf>,
    limit: Option<u64>,
    front: Front,
    /// The program, and its arguments, that luster is started by.
    through: Vec<OsString>,
    adjust: Vec<Adjust>,
}

/// What is done to the command just before it runs.
type Adjust = Box<dyn Fn(&mut Command)>;

/// A luster that runs.
pub(crate) struct Running {
    child: Child,
    /// Every line of the log, as JSON; lines that are not become strings.
    log: Arc<Growing<Vec<Value>>>,
    pub(super) stdout: Arc<Growing<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
    pub(crate) folder: TempDir,
}

/// Not in the folders of the machine's user: what workers compile, control sockets. And which Node it is.
fn surroundings() -> [(String, Option<String>); 3] {
    let run = format!("{}/run", env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&run).expect("writable");
    let cache = format!("{}/cache", env!("CARGO_TARGET_TMPDIR"));
    let path = super::nodes::path();
    [("CACHE_DIRECTORY", cache), ("XDG_RUNTIME_DIR", run), ("PATH", path)]
        .map(|(name, value)| (name.into(), Some(value)))
}

impl Luster {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("luster-it-").tempdir().expect("a temporary folder");
        Self {
            folder,
            args: Vec::new(),
            env: BTreeMap::from(surroundings()),
            config: None,
            cwd: None,
            limit: None,
            front: Front::Binary,
            through: Vec::new(),
            adjust: Vec::new(),
        }
    }

    /// A folder with this app and this configuration (`app` is filled in).
    pub(crate) fn with(app: &str, config: Value) -> Self {
        Self::new().file("worker.js", app).config(config)
    }

    /// A configuration for `worker.js`.
    pub(crate) fn config(self, mut config: Value) -> Self {
        if config.get("app").is_none() {
            config["app"] = "worker.js".into();
        }
        let text = serde_json::to_string_pretty(&config).expect("JSON");
        self.file("luster.conf.json", &text)
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        std::fs::write(path, text).expect("writable");
        self
    }

    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), Some(value.into()));
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.env.insert(name.into(), None);
        self
    }

    /// Uses this configuration file instead of the one in the folder.
    pub(crate) fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config = Some(path.into());
        self
    }

    /// Starts in this folder instead of its own.
    pub(crate) fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cwd = Some(folder.into());
        self
    }

    /// Uses another Node than the usual one.
    pub(crate) fn node(mut self, node: &super::Node) -> Self {
        // Options come before CONFIG, which may be among the arguments already.
        self.args.splice(0..0, ["--node".into(), node.path.clone().into_os_string()]);
        self
    }

    /// Is started as users of the npm package do, by this Node with these flags.
    pub(crate) fn by_package(mut self, node: &super::Node, flags: &[&str]) -> Self {
        self.front = Front::Package(node.path.clone(), flags.iter().map(ToString::to_string).collect());
        self.env("LUSTER_BINARY", env!("CARGO_BIN_EXE_luster"))
    }

    /// Is a custom master, `master.js` in the folder, run by this Node with these flags; its supervisor tells everything.
    pub(crate) fn by_script(mut self, node: &super::Node, flags: &[&str]) -> Self {
        self.front = Front::Script(node.path.clone(), flags.iter().map(ToString::to_string).collect());
        let modules = self.path().join("node_modules");
        std::fs::create_dir_all(&modules).expect("writable");
        std::os::unix::fs::symlink(package(), modules.join("luster")).expect("writable");
        self.env("LUSTER_BINARY", env!("CARGO_BIN_EXE_luster"))
            .env("LUSTER_VERBOSE", "2")
            .env("LUSTER_LOG_FORMAT", "json")
    }

    /// Limits the descriptors (soft and hard).
    pub(crate) fn descriptors(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Has another program start it, such as `unshare --fork`; luster's own command line follows these arguments.
    pub(crate) fn through(mut self, program: &[&str]) -> Self {
        self.through = program.iter().map(OsString::from).collect();
        self
    }

    /// Changes how it is started: its user, its group.
    pub(crate) fn adjust(mut self, change: impl Fn(&mut Command) + 'static) -> Self {
        self.adjust.push(Box::new(change));
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What starts it; stdout and stderr are the caller's to choose.
    pub(crate) fn command(&self, form: &[&str]) -> Command {
        let front = self.front.words(form);
        let mut words = self.through.iter().chain(&front);
        let mut command = Command::new(words.next().expect("at least luster itself"));
        command
            .args(words)
            .args(&self.args)
            .args(&self.config)
            .current_dir(self.cwd.as_deref().unwrap_or(self.folder.path()))
            .stdin(Stdio::null());
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(limit) = self.limit {
            // SAFETY: setrlimit is async-signal-safe.
            #[expect(unsafe_code, reason = "a child with a small limit")]
            unsafe {
                command.pre_exec(move || {
                    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, limit, limit)?;
                    Ok(())
                });
            }
        }
        for adjust in &self.adjust {
            adjust(&mut command);
        }
        command
    }

    /// Starts it, with everything in the log as JSON.
    pub(crate) fn start(self) -> Running {
        self.start_as(&["-v", "--log-format", "json"])
    }

    /// Starts it with these options; log lines that are no JSON are kept as strings.
    pub(crate) fn start_as(self, form: &[&str]) -> Running {
        let mut command = self.command(form);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary is built");
        let (log, stdout) = (Arc::<Growing<Vec<Value>>>::default(), Arc::<Growing<String>>::default());
        let (err, out) = (child.stderr.take().expect("piped"), child.stdout.take().expect("piped"));
        let (log_in, out_in) = (log.clone(), stdout.clone());
        let readers = vec![
            std::thread::spawn(move || {
                for line in BufReader::new(err).lines().map_while(Result::ok) {
                    let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                    log_in.grow(|log| log.push(value));
                }
            }),
            std::thread::spawn(move || {
                let (mut out, mut buffer) = (out, [0; 4096]);
                while let Ok(read @ 1..) = out.read(&mut buffer) {
                    out_in.grow(|text| text.push_str(&String::from_utf8_lossy(&buffer[..read])));
                }
            }),
        ];
        Running { child, log, stdout, readers, folder: self.folder }
    }

    /// Runs it to its end, which must come; answers with its exit code, stdout and stderr (as people see it).
    #[track_caller]
    pub(crate) fn output(&self) -> (i32, String, String) {
        let mut command = self.command(&[]);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary is built");
        let read = |mut from: Box<dyn Read + Send>| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                let _ = from.read_to_end(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            })
        };
        let out = read(Box::new(child.stdout.take().expect("piped")));
        let err = read(Box::new(child.stderr.take().expect("piped")));
        let status = wait(&mut child).unwrap_or_else(|| {
            let _ = child.kill();
            panic!("luster did not end within {PATIENCE:?}")
        });
        (code(status), out.join().expect("read"), err.join().expect("read"))
    }
}

impl Running {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a file in the folder, whole from the first moment.
    pub(crate) fn put(&self, name: &str, text: &str) {
        let new = self.path().join(format!("{name}.new"));
        std::fs::write(&new, text).expect("writable");
        std::fs::rename(new, self.path().join(name)).expect("writable");
    }

    /// The log so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.log.look(Clone::clone)
    }

    /// Where its control socket is.
    #[track_caller]
    pub(crate) fn control_path(&self) -> PathBuf {
        PathBuf::from(self.await_event("control", 1)["path"].as_str().expect("a path"))
    }

    /// Its control socket, to be asked.
    #[track_caller]
    pub(crate) fn control(&self) -> Control {
        Control::at(self.control_path())
    }

    /// The log lines of this kind, so far.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        self.log.look(|log| log.iter().filter(|line| line["event"] == kind).cloned().collect())
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.look(Clone::clone)
    }

    /// Waits for the log line number `count` of this kind, and gives it.
    #[track_caller]
    pub(crate) fn await_event(&self, kind: &str, count: usize) -> Value {
        self.await_event_where(kind, count, |_| true)
    }

    /// Waits for the log line number `count` of this kind for which `wanted` holds.
    #[track_caller]
    pub(crate) fn await_event_where(
        &self,
        kind: &str,
        count: usize,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        self.await_line(count, |line| line["event"] == kind && wanted(line))
            .unwrap_or_else(|| panic!("no {kind:?} number {count} within {PATIENCE:?}:\n{}", self.log_text()))
    }

    /// Waits for the log line number `count` that is `wanted`; `None` if it does not come.
    fn await_line(&self, count: usize, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let deadline = Instant::now() + PATIENCE;
        let (mut looked_at, mut found) = (0, 0);
        loop {
            let new =
                self.log.wait(deadline, |log| (log.len() > looked_at).then(|| log[looked_at..].to_vec()))?;
            looked_at += new.len();
            for line in new.into_iter().filter(|line| wanted(line)) {
                found += 1;
                if found == count {
                    return Some(line);
                }
            }
        }
    }

    /// The log so far, for people.
    pub(super) fn log_text(&self) -> String {
        self.log.look(|log| log.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"))
    }

    /// Waits until this many workers have become ready since the start.
    #[track_caller]
    pub(crate) fn await_ready(&self, count: usize) {
        self.await_event("ready", count);
    }

    /// Waits until the workers have begun to listen this often since the start.
    #[track_caller]
    pub(crate) fn await_listening(&self, count: usize) {
        self.await_event("listening", count);
    }

    /// The pid of the instance of this worker that was started last.
    pub(crate) fn worker_pid(&self, wid: u32) -> i32 {
        let forks = self.events("fork");
        let last = forks.iter().rfind(|line| line["wid"] == wid).expect("the worker was started");
        i32::try_from(last["pid"].as_i64().expect("a pid")).expect("a pid")
    }

    /// Every worker process that was ever started.
    pub(crate) fn all_pids(&self) -> Vec<i32> {
        let pid = |line: &Value| i32::try_from(line["pid"].as_i64().expect("a pid")).expect("a pid");
        self.events("fork").iter().map(pid).collect()
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).expect("luster is there");
    }

    /// Asks for a rolling restart and waits until it is over; answers with its last line.
    #[track_caller]
    pub(crate) fn rollout(&self) -> Value {
        let ended = |line: &Value| line["event"] == "rollout_finished" || line["event"] == "rollout_aborted";
        let before = self.log.look(|log| log.iter().filter(|line| ended(line)).count());
        self.signal(nix::sys::signal::Signal::SIGHUP);
        self.await_line(before + 1, ended).unwrap_or_else(|| {
            panic!("no end of the rolling restart within {PATIENCE:?}:\n{}", self.log_text())
        })
    }

    /// Stops it and waits for its end: the exit code, and the rest of what was observed.
    #[track_caller]
    pub(crate) fn stop(mut self) -> (i32, Vec<Value>) {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        let code = self.await_end();
        (code, self.log())
    }

    /// Waits for its end and gives its exit code; 128 + n for signal n.
    #[track_caller]
    pub(crate) fn await_end(&mut self) -> i32 {
        let status = wait(&mut self.child).unwrap_or_else(|| {
            panic!("luster did not end within {PATIENCE:?}:\n{}", self.log_text());
        });
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        let undocumented: Vec<_> = self.log().iter().filter_map(super::undocumented_field).collect();
        assert!(undocumented.is_empty(), "not in docs/log-events.md: {undocumented:?}");
        code(status)
    }
}

impl Drop for Running {
    #[expect(clippy::print_stderr, reason = "a failed story shows what it saw")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what luster told until the story failed:\n{}", self.log_text());
        }
        // Its workers are killed by the kernel with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(path) = self.events("control").first().and_then(|line| line["path"].as_str()) {
            let _ = std::fs::remove_file(path);
        }
        // What left its worker's group would have been luster's to end.
        for (pid, _) in super::processes_in(self.folder.path()) {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        std::thread::sleep(std::time::Duration::from_millis(5)); // poll
    }
    None
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
