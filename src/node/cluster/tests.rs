//! The room over socket pairs, with a worker that does exactly what a test says; time is the test's.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU16, Ordering};

use std::collections::VecDeque;

use nix::errno::Errno;
use proptest::prelude::*;

use crate::core::{InstanceId, Moment, WorkerId};
use crate::node::cluster::room::MESSAGES_LIMIT;
use crate::node::cluster::{Balance, Cluster, News};
use crate::node::ipc::{Progress, ProtocolError, SendOutcome, UserHandle, receive, send};

mod balancing;
mod channels;
mod crowds;
mod disturbances;
mod handed_up;
mod listener_lifetimes;

/// A cluster and the moment it is.
struct Stage {
    cluster: Cluster,
    now: Moment,
    news: Vec<News>,
    instances: u32,
}

/// The far end of a channel.
struct Puppet {
    stream: UnixStream,
    heard: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
    seq: u32,
}

impl Stage {
    fn new(balance: Balance) -> Self {
        Self {
            cluster: Cluster::new(balance).unwrap(),
            now: Moment(1_000_000),
            news: Vec::new(),
            instances: 0,
        }
    }

    fn attach(&mut self, slot: u32, instance: u32) -> Puppet {
        let (ours, theirs) = Cluster::channel_pair().unwrap();
        self.cluster.attach(WorkerId(slot), InstanceId(instance), ours).unwrap();
        let stream = UnixStream::from(theirs);
        stream.set_nonblocking(true).unwrap();
        Puppet { stream, heard: Vec::new(), descriptors: VecDeque::new(), seq: 0 }
    }

    /// Lets the cluster do all it can at this moment.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.cluster.process(self.now, &mut self.news) == Progress::Idle {
                return;
            }
        }
        panic!("the cluster never comes to rest");
    }

    /// Jumps to the next moment the cluster wants to be woken at.
    fn wake(&mut self) {
        self.now = self.cluster.next_wake().expect("a wake is due");
        let _ = self.cluster.wake(self.now, &mut self.news);
        self.settle();
    }

    fn told(&mut self) -> Vec<String> {
        self.news.drain(..).map(|news| format!("{news:?}")).collect()
    }

    fn was_told(&self, what: &str) -> usize {
        self.news.iter().filter(|news| format!("{news:?}").contains(what)).count()
    }
}

impl Puppet {
    fn say(&mut self, line: &str) {
        self.stream.write_all(line.as_bytes()).unwrap();
        self.stream.write_all(b"\n").unwrap();
    }

    fn say_with(&mut self, line: &str, descriptor: impl AsFd) {
        let line = format!("{line}\n");
        let parts = [std::io::IoSlice::new(line.as_bytes())];
        send(self.stream.as_fd(), &parts, Some(descriptor.as_fd())).unwrap();
    }

    /// All whole lines that have come.
    fn lines(&mut self) -> Vec<String> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match receive(self.stream.as_fd(), &mut buffer, &mut self.descriptors) {
                Ok(received) if received.len > 0 => self.heard.extend(&buffer[..received.len]),
                Ok(_) | Err(Errno::EAGAIN) => break,
                Err(errno) => panic!("{errno}"),
            }
        }
        let whole = self.heard.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let text = String::from_utf8(self.heard.drain(..whole).collect()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn ask(&mut self, port: u16) {
        self.seq += 1;
        let seq = self.seq;
        self.say(&format!(
            r#"{{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":"127.0.0.1","port":{port},"addressType":4,"backlog":0,"seq":{seq}}}"#
        ));
    }

    fn ack(&mut self) {
        self.say(r#"{"cmd":"NODE_HANDLE_ACK"}"#);
    }

    fn answer(&mut self, seq: u64, accepted: bool) {
        self.ack();
        self.say(&format!(r#"{{"cmd":"NODE_CLUSTER","ack":{seq},"accepted":{accepted},"seq":9}}"#));
    }

    /// The numbers of the connections offered since last asked.
    fn offers(&mut self) -> Vec<u64> {
        let lines = self.lines();
        let number = |line: &String| line.split("\"seq\":").nth(1)?.trim_end_matches('}').parse().ok();
        lines.iter().filter(|line| line.contains("newconn")).filter_map(number).collect()
    }
}

/// From a range below the ephemeral ports: one of those may be taken by any client's connection before it is asked for.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 3_000 + u16::try_from(std::process::id() % 100).unwrap() * 10;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 1_000;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// A cluster with workers 1..=count that listen on one port.
fn listening(balance: Balance, count: u32) -> (Stage, Vec<Puppet>, u16) {
    let (mut stage, port) = (Stage::new(balance), free_port());
    let mut puppets: Vec<_> = (1..=count).map(|slot| stage.attach(slot, slot)).collect();
    for puppet in &mut puppets {
        puppet.ask(port);
        stage.settle();
        assert_eq!(puppet.lines().len(), 1);
        if balance != Balance::RoundRobin {
            puppet.ack();
        }
    }
    stage.settle();
    (stage, puppets, port)
}

fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).unwrap()
}
