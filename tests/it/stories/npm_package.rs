//! The npm package as it is published: packed, installed into an empty folder without a registry, and run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Luster, Target, free_port, get, package, packages};

/// The tarball, made as the README says.
pub(super) static TARBALL: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tarball");
    std::fs::create_dir_all(&folder).expect("writable");
    let mut pack = Command::new("node");
    pack.arg(package().join("pack/offline.js")).arg(env!("CARGO_BIN_EXE_luster")).arg(&folder);
    let output = pack.output().expect("node is there");
    let stdout = told(&output);
    assert!(output.status.success(), "{stdout}");
    stdout.lines().last().expect("its path").into()
});

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout))
}

fn npm(folder: &Path, args: &[&str]) -> Output {
    // Nothing is asked of a registry: there is none at this address.
    Command::new("npm")
        .args(args)
        .current_dir(folder)
        .env("npm_config_registry", "http://127.0.0.1:9/")
        .env("npm_config_audit", "false")
        .env_remove("LUSTER_BINARY")
        .output()
        .expect("npm is there")
}

fn install() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let output = npm(folder.path(), &["install", "--foreground-scripts", TARBALL.to_str().expect("UTF-8")]);
    let words = told(&output);
    assert!(output.status.success(), "{words}");
    // npm 11 warns of each package with scripts that nobody has allowed.
    assert!(!words.contains("warn"), "{words}");
    folder
}

fn run(folder: &Path, program: &str, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program);
    let output =
        command.args(args).current_dir(folder).env_remove("LUSTER_BINARY").output().expect("it is there");
    (output.status.code(), told(&output))
}

#[test]
fn the_tarball_runs_in_an_empty_folder() {
    let folder = install();
    let port = free_port();
    let answer = "require('http').createServer((_, r) => r.end('hello')).listen(process.env.port)";
    std::fs::write(folder.path().join("worker.js"), answer).expect("writable");
    let config = json!({"app": "worker.js", "workers": 2, "server": {"port": port}}).to_string();
    std::fs::write(folder.path().join("luster.conf.json"), config).expect("writable");
    let command = folder.path().join("node_modules/.bin/luster");
    // In place of the binary, whose path is the first argument.
    let instead = "command=$0; shift; exec \"$command\" \"$@\"";
    let luster = Luster::new().current_dir(folder.path());
    let luster = luster.through(&["sh", "-c", instead, command.to_str().expect("UTF-8")]);
    let mut luster = luster.without_env("LUSTER_BINARY").start();
    luster.await_listening(2);
    assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "hello");
    luster.signal(Signal::SIGTERM);
    assert_eq!(luster.await_end(), 0);
    let version = concat!("luster ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(run(folder.path(), "npx", &["luster", "--version"]), (Some(0), version.to_owned()));
    let object = "const luster = require('luster'); require('luster/lib/worker_wrapper').STATES.RUNNING + luster.isMaster";
    assert_eq!(run(folder.path(), "node", &["-p", object]), (Some(0), "runningtrue\n".to_owned()));
}

#[test]
fn no_link_of_the_package_leads_nowhere() {
    let folder = install();
    let package = folder.path().join("node_modules/luster");
    // Node is at hand, and finds links as the packing does not: all of them, by their text.
    let script = r#"
        const fs = require('fs'), path = require('path');
        const documents = fs.readdirSync('.', { recursive: true }).filter(name => name.endsWith('.md') && !name.includes('node_modules'));
        for (const document of documents) {
            for (const [, link] of fs.readFileSync(document, 'utf8').matchAll(/\]\(([^)\s]+)/g)) {
                const [file] = link.split('#');
                if (!/^[a-z]+:/.test(file) && !fs.existsSync(path.join(path.dirname(document), file))) {
                    console.log(document, link);
                }
            }
        }
        console.log(documents.includes('README.md'), fs.existsSync('lib/luster.d.ts'), fs.existsSync('luster.conf.json.example'));"#;
    assert_eq!(run(&package, "node", &["-e", script]), (Some(0), "true true true\n".to_owned()));
}

#[test]
fn a_package_without_its_binary_says_what_to_install() {
    let folder = install();
    let modules = folder.path().join("node_modules/luster/node_modules");
    std::fs::remove_dir_all(&modules).expect("it is bundled");
    let (code, words) = run(folder.path(), "node_modules/.bin/luster", &[]);
    assert_eq!(code, Some(71), "{words}");
    for part in ["@luster/linux-", "is not installed", "optional dependencies", "LUSTER_BINARY"] {
        assert!(words.contains(part), "{words}");
    }
}

#[test]
fn what_is_published_for_each_platform_is_all_of_it_and_nothing_else() {
    let list = npm(&package(), &["pack", "--dry-run", "--json", "--ignore-scripts"]);
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).expect("JSON");
    let files =
        list[0]["files"].as_array().expect("files").iter().map(|file| file["path"].as_str().expect("a path"));
    let files: Vec<_> = files.collect();
    for needed in [
        "bin/luster.js",
        "lib/luster.js",
        "lib/luster.d.ts",
        "lib/errors.d.ts",
        "lib/port.d.ts",
        "lib/configuration/index.d.ts",
        "lib/command/stand_in.js",
    ] {
        assert!(files.contains(&needed), "{needed}: {files:?}");
    }
    let strays = files.iter().filter(|file| file.starts_with("test") || file.starts_with("pack/"));
    assert_eq!(strays.count(), 0, "{files:?}");
    let manifest = std::fs::read_to_string(package().join("package.json")).expect("it is there");
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"), "the binary's version is the package's");
    assert_eq!(manifest.get("scripts"), None, "an installation runs nothing");
    let platforms = manifest["optionalDependencies"].as_object().expect("platforms");
    assert!(platforms.values().all(|version| *version == manifest["version"]), "{platforms:?}");
}

#[test]
fn the_typings_hold_for_typical_code_and_against_mistakes() {
    let modules = packages(&["typescript@5", "@types/node@20"]);
    let folder = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(&modules, folder.path().join("node_modules")).expect("writable");
    let types = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/types");
    let paths = json!({"luster": [package().join("lib/luster.d.ts")], "luster/*": [package().join("*")]});
    let config = json!({
        "compilerOptions": {
            "strict": true, "noEmit": true, "module": "nodenext", "types": ["node"], "paths": paths,
            "typeRoots": ["node_modules/@types"],
        },
        "files": [types.join("usage.ts")],
    });
    std::fs::write(folder.path().join("tsconfig.json"), config.to_string()).expect("writable");
    let checked = run(folder.path(), "node", &["node_modules/typescript/bin/tsc", "-p", "."]);
    assert_eq!(checked, (Some(0), String::new()));
}
