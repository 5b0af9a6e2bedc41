//! What is made of the command line's definition: completions that the shell itself takes, and manual pages.

use std::process::Command;

use crate::harness::Luster;

fn run(words: &[&str]) -> (i32, String, String) {
    words.iter().fold(Luster::new(), |luster, word| luster.arg(*word)).output()
}

#[test]
fn bash_completes_commands_and_their_options() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("luster");
    let (code, text, _) = run(&["completions", "bash"]);
    assert_eq!(code, 0);
    std::fs::write(&script, text).expect("writable");
    for (line, wanted, unwanted) in [
        ("luster re", &["reload", "restart", "revive"][..], &["status", "__attach"][..]),
        ("luster _", &[], &["__attach", "__validate", "__link"]),
        ("luster reload --", &["--no-wait", "--timeout", "--json"], &["--node"]),
        ("luster --lo", &["--log-format"], &["--node"]),
    ] {
        let ask = format!(
            "source {}; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _luster luster \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; echo \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let output = Command::new("bash").args(["-c", &ask]).output().expect("bash is there");
        let reply = String::from_utf8(output.stdout).expect("text");
        let words: Vec<_> = reply.split_whitespace().collect();
        assert!(wanted.iter().all(|word| words.contains(word)), "{line}: {reply} {:?}", output.stderr);
        assert!(!unwanted.iter().any(|word| words.contains(word)), "{line}: {reply}");
    }
}

#[test]
fn other_shells_have_theirs_and_a_strange_one_is_refused() {
    for (shell, word) in [("zsh", "#compdef luster"), ("fish", "complete -c luster")] {
        let (code, text, _) = run(&["completions", shell]);
        assert!(
            code == 0 && text.contains(word) && text.contains("reload") && !text.contains("__attach"),
            "{shell}"
        );
    }
    let (code, _, stderr) = run(&["completions", "tcsh"]);
    assert!(code == 2 && stderr.contains("bash, zsh, fish"), "{stderr}");
}

#[test]
fn luster_and_each_of_its_commands_have_a_manual_page() {
    let (code, page, _) = run(&["man"]);
    assert!(code == 0 && page.contains(".TH luster 1") && page.contains("luster\\-reload(1)"), "{page}");
    for command in
        ["check", "init", "status", "reload", "restart", "stop", "start", "scale", "revive", "events", "list"]
    {
        let (code, page, _) = run(&["man", command]);
        assert!(code == 0 && page.contains(&format!(".TH luster-{command} 1")), "{command}: {page}");
    }
    for command in ["nothing", "__attach"] {
        let (code, stdout, stderr) = run(&["man", command]);
        assert_eq!((code, stdout.as_str()), (2, ""));
        assert_eq!(stderr, format!("luster: there is no command \"{command}\"; luster --help lists them\n"));
    }
}
