//! What the master is sent, and what the terminal does to it and its workers.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use luster::core::StopCause;
use luster::process::{
    Asked, ReceivedSignal, Signals, StopTimeouts, Terminal, adopt_orphans, end_orphans, sanitize_inherited,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::alone::{alone, alone_under, command, end_of, is_alone, line, shell, until};

/// Runs a body as the listening master, on one thread.
fn listening(body: impl AsyncFnOnce(&mut Signals)) {
    sanitize_inherited().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { body(&mut Signals::listen(Terminal::at_start()).unwrap()).await });
}

async fn sent(signals: &mut Signals, signal: Signal) -> ReceivedSignal {
    kill(Pid::this(), signal).unwrap();
    signals.next().await
}

#[test]
fn each_signal_has_its_meaning() {
    // Without a terminal, and with signals ignored by the starter.
    alone_under("trap '' HUP INT QUIT; exec setsid -w ", "receiving::each_signal_has_its_meaning", || {
        listening(async |signals| {
            let stop = |cause| ReceivedSignal::Asked(Asked::Stop(cause), None);
            assert_eq!(sent(signals, Signal::SIGTERM).await, stop(StopCause::Terminate));
            assert_eq!(sent(signals, Signal::SIGINT).await, stop(StopCause::Interrupt));
            assert_eq!(sent(signals, Signal::SIGQUIT).await, stop(StopCause::Quit));
            assert_eq!(sent(signals, Signal::SIGHUP).await, ReceivedSignal::Asked(Asked::Restart, None));
            let (worker, _channel) = shell("exit 1");
            assert_eq!(signals.next().await, ReceivedSignal::ChildChanged);
            end_of(&worker);
        });
    });
}

#[test]
fn a_master_in_a_terminal_ends_with_it_and_its_workers_have_none() {
    alone("receiving::a_master_in_a_terminal_ends_with_it_and_its_workers_have_none", || {
        adopt_orphans().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let verdict = dir.path().join("verdict");
        // `script` makes a terminal, with the command as the leader of its foreground.
        let inside = "script -qec \"stty tostop; '$0' $*\" /dev/null";
        let mut script = command(inside, "receiving::a_master_that_waits_for_its_terminal_to_go");
        script.env("VERDICT", &verdict).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = script.spawn().unwrap();
        let mut lines = BufReader::new(script.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("waiting")));
        // The shell and `script`, which holds the terminal's other side; the master is in a session of its own.
        kill(Pid::from_raw(-i32::try_from(script.id()).unwrap()), Signal::SIGKILL).unwrap();
        script.wait().unwrap();
        until("the master saw it", || {
            std::fs::read_to_string(&verdict).is_ok_and(|text| text == "the loss of its terminal")
        });
        assert_eq!(end_orphans(StopTimeouts::default()), []);
    });
}

/// Not a test by itself: runs in the terminal of the one above.
#[test]
fn a_master_that_waits_for_its_terminal_to_go() {
    if !is_alone("receiving::a_master_that_waits_for_its_terminal_to_go") {
        return;
    }
    listening(async |signals| {
        assert_eq!(sent(signals, Signal::SIGHUP).await, ReceivedSignal::Asked(Asked::Restart, None));
        let (worker, channel) = shell("test -t 1 && echo written && readlink /proc/$$/fd/0 >&3");
        assert_eq!(line(&channel), "/dev/null", "a worker does not read the terminal, and may write to it");
        assert_eq!(signals.next().await, ReceivedSignal::ChildChanged);
        end_of(&worker);
        println!("waiting");
        let ReceivedSignal::Asked(Asked::Stop(cause), None) = signals.next().await else {
            panic!("not asked to stop")
        };
        let verdict = std::path::PathBuf::from(std::env::var_os("VERDICT").unwrap());
        std::fs::write(verdict, cause.to_string()).unwrap();
    });
}
