//! `node bin/luster.js`, the npm package's command: it is the binary, or nobody can tell the difference.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Luster, Node, TELL, Target, eventually, free_port, get, is_alive, node, nodes, on_every_node, on_nodes,
    package, processes_in, state,
};

/// One where Node cannot become the binary.
const OLD: u32 = 18;

fn old_and_new() -> [Node; 2] {
    [node(OLD), node(24)]
}

fn server(port: u16, answer: &str) -> Luster {
    let app = format!("require('http').createServer((_, r) => {{ {answer} }}).listen(process.env.port);");
    Luster::with(&format!("{TELL}{app}"), json!({"workers": 1, "server": {"port": port}}))
}

#[test]
fn the_command_runs_a_configuration_and_node_flags_reach_the_workers() {
    on_every_node(|node| {
        let port = free_port();
        let luster = server(port, "r.end(JSON.stringify([process.execArgv, process.version]))");
        let mut luster = luster.by_package(node, &["--max-http-header-size=20000"]).start();
        luster.await_listening(1);
        let body = get(&Target::Tcp(port)).expect("an answer").body;
        let [flags, version]: [Value; 2] = serde_json::from_str(&body).expect("JSON");
        assert_eq!(flags, json!(["--max-http-header-size=20000"]));
        assert!(version.as_str().expect("a version").starts_with(&format!("v{}.", node.major)), "{version}");
        luster.signal(Signal::SIGHUP);
        luster.await_event("rollout_finished", 1);
        luster.signal(Signal::SIGTERM);
        assert_eq!(luster.await_end(), 0);
        assert_eq!(processes_in(luster.path()), []);
    });
}

#[test]
fn where_node_can_it_becomes_the_binary() {
    for node in nodes() {
        let luster = Luster::with("", json!({"workers": 1})).by_package(&node, &[]).start();
        let is_the_binary = luster.await_event("start", 1)["pid"] == luster.pid();
        assert_eq!(is_the_binary, node.major >= 22, "Node {}", node.major);
        luster.await_ready(1);
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn the_exit_code_and_the_words_are_the_binarys() {
    on_nodes(&old_and_new(), |node| {
        let mut luster =
            Luster::with("process.exit(3)", json!({"workers": 1, "control": {"exitThreshold": 60_000}}))
                .by_package(node, &[])
                .start();
        assert_eq!(luster.await_end(), 1);
        assert_eq!(luster.events("all_dead").len(), 1);
        let wrong = Luster::with("", json!({"workers": "x"})).by_package(node, &[]);
        let (code, stdout, stderr) = wrong.output();
        assert_eq!((code, stdout.as_str()), (78, ""), "{stderr}");
        assert!(stderr.contains("\"workers\" must be a number"), "{stderr}");
        let (code, stdout, _) = Luster::new().by_package(node, &[]).arg("--version").output();
        assert_eq!((code, stdout.trim()), (0, concat!("luster ", env!("CARGO_PKG_VERSION"))));
    });
}

#[test]
fn a_binary_that_is_killed_is_seen_as_killed() {
    let mut luster = Luster::with("", json!({"workers": 1})).by_package(&node(OLD), &[]).start();
    let pid = luster.await_event("start", 1)["pid"].as_i64().expect("a pid");
    let pid = i32::try_from(pid).expect("a pid");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).expect("it is there");
    assert_eq!(luster.await_end(), 128 + Signal::SIGKILL as i32);
}

#[test]
fn a_command_that_is_killed_leaves_nothing() {
    on_nodes(&old_and_new(), |node| {
        let app =
            format!("{TELL}process.on('SIGTERM', () => {{}}); setInterval(() => {{}}, 1000); tell({{}})");
        let mut luster = Luster::with(&app, json!({"workers": 2})).by_package(node, &[]).start();
        luster.await_told(2);
        luster.signal(Signal::SIGKILL);
        assert_eq!(luster.await_end(), 128 + Signal::SIGKILL as i32);
        eventually("all are gone", || processes_in(luster.path()).is_empty().then_some(()));
    });
}

/// The two ends of a new terminal.
fn terminal() -> (OwnedFd, OwnedFd) {
    let pty = nix::pty::openpty(None, None).expect("a terminal");
    for end in [&pty.master, &pty.slave] {
        // A child that holds our end keeps the terminal from being gone.
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("ours");
    }
    (pty.master, pty.slave)
}

/// Has the command run in the foreground of this terminal, as the leader of its session.
fn within(luster: Luster, slave: OwnedFd) -> Luster {
    luster.adjust(move |command: &mut Command| {
        command.stdin(Stdio::from(slave.try_clone().expect("descriptors")));
        // SAFETY: both calls are async-signal-safe.
        #[expect(unsafe_code, reason = "a child with a terminal of its own")]
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                nix::errno::Errno::result(nix::libc::ioctl(0, nix::libc::TIOCSCTTY, 0)).map(drop)?;
                Ok(())
            });
        }
    })
}

