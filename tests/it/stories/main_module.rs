//! The app is Node's main module, in every kind of module, with the flags it was given.

use serde_json::{Value, json};

use crate::harness::{Luster, Node, TELL, ending_of, free_ports, node, on_every_node, on_nodes};

/// What an app in `file` tells first, on this Node.
fn first_word(node: &Node, file: &str, code: &str) -> Value {
    let luster = Luster::new().file(file, code).config(json!({"app": file, "workers": 1})).node(node).start();
    let told = luster.await_told(1).remove(0);
    luster.await_ready(1);
    let (exit, log) = luster.stop();
    assert_eq!(exit, 0, "{log:?}");
    told
}

#[test]
fn a_commonjs_app_is_the_main_module() {
    let code = format!(
        "{TELL}tell({{ main: require.main === module, parent: module.parent, id: module.id, mainModule: process.mainModule === module,
            argv: process.argv.slice(1).map(arg => arg === __filename), stack: module.paths[0].endsWith('/dist/node_modules') }});"
    );
    on_every_node(|node| {
        let told = first_word(node, "dist/app.js", &code);
        let expected = json!({"wid": 1, "main": true, "parent": null, "id": ".", "mainModule": true, "argv": [true], "stack": true});
        assert_eq!(told, expected, "Node {}", node.major);
    });
}

/// `tell`, for ES modules.
const TELL_ES: &str = "import { writeSync } from 'fs';
    const tell = what => writeSync(1, JSON.stringify({ wid: Number(process.env.LUSTER_WID), ...what }) + '\\n');\n";

