//! Node's own flags and what they change: what a process may read, what is loaded before the app, how names are resolved.

use serde_json::json;

use crate::harness::{Luster, Node, TELL, eventually, node, on_every_node, on_nodes, packages};

/// The flag that restricts what a process may do, on this Node.
fn permission(node: &Node) -> &'static str {
    if node.major < 22 { "--experimental-permission" } else { "--permission" }
}

impl Luster {
    /// Workers may read only what is below `dist`.
    fn restricted(self, node: &Node) -> Self {
        let readable = format!("--node-arg=--allow-fs-read={}/dist/*", self.path().display());
        self.node(node).arg(format!("--node-arg={}", permission(node))).arg(readable)
    }
}

#[test]
fn a_worker_that_may_read_only_its_own_folder_runs() {
    let code = format!(
        "{TELL}const may = file => {{ try {{ require('fs').readFileSync(file); return true; }} catch {{ return false; }} }};
        tell({{ name: require('luster').config.get('name'), package: may('package.json'),
            flags: process.execArgv.map(flag => flag.split('=')[0]) }});"
    );
    on_nodes(&[node(20), node(22), node(24)], |node| {
        for (config, text) in [
            ("conf.json", r#"{"app": "dist/app.js", "workers": 1, "name": "data"}"#),
            ("conf.js", "module.exports = { app: 'dist/app.js', workers: 1, name: 'program' };"),
            ("conf.json5", "{app: 'dist/app.js', workers: 1, name: 'json5'}"),
        ] {
            let luster = Luster::new()
                .file("dist/app.js", &code)
                .file("package.json", "{}")
                .file(config, text)
                .config_file(config)
                .restricted(node)
                .start();
            let told = luster.await_told(1).remove(0);
            luster.await_ready(1);
            assert_eq!(told["package"], false, "Node {}: {told}", node.major);
            assert_eq!(told["flags"], json!([permission(node), "--allow-fs-read"]), "Node {}", node.major);
            assert!(text.contains(told["name"].as_str().expect("a name")), "{told}");
            assert_eq!(luster.stop().0, 0);
        }
    });
}

/// On older Nodes `import 'luster'` needs a thread, which this flag forbids: the app runs, and can `require` it.
#[test]
fn an_es_module_that_may_read_only_its_own_folder_runs() {
    let code = "import { createRequire } from 'module'; import { writeSync } from 'fs';
        const luster = createRequire(import.meta.url)('luster');
        writeSync(1, JSON.stringify({ wid: luster.wid }) + '\\n');";
    on_nodes(&[node(20), node(22), node(24)], |node| {
        for (file, package) in [("dist/app.mjs", "{}"), ("dist/app.js", r#"{"type": "module"}"#)] {
            let luster = Luster::new()
                .file(file, code)
                .file("dist/package.json", package)
                .config(json!({"app": file, "workers": 1}))
                .restricted(node)
                .start();
            assert_eq!(luster.await_told(1), [json!({"wid": 1})], "Node {}: {file}", node.major);
            luster.await_ready(1);
            assert_eq!(luster.stop().0, 0);
        }
    });
}

#[test]
fn extensions_of_a_restricted_node_run_beside_it_where_they_may_start_a_process_and_are_refused_in_a_sentence_elsewhere()
 {
    let with_extension = |node: &Node| {
        Luster::new()
            .file("dist/app.js", "")
            .file(
                "dist/node_modules/ext/index.js",
                "exports.configure = (config, luster) => console.log(JSON.stringify({
                    master: luster.isMaster, flags: process.execArgv.length }));",
            )
            .config(json!({"app": "dist/app.js", "workers": 1, "extensions": {"ext": {}}}))
            .restricted(node)
    };
    on_nodes(&[node(20), node(22), node(24)], |node| {
        let luster = with_extension(node).arg("--node-arg=--allow-child-process").start();
        luster.await_ready(1);
        let told = luster.await_told(2);
        assert_eq!(told, [json!({"master": true, "flags": 3}), json!({"master": false, "flags": 3})]);
        assert_eq!(luster.stop().0, 0);

        let mut refused = with_extension(node).start();
        assert_ne!(refused.await_end(), 0);
        refused.await_stderr("need --allow-child-process besides");
        assert!(!refused.stderr_of_workers().contains("ERR_ACCESS_DENIED"), "Node {}", node.major);
    });
}

