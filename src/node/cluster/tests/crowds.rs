//! Many channels and listeners that have something to say at the same moment, and many that die at once.

use std::os::unix::net::UnixStream;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{Puppet, Stage, connect, listening};
use crate::core::InstanceId;
use crate::node::cluster::Balance;

/// So many workers, attached; both ends of their channels are ours.
fn crowd(stage: &mut Stage, count: u32) -> Vec<Puppet> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    (1..=count).map(|number| stage.attach(number, number)).collect()
}

#[test]
fn every_channel_that_is_ready_is_read_however_many_there_are() {
    for count in [64, 65, 200, 1_500] {
        let mut stage = Stage::new(Balance::RoundRobin);
        let mut puppets = crowd(&mut stage, count);
        for puppet in &mut puppets {
            puppet.say("\"here\"");
        }
        // Nobody says a second time that they are ready: the one who waits for the room sees one edge.
        stage.settle();
        assert_eq!(stage.was_told("Said"), count as usize);
    }
}

#[test]
fn every_channel_that_is_closed_is_known_to_be_however_many_there_are() {
    let mut stage = Stage::new(Balance::RoundRobin);
    drop(crowd(&mut stage, 1_100));
    stage.settle();
    assert_eq!(stage.was_told("Left"), 1_100);
}

#[test]
fn every_listener_that_is_ready_is_served_however_many_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(Balance::RoundRobin);
    let mut puppets = crowd(&mut stage, 150);
    let path = |index: usize| folder.path().join(index.to_string());
    for (index, puppet) in puppets.iter_mut().enumerate() {
        puppet.say(&format!(
            r#"{{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":"{}","port":-1,"addressType":-1,"backlog":0,"seq":1}}"#,
            path(index).display()
        ));
    }
    stage.settle();
    let _clients: Vec<_> =
        (0..puppets.len()).map(|index| UnixStream::connect(path(index)).unwrap()).collect();
    stage.settle();
    let served = puppets.iter_mut().map(|puppet| puppet.lines().join("").matches("newconn").count());
    assert_eq!(served.collect::<Vec<_>>(), [1; 150]);
}

/// Workers that have taken connections, said so as the last thing they did, and died: nobody has read that yet.
#[test]
fn what_the_dead_had_taken_is_given_to_nobody_however_many_die_at_once() {
    let (mut stage, mut puppets, port) = listening(Balance::RoundRobin, 100);
    let _clients: Vec<_> = (0..400).map(|_| connect(port)).collect();
    stage.settle();
    let mut survivor = puppets.pop().unwrap();
    for puppet in &mut puppets {
        for seq in puppet.offers() {
            puppet.answer(seq, true);
        }
    }
    for seq in survivor.offers() {
        survivor.answer(seq, true);
    }
    let count = puppets.len();
    drop(puppets);
    for instance in (1..100).map(InstanceId) {
        stage.cluster.hear_out(instance, stage.now, &mut stage.news);
        stage.cluster.detach(instance);
    }
    stage.settle();
    assert_eq!(stage.was_told("Left"), count);
    assert_eq!(survivor.offers(), [] as [u64; 0]);
}

/// More than one turn's worth, more than may come at once without being slowed down, and no answer of ours is read.
#[test]
fn the_last_words_of_the_dead_are_heard_to_the_last() {
    let mut stage = Stage::new(Balance::RoundRobin);
    let mut puppet = stage.attach(1, 1);
    puppet.stream.set_nonblocking(true).unwrap();
    let line = format!("\"{}\"", "x".repeat(1_000));
    let mut said = 0;
    // As much as the kernel takes.
    while std::io::Write::write(&mut puppet.stream, format!("{line}\n").as_bytes()).is_ok_and(|n| n > 1_000) {
        said += 1;
    }
    assert!(said > 300, "{said}");
    drop(puppet);
    stage.cluster.hear_out(InstanceId(1), stage.now, &mut stage.news);
    // The kernel may have taken a part of the last one.
    assert!(stage.was_told("Said").abs_diff(said) <= 1);
    assert_eq!(stage.was_told("Left"), 1);
    stage.cluster.detach(InstanceId(1));
}

/// Somebody who inherited the channel of a dead worker writes for ever.
#[test]
fn who_inherited_a_channel_of_the_dead_is_not_waited_for() {
    let (mut stage, mut puppets, port) = listening(Balance::RoundRobin, 2);
    let _clients: Vec<_> = (0..2).map(|_| connect(port)).collect();
    stage.settle();
    let mut heir = puppets.remove(0);
    assert_eq!(heir.offers(), [1]);
    heir.say("\"one\"");
    stage.cluster.hear_out(InstanceId(1), stage.now, &mut stage.news);
    assert_eq!(stage.was_told("Said"), 1);
    stage.cluster.detach(InstanceId(1));
    heir.stream.set_nonblocking(true).unwrap();
    stage.settle();
    assert_eq!(puppets[0].offers(), [1, 2], "what it had not taken is another's");
}