#[test]
fn an_es_module_with_a_top_level_await_is_ready_after_it() {
    let code = format!(
        "{TELL_ES}import {{ createRequire }} from 'module';
        import {{ value }} from './other.mjs';
        const luster = createRequire(import.meta.url)('luster');
        let loaded = false;
        luster.on('loaded', () => {{ loaded = true; }});
        await new Promise(done => setTimeout(done, 100));
        tell({{ value, loaded, argv: process.argv[1].endsWith('.mjs') || process.argv[1].endsWith('.js'), wids: luster.wid }});"
    );
    on_every_node(|node| {
        for (file, package) in [("worker.mjs", "{}"), ("worker.js", r#"{"type": "module"}"#)] {
            let luster = Luster::new()
                .file(file, &code)
                .file("other.mjs", "export const value = await Promise.resolve(7);")
                .file("package.json", package)
                .config(json!({"app": file, "workers": 1}))
                .node(node)
                .start();
            luster.await_ready(1);
            let told = luster.await_told(1);
            let expected = json!({"wid": 1, "value": 7, "loaded": false, "argv": true, "wids": 1});
            assert_eq!(told, [expected], "Node {}: {file}", node.major);
            assert_eq!(luster.stop().0, 0);
        }
    });
}

#[test]
fn import_luster_is_the_same_object_as_require_luster() {
    let code = format!(
        "{TELL_ES}import luster from 'luster';
        import {{ createRequire }} from 'module';
        const again = await import('luster');
        tell({{ same: createRequire(import.meta.url)('luster') === luster && again.default === luster, number: luster.wid }});"
    );
    on_nodes(&[node(18), node(20), node(22), node(24)], |node| {
        let told = first_word(node, "worker.mjs", &code);
        assert_eq!(told, json!({"wid": 1, "same": true, "number": 1}), "Node {}", node.major);
    });
}

/// What Node takes for an ES module by its syntax alone.
#[test]
fn import_luster_works_in_an_app_whose_module_system_node_detects() {
    let code = format!("{TELL_ES}import luster from 'luster'; tell({{ number: luster.wid }});");
    on_nodes(&[node(22), node(24)], |node| {
        let told = first_word(node, "worker.js", &code);
        assert_eq!(told, json!({"wid": 1, "number": 1}), "Node {}", node.major);
    });
    assert_eq!(
        first_word(&node(24), "worker.ts", &code.replace("what =>", "(what: object) =>"))["number"],
        1
    );
}

#[test]
fn import_meta_main_holds_in_the_app_on_node_24() {
    let code = format!(
        "{TELL_ES}import './other.mjs'; tell({{ main: import.meta.main, other: globalThis.other }});"
    );
    let luster = Luster::new()
        .file("worker.mjs", &code)
        .file("other.mjs", "globalThis.other = import.meta.main;")
        .config(json!({"app": "worker.mjs", "workers": 1}))
        .node(&node(24))
        .start();
    assert_eq!(luster.await_told(1), [json!({"wid": 1, "main": true, "other": false})]);
    luster.await_ready(1);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn node_24_runs_typescript_of_every_kind() {
    let common = format!(
        "{TELL}interface X {{ n: number }}\nconst x: X = {{ n: 1 }};\ntell({{ n: x.n, wids: require('luster').wid as number }});"
    );
    let es = format!(
        "{TELL_ES}import luster from 'luster';\ntype N = number;\nconst n: N = await Promise.resolve(1);\ntell({{ n, wids: luster.wid as number }});"
    );
    for (file, code) in [("worker.cts", &common), ("worker.ts", &common), ("worker.mts", &es)] {
        let code = if code.starts_with("const tell =") {
            code.replace("const tell = what", "const tell = (what: object)")
        } else {
            code.replace("= what =>", "= (what: object) =>")
        };
        assert_eq!(first_word(&node(24), file, &code), json!({"wid": 1, "n": 1, "wids": 1}), "{file}");
    }
}

#[test]
fn an_app_that_throws_ends_with_its_own_stack_and_code_1() {
    on_every_node(|node| {
        for (file, code) in [
            ("worker.js", "\n\nthrow new TypeError('my own fault');"),
            ("worker.mjs", "\n\nawait 1; throw new TypeError('my own fault');"),
            ("worker.cjs", "\n\nPromise.reject(new TypeError('my own fault'));"),
        ] {
            let config = json!({"app": file, "workers": 1, "control": {"exitThreshold": 60000}});
            let mut luster = Luster::new().file(file, code).config(config).node(node).start();
            assert_eq!(luster.await_end(), 1);
            assert_eq!(
                ending_of(&luster.await_exit_of(1)),
                "exited with code 1",
                "Node {}: {file}",
                node.major
            );
            luster.await_stderr("TypeError: my own fault");
            luster.await_stderr(&format!("{file}:3"));
        }
    });
}

#[test]
fn a_syntax_error_in_the_app_shows_the_line() {
    on_every_node(|node| {
        let config = json!({"workers": 1, "control": {"exitThreshold": 60000}});
        let mut luster = Luster::with("let x = ;", config).node(node).start();
        assert_eq!(luster.await_end(), 1);
        luster.await_stderr("worker.js:1");
        luster.await_stderr("SyntaxError");
    });
}

#[test]
fn flags_for_node_reach_exec_argv_in_their_order_and_take_effect() {
    let code = format!(
        "{TELL}const limit = require('v8').getHeapStatistics().heap_size_limit / 1048576;
        tell({{ flags: process.execArgv, header: require('http').maxHeaderSize, old: limit < 400 }});"
    );
    on_every_node(|node| {
        let luster = Luster::with(&code, json!({"workers": 1}))
            .node(node)
            .arg("--node-arg=--max-http-header-size=16001")
            .arg("--node-arg=--max-old-space-size=123")
            .arg("--node-arg=--require")
            .arg("--node-arg=./own.js")
            .file("own.js", "globalThis.own = true;")
            .start();
        let expected = json!({"wid": 1, "header": 16001, "old": true,
            "flags": ["--max-http-header-size=16001", "--max-old-space-size=123", "--require", "./own.js"]});
        assert_eq!(luster.await_told(1), [expected], "Node {}", node.major);
        luster.await_ready(1);
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn every_worker_has_an_inspector_port_of_its_own() {
    let code = format!(
        "{TELL}const url = new URL(require('inspector').url());
        tell({{ port: Number(url.port), host: url.hostname, debugPort: process.debugPort }});"
    );
    on_every_node(|node| {
        for (flag, master) in
            [("--inspect=127.0.0.1:", false), ("--inspect", true), ("--inspect-port=", true)]
        {
            let port = free_ports(3);
            let mut config = json!({"workers": 2});
            let mut flags = vec![flag.to_owned()];
            if master {
                config["properties"] = json!({"masterInspectPort": port});
            }
            if flag.ends_with(':') || flag.ends_with('=') {
                flags = vec![format!("{flag}{port}")];
            }
            if flag == "--inspect-port=" {
                flags.push("--inspect".to_owned());
            }
            let luster = flags
                .iter()
                .fold(Luster::with(&code, config), |luster, flag| luster.arg(format!("--node-arg={flag}")))
                .node(node)
                .start();
            for told in luster.await_told(2) {
                let expected = u64::from(port) + told["wid"].as_u64().expect("a wid");
                assert_eq!(
                    (&told["port"], &told["debugPort"], &told["host"]),
                    (&json!(expected), &json!(expected), &json!("127.0.0.1")),
                    "Node {}: {flag}",
                    node.major
                );
            }
            luster.await_ready(2);
            assert_eq!(luster.stop().0, 0);
        }
    });
}

#[test]
fn inspector_flags_in_node_options_count_too_and_do_not_trouble_a_configuration_that_is_a_program() {
    let code = format!("{TELL}tell({{ port: Number(new URL(require('inspector').url()).port) }});");
    let port = free_ports(3);
    let luster = Luster::new()
        .file("worker.js", &code)
        .file("luster.conf.js", "module.exports = { app: 'worker.js', workers: 1 + 1 };")
        .env("NODE_OPTIONS", &format!("--inspect=127.0.0.1:{port}"))
        .start();
    for told in luster.await_told(2) {
        assert_eq!(told["port"], u64::from(port) + told["wid"].as_u64().expect("a wid"));
    }
    luster.await_ready(2);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn an_app_named_without_its_extension_or_by_its_folder_is_found() {
    let code = format!("{TELL}tell({{ file: __filename.split('/').slice(-2).join('/') }});");
    for (app, file) in [("./dist/app", "dist/app.js"), ("./dist", "dist/index.js")] {
        let luster = Luster::new().file(file, &code).config(json!({"app": app, "workers": 1})).start();
        assert_eq!(luster.await_told(1)[0]["file"], file);
        luster.await_ready(1);
        assert_eq!(luster.stop().0, 0);
    }
}
