//! A custom master whose `configure` fails or is called again: what the script can do about it, and what is said and how it
//! ends if it does nothing.

use serde_json::{Value, json};

use crate::harness::{HTTP, Luster, Node, TELL, on_oldest_and_newest, usual_node};

/// What is wrong with it, as luster says it.
const WRONG: &str = "{ app: './other.js', workers: 'many', extensions: { absent: {} } }";
const SENTENCE: &str =
    "master.js: \"workers\" must be a number, not the string \"many\"; leave it out for one worker per CPU";

/// A custom master that is this, with a `good` configuration at hand.
fn script(body: &str) -> Luster {
    let master = format!(
        "{TELL}const luster = require('luster');
        const good = {{ app: './worker.js', workers: 1, extensions: {{ mine: {{}} }}, x: 1 }};
        {body}"
    );
    let app = "const luster = require('luster');
        luster.once('ready', () => console.log(JSON.stringify({ wid: luster.wid, x: luster.config.get('x'),
            mine: luster.mine, env: process.env.LUSTER_VALIDATE })));";
    Luster::new()
        .file("master.js", &master)
        .file("worker.js", &format!("{app}{HTTP}"))
        .file("other.js", "console.log('the wrong app');")
        .file("node_modules/mine.js", "exports.configure = (config, luster) => { luster.mine = true; };")
}

/// The one worker runs the good configuration, and everything ends well; what else has been told.
#[track_caller]
fn runs(body: &str, node: &Node, x: i64) -> Vec<Value> {
    let luster = script(body).by_script(node, &[]).start();
    luster.await_ready(1);
    let is_worker = |told: &Value| told["x"].is_i64();
    let worker = luster.await_told_where(1, "the worker", is_worker);
    assert_eq!(worker, [json!({"wid": 1, "x": x, "mine": true})], "Node {}", node.major);
    assert!(!luster.stdout().contains("the wrong app"));
    let told = luster.told().into_iter().filter(|told| !is_worker(told)).collect();
    assert_eq!(luster.stop().0, 0);
    told
}

/// It ends by itself with this code, having said this and nothing else.
#[track_caller]
fn ends(luster: &Luster, code: i32, stdout: &str, stderr: &str) {
    assert_eq!(luster.output(), (code, stdout.to_owned(), stderr.to_owned()));
}

#[test]
fn a_script_can_catch_it_and_try_another_one_which_its_workers_take_too() {
    let body = format!(
        "try {{
            luster.configure({WRONG}, true, __dirname);
        }} catch (error) {{
            tell({{ name: error.name, code: error.code, message: error.message }});
            luster.configure(good, true, __dirname).run();
        }}"
    );
    on_oldest_and_newest(|node| {
        let told = runs(&body, node, 1);
        let expected = |wid: Value| {
            json!({"wid": wid, "name": "LusterConfigurationError", "code": "CONFIGURATION_CHECK_FAILED",
                "message": "Configuration check failed"})
        };
        assert_eq!(told, [expected(Value::Null), expected(json!(1))], "Node {}", node.major);
    });
}

#[test]
fn a_listener_hears_of_it_and_another_one_may_follow() {
    let body = format!(
        "luster.on('error', error => tell({{ code: error.code }}));
        luster.configure({WRONG}, true, __dirname);
        luster.configure(good, true, __dirname).run();"
    );
    on_oldest_and_newest(|node| {
        let expected = |wid: Value| json!({"wid": wid, "code": "CONFIGURATION_CHECK_FAILED"});
        assert_eq!(runs(&body, node, 1), [expected(Value::Null), expected(json!(1))], "Node {}", node.major);
    });
}

#[test]
fn no_configuration_at_all_is_refused_like_any_other() {
    for nothing in ["", "null, false", "() => {}"] {
        let luster = script(&format!(
            "try {{ luster.configure({nothing}); }} catch (error) {{ console.log(error.code); }}"
        ));
        let words = "master.js: the configuration must be an object, not null\n";
        ends(&luster.by_script(&usual_node(), &[]), 0, "CONFIGURATION_CHECK_FAILED\n", words);
    }
}

#[test]
fn of_two_good_ones_the_second_counts_in_workers_too() {
    let body = "luster.configure(good, true, __dirname);
        luster.configure({ ...good, x: 2 }, true, __dirname).run();";
    assert_eq!(runs(body, &usual_node(), 2), [] as [Value; 0]);
}

