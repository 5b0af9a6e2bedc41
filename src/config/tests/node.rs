//! Configurations that are programs, run by a real Node.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::Exit;
use crate::config::evaluate::{Exported, evaluate};
use crate::config::find::flavour;
use crate::config::literal::{Flavour, exported_literal};
use crate::config::tests::Story;
use crate::config::{Error, ModuleFailure, Source};

fn module(body: &str) -> Story {
    Story::new().file("luster.conf.js", body)
}

/// What Node says the file exports.
fn by_node(story: &Story, name: &str) -> Value {
    let file = story.path().join(name);
    match evaluate(&file, name, flavour(&file), &story.request).unwrap() {
        Exported::Object(written) => written.value,
        Exported::Other(kind) => panic!("{name} exports a {kind}"),
    }
}

#[test]
fn literals_are_read_as_node_reads_them() {
    let bodies = [
        "{}",
        "{app: 'worker', 'a b': 1, \"c\": [1, 2.5, -3, 0.1, 8080.0, 123456789012345], }",
        "{$a_1: null, true: false, class: true, nested: {a: {b: {c: [[], {}, [{}]]}}}}",
        r#"{a: 'it\'s', b: "\x41\u00e9\u{0}".length, }"#,
        r#"{a: '\n\t\\\/\q\v\0', b: "é\u2028😀\ud83d\ude00", c: 'line\
continued'}"#,
        "{ /* one */ a /* two */ : // three\n 1 }",
        "{a: 0.000001, b: 999999999999999, c: -0.5, d: 1.10}",
        "{constructor: 1, toString: 2, hasOwnProperty: null, then: 3}",
        "{z: 1, y: 2, x: {c: 1, b: 2, a: 3}}",
        "{'': 1, ' ': 2, 'a.b': 3}",
        "{a: 1e3}",
        "{a: 010}",
        "{a: 1, a: 2}",
        "{__proto__: {a: 1}, b: 2}",
        "{2: 'two', 1: 'one', a: 0}",
        "{a: 12345678901234567890, b: 0.1234567890123456789, c: -0}",
        "{a: undefined, b: NaN, c: [undefined, Infinity]}",
    ];
    for body in bodies {
        for (name, prefix) in [
            ("c.js", "module.exports = "),
            ("c.cjs", "'use strict';\nexports = module.exports ="),
            ("c.mjs", "export default "),
        ] {
            let text = format!("{prefix}{body}\n");
            let story = Story::new().file(name, &text);
            let file = story.path().join(name);
            // ES modules are always strict: some of these are no programs there.
            let Some(ours) = exported_literal(&text, flavour(&file)) else { continue };
            let (ours, theirs) = (ours.to_json(), by_node(&story, name));
            assert_eq!(ours, theirs, "{text}");
            assert_eq!(ours.to_string(), theirs.to_string(), "the same order of keys: {text}");
        }
    }
}

#[rustfmt::skip]
const PIECES: &[&str] = &[
    "{", "}", "[", "]", ",", ":", ";", " ", "\n", "a", "b", "$", "'c'", "\"d\"", "'\\u0041'", "'\\0'", "1", "-", "0",
    "true", "null", "undefined", "/*x*/", "//y\n", "{a:1}", "[1,2]", "{b:'x',}", "a:", "b:", "'e':", ",f:", "get", "-1",
    "\u{2028}", "-0", "__proto__:", "7:", "'8':", "<!--", "-->", "/", "`t`", "\\", "#", "0x1", "e1", "async", "\r", ".5",
    "1.50", "\u{feff}",
];

/// Texts put together from pieces that are near to what the reader accepts, and Node's opinion of all that it did.
#[test]
fn whatever_is_taken_for_a_literal_is_the_same_to_node() {
    let strategy = prop::collection::vec(prop::sample::select(PIECES), 0..9);
    let mut runner = TestRunner::deterministic();
    let mut texts = Vec::new();
    for _ in 0..40_000 {
        let inside = strategy.new_tree(&mut runner).unwrap().current().concat();
        let text = match texts.len() % 3 {
            0 => format!("'use strict'{inside}module.exports = {{}}"),
            1 => format!("module.exports = {{a0: {inside}}}"),
            _ => format!(
                "exports = module.exports = {{{inside}}}{}",
                inside.chars().next().map(String::from).unwrap_or_default()
            ),
        };
        if let Some(node) = exported_literal(&text, Flavour::CommonJs) {
            texts.push((text, node.to_json()));
        }
    }
    assert!(texts.len() > 500, "only {} of the texts are literals", texts.len());
    let list: Vec<&String> = texts.iter().map(|(text, _)| text).collect();
    let story = module(&format!(
        "module.exports = {{all: {}.map(text => {{
            const module = {{exports: {{}}}};
            try {{ new Function('module', 'exports', text)(module, module.exports); }} catch (e) {{ return String(e); }}
            return module.exports;
        }})}}",
        serde_json::to_string(&list).unwrap()
    ));
    for ((text, ours), theirs) in
        texts.iter().zip(by_node(&story, "luster.conf.js")["all"].as_array().unwrap())
    {
        assert_eq!(ours.to_string(), theirs.to_string(), "{text}");
    }
}

