//! Listeners outlive the workers who serve them: connections wait, and none is refused.

use std::net::{TcpListener, TcpStream};
use std::thread;

use luster::core::WorkerId;
use luster::node::cluster::Balance;

use crate::harness::{HTTP, Room, exchange, free_port, nodes, request};

const ALL: [Balance; 3] = [Balance::RoundRobin, Balance::Shared, Balance::Reuseport];

#[test]
fn connections_wait_for_the_only_workers_successor() {
    for node in nodes() {
        for balance in ALL {
            let mut room = Room::new(&node, balance);
            let port = free_port();
            let script = format!("{HTTP}.listen({port})");
            let first = room.start(1, &script);
            room.listening(first, 0);
            room.disconnect(first);
            assert_eq!(room.exited(first), Some(0));
            let clients: Vec<_> = (0..10).map(|_| thread::spawn(move || request(port).unwrap())).collect();
            let second = room.start(1, &script);
            room.listening(second, 0);
            let bodies = room.during_call("clients", || {
                clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
            });
            assert_eq!(bodies, vec!["2"; 10], "{node:?} {balance:?}");
            room.kill(second);
            room.exited(second);
            room.cluster.slot_abandoned(WorkerId(1));
            assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "nobody is awaited any more");
        }
    }
}

#[test]
fn rolling_replacement_loses_no_request() {
    for node in nodes() {
        for balance in ALL {
            let mut room = Room::new(&node, balance);
            let port = free_port();
            let script = format!("{HTTP}.listen({port})");
            let mut instances = vec![room.start(1, &script), room.start(2, &script)];
            for instance in instances.clone() {
                room.listening(instance, 0);
            }
            let clients: Vec<_> = (0..4)
                .map(|_| {
                    thread::spawn(move || (0..150).map(|_| request(port)).filter(Result::is_err).count())
                })
                .collect();
            for slot in [1, 2, 1] {
                // The new instance first, then the old one goes.
                let old = instances.remove(0);
                let new = room.start(slot, &script);
                instances.push(new);
                room.listening(new, 0);
                room.cluster.instance_ready(new);
                room.disconnect(old);
                assert_eq!(room.exited(old), Some(0), "{node:?} {balance:?}");
            }
            let failed: usize = room
                .during_call("clients", || clients.into_iter().map(|client| client.join().unwrap()).sum());
            // With a shared queue Node itself resets what it has accepted and not read when it closes a server; with
            // ours, nothing may fail.
            if balance == Balance::RoundRobin {
                assert_eq!(failed, 0, "{node:?} {balance:?}");
            }
            println!("{node:?} {balance:?}: {failed} failed");
        }
    }
}

#[test]
fn a_ready_successor_that_listens_on_something_else_frees_the_old_port() {
    for node in nodes() {
        let mut room = Room::new(&node, Balance::RoundRobin);
        let (old_port, new_port) = (free_port(), free_port());
        let first = room.start(1, &format!("{HTTP}.listen({old_port})"));
        room.listening(first, 0);
        room.kill(first);
        room.exited(first);
        assert!(TcpStream::connect(("127.0.0.1", old_port)).is_ok(), "it waits for the next instance");
        let second = room.start(1, &format!("{HTTP}.listen({new_port})"));
        room.listening(second, 0);
        room.cluster.instance_ready(second);
        assert!(TcpStream::connect(("127.0.0.1", old_port)).is_err());
        assert_eq!(room.get(new_port, 1), ["2"]);
    }
}

#[test]
fn a_server_closed_by_its_worker_is_closed_and_can_be_opened_again() {
    for node in nodes() {
        for balance in ALL {
            let mut room = Room::new(&node, balance);
            let port = free_port();
            let script = format!(
                "const s={HTTP}.listen({port});process.on('message',m=>m==='close'?s.close(()=>process.send('closed')):s.listen({port}))"
            );
            let instance = room.start(1, &script);
            room.listening(instance, 0);
            let now = room.now();
            let _ = room.cluster.send(instance, &"close", None, now);
            room.said(instance, "\"closed\"");
            // Not by trying to connect: while the listener stays, each try is one more in its backlog, until that is full.
            room.until("its port to be free", |_| {
                TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(())
            });
            assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "{node:?} {balance:?}");
            let now = room.now();
            let _ = room.cluster.send(instance, &"open", None, now);
            room.listening(instance, 1);
            assert_eq!(room.get(port, 3), ["1"; 3], "{node:?} {balance:?}");
        }
    }
}

#[test]
fn port_zero_is_the_same_port_for_all_and_over_lives() {
    for node in nodes() {
        for balance in ALL {
            let mut room = Room::new(&node, balance);
            let script = format!(
                "const a={HTTP}.listen(0,()=>{{const b={HTTP}.listen(0,()=>process.send([a.address().port,b.address().port]))}})"
            );
            let first = room.start(1, &script);
            let ports = room.said(first, "[");
            assert_eq!(room.listening(first, 0), "tcp *:0 (#0)");
            assert_eq!(room.listening(first, 1), "tcp *:0 (#1)");
            room.kill(first);
            room.exited(first);
            let second = room.start(1, &script);
            assert_eq!(room.said(second, "["), ports, "{node:?} {balance:?}");
            let third = room.start(2, &script);
            assert_eq!(room.said(third, "["), ports, "{node:?} {balance:?}");
        }
    }
}

#[test]
fn who_waits_on_a_port_that_has_moved_is_served_on_the_new_one() {
    for node in nodes() {
        for balance in ALL {
            let mut room = Room::new(&node, balance);
            let (port, moved) = (free_port(), free_port());
            let first = room.start(1, &format!("{HTTP}.listen({port})"));
            room.listening(first, 0);
            room.disconnect(first);
            assert_eq!(room.exited(first), Some(0));
            let clients: Vec<_> = (0..10)
                .map(|_| {
                    let connection = TcpStream::connect(("127.0.0.1", port)).expect("it waits");
                    thread::spawn(move || exchange(connection).unwrap())
                })
                .collect();
            let second = room.start(1, &format!("{HTTP}.listen({moved})"));
            room.listening(second, 0);
            room.cluster.instance_ready(second);
            let bodies = room.during_call("clients", || {
                clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
            });
            assert_eq!(bodies, vec!["2"; 10], "{node:?} {balance:?}");
            assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "it is closed");
            assert_eq!(room.get(moved, 1), ["2"]);
        }
    }
}
