//! What workers can listen on, and how they are told when they cannot.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::time::Duration;

use luster::node::cluster::{Balance, News};

use crate::harness::{HTTP, Room, free_port, major, nodes, request_to, request_unix};

const ALL: [Balance; 3] = [Balance::RoundRobin, Balance::Shared, Balance::Reuseport];

#[test]
fn hosts_and_families() {
    for node in nodes() {
        for balance in ALL {
            let mut room = Room::new(&node, balance);
            let (dual, four, six, both) = (free_port(), free_port(), free_port(), free_port());
            let instance = room.start(
                1,
                &format!(
                    "{HTTP}.listen({dual});{HTTP}.listen({four},'127.0.0.1');\
                     {HTTP}.listen({{port:{six},host:'::',ipv6Only:true}});{HTTP}.listen({{port:{both},host:'::1',backlog:7}})"
                ),
            );
            let mut endpoints: Vec<String> = (0..4).map(|nth| room.listening(instance, nth)).collect();
            endpoints.sort();
            let mut expected = vec![
                format!("tcp *:{dual}"),
                format!("tcp 127.0.0.1:{four}"),
                format!("tcp [::]:{six} (IPv6 only)"),
                format!("tcp [::1]:{both}"),
            ];
            expected.sort();
            assert_eq!(endpoints, expected, "{node:?} {balance:?}");
            let reached = room.during_call("clients", move || {
                [
                    (true, dual),
                    (false, dual),
                    (false, four),
                    (true, four),
                    (true, six),
                    (false, six),
                    (true, both),
                ]
                .map(|(v6, port)| {
                    request_to(SocketAddr::new(
                        if v6 { [0_u16, 0, 0, 0, 0, 0, 0, 1].into() } else { [127, 0, 0, 1].into() },
                        port,
                    ))
                    .is_ok()
                })
            });
            assert_eq!(reached, [true, true, true, false, true, false, true], "{node:?} {balance:?}");
        }
    }
}

#[test]
fn unix_paths() {
    for node in nodes() {
        for balance in ALL {
            let mut room = Room::new(&node, balance);
            let path = room.dir.path().join("app.sock");
            drop(UnixListener::bind(&path).unwrap());
            let script = format!("{HTTP}.listen({{path:'app.sock',readableAll:true,writableAll:true}})");
            let instances = [room.start(1, &script), room.start(2, &script)];
            for instance in instances {
                assert_eq!(room.listening(instance, 0), format!("unix {}", path.display()));
            }
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o666, 0o666);
            let there = path.clone();
            let served =
                room.during_call("clients", move || (0..10).filter(|_| request_unix(&there).is_ok()).count());
            assert_eq!(served, 10, "{node:?} {balance:?}");
            for instance in instances {
                room.disconnect(instance);
                room.exited(instance);
            }
            assert!(path.exists(), "successors are awaited");
            room.cluster.close_all();
            assert!(!path.exists());
        }
    }
}

#[test]
fn abstract_names() {
    for node in nodes() {
        for balance in ALL {
            let mut room = Room::new(&node, balance);
            let name = format!("luster-test-{}-{}-{balance:?}", std::process::id(), major(&node));
            // Node 16 and 18 cannot connect to such names; others do it in two ways.
            let client = match major(&node) {
                ..20 => String::new(),
                _ => format!("net.connect('\\0{name}').on('data',d=>process.send('got '+d))"),
            };
            let server = format!("net.createServer(c=>c.end('hello')).listen('\\0{name}',()=>{{{client}}})");
            let instance = room.start(1, &server);
            assert_eq!(room.listening(instance, 0), format!("unix @{name}"));
            if major(&node) >= 20 {
                room.said(instance, "\"got hello\"");
            }
            let heard = room.during_call("clients", move || {
                let mut padded = name.clone().into_bytes();
                padded.resize(107, 0);
                [name.into_bytes(), padded].map(|name| {
                    let address = UnixAddr::from_abstract_name(name).unwrap();
                    let mut text = String::new();
                    UnixStream::connect_addr(&address).unwrap().read_to_string(&mut text).unwrap();
                    text
                })
            });
            assert_eq!(heard, ["hello", "hello"], "{node:?} {balance:?}");
        }
    }
}

