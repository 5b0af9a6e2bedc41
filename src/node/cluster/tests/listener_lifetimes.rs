//! How long a listening socket is there: over instances, closings and dead ends.

use super::*;

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
