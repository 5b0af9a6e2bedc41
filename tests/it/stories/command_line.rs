//! The command line: luster's own options before CONFIG, words for the configuration and the app behind it, and what is
//! said to people who know other supervisors.

use serde_json::json;

use crate::harness::{Luster, TELL, node, on_nodes};

/// An app and a configuration that tell the words they find behind their script.
fn telling_words() -> Luster {
    let tell = "tell({ wid: process.env.LUSTER_WID || 'master', words: process.argv.slice(2) });";
    let config = format!("{TELL}{tell} module.exports = {{ app: './worker.js', workers: 1 }};");
    Luster::new().file("worker.js", &format!("{TELL}{tell}")).file("conf.js", &config)
}

fn words(luster: Luster, line: &[&str]) -> Vec<serde_json::Value> {
    let luster = line.iter().fold(luster, |luster, word| luster.arg(*word)).start();
    luster.await_ready(1);
    let told = luster.await_told(3);
    assert_eq!(luster.stop().0, 0);
    told.into_iter().map(|line| line["words"].clone()).collect()
}

/// As under JS luster: the configuration in the master, the configuration in the worker and the app see the same.
#[test]
fn what_follows_the_configuration_is_in_process_argv_of_the_configuration_and_the_workers() {
    for line in [
        &["conf.js", "a", "--b"][..],
        &["conf.js", "--templates", "routes.json", "--quiet", "-v", "--", "check"],
        &["./conf"],
    ] {
        assert_eq!(words(telling_words(), line), [json!(line), json!(line), json!(line)]);
        on_nodes(&[node(16), node(20), node(24)], |node| {
            let luster = telling_words().by_package(node, &["--no-warnings"]);
            assert_eq!(words(luster, line), [json!(line), json!(line), json!(line)], "Node {}", node.major);
        });
    }
    assert_eq!(words(telling_words(), &["--", "conf.js", "--c"]), vec![json!(["conf.js", "--c"]); 3]);
}

#[test]
fn an_option_of_lusters_behind_the_configuration_is_told() {
    let luster = telling_words().arg("conf.js").arg("--log-format=text").arg("--own").start();
    luster.await_ready(1);
    let told = luster.events("misplaced_option");
    let message = told[0]["message"].as_str().expect("text");
    assert!(told.len() == 1 && message.starts_with("--log-format is behind CONFIG"), "{told:?}");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn options_may_stand_before_the_command_and_check_takes_words_too() {
    let config = "if (process.argv[3] !== '--strict') throw new Error('words');
        module.exports = { app: 'worker.js', workers: 1 };";
    let luster = Luster::new().file("worker.js", "").file("c.js", config);
    let line = ["--log-format", "json", "-q", "check", "c.js", "--strict"];
    let (code, stdout, stderr) = line.into_iter().fold(luster, Luster::arg).output();
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("it runs 1 worker"), "{stdout}");
}

#[test]
fn a_word_that_is_a_command_elsewhere_gets_advice_unless_it_is_a_configuration() {
    for (word, advice) in [
        ("rollout", "no command `rollout`, and no configuration of that name; did you mean `luster reload`?"),
        ("kill", "did you mean `luster stop`?"),
        ("ps", "did you mean `luster status`?"),
        ("logs", "luster events shows what happens from now on"),
        ("chek", "did you mean `luster check`?"),
        ("version", "did you mean `luster --version`?"),
    ] {
        let (code, stdout, stderr) = Luster::new().arg(word).output();
        assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
        assert!(stderr.contains(advice) && stderr.trim_end().lines().count() == 1, "{stderr}");
        let there = Luster::new().file("worker.js", "").arg("check").arg(word);
        let (code, _, stderr) = there.file(&format!("{word}.json"), r#"{"app": "worker.js"}"#).output();
        assert_eq!(code, 0, "{stderr}");
    }
    // A second word is no command either.
    let (code, _, stderr) = Luster::new().arg("a").arg("b").output();
    assert_eq!(code, 78, "{stderr}");
    assert!(stderr.contains("/a: there is no such configuration"), "{stderr}");
}

#[test]
fn help_has_examples_and_no_tips_that_help_nobody() {
    let (code, stdout, _) = Luster::new().arg("--help").output();
    assert_eq!(code, 0);
    for words in
        ["Examples:", "luster check --strict conf.js", "[CONFIG [WORDS]...]", "kill -HUP PID", "  reload   "]
    {
        assert!(stdout.contains(words), "{words} in\n{stdout}");
    }
    assert_eq!(Luster::new().arg("help").output().0, 0);
    let (code, _, stderr) = Luster::new().arg("--reload").output();
    assert_eq!(code, 2);
    assert!(stderr.contains("--reload") && !stderr.contains("as a value"), "{stderr}");
}
