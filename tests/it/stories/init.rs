//! `luster init`: a first configuration for the app that is there.

use serde_json::json;

use crate::harness::{Luster, Target, free_port, get};

const APP: &str = "require('http').createServer((_, r) => r.end('hello')).listen(process.env.port);";

/// A project as npm knows it, without a configuration.
fn project(package: &serde_json::Value, files: &[(&str, &str)]) -> Luster {
    let luster = Luster::new().file("package.json", &package.to_string());
    files.iter().fold(luster, |luster, (name, text)| luster.file(name, text))
}

fn written(luster: &Luster) -> String {
    std::fs::read_to_string(luster.path().join("luster.conf.json5")).expect("it is written")
}

/// Runs `luster WORDS` where the project is.
fn run(luster: &Luster, words: &[&str]) -> (i32, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_luster"))
        .args(words)
        .current_dir(luster.path())
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

#[test]
fn what_it_writes_is_right_and_runs() {
    let package =
        json!({"scripts": {"start": "NODE_ENV=production node --no-warnings src/web.js"}, "main": "lib.js"});
    let luster = project(&package, &[("src/web.js", APP), ("lib.js", "")]);
    let (code, stdout, stderr) = run(&luster, &["init"]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(
        stdout.starts_with("luster.conf.json5 is written, for src/web.js (scripts.start in package.json)"),
        "{stdout}"
    );
    let (code, _, stderr) = run(&luster, &["check", "--strict"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let again = run(&luster, &["init"]);
    assert_eq!(again.0, 78);
    assert!(again.2.starts_with("luster: luster.conf.json5 is there already; "), "{}", again.2);
    let port = free_port();
    let text = written(&luster).replace("port: 8080", &format!("port: {port}"));
    std::fs::write(luster.path().join("luster.conf.json5"), text).expect("writable");
    let running = luster.config_file("luster.conf.json5").start();
    running.await_listening(1);
    assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "hello");
}

#[test]
fn the_app_is_where_package_json_says_or_in_a_usual_place() {
    let elsewhere =
        "require('http').createServer(() => {}).listen(process.env.PORT || 3000, process.env.portal);";
    for (package, file, text, has_port) in [
        (json!({"main": "lib/app"}), "lib/app.js", APP, true),
        (json!({"main": "./lib"}), "lib/index.js", APP, true),
        (json!({"main": "gone.js", "scripts": {"start": "next start"}}), "server.js", elsewhere, false),
        (json!({}), "dist/index.js", APP, true),
    ] {
        let luster = project(&package, &[(file, text)]);
        let (code, stdout, stderr) = run(&luster, &["init"]);
        assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
        assert_eq!(written(&luster).contains("    server: { port: 8080 },"), has_port, "{file}");
        let (code, _, stderr) = run(&luster, &["check", "--strict"]);
        assert_eq!((code, stderr.as_str()), (0, ""), "{file}");
    }
}

#[test]
fn where_no_app_is_found_nothing_is_written_and_what_was_looked_at_is_told() {
    for (package, words) in [
        (
            json!({"main": "gone.js"}).to_string(),
            "package.json names none that is there, and there is no server.js, ",
        ),
        ("{".to_owned(), "package.json is no JSON: EOF while parsing"),
    ] {
        let luster = Luster::new().file("package.json", &package);
        let (code, stdout, stderr) = run(&luster, &["init"]);
        assert_eq!((code, stdout.as_str()), (78, ""));
        assert!(stderr.starts_with("luster: ") && stderr.contains(words), "{stderr}");
        assert!(!luster.path().join("luster.conf.json5").exists());
    }
    let luster = Luster::new().file("index.js", APP).file("luster.conf.js", "module.exports = {}");
    let (code, _, stderr) = run(&luster, &["init"]);
    assert!(code == 78 && stderr.contains("luster.conf.js is there already"), "{stderr}");
}
