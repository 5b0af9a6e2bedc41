//! Reloads one after another that change how many workers there are, where they listen, what they run and how connections
//! are shared; and wrong ones between them: no request fails.
//!
//! The long form is run by name: `cargo test --release --test it -- --ignored proofs --nocapture`.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{HTTP, Load, Luster, Running, Style, Target, eventually, free_ports};

const BALANCES: [&str; 3] = ["round-robin", "shared", "reuseport"];

/// Clients of both kinds, who know both ports.
fn loads(ports: u16) -> [Load; 2] {
    let target = Target::FirstOf(vec![ports, ports + 1]);
    [Style::KEEP_ALIVE, Style::NEW].map(|style| Load::begin(&target, style))
}

/// How many requests were answered; none failed.
#[track_caller]
fn end(loads: [Load; 2]) -> usize {
    let reports = loads.map(Load::end);
    for report in &reports {
        assert!(report.failures.is_empty(), "{report:?}");
    }
    reports.iter().map(|report| report.answered).sum()
}

/// The configuration of this round: each differs from the one before in everything.
fn round(number: u16, ports: u16, restart: &str) -> Value {
    let index = usize::from(number);
    let (app, workers, balance) = (["worker.js", "other.js"][index % 2], 1 + index % 3, BALANCES[index % 3]);
    json!({
        "app": app, "workers": workers,
        "server": {"port": ports + number / 2 % 2, "balance": balance},
        "control": {"restart": restart, "stopTimeout": 10_000},
    })
}

fn start(ports: u16, restart: &str) -> Running {
    let luster =
        Luster::new().file("worker.js", HTTP).file("other.js", HTTP).config(round(0, ports, restart)).start();
    luster.await_ready(1);
    luster.await_listening(1);
    luster
}

/// So many good reloads with each strategy; how many requests were answered meanwhile.
fn good(reloads: u16) -> usize {
    let mut answered = 0;
    for restart in ["stop-first", "start-first"] {
        let ports = free_ports(2);
        let luster = start(ports, restart);
        let loads = loads(ports);
        for number in 1..=reloads {
            luster.put("luster.conf.json", &round(number, ports, restart).to_string());
            let over = luster.rollout();
            assert_eq!(over["event"], "rollout_finished", "{number}: {over}");
        }
        loads.iter().for_each(|load| load.await_answers(20));
        answered += end(loads);
        assert_eq!(luster.stop().0, 0);
    }
    answered
}

/// What is wrong in one way each, and where it is: none of it is ever applied.
const WRONG: [(&str, &str); 7] = [
    ("luster.conf.json", "{ \"app\": "),
    ("luster.conf.json", "{ \"app\": \"nowhere.js\" }"),
    ("luster.conf.json", "{ \"app\": \"worker.js\", \"workers\": \"many\" }"),
    ("luster.conf.json", "{ \"app\": \"worker.js\", \"extensions\": { \"nowhere\": {} } }"),
    ("luster.conf.json", "{ \"app\": \"worker.js\", \"server\": { \"port\": 70000 } }"),
    ("luster.conf.json", "{ \"app\": \"worker.js\", \"control\": { \"restart\": \"sideways\" } }"),
    ("luster.conf.json", "[]"),
];

/// Each wrong configuration, again and again until so many requests were answered; how many reloads were refused.
fn wrong(requests: usize) -> usize {
    let ports = free_ports(2);
    let luster = start(ports, "stop-first");
    let old = luster.all_pids();
    let mut refused = 0;
    for (file, text) in WRONG {
        luster.put(file, text);
        let loads = loads(ports);
        loop {
            luster.signal(Signal::SIGHUP);
            refused += 1;
            eventually("it is refused", || (luster.events("config_refused").len() == refused).then_some(()));
            if loads.iter().map(Load::answered).sum::<usize>() >= requests {
                break;
            }
            loads[0].await_answers(requests / 20);
        }
        end(loads);
        assert_eq!(luster.all_pids(), old, "{text}");
    }
    assert_eq!(luster.stop().0, 0);
    refused
}

#[test]
fn a_handful_of_reloads_costs_no_request() {
    good(6);
    wrong(100);
}

#[test]
#[ignore = "it takes long: run it by name"]
fn two_hundred_good_reloads() {
    eprintln!("200 good reloads: 0 failed of {} requests", good(100));
}

#[test]
#[ignore = "it takes long: run it by name"]
fn a_hundred_thousand_requests_under_each_kind_of_wrong_reload() {
    let refused = wrong(100_000);
    eprintln!("{refused} wrong reloads, of {} kinds: 0 failed of at least 100000 requests each", WRONG.len());
}
