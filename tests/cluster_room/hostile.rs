//! Workers that misbehave harm nobody but themselves.

use luster::node::cluster::{Balance, News};

use crate::harness::{HTTP, Room, free_port, nodes};

#[test]
fn a_flood_harms_nobody_else() {
    for node in nodes() {
        let mut room = Room::new(&node, Balance::RoundRobin);
        let port = free_port();
        let flood = "const m='x'.repeat(1e5);const go=()=>{for(let i=0;i<40;i++)process.send(m);setImmediate(go)};go()";
        let flooder = room.start(1, flood);
        let server = room.start(2, &format!("{HTTP}.listen({port})"));
        room.listening(server, 0);
        assert_eq!(room.get(port, 20), vec!["2"; 20], "{node:?}");
        room.kill(flooder);
        room.exited(flooder);
    }
}

#[test]
fn a_corrupt_frame_ends_the_hearing_and_nothing_else() {
    for node in nodes() {
        for bytes in ["nonsense\\n", "\\n", "{\"cmd\":\\n"] {
            let mut room = Room::new(&node, Balance::RoundRobin);
            let port = free_port();
            let script = format!("{HTTP}.listen({port})");
            let bad = room.start(1, &format!("fs.writeSync(0,'{bytes}');process.send('after');{script}"));
            let good = room.start(2, &script);
            room.listening(good, 0);
            room.until("broken", |room| {
                room.news
                    .iter()
                    .any(|news| matches!(news, News::Broken { instance, .. } if *instance == bad))
                    .then_some(())
            });
            assert_eq!(room.get(port, 4), ["2"; 4]);
            assert!(!room.news.iter().any(|news| matches!(news, News::Said { .. })), "{node:?}");
            room.kill(bad);
            room.exited(bad);
        }
    }
}

#[test]
fn made_up_internal_messages_are_harmless() {
    for node in nodes() {
        let mut room = Room::new(&node, Balance::RoundRobin);
        let port = free_port();
        let instance = room.start(
            1,
            &format!(
                "for(const m of [{{cmd:'NODE_X'}},{{cmd:'NODE_CLUSTER'}},{{cmd:'NODE_CLUSTER',act:'close',key:'99'}},\
                 {{cmd:'NODE_CLUSTER',ack:5,accepted:false}},{{cmd:'NODE_HANDLE_NACK'}},{{cmd:'NODE_CLUSTER',act:'listening'}}])process.send(m);{HTTP}.listen({port})"
            ),
        );
        room.listening(instance, 0);
        assert_eq!(room.get(port, 2), ["1"; 2], "{node:?}");
    }
}
