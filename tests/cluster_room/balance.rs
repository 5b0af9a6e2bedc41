//! Which worker gets a connection, and that each connection gets a worker.

use std::thread;

use luster::node::cluster::Balance;

use crate::harness::{HTTP, Room, free_port, nodes, request};

const ALL: [Balance; 3] = [Balance::RoundRobin, Balance::Shared, Balance::Reuseport];

#[test]
fn each_way_of_balancing_serves_and_lets_go() {
    for node in nodes() {
        for balance in ALL {
            let mut room = Room::new(&node, balance);
            let port = free_port();
            let script = format!("{HTTP}.listen({port})");
            let instances = [room.start(1, &script), room.start(2, &script)];
            for instance in instances {
                assert_eq!(room.listening(instance, 0), format!("tcp *:{port}"));
            }
            let bodies = room.get(port, 100);
            let first = bodies.iter().filter(|body| *body == "1").count();
            match balance {
                Balance::RoundRobin => assert_eq!(first, 50, "{node:?}"),
                // One client at a time wakes whichever worker the kernel likes.
                Balance::Shared => assert_eq!(bodies.len(), 100),
                Balance::Reuseport => assert!((20..=80).contains(&first), "{node:?}: {first}"),
            }
            for instance in instances {
                room.disconnect(instance);
                assert_eq!(room.exited(instance), Some(0), "{node:?} {balance:?}");
            }
        }
    }
}

#[test]
fn a_blocked_worker_holds_up_nobody_else() {
    for node in nodes() {
        let mut room = Room::new(&node, Balance::RoundRobin);
        let port = free_port();
        let folder = tempfile::tempdir().unwrap();
        let free = folder.path().join("free");
        let block = format!(
            "process.on('message',()=>{{process.send('blocked');while(!require('fs').existsSync('{}'));}});",
            free.display()
        );
        let script = format!("{HTTP}.listen({port});{block}");
        let instances = [room.start(1, &script), room.start(2, &script)];
        for instance in instances {
            room.listening(instance, 0);
        }
        let now = room.now();
        let _ = room.cluster.send(instances[0], &"block", None, now);
        room.said(instances[0], "\"blocked\"");
        // A few connections are the blocked worker's; all others are served while it is blocked.
        let clients: Vec<_> = (0..30).map(|_| thread::spawn(move || request(port).unwrap())).collect();
        room.until("all but a few are served", |_| {
            (clients.iter().filter(|client| client.is_finished()).count() >= 26).then_some(())
        });
        std::fs::write(free, "").unwrap();
        let served = room.during_call("clients", || {
            clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(served.iter().filter(|body| *body == "2").count() >= 26, "{node:?}: {served:?}");
    }
}

#[test]
fn a_full_worker_is_not_asked_again_and_again_and_nothing_is_lost() {
    for node in nodes() {
        let mut room = Room::new(&node, Balance::RoundRobin);
        let port = free_port();
        let slow = "http.createServer((q,s)=>setTimeout(()=>s.end(''+id),20))";
        let script = format!("const s={slow};s.maxConnections=1;s.listen({port})");
        let instances = [room.start(1, &script), room.start(2, &script)];
        for instance in instances {
            room.listening(instance, 0);
        }
        let clients: Vec<_> = (0..20).map(|_| thread::spawn(move || request(port).unwrap())).collect();
        let bodies = room.during_call("clients", || {
            clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(bodies.len(), 20);
        assert!(bodies.iter().any(|body| body == "1") && bodies.iter().any(|body| body == "2"));
    }
}

#[test]
fn connections_of_a_killed_worker_are_served_by_others() {
    for node in nodes() {
        for balance in ALL {
            let mut room = Room::new(&node, balance);
            let port = free_port();
            // The first worker takes nothing: it stops its own loop once it listens and is told to.
            let stuck = "process.on('message',()=>{process.send('stuck');for(;;);});";
            let script = format!("{HTTP}.listen({port});{stuck}");
            let instances = [room.start(1, &script), room.start(2, &script)];
            for instance in instances {
                room.listening(instance, 0);
            }
            let now = room.now();
            let _ = room.cluster.send(instances[0], &"stop", None, now);
            room.said(instances[0], "\"stuck\"");
            let clients: Vec<_> = (0..40).map(|_| thread::spawn(move || request(port))).collect();
            room.until("half served", |_| {
                (clients.iter().filter(|client| client.is_finished()).count() >= 5).then_some(())
            });
            room.kill(instances[0]);
            let bodies = room.during_call("clients", || {
                clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
            });
            let lost: Vec<_> =
                bodies.iter().filter(|body| body.as_ref().ok().map(String::as_str) != Some("2")).collect();
            assert!(lost.is_empty(), "{node:?} {balance:?}: {lost:?}");
        }
    }
}
