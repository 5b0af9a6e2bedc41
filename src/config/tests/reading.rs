//! Which file is read, as what, and what happens when it cannot be.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::{fs, io};

use nix::sys::stat::Mode;
use serde_json::json;

use crate::config::tests::{Story, json_error};
use crate::config::{Error, SourceFormat};
use crate::exit::Exit;

#[test]
fn luster_conf_in_the_working_directory_is_the_default() {
    let story = Story::new().file("luster.conf.json", r#"{"app": "worker"}"#);
    let loaded = story.loaded();
    assert_eq!(
        (loaded.path, loaded.base_dir),
        (story.path().join("luster.conf.json"), story.path().to_owned())
    );
    assert_eq!(loaded.source, SourceFormat::Json);
}

#[test]
fn each_kind_is_told_by_its_extension() {
    for (name, body, source) in [
        ("c.json", "\u{feff}{\"app\": \"worker\"}", SourceFormat::Json),
        ("c.json5", "// c\n{app: 'worker',}", SourceFormat::Json5),
        ("c.js", "module.exports = {app: 'worker'}", SourceFormat::Literal),
        ("c.cjs", "module.exports = {app: 'worker'}", SourceFormat::Literal),
        ("c.mjs", "export default {app: 'worker'}", SourceFormat::Literal),
        ("luster.conf", "module.exports = {app: 'worker'}", SourceFormat::Literal),
    ] {
        let loaded = Story::new().file(name, body).config(name).loaded();
        assert_eq!((loaded.source, &loaded.raw), (source, &json!({"app": "worker"})), "{name} {body}");
    }
}

#[test]
fn relative_paths_start_from_the_folder_of_what_was_asked_for() {
    let story = Story::new().file("conf/production/luster.json", r#"{"app": "../../worker"}"#);
    let story = story.config("conf/production/luster");
    assert_eq!(story.loaded().settings.app, story.path().join("worker.js"));

    let story = Story::new().file("conf/index.json", r#"{"app": "worker"}"#).config("conf/");
    let loaded = story.loaded();
    assert_eq!(
        (loaded.path, loaded.base_dir),
        (story.path().join("conf/index.json"), story.path().to_owned())
    );
}

#[test]
fn a_symbolic_link_is_a_file_where_it_stands() {
    let story = Story::new().file("real/c.json", r#"{"app": "worker"}"#).config("c.json");
    symlink(story.path().join("real/c.json"), story.path().join("c.json")).unwrap();
    assert_eq!(story.loaded().base_dir, story.path());
}

#[test]
fn a_missing_configuration_tells_what_was_looked_for() {
    let story = Story::new();
    assert_eq!(
        story.error(),
        "luster.conf: there is no such configuration; looked for\n  luster.conf\n  luster.conf.js\n  luster.conf.json\n  \
         luster.conf.cjs\n  luster.conf.mjs\n  luster.conf.json5"
    );
    assert_eq!(story.load().unwrap_err().exit(), Exit::Config);
}

#[test]
fn one_that_may_not_be_read_exits_with_77() {
    let story = Story::new().file("luster.conf.json", "{}");
    fs::set_permissions(story.path().join("luster.conf.json"), fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything; the mapping is then all that can be tested.
    let error = match story.load() {
        Err(error @ Error::Unreadable { .. }) => error,
        _ => Error::Unreadable { path: "x".into(), source: io::Error::from_raw_os_error(nix::libc::EPERM) },
    };
    assert_eq!(error.exit(), Exit::Permission);
}

#[test]
fn syntax_errors_are_shown_with_their_place() {
    assert_eq!(
        json_error("{\n  \"app\": \"a\"\n  \"b\": 1\n}"),
        "luster.conf.json:3:3: expected `,` or `}`\n  3 |   \"b\": 1\n    |   ^"
    );
    let error = Story::new().file("c.json5", "{\n app: 'x' y: 1}").config("c.json5").error();
    assert!(error.starts_with("c.json5:2:11: a comma or a closing brace is expected here\n"), "{error}");
}

#[test]
fn json_that_is_really_json5_gets_a_hint() {
    assert!(json_error("{app: 'worker', /* c */}").contains("hint: JSON has no comments"));
    assert!(!json_error("{").contains("hint"));
}

#[test]
fn json_that_would_be_run_as_javascript_is_told_its_right_name() {
    let story = Story::new().file("luster.conf", "{\"app\": \"worker\"}");
    assert_eq!(
        story.error(),
        "luster.conf:1:1: this is not JavaScript, but that is what a file of this name is read as\n  \
         1 | {\"app\": \"worker\"}\n    | ^\n  hint: it reads as JSON5; name it `.json` or `.json5`"
    );
}

#[test]
fn deep_nesting_is_an_error_in_every_notation() {
    for name in ["c.json", "c.json5"] {
        let story = Story::new().file(name, "[".repeat(100_000)).config(name);
        assert_eq!(story.load().unwrap_err().exit(), Exit::Config, "{name}");
    }
}

#[test]
fn a_huge_file_is_refused() {
    let story = Story::new().file("luster.conf.json", " ".repeat(16 * 1024 * 1024 + 1));
    assert_eq!(story.error(), "luster.conf.json: the configuration is larger than 16 MiB");
}

#[test]
fn a_pipe_is_refused_rather_than_waited_for() {
    let story = Story::new();
    nix::unistd::mkfifo(&story.path().join("luster.conf.json"), Mode::S_IRWXU).unwrap();
    assert_eq!(story.error(), "luster.conf.json: the configuration is not a regular file");
}

#[test]
fn a_configuration_must_be_an_object() {
    assert_eq!(json_error("[]"), "luster.conf.json: the configuration must be an object, not an array");
}

#[test]
fn literal_files_tell_places_too() {
    let story =
        Story::new().file("luster.conf.js", "module.exports = {\n    app: 'worker',\n    workers: 'x',\n};");
    assert_eq!(
        story.error(),
        "luster.conf.js:3:14: \"workers\" must be a number, not the string \"x\"; leave it out for one worker per CPU\n  \
         3 |     workers: 'x',\n    |              ^^^"
    );
}
