//! What workers start and leave is gone: the worker's group with the worker, everything else with luster.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::harness::{Luster, Pair, eventually, is_alive, stat};

/// The process whose number a worker wrote down.
fn noted(folder: &Path) -> i32 {
    eventually("a number is noted", || {
        std::fs::read_to_string(folder.join("child")).ok()?.strip_suffix('\n')?.parse().ok()
    })
}

#[test]
fn a_workers_child_is_gone_after_the_worker() {
    let crime = "const child = child_process.spawn('sleep', ['1000'], { stdio: 'ignore' });
        fs.writeFileSync('child', `${child.pid}\\n`); process.exit(1)";
    let pair = Pair::running(crime, json!({}));
    pair.commit_and_be_replaced();
    let child = noted(pair.luster.path());
    eventually("the child is gone", || (!is_alive(child)).then_some(()));
    pair.end();
}

#[test]
fn a_background_job_of_a_workers_shell_is_gone_after_the_worker() {
    let crime = "child_process.execSync('sleep 1000 >/dev/null 2>&1 & echo $! > child'); process.exit(1)";
    let pair = Pair::running(crime, json!({}));
    pair.commit_and_be_replaced();
    let child = noted(pair.luster.path());
    eventually("the job is gone", || (!is_alive(child)).then_some(()));
    pair.end();
}

#[test]
fn a_detached_child_outlives_its_worker_and_is_gone_with_luster() {
    let crime = "const child = child_process.spawn('sleep', ['1000'], { stdio: 'ignore', detached: true });
        fs.writeFileSync('child', `${child.pid}\\n`); process.exit(1)";
    let pair = Pair::running(crime, json!({}));
    pair.commit_and_be_replaced();
    let child = noted(pair.luster.path());
    assert!(is_alive(child));
    assert_eq!(stat(child, 4), Some(i64::from(pair.luster.pid())), "luster took it in");
    pair.end();
    assert!(!is_alive(child));
}

#[test]
fn a_detached_child_that_ignores_sigterm_is_gone_with_luster() {
    let crime =
        "const child = child_process.spawn('sh', ['-c', 'trap \"\" TERM; echo $$ > child; sleep 1000; :'],
            { stdio: 'ignore', detached: true });
        child.unref(); setTimeout(() => process.exit(1), 100)";
    let pair = Pair::running(crime, json!({}));
    let child = {
        pair.commit();
        noted(pair.luster.path())
    };
    pair.end();
    assert!(!is_alive(child));
}

#[test]
fn orphans_are_reaped_while_luster_runs() {
    let crime =
        "child_process.spawn('sh', ['-c', 'for i in $(seq 200); do (sleep 0.1 &) ; done; echo $$ > child'],
            { stdio: 'ignore', detached: true }).unref()";
    let pair = Pair::running(crime, json!({}));
    let criminal = pair.commit();
    noted(pair.luster.path());
    assert_eq!(pair.await_answer(0), criminal);
    // That no zombie stays is part of every end.
    pair.end();
}

#[test]
fn a_luster_whose_starter_ignores_the_ends_of_children_knows_how_its_own_end() {
    let ignoring = |command: &mut Command| {
        // SAFETY: `signal` is async-signal-safe.
        #[expect(unsafe_code, reason = "what a careless parent leaves to its children")]
        unsafe {
            command.pre_exec(|| {
                nix::libc::signal(nix::libc::SIGCHLD, nix::libc::SIG_IGN);
                Ok(())
            });
        }
    };
    let luster = Luster::new().file("luster.conf.js", "process.exit(3);").adjust(ignoring);
    let (code, _, stderr) = luster.output();
    assert_eq!(code, 78, "{stderr}");
    assert!(stderr.contains("exited with code 3"), "{stderr}");
    // And its workers do not inherit what it was given.
    let app = "console.log(require('fs').readFileSync('/proc/self/status', 'utf8')); setTimeout(() => process.exit(4), 50);";
    let config = json!({"workers": 1, "control": {"exitThreshold": 60_000}});
    let mut luster = Luster::with(app, config).adjust(ignoring).start();
    assert_eq!(luster.await_end(), 1);
    assert_eq!(luster.events("exit")[0]["code"], 4, "{:?}", luster.log());
    let ignored = luster.stdout().lines().find_map(|line| line.strip_prefix("SigIgn:\t").map(str::to_owned));
    let ignored = u64::from_str_radix(&ignored.expect("it tells"), 16).expect("a set");
    assert_eq!(ignored & (1 << (nix::libc::SIGCHLD - 1)), 0);
}