/// Prints who runs, and whether that is in a worker.
fn says(name: &str) -> String {
    format!(
        "require('fs').writeSync(1, `${{process.env.LUSTER_WID || 'host'}} {name} ${{globalThis.hook}}\\n`);"
    )
}

#[test]
fn what_node_imports_first_comes_before_the_configuration_and_the_extensions() {
    on_nodes(&[node(18), node(20), node(22), node(24)], |node| {
        for (flags, options) in
            [(["--import", "./a hook.mjs"], ""), (["--no-deprecation"; 2], "--import \"./a hook.mjs\"")]
        {
            let luster = Luster::new()
                .file(
                    "a hook.mjs",
                    "await new Promise(done => setTimeout(done, 50));
                    globalThis.hook = (globalThis.hook || 0) + 1;",
                )
                .file(
                    "conf.cjs",
                    &format!(
                        "{}module.exports = {{ app: 'worker.js', workers: 1, extensions: {{ ext: {{}} }} }};",
                        says("configuration")
                    ),
                )
                .file(
                    "node_modules/ext/index.js",
                    &format!("exports.configure = () => {{ {} }};", says("extension")),
                )
                .file("worker.js", &says("app"))
                .config_file("conf.cjs")
                .node(node)
                .arg(format!("--node-arg={}", flags[0]))
                .arg(format!("--node-arg={}", flags[1]))
                .env("NODE_OPTIONS", options)
                .start();
            luster.await_ready(1);
            eventually("the app has run", || luster.stdout().contains("app").then_some(()));
            let expected =
                ["host configuration 1", "host extension 1", "1 configuration 1", "1 extension 1", "1 app 1"];
            assert_eq!(luster.stdout().lines().collect::<Vec<_>>(), expected, "Node {}", node.major);
            assert_eq!(luster.stop().0, 0);
        }
    });
}

