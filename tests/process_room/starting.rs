//! What a worker is started with, and the ways a start fails.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;

use luster::process::{
    Change, Delivery, DescriptorLimit, ExitStatus, Fill, Identity, Reserve, Signal, SpawnError, Start,
    Stream, find_program, sanitize_inherited,
};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal as Blocked};

use crate::alone::{all, alone, alone_under, children, end_of, line, shell, start, stat, until};

#[test]
fn a_worker_inherits_stdio_and_its_channel_only() {
    alone("starting::a_worker_inherits_stdio_and_its_channel_only", || {
        // Without close-on-exec, as a careless library would open it.
        let _leak = nix::unistd::pipe().unwrap();
        let worker = start("/bin/sleep", &["100"], UnixStream::pair().unwrap().0).unwrap();
        // Once it has loaded its libraries.
        until("only these are open", || {
            let open = fs::read_dir(format!("/proc/{}/fd", worker.pid())).unwrap();
            let mut open: Vec<_> = open.map(|entry| entry.unwrap().file_name()).collect();
            open.sort();
            open == ["0", "1", "2", "3"]
        });
    });
}

#[test]
fn what_our_parent_left_open_closes_at_exec() {
    let name = "starting::what_our_parent_left_open_closes_at_exec";
    alone_under("exec 7</dev/zero 9</dev/zero; exec <&-; ", name, || {
        sanitize_inherited().unwrap();
        let listed = Command::new("sh").args(["-c", "ls /proc/$$/fd"]).output().unwrap();
        assert_eq!(String::from_utf8(listed.stdout).unwrap(), "0\n1\n2\n");
    });
}

#[test]
fn a_worker_leads_its_own_group() {
    alone("starting::a_worker_leads_its_own_group", || {
        let (worker, channel) = shell("echo >&3; read x <&3");
        line(&channel);
        let number = Some(worker.pid().to_string());
        assert_eq!(stat(worker.pid(), 5), number, "group");
        assert_ne!(
            stat(worker.pid(), 6),
            number,
            "but shares the master's session, and its part of the processor"
        );
    });
}

#[test]
fn ignored_and_blocked_signals_are_not_passed_on() {
    let name = "starting::ignored_and_blocked_signals_are_not_passed_on";
    alone_under("trap '' HUP INT TTOU; ", name, || {
        SigSet::all().thread_set_mask().unwrap();
        let (_worker, channel) = shell("exec cat /proc/self/status >&3");
        let status = all(&channel);
        for set in ["SigBlk:\t", "SigIgn:\t"] {
            let (_, rest) = status.split_once(set).unwrap();
            let bits = u64::from_str_radix(rest.lines().next().unwrap(), 16).unwrap();
            // 32 and 33 are libc's own: it neither lets them be set nor minds how they are.
            assert_eq!(bits & !(0b11 << 31), 0, "{status}");
        }
        assert!(SigSet::thread_get_mask().unwrap().contains(Blocked::SIGTERM), "ours is as before");
    });
}

#[test]
fn the_channel_may_be_descriptor_3_already() {
    alone("starting::the_channel_may_be_descriptor_3_already", || {
        // The first descriptor to be opened gets the lowest number.
        let (theirs, mut ours) = UnixStream::pair().unwrap();
        assert_eq!(theirs.as_raw_fd(), 3);
        let worker = start("/bin/sh", &["-c", "read x <&3; echo got $x >&3"], theirs).unwrap();
        ours.write_all(b"this\n").unwrap();
        assert_eq!(line(&ours), "got this");
        assert_eq!(end_of(&worker).status, ExitStatus::Code(0));
    });
}

#[test]
fn a_failure_is_told_even_if_descriptor_3_was_free() {
    alone("starting::a_failure_is_told_even_if_descriptor_3_was_free", || {
        let place = File::open("/dev/null").unwrap();
        assert_eq!(place.as_raw_fd(), 3);
        let (_ours, theirs) = UnixStream::pair().unwrap();
        drop(place);
        assert!(matches!(start("/no/such", &[], theirs), Err(SpawnError::NotFound { .. })));
    });
}

#[test]
fn node_speaks_on_its_channel() {
    alone("starting::node_speaks_on_its_channel", || {
        let path = std::env::var_os("PATH");
        let node = find_program("node".as_ref(), path.as_deref()).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let script = "process.send({pid: process.pid}, () => process.disconnect())";
        let worker = start(node.to_str().unwrap(), &["-e", script], theirs).unwrap();
        assert_eq!(line(&ours), format!("{{\"pid\":{}}}", worker.pid()));
        assert_eq!(end_of(&worker).status, ExitStatus::Code(0));
    });
}

