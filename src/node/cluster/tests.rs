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

mod crowds;

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

#[test]
fn offers_alternate_and_excess_waits_in_the_kernel() {
    let (mut stage, mut puppets, port) = listening(Balance::RoundRobin, 2);
    let _clients: Vec<_> = (0..20).map(|_| connect(port)).collect();
    stage.settle();
    let offered: Vec<_> = puppets.iter_mut().map(Puppet::offers).collect();
    assert_eq!(offered, [vec![1, 2, 3, 4], vec![1, 2, 3, 4]], "a window each, the rest waits");
    stage.now = Moment(stage.now.0 + 50);
    puppets[0].answer(1, true);
    stage.settle();
    assert_eq!(puppets[0].offers(), [] as [u64; 0], "its oldest offer is old: it is busy");
    for seq in 2..=4 {
        puppets[0].answer(seq, true);
    }
    stage.settle();
    assert_eq!(puppets[0].offers(), [5, 6, 7, 8]);
    assert_eq!(stage.cluster.next_wake(), None, "an idle room waits for nothing");
}

#[test]
fn a_refused_connection_goes_to_the_other_worker() {
    let (mut stage, mut puppets, port) = listening(Balance::RoundRobin, 2);
    let _client = connect(port);
    stage.settle();
    assert_eq!(puppets[0].offers(), [1]);
    puppets[0].answer(1, false);
    stage.settle();
    assert_eq!(puppets[1].offers(), [1]);
}

#[test]
fn when_all_refuse_it_is_offered_again_ever_more_rarely() {
    let (mut stage, mut puppets, port) = listening(Balance::RoundRobin, 1);
    let mut client = connect(port);
    stage.settle();
    let (mut delays, mut refused) = (Vec::new(), stage.now);
    for seq in 1..10 {
        let mut offers = puppets[0].offers();
        while offers.is_empty() {
            // It may be woken before its time.
            stage.wake();
            offers = puppets[0].offers();
        }
        assert_eq!(offers, [seq], "one at a time");
        delays.push(stage.now.0 - refused.0);
        puppets[0].answer(seq, false);
        refused = stage.now;
        stage.settle();
        assert_eq!(puppets[0].offers(), [] as [u64; 0]);
    }
    assert_eq!(delays, [0, 1, 2, 4, 8, 16, 32, 64, 64]);
    client.set_nonblocking(true).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "it is still open");
}

