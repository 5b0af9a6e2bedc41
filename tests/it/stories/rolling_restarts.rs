//! A rolling restart under load drops nothing: every balance, both orders, one worker and two, every Node.
//! `benches/rolling_restarts` does the same for longer.

use serde_json::json;

use crate::harness::{HTTP, Load, Luster, Style, Target, free_port, node};

const BODY: usize = 16 << 10;

struct Case {
    balance: &'static str,
    restart: &'static str,
    workers: u32,
    node: u32,
}

/// Two rollouts under two loads at once.
#[track_caller]
fn drops_nothing(case: &Case, loads: [Style; 2]) {
    let port = free_port();
    let config = json!({
        "workers": case.workers,
        "control": {"restart": case.restart, "stopTimeout": 20_000},
        "server": {"port": port, "balance": case.balance},
    });
    let luster = Luster::with(HTTP, config).node(&node(case.node)).start();
    luster.await_ready(case.workers as usize);
    luster.await_listening(case.workers as usize);
    let loads = loads.map(|style| Load::begin(&Target::Tcp(port), style));
    for _ in 0..2 {
        loads.iter().for_each(|load| load.await_answers(20));
        assert_eq!(luster.rollout()["event"], "rollout_finished");
    }
    loads.iter().for_each(|load| load.await_answers(20));
    loads.into_iter().for_each(Load::end_without_a_failure);
    assert_eq!(luster.all_pids().len() as u32, case.workers * 3, "each worker was replaced twice");
    assert_eq!(luster.stop().0, 0);
}

macro_rules! stories {
    ($($name:ident: $balance:literal $restart:literal $workers:literal $node:literal $loads:expr;)*) => {
        $(#[test]
        fn $name() {
            let case = Case { balance: $balance, restart: $restart, workers: $workers, node: $node };
            drops_nothing(&case, $loads);
        })*
    };
}

const USUAL: [Style; 2] = [Style::KEEP_ALIVE, Style::NEW];
const POSTS: [Style; 2] = [Style::KEEP_ALIVE.posting(BODY), Style::NEW.posting(BODY)];
const SLOW: [Style; 2] = [Style::KEEP_ALIVE.to("/slow"), Style::NEW.posting(BODY).to("/slow")];

stories! {
    round_robin_stop_first_with_one_worker: "round-robin" "stop-first" 1 24 USUAL;
    round_robin_stop_first_with_two_workers: "round-robin" "stop-first" 2 24 USUAL;
    round_robin_start_first_with_one_worker: "round-robin" "start-first" 1 24 USUAL;
    round_robin_start_first_with_two_workers: "round-robin" "start-first" 2 24 USUAL;
    shared_stop_first_with_one_worker: "shared" "stop-first" 1 24 USUAL;
    shared_stop_first_with_two_workers: "shared" "stop-first" 2 24 USUAL;
    shared_start_first_with_one_worker: "shared" "start-first" 1 24 USUAL;
    shared_start_first_with_two_workers: "shared" "start-first" 2 24 USUAL;
    reuseport_stop_first_with_one_worker: "reuseport" "stop-first" 1 24 USUAL;
    reuseport_stop_first_with_two_workers: "reuseport" "stop-first" 2 24 USUAL;
    reuseport_start_first_with_one_worker: "reuseport" "start-first" 1 24 USUAL;
    reuseport_start_first_with_two_workers: "reuseport" "start-first" 2 24 USUAL;

    posts_round_robin: "round-robin" "stop-first" 2 24 POSTS;
    posts_shared: "shared" "stop-first" 1 24 POSTS;
    posts_reuseport: "reuseport" "start-first" 2 24 POSTS;
    slow_answers_round_robin: "round-robin" "start-first" 1 24 SLOW;
    slow_answers_shared: "shared" "start-first" 2 24 SLOW;
    slow_answers_reuseport: "reuseport" "stop-first" 1 24 SLOW;

    node_16_round_robin: "round-robin" "stop-first" 1 16 USUAL;
    node_16_shared: "shared" "stop-first" 2 16 POSTS;
    node_18_round_robin: "round-robin" "start-first" 2 18 POSTS;
    node_18_shared: "shared" "stop-first" 1 18 USUAL;
    node_20_round_robin: "round-robin" "stop-first" 2 20 SLOW;
    node_20_reuseport: "reuseport" "start-first" 1 20 USUAL;
    node_22_reuseport: "reuseport" "stop-first" 2 22 USUAL;
    node_22_shared: "shared" "start-first" 1 22 POSTS;
}
