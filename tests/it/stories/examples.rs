//! Every example runs and answers, as the README says.

use std::path::{Path, PathBuf};

use crate::harness::{Luster, Running, Target, eventually, free_port, free_ports, get, node, usual_node};

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(path)
}

#[test]
fn simple_server_answers_on_the_ports_of_both_groups() {
    let port = free_ports(2);
    let luster = Luster::new()
        .config_file(example("simple_server/luster.conf.json"))
        .env("LUSTER_CONF", &format!("server.port={port}"))
        .start();
    luster.await_listening(4);
    for (group, wids) in [(0, ["1", "2"]), (1, ["3", "4"])] {
        for _ in 0..4 {
            let body = get(&Target::Tcp(port + group)).expect("an answer").body;
            let wid = body.split(' ').nth(3).expect("a wid");
            assert!(wids.contains(&wid) && body.contains(&format!("on port {}", port + group)), "{body}");
        }
    }
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn unix_socket_answers_on_a_socket_for_each_group_and_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app-*.sock");
    let luster = Luster::new()
        .config_file(example("unix_socket/luster.conf.js"))
        .env("LUSTER_CONF", &format!("server.port={}", path.display()))
        .start();
    luster.await_listening(2);
    for group in 0..2 {
        let body =
            get(&Target::Unix(folder.path().join(format!("app-{group}.sock")))).expect("an answer").body;
        assert!(body.starts_with(&format!("Hello from worker {}", group + 1)), "{body}");
    }
    assert_eq!(luster.stop().0, 0);
    assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0);
}

#[test]
fn es_module_is_ready_after_its_top_level_await() {
    let port = free_port();
    let luster = Luster::new()
        .config_file(example("es_module/luster.conf.json5"))
        .env("LUSTER_CONF", &format!("server.port={port}"))
        .start();
    luster.await_ready(2);
    luster.await_listening(2);
    assert!(get(&Target::Tcp(port)).expect("an answer").body.starts_with("Hello from worker "));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn manual_ready_is_rolled_out_and_says_goodbye() {
    let port = free_port();
    let luster = Luster::new()
        .config_file(example("manual_ready/luster.conf.json"))
        .env("LUSTER_CONF", &format!("server.port={port}"))
        .start();
    luster.await_ready(2);
    assert_eq!(
        get(&Target::Tcp(port)).expect("an answer").body.split_once(" has ").expect("words").1,
        "3 entries\n"
    );
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    eventually("both old workers say goodbye", || {
        (luster.stdout().matches("says goodbye").count() == 2).then_some(())
    });
    assert_eq!(luster.stop().0, 0);
}

/// Starts an example with this configuration on this port; two workers listen.
#[track_caller]
fn start(luster: Luster, port: u16) -> Running {
    let luster = luster.env("LUSTER_CONF", &format!("server.port={port}")).start();
    luster.await_ready(2);
    luster.await_listening(2);
    luster
}

fn body(port: u16, path: &str) -> String {
    let mut connection = crate::harness::Connection::open(&Target::Tcp(port)).expect("it listens");
    connection.request(&format!("GET {path} HTTP/1.1\r\nConnection: close"), b"").expect("an answer").body
}

#[test]
fn extension_gives_the_app_a_greeting_and_tells_of_ends() {
    let port = free_port();
    let luster = start(Luster::new().config_file(example("extension/luster.conf.json")), port);
    let answer = body(port, "/");
    assert!(answer.starts_with("Good day from worker "), "{answer}");
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    eventually("the extension tells of both", || {
        let told = luster.stdout();
        (1..=2).all(|wid| told.contains(&format!("worker {wid} ended with code 0"))).then_some(())
    });
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn async_extension_hands_its_data_to_workers_before_their_app_is_loaded() {
    let port = free_port();
    let luster = start(Luster::new().config_file(example("async_extension/luster.conf.json")), port);
    assert_eq!((body(port, "/apple"), body(port, "/car")), ("3\n".to_owned(), "not for sale\n".to_owned()));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn custom_master_counts_over_all_workers() {
    let mut luster = Luster::new();
    for name in ["master.js", "worker.js", "package.json"] {
        let text = std::fs::read_to_string(example("custom_master").join(name)).expect("it is there");
        luster = luster.file(name, &text);
    }
    let port = free_port();
    let luster = start(luster.by_script(&usual_node(), &[]), port);
    assert!(body(port, "/").ends_with("knows of: nobody was here\n"));
    eventually("both know of several visits", || {
        let answers = [body(port, "/"), body(port, "/")];
        let of = |wid: u32| {
            let known = |answer: &&String| {
                answer.starts_with(&format!("worker {wid} knows of: "))
                    && answer.contains(" visits, the last at worker ")
            };
            answers.iter().any(|answer| known(&answer))
        };
        (of(1) && of(2)).then_some(())
    });
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn typescript_runs_where_node_strips_types() {
    let port = free_port();
    let luster = Luster::new().config_file(example("typescript/luster.conf.json")).node(&node(24));
    let luster = start(luster, port);
    let answer = body(port, "/a");
    assert!(answer.starts_with("/a was asked of worker ") && answer.ends_with(" 1 times\n"), "{answer}");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn the_annotated_example_is_a_valid_configuration() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("luster.conf.json.example"));
    let luster = Luster::new()
        .file("worker.js", "")
        .file("luster.conf.json", &text.expect("it is there"))
        .arg("check");
    let (code, stdout, stderr) = luster.output();
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("no mistakes") && stderr.is_empty(), "{stdout}{stderr}");
}
