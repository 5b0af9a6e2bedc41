//! A Node on a file system that does not answer: its own worker waits for it, and nobody else.
//!
//! A lease (fcntl(2), `F_SETLEASE`) stands for such a file system: whoever wants to run the file waits in the kernel until
//! it is given back.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::harness::{Luster, Running, Target, eventually, free_port, get};

/// What the kernel's headers call so, and libc does not know.
const F_SETSIG: i32 = 10;

/// The only one who may run a file.
struct Lease(File);

impl Lease {
    /// Waits until nobody else has it open.
    fn of(path: &Path) -> Self {
        let file = File::open(path).expect("it is there");
        // The signal that somebody waits is one that does nothing.
        eventually("the lease", || {
            (fcntl(&file, F_SETSIG, libc::SIGURG) == 0 && fcntl(&file, libc::F_SETLEASE, libc::F_WRLCK) == 0)
                .then_some(())
        });
        Self(file)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        assert_eq!(fcntl(&self.0, libc::F_SETLEASE, libc::F_UNLCK), 0);
    }
}

fn fcntl(file: &File, what: i32, value: i32) -> i32 {
    // SAFETY: both commands take an integer and change nothing of the descriptor itself.
    #[expect(unsafe_code, reason = "nix does not know leases")]
    unsafe {
        libc::fcntl(file.as_raw_fd(), what, value)
    }
}

/// Two workers with a Node that can be made to hang, which serve.
fn start(config: serde_json::Value) -> (Running, Target) {
    let app =
        "require('http').createServer((_, r) => r.end(process.env.LUSTER_WID)).listen(process.env.port);";
    let port = free_port();
    let mut all = json!({"workers": 2, "server": {"port": port}});
    all.as_object_mut().expect("one").extend(config.as_object().expect("one").clone());
    let luster = Luster::with(app, all).file("node.sh", "#!/bin/sh\nexec node \"$@\"\n");
    let path = luster.path().join("node.sh");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("ours");
    let luster = luster.arg("--node").arg("./node.sh").start();
    luster.await_ready(2);
    luster.await_listening(2);
    (luster, Target::Tcp(port))
}

fn kill_worker(luster: &Running, wid: u32) {
    kill(Pid::from_raw(luster.worker_pid(wid)), Signal::SIGKILL).expect("it is there");
}

#[test]
fn a_node_that_hangs_delays_its_own_worker_alone() {
    let (luster, target) = start(json!({}));
    let lease = Lease::of(&luster.path().join("node.sh"));
    kill_worker(&luster, 1);
    luster.await_event("exit", 1);
    for _ in 0..50 {
        assert_eq!(get(&target).expect("an answer").body, "2");
    }
    kill_worker(&luster, 2);
    luster.await_event("exit", 2);
    assert_eq!(luster.events("online").len(), 2, "none runs yet");
    // Nobody serves, and luster does what it is told all the same.
    luster.signal(Signal::SIGUSR1);
    luster.await_event("asked", 1);
    let client = std::thread::spawn(move || get(&target).expect("an answer").status);
    drop(lease);
    luster.await_ready(4);
    assert_eq!(client.join().expect("no panic"), 200);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_luster_whose_workers_hang_in_their_start_stops_as_asked() {
    let (luster, _) = start(json!({}));
    let lease = Lease::of(&luster.path().join("node.sh"));
    kill_worker(&luster, 1);
    luster.await_event("exit", 1);
    let (code, log) = luster.stop();
    assert_eq!(code, 0, "{log:?}");
    drop(lease);
}

#[test]
fn a_client_of_another_worker_sees_the_end_of_its_connection_while_one_hangs() {
    let (luster, target) = start(json!({}));
    let lease = Lease::of(&luster.path().join("node.sh"));
    kill_worker(&luster, 1);
    luster.await_event("exit", 1);
    // What luster held when the hanging process was forked is not kept open by that.
    let Target::Tcp(port) = target else { panic!("TCP") };
    kill_worker(&luster, 2);
    luster.await_event("exit", 2);
    let waiting = std::net::TcpStream::connect(("127.0.0.1", port)).expect("luster listens");
    let hanging = eventually("the processes that hang", || {
        let children = crate::harness::children(luster.pid());
        (children.len() == 2).then_some(children)
    });
    for pid in hanging {
        eventually("of luster's sockets it has its own channel only", || {
            let open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
            let targets = open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
            let sockets = targets.filter(|target| target.to_string_lossy().starts_with("socket:"));
            (sockets.count() == 1).then_some(())
        });
    }
    drop((waiting, lease));
    luster.await_ready(4);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_worker_that_hangs_in_its_start_for_too_long_is_started_again() {
    let (luster, target) = start(json!({"control": {"forkTimeout": 3_000}}));
    let lease = Lease::of(&luster.path().join("node.sh"));
    kill_worker(&luster, 1);
    luster.await_event("exit", 1);
    luster.await_event("exit", 2);
    assert_eq!(get(&target).expect("an answer").body, "2");
    drop(lease);
    luster.await_ready(3);
    assert_eq!(luster.stop().0, 0);
}
