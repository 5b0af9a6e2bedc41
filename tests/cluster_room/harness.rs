//! A room with real Node workers: starts them, drives the cluster, and lets a test wait for what it expects.
//!
//! Invariants: waiting has a deadline and no fixed sleeps; every worker is killed when the room is dropped.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use luster::core::{InstanceId, Moment, WorkerId};
use luster::node::cluster::{Balance, Cluster, News};
use luster::node::ipc::Progress;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A server whose answers name its worker.
pub(crate) const HTTP: &str =
    "http.createServer((q,s)=>{s.setHeader('content-length',Buffer.byteLength(''+id));s.end(''+id)})";

const DEADLINE: Duration = Duration::from_secs(30);

/// The Node binaries to test with: `LUSTER_TEST_NODES`, separated by colons, or the one on the path.
pub(crate) fn nodes() -> Vec<PathBuf> {
    let listed = std::env::var("LUSTER_TEST_NODES").unwrap_or_else(|_| "node".to_owned());
    listed.split(':').map(PathBuf::from).collect()
}

/// The major version of a Node binary.
pub(crate) fn major(node: &Path) -> u32 {
    let output = Command::new(node).arg("-p").arg("process.versions.node").output().unwrap();
    let version = String::from_utf8(output.stdout).unwrap();
    version.split('.').next().unwrap().trim().parse().unwrap()
}

pub(crate) struct Room {
    pub(crate) cluster: Cluster,
    pub(crate) children: BTreeMap<InstanceId, Child>,
    pub(crate) exits: BTreeMap<InstanceId, Option<i32>>,
    pub(crate) news: Vec<News>,
    pub(crate) dir: tempfile::TempDir,
    node: PathBuf,
    began: Instant,
    last_life: u32,
    progress: Progress,
}

impl Room {
    pub(crate) fn new(node: &Path, balance: Balance) -> Self {
        Self {
            cluster: Cluster::new(balance).unwrap(),
            children: BTreeMap::new(),
            exits: BTreeMap::new(),
            news: Vec::new(),
            dir: tempfile::tempdir().unwrap(),
            node: node.to_owned(),
            began: Instant::now(),
            last_life: 0,
            progress: Progress::Idle,
        }
    }

    /// Starts a worker that runs `script`, which finds `http`, `net`, `cluster`, `dgram` and `https` in place.
    pub(crate) fn start(&mut self, slot: u32, script: &str) -> InstanceId {
        self.last_life += 1;
        let instance = InstanceId(self.last_life);
        let file = self.dir.path().join(format!("worker{}.js", instance.0));
        let modules = "const http=require('http'),https=require('https'),net=require('net'),fs=require('fs'),\
                       dgram=require('dgram'),cluster=require('cluster');const id=cluster.worker.id;\n";
        std::fs::write(&file, format!("{modules}{script}")).unwrap();
        let (ours, theirs) = Cluster::channel_pair().unwrap();
        // The channel is the worker's standard input: the one descriptor that needs no unsafe code to be inherited.
        let child = Command::new(&self.node)
            .arg(&file)
            .env("NODE_CHANNEL_FD", "0")
            .env("NODE_UNIQUE_ID", instance.0.to_string())
            .current_dir(self.dir.path())
            .stdin(Stdio::from(theirs))
            .spawn()
            .unwrap();
        self.cluster.attach(WorkerId(slot), instance, ours).unwrap();
        self.children.insert(instance, child);
        instance
    }

    pub(crate) fn now(&self) -> Moment {
        Moment(u64::try_from(self.began.elapsed().as_millis()).unwrap() + 1_000)
    }