#[test]
fn a_connection_lost_on_the_way_goes_to_another_and_many_are_reported() {
    let (mut stage, mut puppets, port) = listening(Balance::RoundRobin, 2);
    let _clients: Vec<_> = (0..8).map(|_| connect(port)).collect();
    stage.settle();
    assert_eq!(puppets[0].offers().len(), 4);
    puppets[0].say(r#"{"cmd":"NODE_HANDLE_NACK"}"#);
    stage.settle();
    for seq in 1..=4 {
        puppets[1].answer(seq, true);
    }
    stage.settle();
    assert_eq!(puppets[1].offers(), [1, 2, 3, 4, 5], "the lost one, first of all");
    for _ in 0..7 {
        puppets[0].say(r#"{"cmd":"NODE_HANDLE_NACK"}"#);
    }
    stage.settle();
    assert_eq!(stage.was_told("Refusing"), 1);
}

#[test]
fn what_a_dead_worker_had_not_taken_goes_to_another_in_order() {
    let (mut stage, mut puppets, port) = listening(Balance::RoundRobin, 2);
    let mut clients: Vec<_> = (0..6).map(|_| connect(port)).collect();
    for (name, client) in (b'a'..).zip(&mut clients) {
        client.write_all(&[name]).unwrap();
    }
    stage.settle();
    for seq in 1..=3 {
        puppets[1].answer(seq, true);
    }
    stage.settle();
    puppets[1].descriptors.clear();
    stage.cluster.detach(InstanceId(1));
    stage.settle();
    assert_eq!(puppets[1].offers(), [1, 2, 3, 4, 5, 6]);
    let mut rescued = String::new();
    for descriptor in puppets[1].descriptors.drain(3..) {
        let mut byte = [0];
        TcpStream::from(descriptor).read_exact(&mut byte).unwrap();
        rescued.push(char::from(byte[0]));
    }
    assert_eq!(rescued, "ace");
}

#[test]
fn a_steered_worker_is_offered_nothing_more() {
    let (mut stage, mut puppets, port) = listening(Balance::RoundRobin, 2);
    stage.cluster.drain(InstanceId(1));
    let _clients: Vec<_> = (0..3).map(|_| connect(port)).collect();
    stage.settle();
    assert_eq!((puppets[0].offers().len(), puppets[1].offers().len()), (0, 3));
}

#[test]
fn a_group_forwards_what_a_dead_member_left_behind() {
    let (mut stage, mut puppets, port) = listening(Balance::Reuseport, 2);
    let _clients: Vec<_> = (0..40).map(|_| connect(port)).collect();
    stage.cluster.detach(InstanceId(1));
    stage.settle();
    let mut forwarded = 0;
    loop {
        let offers = puppets[1].offers();
        if offers.is_empty() {
            break;
        }
        forwarded += offers.len();
        for seq in offers {
            puppets[1].answer(seq, true);
        }
        stage.settle();
    }
    assert!((5..=35).contains(&forwarded), "{forwarded}: the kernel chooses at random among members");
    // From now on the kernel does not choose the dead one.
    let _more: Vec<_> = (0..20).map(|_| connect(port)).collect();
    stage.settle();
    assert_eq!(puppets[1].offers(), [] as [u64; 0]);
    let mut successor = stage.attach(1, 3);
    successor.ask(port);
    stage.settle();
    assert_eq!(successor.lines().len(), 1);
    assert_eq!(successor.descriptors.len(), 1);
}

#[test]
fn the_same_listener_twice_is_in_use_and_there_is_a_limit() {
    let (mut stage, mut puppets, port) = listening(Balance::RoundRobin, 1);
    stage.cluster.most_listeners = 1024;
    puppets[0].ask(port);
    stage.settle();
    assert!(puppets[0].lines()[0].contains("\"errno\":-98"));
    for index in 0..1024 {
        puppets[0].say(&format!(
            r#"{{"cmd":"NODE_CLUSTER","act":"queryServer","index":{index},"address":"127.0.0.1","port":0,"addressType":4,"seq":5}}"#
        ));
        stage.settle();
    }
    let lines = puppets[0].lines();
    assert_eq!(lines.len(), 1024);
    assert!(lines[1023].contains("\"errno\":-24"), "{}", lines[1023]);
}

#[test]
fn a_claim_outlives_a_life_and_expires_with_its_successors_readiness() {
    let (mut stage, mut puppets, port) = listening(Balance::RoundRobin, 1);
    drop(puppets.remove(0));
    stage.settle();
    assert_eq!(stage.was_told("Left"), 1);
    stage.cluster.detach(InstanceId(1));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    let _successor = stage.attach(1, 2);
    stage.cluster.instance_ready(InstanceId(2));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn two_lives_of_a_slot_hand_over_without_a_gap() {
    let (mut stage, mut puppets, port) = listening(Balance::RoundRobin, 1);
    // A successor that dies young does not take the claim with it.
    let mut young = stage.attach(1, 2);
    stage.cluster.disconnect(InstanceId(1), stage.now);
    puppets[0].say(r#"{"cmd":"NODE_CLUSTER","act":"close","key":"0","seq":4}"#);
    stage.settle();
    young.ask(port);
    stage.settle();
    stage.cluster.detach(InstanceId(2));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    let mut next = stage.attach(1, 3);
    next.ask(port);
    stage.settle();
    stage.cluster.instance_ready(InstanceId(3));
    stage.cluster.detach(InstanceId(1));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    stage.cluster.detach(InstanceId(3));
    stage.cluster.slot_abandoned(WorkerId(1));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// A worker that has listened, has had a connection or not, and has closed the server.
fn closed_by_its_only_worker(balance: Balance, connections: usize) -> (Stage, Vec<Puppet>, u16) {
    let (mut stage, mut puppets, port) = listening(balance, 1);
    drop((0..connections).map(|_| connect(port)).collect::<Vec<_>>());
    stage.settle();
    puppets[0].say(r#"{"cmd":"NODE_CLUSTER","act":"close","key":"0","seq":4}"#);
    stage.settle();
    puppets[0].lines();
    puppets[0].descriptors.clear();
    (stage, puppets, port)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("0.0.0.0", port)).is_ok()
}

#[test]
fn a_port_that_was_only_tried_out_is_free_when_its_server_closes() {
    for balance in [Balance::RoundRobin, Balance::Shared, Balance::Reuseport] {
        let (stage, _puppets, port) = closed_by_its_only_worker(balance, 0);
        assert!(is_free(port), "{balance:?}");
        assert_eq!(stage.was_told("ForGood"), 1, "{balance:?}");
        let (stage, _puppets, port) = closed_by_its_only_worker(balance, 1);
        assert!(!is_free(port), "{balance:?}");
        assert_eq!(stage.was_told("Perhaps"), 1, "{balance:?}");
    }
    // What workers have accepted by themselves is not seen: what was open for longer was no trial.
    let (mut stage, mut puppets, port) = listening(Balance::Shared, 1);
    stage.now = Moment(stage.now.0 + 1000);
    puppets[0].say(r#"{"cmd":"NODE_CLUSTER","act":"close","key":"0","seq":4}"#);
    stage.settle();
    puppets[0].descriptors.clear();
    assert!(!is_free(port));
}

#[test]
fn a_connection_not_accepted_yet_keeps_a_closed_port() {
    let (mut stage, mut puppets, port) = listening(Balance::RoundRobin, 1);
    puppets[0].say(r#"{"cmd":"NODE_CLUSTER","act":"close","key":"0","seq":4}"#);
    let _client = connect(port);
    stage.settle();
    assert!(!is_free(port));
    stage.wake();
    assert!(is_free(port), "its last worker lives on");
}

#[test]
fn what_is_kept_is_given_up_when_its_closer_lives_on_or_somebody_listens_there() {
    let (mut stage, _puppets, port) = closed_by_its_only_worker(Balance::RoundRobin, 1);
    stage.cluster.lives_on(InstanceId(1));
    assert!(is_free(port));
    for asker in [1, 2] {
        let (mut stage, mut puppets, port) = closed_by_its_only_worker(Balance::RoundRobin, 1);
        puppets.push(stage.attach(2, 2));
        let line = r#""act":"queryServer","index":0,"address":"0.0.0.0","addressType":4,"seq":1"#;
        puppets[asker - 1].say(&format!(r#"{{"cmd":"NODE_CLUSTER",{line},"port":{port}}}"#));
        stage.settle();
        assert!(puppets[asker - 1].lines()[0].contains("\"errno\":null"), "worker {asker}");
    }
}

#[test]
fn what_waits_for_a_slot_makes_way_for_that_slot_alone() {
    let (mut stage, puppets, port) = listening(Balance::RoundRobin, 1);
    drop(puppets);
    stage.settle();
    stage.cluster.detach(InstanceId(1));
    let line = r#""act":"queryServer","index":0,"address":"0.0.0.0","addressType":4,"seq":1"#;
    for (slot, instance, answer) in [(2, 2, "\"errno\":-98"), (1, 3, "\"errno\":null")] {
        let mut puppet = stage.attach(slot, instance);
        puppet.say(&format!(r#"{{"cmd":"NODE_CLUSTER",{line},"port":{port}}}"#));
        stage.settle();
        assert!(puppet.lines()[0].contains(answer), "slot {slot}");
    }
}

#[test]
fn few_listeners_are_kept_for_one_life_and_few_are_awaited_for_one_slot() {
    let mut stage = Stage::new(Balance::RoundRobin);
    stage.cluster.most_listeners = 10;
    let mut puppet = stage.attach(1, 1);
    for number in 0..200 {
        let port = free_port();
        puppet.ask(port);
        stage.settle();
        drop(connect(port));
        puppet.say(&format!(r#"{{"cmd":"NODE_CLUSTER","act":"close","key":"{number}","seq":4}}"#));
        stage.settle();
        stage.cluster.most_listeners = 100;
    }
    assert_eq!(stage.cluster.listeners.len(), 64);
    stage.cluster.lives_on(InstanceId(1));
    for instance in 2..20 {
        stage.cluster.most_listeners = 100;
        let mut puppet = stage.attach(1, instance);
        for _ in 0..5 {
            puppet.ask(free_port());
        }
        stage.settle();
        stage.cluster.most_listeners = 10;
        stage.cluster.detach(InstanceId(instance));
    }
    assert_eq!(stage.cluster.listeners.len(), 10);
}

/// Whether this thread may bind the ports below 1024; only for those who may have that privilege at all.
#[expect(unsafe_code, reason = "capget and capset have no wrapper")]
fn may_bind_low_ports(may: bool) {
    let mut header = [0x2008_0522_u32, 0];
    let mut data = [[0_u32; 3]; 2];
    // SAFETY: both structures are as the kernel has them for this version, and belong to this thread alone.
    unsafe {
        assert_eq!(nix::libc::syscall(nix::libc::SYS_capget, header.as_mut_ptr(), data.as_mut_ptr()), 0);
        let bit = 1 << 10;
        data[0][0] = if may { data[0][0] | bit } else { data[0][0] & !bit };
        assert_eq!(nix::libc::syscall(nix::libc::SYS_capset, header.as_mut_ptr(), data.as_ptr()), 0);
    }
}

fn free_low_port() -> u16 {
    (700..1024).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// A stage on which low ports may not be bound: worker 1 was asked to bind the port it wants, and worker 2 wants the same.
fn asked_to_bind(port: u16) -> (Stage, Vec<Puppet>) {
    let mut stage = Stage::new(Balance::RoundRobin);
    let mut puppets = vec![stage.attach(1, 1), stage.attach(2, 2)];
    may_bind_low_ports(false);
    for puppet in &mut puppets {
        puppet.ask(port);
        stage.settle();
    }
    assert_eq!(stage.was_told("MayBind"), 1, "one binds, the other waits");
    assert!(puppets.iter_mut().all(|puppet| puppet.lines().is_empty()));
    may_bind_low_ports(true);
    (stage, puppets)
}

fn socket_bound_to(address: (&str, u16)) -> UserHandle {
    UserHandle::new(OwnedFd::from(TcpListener::bind(address).unwrap())).unwrap()
}

#[test]
fn what_a_worker_binds_for_us_is_everybodys() {
    let port = free_low_port();
    let (mut stage, mut puppets) = asked_to_bind(port);
    let socket = socket_bound_to(("127.0.0.1", port));
    stage.cluster.bound(InstanceId(1), 0, Ok(socket), stage.now, &mut stage.news);
    for puppet in &mut puppets {
        assert!(puppet.lines()[0].contains("\"errno\":null"));
    }
    let _clients = [connect(port), connect(port)];
    stage.settle();
    assert_eq!(puppets.iter_mut().map(|puppet| puppet.offers().len()).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(stage.was_told("MayBind"), 1);
}

#[test]
fn a_worker_that_cannot_bind_either_is_refused_and_the_next_is_asked() {
    let port = free_low_port();
    let wrong = || Ok(socket_bound_to(("127.0.0.1", 0)));
    for (answer, errno) in [(Err(-13), 13), (wrong(), 22), (Err(i32::MIN), 22)] {
        let (mut stage, mut puppets) = asked_to_bind(port);
        // Nobody else is believed.
        stage.cluster.bound(InstanceId(2), 0, wrong(), stage.now, &mut stage.news);
        assert_eq!(stage.was_told("MayBind"), 1);
        let said = format!("{answer:?}");
        may_bind_low_ports(false);
        stage.cluster.bound(InstanceId(1), 0, answer, stage.now, &mut stage.news);
        may_bind_low_ports(true);
        let line = puppets[0].lines().remove(0);
        let refused = line.contains(&format!("\"errno\":-{errno},")) || said.contains("Err(-2147483648)");
        assert!(refused && line.contains("\"errno\":-"), "{said}: {line}");
        assert_eq!((stage.was_told("BindFailed"), stage.was_told("MayBind")), (1, 2), "{said}");
    }
}

#[test]
fn a_worker_that_dies_or_is_silent_when_asked_to_bind_holds_nobody_up() {
    let port = free_low_port();
    let (mut stage, _puppets) = asked_to_bind(port);
    may_bind_low_ports(false);
    stage.cluster.detach(InstanceId(1));
    stage.wake();
    assert_eq!(stage.was_told("MayBind"), 2, "the other is asked");
    stage.wake();
    may_bind_low_ports(true);
    assert_eq!(stage.was_told("BindFailed"), 1, "its time is over");
    assert_eq!(stage.cluster.bindings.len(), 0);
}

#[test]
fn one_farewell_per_life() {
    let mut stage = Stage::new(Balance::RoundRobin);
    let (mut ours, mut theirs) = (stage.attach(1, 1), stage.attach(2, 2));
    stage.cluster.disconnect(InstanceId(1), stage.now);
    stage.cluster.disconnect(InstanceId(1), stage.now);
    let leaving = r#"{"cmd":"NODE_CLUSTER","act":"exitedAfterDisconnect","seq":4}"#;
    for puppet in [&mut ours, &mut theirs] {
        puppet.say(leaving);
        puppet.ask(free_port());
    }
    theirs.say(leaving);
    stage.settle();
    stage.cluster.disconnect(InstanceId(2), stage.now);
    assert_eq!(ours.lines(), [r#"{"cmd":"NODE_CLUSTER","act":"disconnect"}"#]);
    let told = theirs.lines();
    assert_eq!(told[0], r#"{"cmd":"NODE_CLUSTER","ack":4}"#);
    assert_eq!(told.len(), 2, "and its request to listen is answered: {told:?}");
    assert_eq!(stage.was_told("Leaving"), 2);
}

#[test]
fn handles_are_answered_once_and_unwrapped_twice() {
    let mut stage = Stage::new(Balance::RoundRobin);
    let mut puppet = stage.attach(1, 1);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    puppet.say(r#"{"cmd":"NODE_HANDLE","type":"net.Socket","msg":{"up":1}}"#);
    // A worker sends nothing more before this is answered.
    stage.settle();
    let twice = r#"{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_HANDLE","type":"net.Socket","msg":{"up":1}}}"#;
    puppet.say_with(twice, &listener);
    puppet.say_with(
        r#"{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_CLUSTER","act":"online"}}"#,
        &listener,
    );
    puppet.say_with(
        r#"{"cmd":"NODE_HANDLE","type":"x","msg":"file"}"#,
        std::fs::File::open("/dev/null").unwrap(),
    );
    stage.settle();
    let (ack, nack) = (r#"{"cmd":"NODE_HANDLE_ACK"}"#, r#"{"cmd":"NODE_HANDLE_NACK"}"#);
    assert_eq!(puppet.lines(), [nack, ack, ack, ack]);
    let told = stage.told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("kind: Server") && told[1].contains("handle: None"), "{told:?}");
}

#[test]
fn sockets_are_counted_until_they_are_dropped() {
    let mut stage = Stage::new(Balance::RoundRobin);
    let mut puppet = stage.attach(1, 1);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    puppet.say_with(r#"{"cmd":"NODE_HANDLE","type":"net.Socket","msg":1,"key":"4:a:1"}"#, &listener);
    puppet.say(r#"{"cmd":"NODE_SOCKET_GET_COUNT","key":"4:a:1"}"#);
    puppet.say(r#"{"cmd":"NODE_SOCKET_NOTIFY_CLOSE","key":"4:a:1"}"#);
    puppet.say(r#"{"cmd":"NODE_SOCKET_NOTIFY_CLOSE","key":"4:b:2"}"#);
    stage.settle();
    let lines = puppet.lines();
    assert_eq!(
        lines[1..],
        [
            r#"{"cmd":"NODE_SOCKET_COUNT","key":"4:a:1","count":1}"#,
            r#"{"cmd":"NODE_SOCKET_ALL_CLOSED","key":"4:b:2"}"#,
        ]
    );
    stage.news.clear();
    stage.settle();
    assert_eq!(puppet.lines(), [r#"{"cmd":"NODE_SOCKET_ALL_CLOSED","key":"4:a:1"}"#]);
}

#[test]
fn after_a_violation_nothing_is_heard() {
    for (bytes, reason) in [("{]\n", ProtocolError::NotJson), ("\n", ProtocolError::EmptyFrame)] {
        let mut stage = Stage::new(Balance::RoundRobin);
        let mut puppet = stage.attach(1, 1);
        puppet.stream.write_all(b"\"before\"\n").unwrap();
        puppet.stream.write_all(bytes.as_bytes()).unwrap();
        puppet.say("\"after\"");
        stage.settle();
        drop(puppet);
        stage.settle();
        let expected = format!("{:?}", News::Broken { instance: InstanceId(1), reason });
        let told = stage.told();
        assert_eq!((told.len(), &told[1]), (2, &expected), "{told:?}");
        assert_eq!(stage.cluster.send(InstanceId(1), &1, None, stage.now), SendOutcome::Unreachable);
    }
}

#[test]
fn stray_descriptors_are_a_violation() {
    let mut stage = Stage::new(Balance::RoundRobin);
    let mut puppet = stage.attach(1, 1);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for _ in 0..40 {
        puppet.say_with("1", &listener);
    }
    stage.settle();
    assert_eq!(stage.was_told("StrayDescriptors"), 1);
}

#[test]
fn a_flood_pauses_one_worker_and_is_reported_once() {
    let (mut stage, mut puppets, port) = listening(Balance::RoundRobin, 2);
    let mut flooder = stage.attach(3, 3);
    let burst = "1\n".repeat(10_000);
    let mut flood = |stage: &mut Stage| {
        for _ in 0..40 {
            let _ = flooder.stream.write(burst.as_bytes());
            stage.settle();
            stage.news.retain(|news| !matches!(news, News::Said { .. }));
        }
    };
    flood(&mut stage);
    let paused = stage.cluster.next_wake().expect("reading rests");
    assert_eq!(paused, Moment(stage.now.0 + 100));
    let _client = connect(port);
    stage.settle();
    assert_eq!(puppets[0].offers(), [1], "others go on");
    for _ in 0..5 {
        stage.wake();
        flood(&mut stage);
    }
    assert_eq!(stage.was_told("Flooding"), 1);
}

#[test]
fn a_worker_that_does_not_read_is_not_read_and_nothing_grows() {
    let mut stage = Stage::new(Balance::RoundRobin);
    let mut puppet = stage.attach(1, 1);
    let text = "x".repeat(1 << 20);
    let mut taken = 0;
    while stage.cluster.send(InstanceId(1), &text, None, stage.now) == SendOutcome::Taken {
        taken += 1;
        assert!(taken < 50);
    }
    assert!(taken <= MESSAGES_LIMIT / text.len() + 2, "{taken}");
    // The answers to its questions pile up, to a limit.
    let key = "k".repeat(100_000);
    let question = format!(r#"{{"cmd":"NODE_SOCKET_GET_COUNT","key":"{key}"}}"#);
    let mut asked = 0;
    while puppet.stream.write_all(format!("{question}\n").as_bytes()).is_ok() && asked < 500 {
        asked += 1;
        stage.settle();
    }
    assert!(asked < 100, "it was read {asked} times");
    let (mut lines, mut rounds) = (0, 0);
    while lines < taken && rounds < 1000 {
        lines += puppet.lines().len();
        stage.settle();
        rounds += 1;
    }
    assert_eq!(stage.cluster.send(InstanceId(1), &1, None, stage.now), SendOutcome::Taken, "it recovers");
}

#[test]
fn everything_before_the_end_is_heard_before_the_end() {
    let mut stage = Stage::new(Balance::RoundRobin);
    let mut puppet = stage.attach(1, 1);
    for number in 0..1000 {
        puppet.say(&number.to_string());
    }
    drop(puppet);
    stage.settle();
    let told = stage.told();
    assert_eq!(told.len(), 1001);
    assert!(told[1000].contains("Left"));
    stage.cluster.detach(InstanceId(1));
    stage.settle();
    assert!(stage.news.is_empty());
}

/// A worker that was sent a wrapper too long for one kernel buffer, and another behind it.
fn after_a_long_wrapper() -> (Stage, Puppet) {
    let mut stage = Stage::new(Balance::RoundRobin);
    let puppet = stage.attach(1, 1);
    for text in ["x".repeat(100_000), "short".to_owned()] {
        assert_eq!(stage.cluster.send(InstanceId(1), &text, some_handle(), stage.now), SendOutcome::Taken);
    }
    (stage, puppet)
}

fn some_handle() -> Option<UserHandle> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    Some(UserHandle::new(OwnedFd::from(listener)).unwrap())
}

#[test]
fn a_long_wrapper_holds_the_next_descriptor_back_until_it_is_answered() {
    let (mut stage, mut puppet) = after_a_long_wrapper();
    stage.settle();
    assert_eq!((puppet.lines().len(), puppet.descriptors.len()), (1, 1));
    puppet.ack();
    stage.settle();
    assert_eq!((puppet.lines().len(), puppet.descriptors.len()), (1, 2));
    // An answer it does not owe changes nothing.
    puppet.ack();
    puppet.ack();
    puppet.say(r#"{"cmd":"NODE_HANDLE_NACK"}"#);
    stage.settle();
    assert_eq!(stage.cluster.send(InstanceId(1), &1, some_handle(), stage.now), SendOutcome::Taken);
}

#[test]
fn an_answer_that_more_waits_for_than_may_wait_otherwise_is_heard() {
    let (mut stage, mut puppet) = after_a_long_wrapper();
    for _ in 0..10 {
        let text = "x".repeat(1 << 20);
        assert_eq!(stage.cluster.send(InstanceId(1), &text, None, stage.now), SendOutcome::Taken);
    }
    stage.settle();
    assert_eq!((puppet.lines().len(), puppet.descriptors.len()), (1, 1));
    puppet.ack();
    let mut lines = 0;
    for _ in 0..1000 {
        stage.settle();
        lines += puppet.lines().len();
    }
    assert_eq!((lines, puppet.descriptors.len()), (11, 2));
}

#[test]
fn a_listener_lost_on_the_way_is_an_error_in_the_worker() {
    let mut stage = Stage::new(Balance::Shared);
    let mut puppet = stage.attach(1, 1);
    let port = free_port();
    puppet.ask(port);
    stage.settle();
    assert_eq!(puppet.lines().len(), 1);
    puppet.say(r#"{"cmd":"NODE_HANDLE_NACK"}"#);
    stage.settle();
    assert!(puppet.lines()[0].contains("\"errno\":-24"));
    puppet.descriptors.clear();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// What may happen to a cluster, by number: the second says to whom or how.
fn disturb(stage: &mut Stage, puppets: &mut Vec<(u32, Puppet)>, port: u16, what: u8, how: u8) {
    let lines = [
        r#"{"cmd":"NODE_HANDLE_ACK"}"#,
        r#"{"cmd":"NODE_HANDLE_NACK"}"#,
        r#"{"cmd":"NODE_CLUSTER","ack":1,"accepted":true,"seq":9}"#,
        r#"{"cmd":"NODE_CLUSTER","ack":2,"accepted":false,"seq":9}"#,
        r#"{"cmd":"NODE_CLUSTER","act":"close","key":"0","seq":4}"#,
        r#"{"cmd":"NODE_CLUSTER","act":"exitedAfterDisconnect","seq":4}"#,
        r#"{"cmd":"NODE_HANDLE","type":"net.Socket","msg":1,"key":"a"}"#,
        r#"{"cmd":"NODE_SOCKET_NOTIFY_CLOSE","key":"a"}"#,
        "",
    ];
    let count = puppets.len().max(1);
    let instance = puppets.get(usize::from(how) % count).map_or(1, |(instance, _)| *instance);
    match what {
        0..=1 => {
            stage.instances += 1;
            let instance = stage.instances;
            puppets.push((instance, stage.attach(u32::from(how % 3), instance)));
        }
        2..=5 => {
            let line = r#""act":"queryServer","index":0,"address":"127.0.0.1","addressType":4,"seq":1"#;
            mutter(puppets, instance, &format!(r#"{{"cmd":"NODE_CLUSTER",{line},"port":{port}}}"#));
        }
        6..=8 => drop(TcpStream::connect(("127.0.0.1", port))),
        9 => {
            stage.cluster.detach(InstanceId(instance));
            puppets.retain(|(whose, _)| *whose != instance);
        }
        10 => stage.cluster.drain(InstanceId(instance)),
        11 => stage.cluster.disconnect(InstanceId(instance), stage.now),
        12 => stage.cluster.instance_ready(InstanceId(instance)),
        13 => stage.cluster.slot_abandoned(WorkerId(u32::from(how % 3))),
        14 if stage.cluster.next_wake().is_some() => stage.wake(),
        15 => puppets.retain(|(whose, _)| *whose != instance),
        _ => mutter(puppets, instance, lines[usize::from(what) % lines.len()]),
    }
}

/// Says a line to a room that may not listen any more.
fn mutter(puppets: &mut [(u32, Puppet)], instance: u32, line: &str) {
    if let Some((_, puppet)) = puppets.iter_mut().find(|(whose, _)| *whose == instance) {
        let _ = puppet.stream.write_all(format!("{line}\n").as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn whatever_happens_the_room_comes_to_rest(
        balance in prop_oneof![Just(Balance::RoundRobin), Just(Balance::Shared), Just(Balance::Reuseport)],
        events in prop::collection::vec((0_u8..34, any::<u8>()), 0..80),
    ) {
        let (mut stage, port, mut puppets) = (Stage::new(balance), free_port(), Vec::new());
        for (what, how) in events {
            disturb(&mut stage, &mut puppets, port, what, how);
            stage.settle();
            for (_, puppet) in &mut puppets {
                puppet.lines();
            }
        }
        for (instance, _) in &puppets {
            stage.cluster.detach(InstanceId(*instance));
        }
        (0..3).for_each(|slot| stage.cluster.slot_abandoned(WorkerId(slot)));
        stage.settle();
        // Puppets that were dropped are still attached; with the last of them the listeners go.
        (0..90).for_each(|instance| stage.cluster.detach(InstanceId(instance)));
        (0..3).for_each(|slot| stage.cluster.slot_abandoned(WorkerId(slot)));
        prop_assert!(stage.cluster.listeners.is_empty());
        prop_assert!(stage.cluster.workers.is_empty());
    }
}
