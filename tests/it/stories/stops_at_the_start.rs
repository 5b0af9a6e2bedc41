//! A stop while a configuration that is a program still runs at the very start: luster ends at once, and so does the program.

use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::pid_one::CONTAINER;
use crate::harness::{Luster, children, eventually, processes_in};

/// Far less than a configuration may take.
const AT_ONCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Says that it runs, and never ends.
const HANGS: &str = "require('fs').writeFileSync('runs', ''); for (;;);";

#[test]
fn luster_ends_at_once_and_nothing_is_left() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        // A shell without job control starts what it has in the background with SIGINT ignored, and so would luster be.
        let heard = ["env", "--default-signal=TERM,INT"];
        let mut luster = Luster::new().file("luster.conf.js", HANGS).through(&heard).start();
        eventually("it runs", || luster.path().join("runs").exists().then_some(()));
        let began = Instant::now();
        luster.signal(signal);
        assert_eq!(luster.await_end(), 128 + signal as i32);
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        eventually("nothing is left", || processes_in(luster.path()).is_empty().then_some(()));
    }
}

#[test]
fn pid_1_ends_at_once_too() {
    let mut luster = Luster::new().file("luster.conf.js", HANGS).through(CONTAINER).start();
    eventually("it runs", || luster.path().join("runs").exists().then_some(()));
    let began = Instant::now();
    let master = children(luster.pid())[0];
    kill(Pid::from_raw(master), Signal::SIGTERM).expect("it is there");
    assert_eq!(luster.await_end(), 128 + 15);
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert_eq!(processes_in(luster.path()), []);
}