#[test]
fn exclusive_servers_are_their_workers_own() {
    for node in nodes() {
        let mut room = Room::new(&node, Balance::RoundRobin);
        let port = free_port();
        let instance =
            room.start(1, &format!("{HTTP}.listen({{port:{port},exclusive:true}},()=>process.send('own'))"));
        room.said(instance, "\"own\"");
        assert!(!room.news.iter().any(|news| matches!(news, News::Listening { .. })));
        assert_eq!(room.get(port, 1), ["1"]);
    }
}

#[test]
fn datagrams_are_shared() {
    for node in nodes() {
        for balance in ALL {
            let mut room = Room::new(&node, balance);
            let port = free_port();
            let script = format!(
                "const d=dgram.createSocket('udp4');d.on('message',(m,r)=>d.send(''+id,r.port,r.address));d.bind({port})"
            );
            let instances = [room.start(1, &script), room.start(2, &script)];
            for instance in instances {
                assert_eq!(room.listening(instance, 0), format!("udp *:{port}"));
            }
            let answers = room.during_call("datagrams", move || {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let mut buffer = [0; 16];
                (0..20)
                    .filter(|_| {
                        socket.send_to(b"x", ("127.0.0.1", port)).unwrap();
                        socket.recv(&mut buffer).is_ok()
                    })
                    .count()
            });
            assert_eq!(answers, 20, "{node:?} {balance:?}");
            for instance in instances {
                room.disconnect(instance);
                assert_eq!(room.exited(instance), Some(0), "{node:?} {balance:?}");
            }
        }
    }
}

#[test]
fn a_bind_that_fails_is_an_error_in_the_worker_and_news_to_us() {
    for node in nodes() {
        for balance in ALL {
            let mut room = Room::new(&node, balance);
            let taken = TcpListener::bind("[::]:0").unwrap();
            let port = taken.local_addr().unwrap().port();
            let report = ".on('error',e=>process.send('E '+e.code))";
            let instance = room.start(
                1,
                &format!("{HTTP}{report}.listen({port});{HTTP}{report}.listen({port},'203.0.113.1');{HTTP}{report}.listen('/nowhere/at/all')"),
            );
            for code in ["EADDRINUSE", "EADDRNOTAVAIL", "ENOENT"] {
                room.said(instance, &format!("\"E {code}"));
            }
            let failed: Vec<_> = room
                .news
                .iter()
                .filter_map(|news| match news {
                    News::BindFailed { endpoint, error, .. } => {
                        Some((endpoint.to_string(), error.raw_os_error()))
                    }
                    _ => None,
                })
                .collect();
            assert!(failed.contains(&(format!("tcp *:{port}"), Some(98))), "{failed:?}");
        }
    }
}

#[test]
fn the_same_port_twice_in_one_worker_is_in_use() {
    for node in nodes() {
        for balance in ALL {
            let mut room = Room::new(&node, balance);
            let port = free_port();
            let instance = room.start(
                1,
                &format!(
                    "{HTTP}.listen({port},()=>{HTTP}.on('error',e=>process.send(e.code)).listen({port}))"
                ),
            );
            room.said(instance, "\"EADDRINUSE\"");
            assert_eq!(room.get(port, 2), ["1"; 2], "{node:?} {balance:?}");
        }
    }
}

#[test]
fn descriptors_of_ours_are_not_lent() {
    for node in nodes() {
        let mut room = Room::new(&node, Balance::RoundRobin);
        let instance = room.start(1, &format!("{HTTP}.on('error',e=>process.send(e.code)).listen({{fd:1}})"));
        room.said(instance, "\"EINVAL\"");
    }
}

#[test]
fn tls_workers_share_their_ticket_keys() {
    let dir = tempfile::tempdir().unwrap();
    let (key, cert) = (dir.path().join("key.pem"), dir.path().join("cert.pem"));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output();
    if !made.is_ok_and(|output| output.status.success()) {
        return;
    }
    for node in nodes() {
        for balance in ALL {
            let mut room = Room::new(&node, balance);
            let port = free_port();
            let script = format!(
                "const s=https.createServer({{key:fs.readFileSync('{}'),cert:fs.readFileSync('{}')}},(q,r)=>r.end(''+id));\
                 s.listen({port},()=>process.send('K'+s.getTicketKeys().toString('hex')))",
                key.display(),
                cert.display()
            );
            let instances = [room.start(1, &script), room.start(2, &script)];
            let keys = instances.map(|instance| room.said(instance, "\"K"));
            assert_eq!(keys[0], keys[1], "{node:?} {balance:?}");
        }
    }
}