/// `require` cannot wait for such hooks: Node 20 and 22 fail an assertion of theirs over it.
#[test]
fn a_configuration_may_import_what_only_hooks_can_resolve() {
    let hook = "import { register } from 'node:module';
        register('data:text/javascript,' + encodeURIComponent(`export async function resolve(name, context, next) {
            return name === 'virtual:count'
                ? { url: 'data:text/javascript,export default 1', shortCircuit: true }
                : next(name, context);
        }`), import.meta.url);";
    on_nodes(&[node(20), node(22), node(24)], |node| {
        let luster = Luster::new()
            .file("hook.mjs", hook)
            .file(
                "conf.mjs",
                "import workers from 'virtual:count'; export default { app: 'worker.mjs', workers };",
            )
            .file("worker.mjs", "import count from 'virtual:count'; import { writeSync } from 'fs'; writeSync(1, `app ${count}\\n`);")
            .config_file("conf.mjs")
            .node(node)
            .arg("--node-arg=--import=./hook.mjs")
            .start();
        luster.await_ready(1);
        eventually("the app has run", || (luster.stdout() == "app 1\n").then_some(()));
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn an_import_that_fails_in_the_workers_is_nodes_to_report() {
    on_nodes(&[node(18), node(24)], |node| {
        let mut luster = Luster::with(
            "console.log('the app has run');",
            json!({"workers": 1, "control": {"exitThreshold": 60000}}),
        )
        .file("hook.mjs", "\n\nthrow new Error('no hook today');")
        .node(node)
        .arg("--node-arg=--import=./hook.mjs")
        .start();
        assert_eq!(luster.await_end(), 1);
        luster.await_stderr("Error: no hook today");
        luster.await_stderr("hook.mjs:3");
        assert!(!luster.stdout().contains("the app has run"), "Node {}", node.major);
    });
}

#[test]
fn a_configuration_in_typescript_is_compiled_by_what_node_imports() {
    let modules = packages(&["tsx"]);
    on_nodes(&[node(18), node(20), node(22)], |node| {
        let luster = Luster::new()
            .file("conf.ts", "const workers: number = 1; export default { app: './worker', workers };")
            .file("worker.ts", &typed())
            .config_file("conf.ts")
            .node(node)
            .arg("--node-arg=--import")
            .arg(format!("--node-arg=file://{}/tsx/dist/loader.mjs", modules.display()));
        runs_typed(luster, &format!("Node {}", node.major));
    });
}

/// Makes Node take `.ts`, as TypeScript's compilers do, and faster.
const REGISTER: &str = "require.extensions['.ts'] = (module, file) =>
    module._compile(require('fs').readFileSync(file, 'utf8').replace(/: (number|object)/g, ''), file);";

/// An app in TypeScript.
fn typed() -> String {
    format!("{}const n: number = 7; tell({{ n }});", TELL.replace("what =>", "(what: object) =>"))
}

/// It runs, as worker 1.
fn runs_typed(luster: Luster, what: &str) {
    let luster = luster.start();
    assert_eq!(luster.await_told(1), [json!({"wid": 1, "n": 7})], "{what}");
    luster.await_ready(1);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn names_that_only_node_resolves_are_asked_of_node() {
    on_every_node(|node| {
        let with = |file: &str, config: &str, text: &str| {
            Luster::new()
                .file("register.js", REGISTER)
                .file(file, &typed())
                .file(config, text)
                .config_file(config)
                .node(node)
        };
        let flags = |luster: Luster| luster.arg("--node-arg=-r").arg("--node-arg=./register");
        let data = r#"{"app": "./srv", "workers": 1}"#;
        let program = "module.exports = { app: './srv', workers: 1 }";
        for luster in [
            flags(with("srv.ts", "conf.json", data)),
            flags(with("srv/index.ts", "conf.json", data)),
            flags(with("srv/index.ts", "conf.js", program)),
            with("srv/index.ts", "conf.json", data).env("NODE_OPTIONS", "-r ./register.js"),
            // The configuration itself may change how names are resolved: it runs in workers too.
            with("srv.ts", "conf.js", &format!("require('./register'); {program}")),
        ] {
            runs_typed(luster, &format!("Node {}", node.major));
        }
        let (exit, _, told) = flags(with("a.ts", "conf.json", data)).output();
        assert_eq!(exit, 78, "{told}");
        assert!(told.contains("there is no such file"), "{told}");
    });
}

#[test]
fn a_custom_master_knows_the_names_its_own_node_resolves() {
    on_every_node(|node| {
        let master = "require('luster').configure({ app: './worker', workers: 1 }, true, __dirname).run();";
        let luster = Luster::new()
            .file("register.js", REGISTER)
            .file("worker.ts", &typed())
            .file("master.js", master)
            .by_script(node, &["-r", "./register.js"]);
        runs_typed(luster, &format!("Node {}", node.major));
    });
}

#[test]
fn an_app_in_typescript_runs_with_ts_node() {
    let modules = packages(&["typescript@5", "ts-node"]);
    let luster = Luster::new()
        .file("worker.ts", &typed())
        .config(json!({"app": "./worker", "workers": 1}))
        .env("TS_NODE_SKIP_PROJECT", "1")
        .env("TS_NODE_COMPILER_OPTIONS", r#"{"module": "commonjs", "moduleResolution": "node10"}"#)
        .arg("--node-arg=-r")
        .arg(format!("--node-arg={}/ts-node/register/transpile-only", modules.display()));
    runs_typed(luster, "ts-node");
}
