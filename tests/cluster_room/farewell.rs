//! How workers go, whoever begins it.

use std::net::TcpStream;

use luster::node::cluster::{Balance, News};

use crate::harness::{HTTP, Room, free_port, nodes};

#[test]
fn a_worker_that_is_told_to_go_finishes_first() {
    for node in nodes() {
        let mut room = Room::new(&node, Balance::RoundRobin);
        let port = free_port();
        let slow = "http.createServer((q,s)=>{process.send('asked');setTimeout(()=>s.end(''+id),300)})";
        let instance = room.start(1, &format!("{slow}.listen({port})"));
        room.listening(instance, 0);
        let client = std::thread::spawn(move || crate::harness::request(port).unwrap());
        room.said(instance, "\"asked\"");
        room.disconnect(instance);
        // A second word would crash it; the room keeps it back.
        room.disconnect(instance);
        assert_eq!(room.exited(instance), Some(0), "{node:?}");
        assert_eq!(client.join().unwrap(), "1");
        assert!(room.news.iter().any(|news| matches!(news, News::Left { .. })));
    }
}

#[test]
fn a_worker_that_goes_on_its_own_is_let_go() {
    for node in nodes() {
        for how in ["cluster.worker.disconnect()", "cluster.worker.kill()"] {
            let mut room = Room::new(&node, Balance::RoundRobin);
            let port = free_port();
            let instance = room.start(1, &format!("{HTTP}.listen({port},()=>{how})"));
            room.until("leave", |room| {
                room.news.iter().any(|news| matches!(news, News::Leaving { .. })).then_some(())
            });
            // Too late to tell it to.
            room.disconnect(instance);
            assert_eq!(room.exited(instance), Some(0), "{node:?} {how}");
        }
    }
}

/// It closes its server before it says that it leaves, and says that it goes on behind that: all of it may be read at once.
#[test]
fn what_a_worker_has_closed_when_it_leaves_on_its_own_waits_for_its_successor() {
    for node in nodes() {
        // By the others clients are not seen within the first second.
        let mut room = Room::new(&node, Balance::RoundRobin);
        let port = free_port();
        let script = format!("{HTTP}.listen({port});process.on('message',()=>cluster.worker.disconnect())");
        let first = room.start(1, &script);
        room.listening(first, 0);
        assert_eq!(room.get(port, 1), ["1"]);
        let now = room.now();
        let _ = room.cluster.send(first, &"go", None, now);
        room.until("leave", |room| {
            room.news.iter().any(|news| matches!(news, News::Leaving { .. })).then_some(())
        });
        room.cluster.drain(first);
        room.cluster.lives_on(first);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok(), "{node:?}: it is refused");
        assert_eq!(room.exited(first), Some(0), "{node:?}");
    }
}

#[test]
fn both_at_once_is_no_crash() {
    for node in nodes() {
        let mut room = Room::new(&node, Balance::RoundRobin);
        let port = free_port();
        let late = "process.on('message',()=>{setTimeout(()=>cluster.worker.disconnect(),50)})";
        let slow = "http.createServer((q,s)=>{process.send('asked');setTimeout(()=>s.end(''+id),300)})";
        let instance = room.start(1, &format!("{slow}.listen({port});{late}"));
        room.listening(instance, 0);
        let client = std::thread::spawn(move || crate::harness::request(port).unwrap());
        room.said(instance, "\"asked\"");
        let now = room.now();
        let _ = room.cluster.send(instance, &"go", None, now);
        room.disconnect(instance);
        assert_eq!(room.exited(instance), Some(0), "{node:?}");
        assert_eq!(client.join().unwrap(), "1");
    }
}

#[test]
fn a_worker_that_just_closes_its_channel_has_left() {
    for node in nodes() {
        let mut room = Room::new(&node, Balance::RoundRobin);
        let instance = room.start(1, "process.send('last',()=>process.disconnect())");
        room.until("left", |room| {
            room.news.iter().any(|news| matches!(news, News::Left { .. })).then_some(())
        });
        let order: Vec<_> = room.news.iter().map(std::mem::discriminant).collect();
        let said = room.news.iter().position(|news| matches!(news, News::Said { .. }));
        let left = room.news.iter().position(|news| matches!(news, News::Left { .. }));
        assert!(said.is_some() && said < left, "{order:?}");
        assert_eq!(room.exited(instance), Some(0), "{node:?}");
    }
}
