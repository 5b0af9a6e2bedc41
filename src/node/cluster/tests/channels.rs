//! What is said over a channel: acknowledgements, descriptors, floods, the end.

use super::*;

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
