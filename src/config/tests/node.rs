//! What is read without Node, held against what a real Node reads.

use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use crate::config::SourceFormat;
use crate::config::find::flavour;
use crate::config::literal::{Flavour, exported_literal};
use crate::config::tests::Story;

/// What Node says the file exports.
fn by_node(file: &Path) -> Value {
    let script = "import(require('url').pathToFileURL(process.argv[1]).href)
        .then(module => console.log(JSON.stringify(module.default)))";
    let printed = Command::new("node").args(["-e", script]).arg(file).output().unwrap();
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    serde_json::from_slice(&printed.stdout).unwrap()
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
            let (ours, theirs) = (ours.to_json(), by_node(&file));
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
    let story = Story::new().file("luster.conf.js", format!(
        "module.exports = {{all: {}.map(text => {{
            const module = {{exports: {{}}}};
            try {{ new Function('module', 'exports', text)(module, module.exports); }} catch (e) {{ return String(e); }}
            return module.exports;
        }})}}",
        serde_json::to_string(&list).unwrap()
    ));
    for ((text, ours), theirs) in
        texts.iter().zip(by_node(&story.path().join("luster.conf.js"))["all"].as_array().unwrap())
    {
        assert_eq!(ours.to_string(), theirs.to_string(), "{text}");
    }
}

#[test]
fn the_plain_ones_need_no_node() {
    // The story has none.
    let story = Story::new().file("luster.conf.js", "module.exports = {app: 'worker'}");
    assert_eq!(story.loaded().source, SourceFormat::Literal);
}