#[test]
fn the_environment_is_changed_as_asked() {
    alone_under("export KEPT=1 GONE=2 OTHER=3; ", "starting::the_environment_is_changed_as_asked", || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let worker = Start {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), "echo $KEPT-$GONE-$OTHER-$NEW >&3".into()],
            env: [
                ("GONE".into(), Change::Remove),
                ("OTHER".into(), Change::Set("4".into())),
                ("NEW".into(), Change::Set("a b".into())),
            ]
            .into(),
            folder: None,
            stdio: [Stream::Inherited, Stream::Inherited, Stream::Inherited],
            given: vec![theirs.into()],
            identity: Identity::default(),
            limit: DescriptorLimit::current().unwrap(),
            needed: None,
            own_pid: None,
        };
        let worker = worker.spawn().unwrap();
        assert_eq!(line(&ours), "1--4-a b");
        end_of(&worker);
    });
}

#[test]
fn each_failure_has_its_kind_and_leaves_no_zombie() {
    alone("starting::each_failure_has_its_kind_and_leaves_no_zombie", || {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str, mode| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let fails = |program: &str, args: &[&str]| {
            let error = start(program, args, UnixStream::pair().unwrap().0).unwrap_err();
            assert_eq!(children(), [], "after {error}");
            let text = error.to_string();
            assert!(text.contains(&format!("cannot start {program}")), "{text}");
            error
        };
        let not_executable = |error| matches!(error, SpawnError::NotExecutable { .. });
        let not_found = |error| matches!(error, SpawnError::NotFound { .. });
        assert!(not_found(fails("/no/such", &[])));
        assert!(not_found(fails(&file("orphaned", "#!/no/interpreter\n", 0o755), &[])));
        assert!(not_executable(fails(&file("plain", "#!/bin/sh\n", 0o644), &[])));
        assert!(not_executable(fails(&file("garbage", "\u{1}\u{2}", 0o755), &[])));
        assert!(not_executable(fails("/tmp", &[])));
        assert!(matches!(fails("/bin/sh", &["a\0b"]), SpawnError::ZeroByte { .. }));
        assert!(matches!(fails("/bin/sh", &[&"x".repeat(1 << 20)]), SpawnError::Other { .. }));
    });
}

#[test]
fn the_reserve_starts_a_worker_when_the_table_is_full() {
    alone("starting::the_reserve_starts_a_worker_when_the_table_is_full", || {
        let hard = DescriptorLimit::raise().unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 64, hard.soft()).unwrap();
        let original = DescriptorLimit::current().unwrap();
        DescriptorLimit::raise().unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 128, hard.soft()).unwrap();
        let (_ours, spare) = UnixStream::pair().unwrap();
        let mut reserve = Reserve::take();
        let clients: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        assert!(matches!(start("/bin/sh", &[], spare), Err(SpawnError::OutOfDescriptors { .. })));
        let _last = File::open("/dev/null").unwrap();

        let (worker, channel) = reserve.lend(|| {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let worker = Start {
                program: "/bin/sh".into(),
                args: vec!["-c".into(), "ulimit -n >&3".into()],
                env: [].into(),
                folder: None,
                stdio: [Stream::Inherited, Stream::Inherited, Stream::Inherited],
                given: vec![theirs.into()],
                identity: Identity::default(),
                limit: original,
                needed: None,
                own_pid: None,
            };
            (worker.spawn().unwrap(), ours)
        });
        assert_eq!(line(&channel), "64", "the worker has the limit from before");
        end_of(&worker);
        assert_eq!(reserve.refill(), Fill::Short, "the worker's channel and pidfd took its place");
        drop(clients);
        assert_eq!(reserve.refill(), Fill::Full);
    });
}

#[test]
fn a_signal_finds_the_living_and_misses_the_gone() {
    alone("starting::a_signal_finds_the_living_and_misses_the_gone", || {
        let (worker, _channel) = shell("read x <&3");
        assert_eq!(worker.signal(Signal::Terminate).unwrap(), Delivery::Sent);
        let end = end_of(&worker).status;
        assert_eq!(end.to_string(), "was killed by SIGTERM");
        assert_eq!(worker.signal(Signal::Kill).unwrap(), Delivery::Gone);
    });
}