    /// Waits for something to happen, a little, and lets the cluster do its part; reaps the dead.
    pub(crate) fn turn(&mut self) {
        let now = self.now();
        let wake = self.cluster.next_wake().map_or(20, |at| at.0.saturating_sub(now.0).min(20));
        let wait = if self.progress == Progress::More { 0 } else { u16::try_from(wake).unwrap() };
        poll(&mut [PollFd::new(self.cluster.as_fd(), PollFlags::POLLIN)], PollTimeout::from(wait)).unwrap();
        let now = self.now();
        self.progress = self.cluster.process(now, &mut self.news);
        if self.cluster.next_wake().is_some_and(|at| at <= now) {
            self.progress = self.cluster.wake(now, &mut self.news);
        }
        let gone: Vec<(InstanceId, Option<i32>)> = self
            .children
            .iter_mut()
            .filter_map(|(instance, child)| Some((*instance, child.try_wait().unwrap()?.code())))
            .collect();
        for (instance, code) in gone {
            self.children.remove(&instance);
            self.exits.insert(instance, code);
            // Its last words first.
            for _ in 0..3 {
                let _ = self.cluster.process(self.now(), &mut self.news);
            }
            self.cluster.detach(instance);
        }
    }

    /// Drives the cluster until `found` finds something.
    pub(crate) fn until<T>(&mut self, what: &str, mut found: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "waited too long for {what}; news: {:#?}", self.news);
            self.turn();
        }
    }

    /// Drives the cluster while a thread works.
    pub(crate) fn during<T>(&mut self, what: &str, work: JoinHandle<T>) -> T {
        self.until(what, |_| work.is_finished().then_some(()));
        work.join().unwrap()
    }

    pub(crate) fn during_call<T: Send + 'static>(
        &mut self,
        what: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        self.during(what, thread::spawn(work))
    }

    /// Waits until an instance listens, on its `nth` endpoint; returns the endpoint's text.
    pub(crate) fn listening(&mut self, instance: InstanceId, nth: usize) -> String {
        self.until("listening", |room| {
            let endpoints = room.news.iter().filter_map(|news| match news {
                News::Listening { instance: whose, endpoint, .. } if *whose == instance => {
                    Some(endpoint.to_string())
                }
                _ => None,
            });
            endpoints.into_iter().nth(nth)
        })
    }

    /// Waits for an instance's message that begins with `start`; returns its text.
    pub(crate) fn said(&mut self, instance: InstanceId, start: &str) -> String {
        self.until(start, |room| {
            room.news.iter().find_map(|news| match news {
                News::Said { instance: whose, message, .. }
                    if *whose == instance && message.get().starts_with(start) =>
                {
                    Some(message.get().to_owned())
                }
                _ => None,
            })
        })
    }

    /// Waits until an instance's process is gone; returns its exit code.
    pub(crate) fn exited(&mut self, instance: InstanceId) -> Option<i32> {
        self.until("exit", |room| room.exits.get(&instance).copied())
    }

    pub(crate) fn kill(&mut self, instance: InstanceId) {
        self.children.get_mut(&instance).unwrap().kill().unwrap();
    }

    pub(crate) fn disconnect(&mut self, instance: InstanceId) {
        let now = self.now();
        self.cluster.disconnect(instance, now);
    }

    /// The bodies of `count` requests, one connection each, one after another.
    pub(crate) fn get(&mut self, port: u16, count: usize) -> Vec<String> {
        self.during_call("requests", move || (0..count).map(|_| request(port).unwrap()).collect())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for child in self.children.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.cluster.close_all();
    }
}

/// A port nobody has just now, from a range below the ephemeral ports: those may be taken by any client's connection
/// before a worker listens there.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 5_000 + u16::try_from(std::process::id() % 200).unwrap() * 20;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 1_000;
        if std::net::TcpListener::bind(("::", port)).is_ok() {
            return port;
        }
    }
}

/// One request on a connection of its own; the body.
pub(crate) fn request(port: u16) -> std::io::Result<String> {
    request_to(SocketAddr::from(([127, 0, 0, 1], port)))
}

pub(crate) fn request_to(address: SocketAddr) -> std::io::Result<String> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    exchange(stream)
}

pub(crate) fn request_unix(path: &Path) -> std::io::Result<String> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    exchange(stream)
}

pub(crate) fn exchange(mut stream: impl Read + Write) -> std::io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(std::io::Error::other(format!("bad answer: {answer:?}"))),
    }
}