#[test]
fn the_plain_ones_need_no_node() {
    let mut story = module("module.exports = {app: 'worker'}");
    story.request.node = None;
    assert_eq!(story.loaded().source, Source::Literal);
}

#[test]
fn every_way_to_export_is_understood() {
    let package = r#"{"type": "module"}"#;
    for (name, body) in [
        ("c.js", "exports.app = 'worker'"),
        ("c.js", "module.exports = Promise.resolve({app: 'worker'})"),
        ("c.js", "module.exports = new Promise(done => setTimeout(done, 10, {app: 'worker'}))"),
        (
            "c.js",
            "Object.defineProperty(exports, '__esModule', {value: true}); exports.default = {app: 'worker'}",
        ),
        ("c.mjs", "export const app = 'worker'"),
        ("c.mjs", "const app = await Promise.resolve('worker'); export default {app}"),
        ("esm/c.js", "import path from 'path'; export default {app: path.basename('/x/worker')}"),
        ("c.js", "module.exports = new (class { constructor() { this.app = 'worker' } })()"),
    ] {
        let story = Story::new()
            .file("esm/package.json", package)
            .file("esm/worker.js", "")
            .file(name, body)
            .config(name);
        let loaded = story.loaded();
        assert_eq!((loaded.source, loaded.written), (Source::Module, json!({"app": "worker"})), "{body}");
    }
}

#[test]
fn a_program_sees_luster_as_its_master_would() {
    let story = module(
        "const luster = require('luster'), cluster = require('cluster');
        require('./other');
        module.exports = {
            app: require.resolve('./worker'), argv: process.argv.slice(1), conf: process.env.LUSTER_CONF,
            main: require.main.filename, isMain: require.main === module, parent: module.parent === require.main,
            master: [luster.isMaster, luster.isWorker, cluster.isMaster], execArgv: process.execArgv,
            cwd: process.cwd() === __dirname, global: typeof flag,
        }",
    );
    let mut story = story
        .file("other.js", "global.flag = 1")
        .file("pre.js", "")
        .environment("x=1")
        .config("./luster.conf.js");
    story.request.node_arguments = vec!["--max-http-header-size=16384".into(), "--inspect=0".into()];
    let value = story.value();
    assert_eq!(value["argv"], json!(["/usr/bin/luster", "./luster.conf.js"]));
    assert_eq!((&value["conf"], &value["x"]), (&json!("x=1"), &json!(1)));
    assert_eq!(value["main"], "/usr/bin/luster");
    assert_eq!((&value["isMain"], &value["parent"]), (&json!(false), &json!(true)));
    assert_eq!(value["master"], json!([true, false, true]));
    assert_eq!(value["execArgv"], json!(["--max-http-header-size=16384"]));
    assert_eq!((&value["cwd"], &value["global"]), (&json!(true), &json!("number")));
    assert!(story.environment("").value()["argv"].is_array());
}

#[test]
fn a_program_finds_no_globals_that_workers_would_not() {
    let list = "Object.getOwnPropertyNames(globalThis).sort().concat(typeof crypto.subtle, typeof fetch)";
    let story = module(&format!("module.exports = {{app: 'worker', list: {list}}}"))
        .file("plain.js", format!("console.log(JSON.stringify({list}))"));
    let plain = std::process::Command::new("node").arg(story.path().join("plain.js")).output().unwrap();
    assert_eq!(story.value()["list"], serde_json::from_slice::<Value>(&plain.stdout).unwrap());

    let story = Story::new()
        .file("c.mjs", "export const app = 'worker'; export const seen = typeof require + typeof module");
    assert_eq!(story.config("c.mjs").value()["seen"], "undefinedundefined");
}

#[test]
fn what_is_printed_is_not_taken_for_the_value() {
    let story = module(
        "console.log('{\"app\":\"no\"}'); console.error('5\\n{}'); module.exports = {app: 'work' + 'er'}",
    );
    assert_eq!(story.value(), json!({"app": "worker"}));
}

