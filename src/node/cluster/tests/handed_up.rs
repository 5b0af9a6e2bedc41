//! Ports that a worker binds for us.

use super::*;

/// Whether this thread may bind the ports below 1024; only for those who may have that privilege at all.
#[expect(unsafe_code, reason = "capget and capset have no wrapper")]
fn may_bind_low_ports(may: bool) {
    let mut header = [0x2008_0522_u32, 0];
    let mut data = [[0_u32; 3]; 2];
    // SAFETY: both structures are as the kernel has them for this version, and belong to this thread alone.
    unsafe {
        assert_eq!(nix::libc::syscall(nix::libc::SYS_capget, header.as_mut_ptr(), data.as_mut_ptr()), 0);
        let bit = 1 << 10;
        data[0][0] = if may { data[0][0] | bit } else { data[0][0] & !bit };
        assert_eq!(nix::libc::syscall(nix::libc::SYS_capset, header.as_mut_ptr(), data.as_ptr()), 0);
    }
}

fn free_low_port() -> u16 {
    (700..1024).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// A stage on which low ports may not be bound: worker 1 was asked to bind the port it wants, and worker 2 wants the same.
fn asked_to_bind(port: u16) -> (Stage, Vec<Puppet>) {
    let mut stage = Stage::new(Balance::RoundRobin);
    let mut puppets = vec![stage.attach(1, 1), stage.attach(2, 2)];
    may_bind_low_ports(false);
    for puppet in &mut puppets {
        puppet.ask(port);
        stage.settle();
    }
    assert_eq!(stage.was_told("MayBind"), 1, "one binds, the other waits");
    assert!(puppets.iter_mut().all(|puppet| puppet.lines().is_empty()));
    may_bind_low_ports(true);
    (stage, puppets)
}

fn socket_bound_to(address: (&str, u16)) -> UserHandle {
    UserHandle::new(OwnedFd::from(TcpListener::bind(address).unwrap())).unwrap()
}

#[test]
fn what_a_worker_binds_for_us_is_everybodys() {
    let port = free_low_port();
    let (mut stage, mut puppets) = asked_to_bind(port);
    let socket = socket_bound_to(("127.0.0.1", port));
    stage.cluster.bound(InstanceId(1), 0, Ok(socket), stage.now, &mut stage.news);
    for puppet in &mut puppets {
        assert!(puppet.lines()[0].contains("\"errno\":null"));
    }
    let _clients = [connect(port), connect(port)];
    stage.settle();
    assert_eq!(puppets.iter_mut().map(|puppet| puppet.offers().len()).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(stage.was_told("MayBind"), 1);
}

#[test]
fn a_worker_that_cannot_bind_either_is_refused_and_the_next_is_asked() {
    let port = free_low_port();
    let wrong = || Ok(socket_bound_to(("127.0.0.1", 0)));
    for (answer, errno) in [(Err(-13), 13), (wrong(), 22), (Err(i32::MIN), 22)] {
        let (mut stage, mut puppets) = asked_to_bind(port);
        // Nobody else is believed.
        stage.cluster.bound(InstanceId(2), 0, wrong(), stage.now, &mut stage.news);
        assert_eq!(stage.was_told("MayBind"), 1);
        let said = format!("{answer:?}");
        may_bind_low_ports(false);
        stage.cluster.bound(InstanceId(1), 0, answer, stage.now, &mut stage.news);
        may_bind_low_ports(true);
        let line = puppets[0].lines().remove(0);
        let refused = line.contains(&format!("\"errno\":-{errno},")) || said.contains("Err(-2147483648)");
        assert!(refused && line.contains("\"errno\":-"), "{said}: {line}");
        assert_eq!((stage.was_told("BindFailed"), stage.was_told("MayBind")), (1, 2), "{said}");
    }
}

#[test]
fn a_worker_that_dies_or_is_silent_when_asked_to_bind_holds_nobody_up() {
    let port = free_low_port();
    let (mut stage, _puppets) = asked_to_bind(port);
    may_bind_low_ports(false);
    stage.cluster.detach(InstanceId(1));
    stage.wake();
    assert_eq!(stage.was_told("MayBind"), 2, "the other is asked");
    stage.wake();
    may_bind_low_ports(true);
    assert_eq!(stage.was_told("BindFailed"), 1, "its time is over");
    assert_eq!(stage.cluster.bindings.len(), 0);
}
