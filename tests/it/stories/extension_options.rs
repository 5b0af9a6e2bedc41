//! What an extension is given when it is configured: its options, of whatever kind, and a process that others have prepared.

use serde_json::{Value, json};

use crate::harness::{Luster, Running, TELL, on_every_node};

#[track_caller]
fn ends_well(luster: Running) {
    let (code, log) = luster.stop();
    assert_eq!(code, 0, "{log:?}");
}

/// The one extension there is, with these options, tells of them in the host and in the worker.
fn told_of(options: &str, extension: &str) -> Vec<Value> {
    let config = "const config = {app: './worker.js', workers: 1, extensions: {mine: OPTIONS}};";
    told_by(&config.replace("OPTIONS", options), extension)
}

/// The same with this `config`.
fn told_by(config: &str, extension: &str) -> Vec<Value> {
    let luster = Luster::new()
        .file("worker.js", "")
        .file("luster.conf.js", &format!("{config} module.exports = config;"))
        .file("node_modules/mine.js", &format!("{TELL}{extension}"))
        .start();
    luster.await_ready(1);
    let told = luster.await_told(2);
    ends_well(luster);
    told
}

#[test]
fn an_extension_has_its_two_sides_whatever_its_options_are() {
    let extension = "exports.configure = config => tell({ kind: typeof config });";
    for (options, kind) in [
        ("undefined", "undefined"),
        ("() => 1", "function"),
        ("class Options {}", "function"),
        ("Symbol('x')", "symbol"),
        ("10n", "bigint"),
        ("NaN", "number"),
    ] {
        let told = told_of(options, extension);
        let expected = [json!({"wid": null, "kind": kind}), json!({"wid": 1, "kind": kind})];
        assert_eq!(told, expected, "{options}");
    }
}

#[test]
fn options_that_luster_cannot_follow_are_still_the_extensions() {
    let config =
        "const config = {app: './worker.js', workers: 1, extensions: {}}; config.extensions.mine = config;";
    let told =
        told_by(config, "exports.configure = config => tell({ app: config.get('extensions.mine.app') });");
    assert_eq!(told, [json!({"wid": null, "app": "./worker.js"}), json!({"wid": 1, "app": "./worker.js"})]);
}

#[test]
fn options_that_are_null_are_empty() {
    let extension =
        "exports.configure = config => tell({ found: config.get('x', 'default'), keys: config.getKeys() });";
    let expected = |wid: Value| json!({"wid": wid, "found": "default", "keys": []});
    assert_eq!(told_of("null", extension), [expected(Value::Null), expected(json!(1))]);

    let luster = Luster::with("", json!({"workers": 1})).env("LUSTER_CONF", "extensions.mine=null");
    let luster = luster.file("node_modules/mine.js", &format!("{TELL}{extension}")).start();
    assert_eq!(luster.await_told(2), [expected(Value::Null), expected(json!(1))]);
    luster.await_ready(1);
    ends_well(luster);
}

#[test]
fn undefined_options_can_be_set_from_the_environment() {
    let config = "module.exports = {app: './worker.js', workers: 1, extensions: {mine: undefined}};";
    let luster = Luster::new().file("worker.js", "").file("luster.conf.js", config);
    let extension = format!("{TELL}exports.configure = config => tell({{ x: config.get('x') }});");
    let luster =
        luster.file("node_modules/mine.js", &extension).env("LUSTER_CONF", "extensions.mine.x=5").start();
    assert_eq!(luster.await_told(2), [json!({"wid": null, "x": 5}), json!({"wid": 1, "x": 5})]);
    luster.await_ready(1);
    ends_well(luster);
}

#[test]
fn what_an_extension_puts_off_to_a_promise_or_a_tick_is_done_before_the_next_one() {
    let later = |put_off: &str| {
        format!(
            "exports.configure = (config, luster, done) => {put_off}(() => {{ luster.seen = (luster.seen || 0) + 1; done(); }});"
        )
    };
    let last = format!("{TELL}exports.configure = (config, luster) => tell({{ seen: luster.seen }});");
    on_every_node(|node| {
        let config = json!({"workers": 1, "extensions": {"promise": {}, "tick": {}, "last": {}}});
        let luster = Luster::with("", config)
            .file("node_modules/promise.js", &later("Promise.resolve().then"))
            .file("node_modules/tick.js", &later("process.nextTick"))
            .file("node_modules/last.js", &last)
            .node(node)
            .start();
        let expected = [json!({"wid": null, "seen": 2}), json!({"wid": 1, "seen": 2})];
        assert_eq!(luster.await_told(2), expected, "Node {}", node.major);
        luster.await_ready(1);
        ends_well(luster);
    });
}

#[test]
fn an_extension_knows_its_process_from_the_first() {
    let extension =
        format!("{TELL}exports.configure = (config, luster) => tell({{ pid: luster.pid === process.pid }});");
    on_every_node(|node| {
        let luster = Luster::with("", json!({"workers": 1, "extensions": {"mine": {}}}));
        let luster = luster.file("node_modules/mine.js", &extension).node(node).start();
        let expected = [json!({"wid": null, "pid": true}), json!({"wid": 1, "pid": true})];
        assert_eq!(luster.await_told(2), expected, "Node {}", node.major);
        luster.await_ready(1);
        ends_well(luster);
    });
}

#[test]
fn an_extension_named_by_its_path_has_its_options_though_there_are_dots_in_its_name() {
    let extension = format!("{TELL}exports.configure = config => tell({{ x: config.get('x') }});");
    for name in ["./lib/mine.js", "./lib/mine", "../up.js"] {
        let config = json!({"app": "app/worker.js", "workers": 1, "extensions": {name: {"x": 5}}});
        let luster = Luster::with("", config)
            .file("app/worker.js", "")
            .file("app/lib/mine.js", &extension)
            .file("up.js", &extension)
            .start();
        luster.await_ready(1);
        assert!(luster.await_told(2).iter().all(|told| told["x"] == 5), "{name}: {:?}", luster.told());
        ends_well(luster);
    }
}
