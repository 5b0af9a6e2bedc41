//! How workers and what they leave behind end.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use luster::process::{
    ExitStatus, Remaining, Signal, StopTimeouts, adopt_orphans, end_orphans, reap, sanitize_inherited,
    wait_or_kill,
};

use luster::core::InstanceId;

use crate::alone::{alone, children, command, end_of, is_alone, line, pid, shell, stat, until};

const SHORT: StopTimeouts =
    StopTimeouts { terminate: Duration::from_millis(100), kill: Duration::from_secs(10) };
const LONG: StopTimeouts = StopTimeouts { terminate: Duration::from_secs(20), kill: Duration::ZERO };

/// Ends what remains, which must not take more than SIGTERM.
fn ends_when_asked() {
    let start = Instant::now();
    assert_eq!(end_orphans(LONG), []);
    assert!(start.elapsed() < LONG.terminate, "SIGKILL was needed");
}

#[test]
fn an_end_is_told_as_it_was() {
    alone("ending::an_end_is_told_as_it_was", || {
        let end = |script: &str| end_of(&shell(script).0).status.to_string();
        assert_eq!(end("exit 0"), "exited with code 0");
        assert_eq!(end("exit 255"), "exited with code 255");
        assert_eq!(end("kill -9 $$"), "was killed by SIGKILL");
        assert_eq!(end("kill -36 $$"), "was killed by SIGRTMIN+2");
        assert_eq!(end("ulimit -c 0; kill -ABRT $$"), "was killed by SIGABRT");
        assert_eq!(children(), []);
    });
}

#[test]
fn the_master_killed_kills_its_workers() {
    const MASTER: &str = "ending::the_master_killed_kills_its_workers";
    alone(MASTER, || {
        adopt_orphans().unwrap();
        let mut master = command("exec \"$0\" \"$@\"", "ending::a_master_that_waits_to_be_killed");
        let mut master = master.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(master.stdout.take().unwrap()).lines();
        let worker =
            lines.map(Result::unwrap).find_map(|line| Some(pid(line.split_once("worker ")?.1))).unwrap();
        master.kill().unwrap();
        master.wait().unwrap();
        // It is ours now, and nobody else has killed it.
        until("the worker is reaped", || {
            let _ = reap(|_| None::<InstanceId>);
            stat(worker, 3).is_none()
        });
    });
}

/// Not a test by itself: the middle process of the one above.
#[test]
fn a_master_that_waits_to_be_killed() {
    if is_alone("ending::a_master_that_waits_to_be_killed") {
        let (worker, channel) = shell("trap '' TERM HUP; exec sleep 100");
        println!("worker {}", worker.pid());
        // Ends only with the worker, which does not end by itself.
        crate::alone::all(&channel);
    }
}

#[test]
fn what_is_left_of_a_group_dies_with_the_worker() {
    alone("ending::what_is_left_of_a_group_dies_with_the_worker", || {
        adopt_orphans().unwrap();
        let (worker, channel) = shell("sh -c 'trap \"\" TERM HUP; sleep 100' & echo $! >&3");
        let left_behind = pid(&line(&channel));
        assert_eq!(end_of(&worker).status, ExitStatus::Code(0));
        until("the rest of the group is reaped", || {
            let _ = reap(|_| None::<InstanceId>);
            stat(left_behind, 3).is_none() && children().is_empty()
        });
    });
}

#[test]
fn a_detached_process_outlives_its_worker_but_not_the_master() {
    alone("ending::a_detached_process_outlives_its_worker_but_not_the_master", || {
        adopt_orphans().unwrap();
        let (worker, channel) = shell("setsid sh -c 'echo $$ >&3; exec 3>&-; exec sleep 100' & wait");
        let detached = pid(&line(&channel));
        assert!(worker.signal(Signal::Kill).is_ok());
        end_of(&worker);
        until("it is ours", || children() == [detached]);
        assert_ne!(stat(detached, 3).as_deref(), Some("Z"));
        ends_when_asked();
        assert_eq!(stat(detached, 3), None);
    });
}

#[test]
fn a_whole_tree_ends_stubborn_and_stopped_ones_too() {
    alone("ending::a_whole_tree_ends_stubborn_and_stopped_ones_too", || {
        adopt_orphans().unwrap();
        let stubborn = "trap \"\" TERM; echo >&3; sleep 100; sleep 100";
        let stopped = "echo >&3; kill -STOP $$";
        let script =
            format!("setsid sh -c '{stubborn}' & sh -c '{stopped}' & (setsid sh -c '{stubborn}' &); wait");
        let (_worker, channel) = shell(&script);
        for _ in 0..3 {
            let mut byte = [0];
            std::io::Read::read_exact(&mut &channel, &mut byte).unwrap();
        }
        assert_eq!(end_orphans(SHORT), []);
        assert_eq!(children(), []);
    });
}