#[test]
fn what_the_program_left_running_does_not_matter() {
    let started = Instant::now();
    module(
        "setInterval(() => {}, 1000); require('net').createServer().listen(0);
        process.on('exit', () => { for (;;); }); process.reallyExit = process.exit = () => {}; JSON.stringify = null;
        module.exports = {app: 'work' + 'er'}",
    )
    .loaded();
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn what_json_cannot_say_is_left_out_or_named() {
    let story = module(
        "const a = {x: 1}; a.self = a;
        module.exports = {
            app: 'worker', workers: undefined, f() {}, when: new Date(0), re: /x/, list: [undefined, () => 1], a,
            lone: '\\ud800', ['__proto__']: 1, get bad() { throw 1 },
            control: {allowedSequentialDeaths: Infinity}, twice: [a.x, {y: a}], boxed: new Number(3),
        }",
    );
    let loaded = story.loaded();
    let mut written = loaded.written;
    assert_eq!(loaded.settings.policy.limits.allowed_sequential_deaths, u32::MAX);
    assert_eq!(written["when"], "1970-01-01T00:00:00.000Z");
    assert_eq!(written["list"], json!([null, null]));
    assert_eq!(
        (&written["a"], &written["lone"], &written["boxed"]),
        (&json!({"x": 1}), &json!("\u{fffd}"), &json!(3))
    );
    assert_eq!(written["twice"], json!([1, {"y": {"x": 1}}]));
    let members = written.as_object_mut().unwrap();
    assert!(members.contains_key("__proto__"));
    assert!(["workers", "f", "bad"].iter().all(|key| !members.contains_key(*key)));

    let error = module("module.exports = {app() {}, workers: NaN, server: {port: /x/, groups: -Infinity}, extensions: new Date()}").error();
    for message in [
        "luster.conf.js: Property \"app\" type is \"function\", but string is expected",
        "Property \"workers\" is NaN, but a whole number",
        "Property \"server.port\" type is \"regexp\", but number or string is expected",
        "Property \"server.groups\" is -Infinity, but",
        "Property \"extensions\" type is \"date\", but object is expected",
    ] {
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn an_endless_value_comes_to_an_end() {
    let story =
        module("let a = {}; for (let i = 0; i < 100000; i++) a = {a}; module.exports = {app: 'worker', a}");
    story.loaded();
    let story = module("module.exports = {app: 'worker', a: 'x'.repeat(17 * 1024 * 1024)}");
    assert_eq!(story.error(), "luster.conf.js: the configuration's value is larger than 16 MiB as JSON");
}

#[test]
fn a_thrown_error_is_shown_with_its_own_stack() {
    let story =
        module("\nif (!process.env.NO_SUCH_VARIABLE)\n    throw new Error('NO_SUCH_VARIABLE is not set')");
    let error = story.error();
    assert!(error.starts_with("luster.conf.js: the configuration threw an error\n\n"), "{error}");
    assert!(
        error.contains("Error: NO_SUCH_VARIABLE is not set\n    at Object.<anonymous> (luster.conf.js:3:11)"),
        "{error}"
    );
    assert!(!error.contains("[eval]"), "{error}");
    assert_eq!(story.load().unwrap_err().exit(), Exit::Config);

    for (body, message) in [
        ("throw 'text'", "text"),
        ("throw undefined", "undefined"),
        ("module.exports = Promise.reject(new TypeError('late'))", "TypeError: late"),
        ("require('./no-such-module')", "Cannot find module './no-such-module'"),
        ("module.exports = {", "luster.conf.js:1"),
    ] {
        let error = module(body).error();
        assert!(error.contains(message), "{body}\n{error}");
    }
    let error = Story::new().file("c.mjs", "let x = ;\nexport default x").config("c.mjs").error();
    assert!(error.contains("SyntaxError"), "{error}");
}

#[test]
fn a_program_that_ends_node_is_told_apart() {
    for (body, how) in [
        ("process.exit(3)", "exit status: 3"),
        ("process.kill(process.pid, 'SIGKILL')", "signal: 9"),
        ("module.exports = new Promise(() => {})", "exit status: 0"),
    ] {
        let story = module(body);
        let error = story.load().unwrap_err();
        assert!(matches!(error, Error::Module { failure: ModuleFailure::Ended(_), .. }), "{error}");
        assert!(error.to_string().contains(how), "{error}");
        assert_eq!(error.exit(), Exit::Config);
    }
}

#[test]
fn a_program_that_takes_too_long_is_killed() {
    for body in ["for (;;);", "module.exports = new Promise(() => setInterval(() => {}, 1000))"] {
        let mut story =
            module(&format!("require('fs').writeFileSync(__dirname + '/pid', `${{process.pid}}`);\n{body}"));
        story.request.evaluation_deadline = Duration::from_secs(2);
        assert_eq!(story.error(), "luster.conf.js: the configuration gave no value within 2 s");
        let pid = std::fs::read_to_string(story.path().join("pid")).unwrap();
        assert!(!std::path::Path::new("/proc").join(pid).exists(), "it is gone, and was waited for");
    }
}

#[test]
fn without_node_a_program_cannot_be_read() {
    let mut story = module("module.exports = {app: process.argv[0]}");
    story.request.node = None;
    let error = story.load().unwrap_err();
    assert_eq!(error.exit(), Exit::ForkOrExec);
    assert!(matches!(error, Error::NoNode { .. }), "{error}");
    story.request.node = Some("/no/such/node".into());
    let error = story.load().unwrap_err();
    assert_eq!(error.exit(), Exit::ForkOrExec);
    assert!(error.to_string().contains("/no/such/node could not be started"), "{error}");
}
