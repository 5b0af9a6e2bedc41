//! What workers start and leave is gone: the worker's group with the worker, everything else with luster.

use std::path::Path;

use serde_json::json;

use crate::harness::{Pair, eventually, is_alive, stat};

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
