//! The application's messages, with and without sockets, both ways.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use luster::core::InstanceId;
use luster::node::cluster::{Balance, News};
use luster::node::ipc::{HandleKind, SendOutcome, UserHandle};

use crate::harness::{Room, free_port, major, nodes, request};

fn handle(room: &mut Room, instance: InstanceId, start: &str) -> UserHandle {
    room.said(instance, start);
    let at = room.news.iter().position(|news| matches!(news, News::Said { instance: whose, message, .. } if *whose == instance && message.get().starts_with(start)));
    match room.news.remove(at.unwrap()) {
        News::Said { handle: Some(handle), .. } => handle,
        other => panic!("no handle: {other:?}"),
    }
}

fn send(room: &mut Room, instance: InstanceId, message: &str, handle: Option<UserHandle>) -> SendOutcome {
    let now = room.now();
    room.cluster.send(instance, &message, handle, now)
}

#[test]
fn messages_of_any_size_come_back_as_they_were() {
    for node in nodes() {
        let mut room = Room::new(&node, Balance::RoundRobin);
        let instance = room.start(1, "process.on('message',m=>process.send(m));process.send('up')");
        room.said(instance, "\"up\"");
        for size in [0, 10, 40_000, 3_000_000] {
            let text = format!("<{size}>{}", "ж".repeat(size));
            assert_eq!(send(&mut room, instance, &text, None), SendOutcome::Taken);
            let heard = room.said(instance, &format!("\"<{size}>"));
            assert_eq!(heard.len(), text.len() + 2);
        }
        let now = room.now();
        assert_eq!(
            room.cluster.send(instance, &serde_json::json!({"cmd":"NODE_CLUSTER"}), None, now),
            SendOutcome::Reserved
        );
    }
}

#[test]
fn sockets_go_to_workers() {
    for node in nodes() {
        let mut room = Room::new(&node, Balance::RoundRobin);
        let instance = room.start(
            1,
            "process.on('message',(m,h)=>{if(m[0]==='s')h.end('hi '+m.length);else if(m==='udp')h.send('hi',h.address().port,'127.0.0.1');\
             else{h.on('connection',c=>c.end('served'))}});process.send('up')",
        );
        room.said(instance, "\"up\"");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Two long wrappers in a row would get each other's socket if they were not held apart.
        for size in [1, 100_000, 90_000, 10] {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let server = UserHandle::new(OwnedFd::from(listener.accept().unwrap().0)).unwrap();
            assert_eq!(server.kind(), HandleKind::Socket);
            assert_eq!(send(&mut room, instance, &"s".repeat(size), Some(server)), SendOutcome::Taken);
            let answer = room.during_call("answer", move || {
                let mut answer = String::new();
                let mut client = client;
                client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                client.read_to_string(&mut answer).unwrap();
                answer
            });
            assert_eq!(answer, format!("hi {size}"), "{node:?}");
        }
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        datagrams.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let copy = UserHandle::new(OwnedFd::from(datagrams.try_clone().unwrap())).unwrap();
        assert_eq!(copy.kind(), HandleKind::Udp4);
        assert_eq!(send(&mut room, instance, "udp", Some(copy)), SendOutcome::Taken);
        if major(&node) >= 20 {
            let address = listener.local_addr().unwrap();
            let server = UserHandle::new(OwnedFd::from(listener)).unwrap();
            assert_eq!(server.kind(), HandleKind::Server);
            assert_eq!(send(&mut room, instance, "t", Some(server)), SendOutcome::Taken);
            let answer = room.during_call("answer", move || {
                let mut answer = String::new();
                TcpStream::connect(address).unwrap().read_to_string(&mut answer).unwrap();
                answer
            });
            assert_eq!(answer, "served", "{node:?}");
        }
        assert!(UserHandle::new(OwnedFd::from(std::fs::File::open("/dev/null").unwrap())).is_err());
    }
}

#[test]
fn sockets_come_from_workers_and_their_servers_can_close() {
    for node in nodes() {
        let mut room = Room::new(&node, Balance::RoundRobin);
        let port = free_port();
        let instance = room.start(
            1,
            &format!(
                "const s=net.createServer(c=>process.send('conn',c)).listen({{port:{port},exclusive:true}},()=>process.send('srv',s));\
                 const d=dgram.createSocket('udp4').bind({{port:0,exclusive:true}},()=>process.send('dgram',d));\
                 process.on('message',()=>{{s.getConnections((e,n)=>process.send('count '+n));s.close(()=>process.send('closed'))}})"
            ),
        );
        assert_eq!(handle(&mut room, instance, "\"srv\"").kind(), HandleKind::Server);
        assert_eq!(handle(&mut room, instance, "\"dgram\"").kind(), HandleKind::Udp4);
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let connection = handle(&mut room, instance, "\"conn\"");
        assert_eq!(connection.kind(), HandleKind::Socket);
        assert_eq!(send(&mut room, instance, "close", None), SendOutcome::Taken);
        // The worker counts the socket that we hold, and its server is not closed before we let go.
        room.said(instance, "\"count 1\"");
        for _ in 0..5 {
            room.turn();
        }
        assert!(
            !room
                .news
                .iter()
                .any(|news| matches!(news, News::Said { message, .. } if message.get() == "\"closed\""))
        );
        let copy = std::os::fd::AsFd::as_fd(&connection).try_clone_to_owned().unwrap();
        TcpStream::from(copy).write_all(b"ours").unwrap();
        drop(connection);
        room.said(instance, "\"closed\"");
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "ours", "{node:?}");
        let _ = request(port);
    }
}