#[test]
fn ctrl_c_is_heard_once() {
    on_nodes(&old_and_new(), |node| {
        let port = free_port();
        let (ours, theirs) = terminal();
        let luster = server(port, "tell({}); setTimeout(() => r.end('done'), 500)").by_package(node, &[]);
        let mut luster = within(luster, theirs).start();
        luster.await_listening(1);
        let client = std::thread::spawn(move || get(&Target::Tcp(port)));
        luster.await_told(1);
        std::fs::File::from(ours.try_clone().expect("descriptors")).write_all(b"\x03").expect("written");
        assert_eq!(client.join().expect("no panic").expect("an answer").body, "done");
        assert_eq!(luster.await_end(), 0);
        assert_eq!(luster.events("asked").len(), 1, "{:?}", luster.events("asked"));
    });
}

#[test]
fn a_ctrl_c_that_a_parent_passes_on_too_is_one() {
    on_nodes(&old_and_new(), |node| {
        let port = free_port();
        let luster = server(port, "tell({}); setTimeout(() => r.end('done'), 500)").by_package(node, &[]);
        let mut luster = luster.start();
        luster.await_listening(1);
        let client = std::thread::spawn(move || get(&Target::Tcp(port)));
        luster.await_told(1);
        luster.signal(Signal::SIGINT);
        luster.await_event("asked", 1);
        luster.signal(Signal::SIGINT);
        assert_eq!(client.join().expect("no panic").expect("an answer").body, "done");
        assert_eq!(luster.await_end(), 0);
    });
}

#[test]
fn ctrl_z_stops_it_and_fg_lets_it_go_on() {
    on_nodes(&old_and_new(), |node| {
        let (ours, theirs) = terminal();
        // bash minds its jobs only if its stderr is the terminal.
        let shell = "exec bash -c 'set -m; \"$@\" 2>&3; echo stopped; read; fg; echo over $?' bash \"$@\" \
                     3>&2 2>/dev/tty";
        let luster = Luster::with("", json!({"workers": 1})).by_package(node, &[]);
        let mut luster = within(luster, theirs).through(&["bash", "-c", shell, "bash"]).start();
        luster.await_ready(1);
        let pid = luster.await_event("start", 1)["pid"].as_i64().expect("a pid");
        let pid = i32::try_from(pid).expect("a pid");
        let mut keyboard = std::fs::File::from(ours.try_clone().expect("descriptors"));
        keyboard.write_all(b"\x1a").expect("written");
        eventually("the shell has it back", || luster.stdout().contains("stopped").then_some(()));
        eventually("the supervisor is stopped", || (state(pid) == Some('T')).then_some(()));
        keyboard.write_all(b"\n").expect("written");
        eventually("the supervisor goes on", || (state(pid) == Some('S')).then_some(()));
        keyboard.write_all(b"\x03").expect("written");
        luster.await_event("stopped", 1);
        assert_eq!(luster.await_end(), 0);
        assert!(luster.stdout().contains("over 0"), "{}", luster.stdout());
    });
}