#[test]
fn a_stopped_process_gets_to_see_its_sigterm() {
    alone("ending::a_stopped_process_gets_to_see_its_sigterm", || {
        let (worker, _channel) = shell("kill -STOP $$");
        until("it is stopped", || stat(worker.pid(), 3).as_deref() == Some("T"));
        ends_when_asked();
    });
}

#[test]
fn without_children_there_is_nothing_to_wait_for() {
    alone("ending::without_children_there_is_nothing_to_wait_for", || {
        assert_eq!(end_orphans(StopTimeouts::default()), []);
    });
}

#[test]
fn a_storm_of_orphans_is_reaped_in_bounded_steps() {
    alone("ending::a_storm_of_orphans_is_reaped_in_bounded_steps", || {
        adopt_orphans().unwrap();
        let script = "i=0; while [ $i -lt 1100 ]; do (: &); i=$((i+1)); done; echo >&3; read x <&3; exit 4";
        let (worker, channel) = shell(script);
        line(&channel);
        until("all are zombies of ours", || {
            let dead = children().into_iter().filter(|child| stat(*child, 3).as_deref() == Some("Z"));
            dead.count() == 1100
        });
        let first = reap(|_| None::<InstanceId>);
        assert_eq!((first.exits.len(), first.left), (0, Remaining::More));
        assert_eq!(reap(|_| None::<InstanceId>).left, Remaining::Nothing);
        assert_eq!(children(), [worker.pid()]);
        drop(channel);
        assert_eq!(end_of(&worker).status, ExitStatus::Code(4));
    });
}

#[test]
fn an_end_that_somebody_else_waits_for_is_kept_for_them() {
    alone("ending::an_end_that_somebody_else_waits_for_is_kept_for_them", || {
        let (worker, channel) = shell("read x <&3; exit 7");
        drop(channel);
        until("it is reaped by the way", || {
            assert!(reap(|_| None::<InstanceId>).strangers.is_empty(), "it was started here");
            worker.status().is_some()
        });
        assert_eq!(children(), []);
        let status = wait_or_kill(&worker, Duration::from_secs(20)).unwrap();
        assert_eq!(status, ExitStatus::Code(7));
    });
}

#[test]
fn waiting_for_one_beside_a_loop_that_reaps_always_finds_its_end() {
    alone("ending::waiting_for_one_beside_a_loop_that_reaps_always_finds_its_end", || {
        // The kernel kills a child with the thread that started it, so all are started here.
        let workers: Vec<_> =
            (0..50).map(|code| (code, shell(&format!("read x <&3; exit {code}")))).collect();
        let waiters: Vec<_> = workers
            .into_iter()
            .map(|(code, (worker, channel))| {
                std::thread::spawn(move || {
                    drop(channel);
                    assert_eq!(
                        wait_or_kill(&worker, Duration::from_secs(20)).unwrap(),
                        ExitStatus::Code(code)
                    );
                })
            })
            .collect();
        until("all are awaited", || {
            let reaped = reap(|_| None::<InstanceId>);
            assert!(reaped.strangers.is_empty() && reaped.exits.is_empty());
            waiters.iter().all(std::thread::JoinHandle::is_finished)
        });
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert_eq!(children(), []);
    });
}

#[test]
fn orphans_are_named() {
    alone("ending::orphans_are_named", || {
        adopt_orphans().unwrap();
        let (worker, channel) = shell("(sh -c 'echo $$ >&3; read x <&3; exit 5' &) ; exit 0");
        let orphan = pid(&line(&channel));
        assert_eq!(wait_or_kill(&worker, Duration::from_secs(20)).unwrap(), ExitStatus::Code(0));
        drop(channel);
        let mut strangers = Vec::new();
        until("the orphan is reaped", || {
            strangers.extend(reap(|_| None::<InstanceId>).strangers);
            !strangers.is_empty()
        });
        assert_eq!(strangers, [(orphan, ExitStatus::Code(5))]);
    });
}

#[test]
fn one_that_is_discarded_takes_its_group_with_it() {
    alone("ending::one_that_is_discarded_takes_its_group_with_it", || {
        adopt_orphans().unwrap();
        let (worker, channel) = shell("trap '' TERM; sh -c 'trap \"\" TERM; echo >&3; sleep 100' & wait");
        line(&channel);
        worker.discard();
        until("all are gone", || {
            assert!(reap(|_| None::<InstanceId>).exits.is_empty());
            children().is_empty()
        });
    });
}

#[test]
fn ends_are_known_though_whoever_started_us_ignores_them() {
    // Not by `trap`: a shell keeps this signal for itself.
    let name = "ending::ends_are_known_though_whoever_started_us_ignores_them";
    alone(name, || {
        // SAFETY: replaces a disposition; no handler is involved.
        #[expect(unsafe_code, reason = "what a careless parent leaves")]
        unsafe {
            nix::libc::signal(nix::libc::SIGCHLD, nix::libc::SIG_IGN);
        }
        sanitize_inherited().unwrap();
        let (worker, _channel) = shell("exit 3");
        assert_eq!(wait_or_kill(&worker, Duration::from_secs(20)).unwrap(), ExitStatus::Code(3));
    });
}
