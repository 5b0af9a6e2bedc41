//! Whatever happens, in any order, the room comes to rest.

use super::*;

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