#[test]
fn a_terminal_that_is_gone_ends_it() {
    on_nodes(&old_and_new(), |node| {
        let (ours, theirs) = terminal();
        let luster = within(Luster::with("", json!({"workers": 1})).by_package(node, &[]), theirs);
        let mut luster = luster.start();
        luster.await_ready(1);
        drop(ours);
        // Who stands in for it cannot do better: Node itself does not survive the loss (in old versions).
        let expected = if node.major == OLD { 128 + Signal::SIGHUP as i32 } else { 0 };
        assert_eq!(luster.await_end(), expected);
        let asked = luster.await_event("asked", 1)["message"].clone();
        assert_eq!(asked, "got the loss of its terminal");
    });
}

#[test]
fn a_node_parent_can_send_messages_to_an_extension_and_back() {
    on_nodes(&old_and_new(), |node| {
        let extension = "exports.configure = (config, luster) => {
            if (luster.isMaster) {
                process.on('message', message => process.send({ echo: message, connected: process.connected }));
            }
        };";
        let parent = format!(
            "{TELL}
            const child = require('child_process').fork({:?});
            child.on('message', message => {{ tell(message); child.kill(); }});
            child.on('exit', (code, signal) => tell({{ code, signal }}));
            child.send('hello');",
            package().join("bin/luster.js").to_str().expect("UTF-8")
        );
        let config = json!({"workers": 1, "extensions": {"echo": {}}});
        let luster = Luster::with("", config).file("node_modules/echo.js", extension);
        let mut luster = luster.file("master.js", &parent).by_script(node, &[]).start();
        let told = luster.await_told(2);
        assert_eq!((&told[0]["echo"], &told[0]["connected"]), (&json!("hello"), &json!(true)));
        assert_eq!((&told[1]["code"], &told[1]["signal"]), (&json!(0), &json!(null)));
        assert_eq!(luster.await_end(), 0);
        assert_eq!(processes_in(luster.path()), []);
    });
}

#[test]
fn a_binary_that_does_not_run_here_is_told_with_what_to_do() {
    let mut program = std::fs::read(env!("CARGO_BIN_EXE_luster")).expect("built");
    program.truncate(4096);
    let mut foreign = program.clone();
    // e_machine: a program for s390x, see elf(5).
    foreign[18] = 22;
    let cases: [(&str, &[u8], u32, &str); 5] = [
        ("foreign", &foreign, 0o755, "it is a program for another kind of machine"),
        ("locked", &program, 0o644, "it is not executable"),
        ("script", b"#!/bin/sh\necho luster 3", 0o755, "is no native program"),
        ("missing", b"", 0, "there is no such file"),
        (".", b"", 0, "which is a folder"),
    ];
    on_nodes(&old_and_new(), |node| {
        for (name, bytes, mode, words) in &cases {
            let luster = Luster::with("", json!({})).by_package(node, &[]);
            let binary = luster.path().join(name);
            if *mode != 0 {
                use std::os::unix::fs::PermissionsExt;
                std::fs::write(&binary, bytes).expect("writable");
                std::fs::set_permissions(&binary, PermissionsExt::from_mode(*mode)).expect("ours");
            }
            let luster = luster.env("LUSTER_BINARY", binary.to_str().expect("UTF-8"));
            let (code, stdout, stderr) = luster.output();
            assert_eq!((code, stdout.as_str()), (71, ""), "{name}: {stderr}");
            let one_line = stderr.trim_end().lines().count() == 1;
            assert!(one_line && stderr.contains(words) && stderr.contains("LUSTER_BINARY"), "{stderr}");
        }
    });
}

#[test]
fn the_supervisor_of_a_command_that_is_already_gone_starts_nothing() {
    // As if the command had been killed in the moment before its supervisor looked for it.
    let launcher = json!({
        "node": node(OLD).path, "execArgv": [], "program": "/luster.js", "package": "/",
        "standIn": 1,
    });
    let luster = Luster::with("require('fs').writeFileSync('started', '')", json!({"workers": 1}))
        .env("LUSTER_LAUNCHER", &launcher.to_string());
    assert_eq!(luster.output().0, 0);
    assert!(!luster.path().join("started").exists());
    assert!(!is_alive(0));
}