#[test]
fn what_nobody_catches_is_told_in_its_own_words_and_ends_the_script_with_78() {
    let configure = format!("luster.configure({WRONG}, true, __dirname).run();");
    let words = format!("{SENTENCE}\n");
    on_oldest_and_newest(|node| {
        for body in [configure.clone(), format!("(async () => {{ {configure} }})();")] {
            let luster = script(&format!("process.on('exit', code => console.log(code)); {body}"));
            let (code, stdout, stderr) = luster.by_script(node, &[]).output();
            assert_eq!((code, stdout.as_str()), (78, "78\n"), "Node {}", node.major);
            assert!(stderr.contains(&words) && !stderr.contains("    at "), "Node {}: {stderr}", node.major);
        }
        let module = format!("import luster from 'luster'; luster.configure({WRONG}).run();");
        let luster = Luster::new().file("package.json", r#"{"type": "module"}"#).file("master.js", &module);
        let (code, _, stderr) = luster.by_script(node, &[]).output();
        assert_eq!(code, 78, "Node {}", node.major);
        assert!(stderr.contains(&words) && !stderr.contains("    at "), "Node {}: {stderr}", node.major);
    });
}

#[test]
fn every_mistake_is_told_at_once() {
    let master = "require('luster').configure({ app: './worker.js', workers: 'many', server: { port: /x/ } }, true, __dirname).run();";
    let luster = Luster::new().file("worker.js", "").file("master.js", master).by_script(&usual_node(), &[]);
    let (code, _, stderr) = luster.output();
    assert_eq!(code, 78);
    assert!(stderr.contains(SENTENCE), "{stderr}");
    assert!(stderr.contains("\"server.port\" must be a port from 1 to 65535 or the path of a unix socket (\"run/app.sock\"), not a regexp"), "{stderr}");
}

#[test]
fn a_script_that_only_listens_ends_by_itself_and_one_that_handles_uncaught_errors_decides() {
    let configure = "luster.configure({ app: './worker.js', workers: 'many' }, true, __dirname).run();";
    let luster = script(&format!("luster.on('error', error => console.log(error.code)); {configure}"));
    let words = format!("{SENTENCE}\n");
    ends(&luster.by_script(&usual_node(), &[]), 0, "CONFIGURATION_CHECK_FAILED\n", &words);
    let handler =
        "process.on('uncaughtException', error => { console.log(error.code); process.exitCode = 5; });";
    let luster = script(&format!("{handler} {configure}"));
    ends(&luster.by_script(&usual_node(), &[]), 5, "CONFIGURATION_CHECK_FAILED\n", &words);
}

/// A script that configures what is right, where there is no binary.
fn without_binary(body: &str) -> Luster {
    script(body).by_script(&usual_node(), &[]).env("LUSTER_BINARY", "/no/such/luster")
}

#[test]
fn a_script_without_its_binary_says_what_to_do_and_ends_with_71() {
    let words = "LUSTER_BINARY is /no/such/luster, and there is no such file; name luster's native binary, or unset it to use \
        the one that was installed\n";
    let configure = "luster.configure(good, true, __dirname).run();";
    ends(&without_binary(configure), 71, "", &format!("luster: {words}"));
    let listener = "luster.on('error', error => console.log(error.name, error.code, error.message));";
    let heard = format!("BinaryError BINARY_UNUSABLE {words}");
    ends(&without_binary(&format!("{listener} {configure}")), 71, &heard, "");
    let caught =
        format!("try {{ {configure} }} catch (error) {{ console.log(error.code); process.exitCode = 3; }}");
    ends(&without_binary(&caught), 3, "BINARY_UNUSABLE\n", "");
}

#[test]
fn an_extension_that_is_missing_is_told_in_one_sentence_unless_the_script_handles_that() {
    let configure = "luster.configure({ ...good, extensions: { nowhere: {} } }, true, __dirname).run();";
    let (code, _, stderr) = script(configure).by_script(&usual_node(), &[]).output();
    assert_eq!((code, stderr.lines().count()), (78, 1), "{stderr}");
    assert!(stderr.starts_with("luster: Extension \"nowhere\" is not found in "), "{stderr}");
    let caught = format!("try {{ {configure} }} catch (error) {{ console.log(error.code); }}");
    ends(&script(&caught).by_script(&usual_node(), &[]), 0, "EXTENSION_NOT_FOUND\n", "");
}
