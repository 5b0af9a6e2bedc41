//! Who gets which connection, and what becomes of it when a worker refuses it or dies.

use super::*;

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
