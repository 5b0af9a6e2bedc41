//! Runs a test's body alone in a process, and what the bodies share.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use luster::core::InstanceId;
use luster::process::{
    Change, Child, DescriptorLimit, Exited, Identity, Pid, SpawnError, Start, Stream, reap,
};

const SCENARIO: &str = "LUSTER_TEST_SCENARIO";
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `body` in a process of its own; `name` is the test's full name.
pub(crate) fn alone(name: &str, body: impl FnOnce()) {
    alone_under("exec ", name, body);
}

/// As [`alone`], `preamble` being what stands before the process's command line in a shell script.
pub(crate) fn alone_under(preamble: &str, name: &str, body: impl FnOnce()) {
    if is_alone(name) {
        return body();
    }
    // A file and not a pipe, which processes left behind by a failed body would hold open.
    let mut told = tempfile::tempfile().unwrap();
    let mut command = command(&format!("{preamble}\"$0\" \"$@\""), name);
    command.stdout(told.try_clone().unwrap()).stderr(told.try_clone().unwrap());
    let status = command.status().unwrap();
    told.rewind().unwrap();
    let told = std::io::read_to_string(told).unwrap();
    assert!(status.success() && told.contains("1 passed"), "{told}");
}

/// Whether this process was started for this test only.
pub(crate) fn is_alone(name: &str) -> bool {
    std::env::var_os(SCENARIO).is_some_and(|scenario| scenario == name)
}

/// A command that runs a test's body in a process of its own, as `$0 "$@"` of a shell script.
pub(crate) fn command(script: &str, name: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(SCENARIO, name);
    command
}

/// A worker that runs a shell script, and our end of its channel.
pub(crate) fn shell(script: &str) -> (Child, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (start("/bin/sh", &["-c", script], theirs).unwrap(), ours)
}

pub(crate) fn start(program: &str, args: &[&str], channel: UnixStream) -> Result<Child, SpawnError> {
    let change = |text: &str| Change::Set(OsString::from(text));
    Start {
        program: PathBuf::from(program),
        args: args.iter().map(OsString::from).collect(),
        env: BTreeMap::from([
            (OsString::from("NODE_CHANNEL_FD"), change("3")),
            (OsString::from(SCENARIO), Change::Remove),
        ]),
        folder: None,
        stdio: [Stream::Inherited, Stream::Inherited, Stream::Inherited],
        identity: Identity::default(),
        given: vec![OwnedFd::from(channel)],
        limit: DescriptorLimit::current().unwrap(),
        needed: None,
        own_pid: None,
    }
    .spawn()
}

/// The next line from a worker.
pub(crate) fn line(channel: &UnixStream) -> String {
    channel.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = String::new();
    // One line per call, and no more was written: nothing is lost with the buffer.
    BufReader::new(channel).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// All that a worker says until it closes the channel.
pub(crate) fn all(channel: &UnixStream) -> String {
    channel.set_read_timeout(Some(PATIENCE)).unwrap();
    std::io::read_to_string(channel).unwrap()
}

/// A number a worker told.
pub(crate) fn pid(text: &str) -> Pid {
    Pid::new(text.trim().parse().unwrap()).unwrap()
}

/// Waits for something to become true.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Reaps until this worker's end is reported.
pub(crate) fn end_of(worker: &Child) -> Exited<InstanceId> {
    let mut end = None;
    until("the worker ends", || {
        end = reap(|pid| (pid == worker.pid()).then_some(InstanceId(1))).exits.pop();
        end.is_some()
    });
    end.unwrap()
}

/// Our children, zombies included.
pub(crate) fn children() -> Vec<Pid> {
    let all = std::fs::read_dir("/proc").unwrap();
    let all = all.filter_map(|entry| Pid::new(entry.unwrap().file_name().to_str()?.parse().ok()?));
    all.filter(|pid| stat(*pid, 4) == Some(std::process::id().to_string())).collect()
}

/// A field of `/proc/PID/stat`, numbered from 1 as in proc(5); `None` when there is no such process.
pub(crate) fn stat(pid: Pid, field: usize) -> Option<String> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(field - 3).map(str::to_owned)
}
