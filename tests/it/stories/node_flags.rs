//! Node's own flags and what they change: what a process may read, what is loaded before the app, how names are resolved.

use serde_json::json;

use crate::harness::{Luster, Node, TELL, node, on_nodes};

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
