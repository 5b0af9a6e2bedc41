//! Configurations that are programs, run by a real Node.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::evaluator::Evaluator;
use super::reread::Reread;
use crate::config::{
    Balance, ConfigRequest, Defaults, EVALUATION_DEADLINE, Error, Links, Loaded, ModuleFailure, SourceFormat,
    load,
};
use crate::driver::Starter;
use crate::exit::Exit;
use crate::process::DescriptorLimit;

/// A folder with files, and what is needed to read a configuration there. It always holds `worker.js`.
struct Story {
    root: TempDir,
    config: Option<PathBuf>,
    luster_conf: Option<OsString>,
    node: Option<PathBuf>,
    node_args: Vec<OsString>,
    deadline: Duration,
}

impl Story {
    fn new() -> Self {
        let node =
            crate::process::find_program("node".as_ref(), std::env::var_os("PATH").as_deref()).unwrap();
        let story = Self {
            root: tempfile::tempdir().unwrap(),
            config: None,
            luster_conf: None,
            node: Some(node),
            node_args: Vec::new(),
            deadline: EVALUATION_DEADLINE,
        };
        story.file("worker.js", "")
    }

    fn file(self, path: &str, body: impl AsRef<[u8]>) -> Self {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, body).unwrap();
        self
    }

    fn config(mut self, config: &str) -> Self {
        self.config = Some(config.into());
        self
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn request(&self) -> ConfigRequest {
        ConfigRequest {
            config: self.config.clone(),
            cwd: self.path().to_owned(),
            luster_conf: self.luster_conf.clone(),
            defaults: Defaults { workers: 4, balance: Balance::RoundRobin },
            evaluation_deadline: self.deadline,
            links: Links::Followed,
            find_program: |name| crate::process::find_program(name, std::env::var_os("PATH").as_deref()).ok(),
        }
    }

    /// Loads it; answers also with whether a process would have to stay.
    fn load_for(&self) -> (Result<Loaded, Error>, bool) {
        let mut evaluator = Evaluator {
            starter: None,
            node: self.node.clone(),
            node_args: self.node_args.clone(),
            folder: self.path().to_owned(),
            boot: json!({"v": 1, "program": "/usr/bin/luster", "args": Vec::from_iter(&self.config)}),
            parent: None,
            limit: DescriptorLimit::current().unwrap(),
            running: None,
        };
        let loaded = load(&self.request(), &mut evaluator).map(|fleet| fleet.any().clone());
        (loaded, evaluator.running.is_some_and(|running| running.left.stays))
    }

    fn load(&self) -> Result<Loaded, Error> {
        self.load_for().0
    }

    fn loaded(&self) -> Loaded {
        self.load().unwrap_or_else(|error| panic!("{error}"))
    }

    fn value(&self) -> Value {
        self.loaded().raw
    }

    fn error(&self) -> String {
        let error = self.load().unwrap_err();
        error.to_string().replace(&format!("{}/", self.path().display()), "")
    }
}

fn module(body: &str) -> Story {
    Story::new().file("luster.conf.js", body)
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
        assert_eq!((loaded.source, loaded.raw), (SourceFormat::Module, json!({"app": "worker"})), "{body}");
    }
}

#[test]
fn what_is_no_literal_is_run_whatever_it_is() {
    let error =
        "luster.conf.js: the configuration must be an object, not a function; export the object itself";
    assert_eq!(module("module.exports = () => 1").error(), error);
    let deep = module(&format!("module.exports = {{a: {}", "[".repeat(100_000)));
    assert_eq!(deep.load().unwrap_err().exit(), Exit::Config);
}

#[test]
fn a_process_stays_for_what_only_it_can_see_and_for_nothing_else() {
    for (stays, body) in [
        (true, "require('cluster').on('fork', () => {})"),
        (true, "require('luster').on('worker exit', () => {})"),
        (true, "process.on('SIGUSR2', () => {})"),
        (true, "process.on('exit', () => {})"),
        (true, "setInterval(() => {}, 1000)"),
        (true, "require('net').createServer().listen(0)"),
        (false, "process.on('uncaughtException', () => {})"),
        (false, "setInterval(() => {}, 1000).unref()"),
        (false, "console.log('x'); console.error('y')"),
        (false, "require('fs').readFileSync(__filename); process.env.X = 1"),
    ] {
        let story = module(&format!("{body}; module.exports = {{app: 'worker'}}"));
        let (loaded, stayed) = story.load_for();
        assert!(loaded.is_ok(), "{body}");
        assert_eq!(stayed, stays, "{body}");
    }
}

#[test]
fn a_program_sees_luster_as_its_master_would() {
    let story = module(
        "const luster = require('luster'), cluster = require('cluster');
        require('./other');
        module.exports = {
            app: require.resolve('./worker'), argv: process.argv.slice(1),
            main: require.main.filename, isMain: require.main === module, parent: module.parent === require.main,
            master: [luster.isMaster, luster.isWorker, cluster.isMaster], execArgv: process.execArgv,
            cwd: process.cwd() === __dirname, global: typeof flag,
        }",
    );
    let mut story = story.file("other.js", "global.flag = 1").file("pre.js", "").config("./luster.conf.js");
    story.node_args = vec!["--max-http-header-size=16384".into(), "--inspect=0".into()];
    let value = story.value();
    assert_eq!(value["argv"], json!(["/usr/bin/luster", "./luster.conf.js"]));
    assert_eq!(value["main"], "/usr/bin/luster");
    assert_eq!((&value["isMain"], &value["parent"]), (&json!(false), &json!(true)));
    assert_eq!(value["master"], json!([true, false, true]));
    assert_eq!(value["execArgv"], json!(["--max-http-header-size=16384"]));
    assert_eq!((&value["cwd"], &value["global"]), (&json!(true), &json!("number")));
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
    let mut raw = loaded.raw;
    assert_eq!(loaded.settings.policy.limits.allowed_sequential_deaths, u32::MAX);
    assert_eq!(raw["when"], "1970-01-01T00:00:00.000Z");
    assert_eq!(raw["list"], json!([null, null]));
    assert_eq!((&raw["a"], &raw["lone"], &raw["boxed"]), (&json!({"x": 1}), &json!("\u{fffd}"), &json!(3)));
    assert_eq!(raw["twice"], json!([1, {"y": {"x": 1}}]));
    let members = raw.as_object_mut().unwrap();
    assert!(members.contains_key("__proto__"));
    assert!(["workers", "f", "bad"].iter().all(|key| !members.contains_key(*key)));

    let error = module("module.exports = {app() {}, workers: NaN, server: {port: /x/, groups: -Infinity}, extensions: new Date()}").error();
    for message in [
        "luster.conf.js: \"app\" must be the path of the worker's main module, not a function",
        "\"workers\" must be a number from 1 to 10000, not NaN; leave it out for one worker per CPU",
        "\"server.port\" must be a port from 1 to 65535 or the path of a unix socket (\"run/app.sock\"), not a regexp",
        "\"server.groups\" must be a number of groups from 1 to 10000, not -Infinity",
        "\"extensions\" must be an object, not a date",
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
    assert!(
        error.starts_with(
            "luster.conf.js:3:11: the configuration threw an error\n\
             \x20 3 |     throw new Error('NO_SUCH_VARIABLE is not set')\n\
             \x20   |           ^\nError: NO_SUCH_VARIABLE is not set\n"
        ),
        "{error}"
    );
    assert!(
        error.contains("Error: NO_SUCH_VARIABLE is not set\n    at Object.<anonymous> (luster.conf.js:3:11)"),
        "{error}"
    );
    assert!(!error.contains(".cjs"), "nothing of ours is in it: {error}");
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
    assert!(
        error.starts_with("c.mjs:1:9: the configuration does not parse: Unexpected token ';'\n"),
        "{error}"
    );
}

#[test]
fn a_program_that_ends_node_is_told_apart() {
    for (body, how) in [
        ("process.exit(3)", "exited with code 3"),
        ("process.kill(process.pid, 'SIGKILL')", "was killed by SIGKILL"),
        ("module.exports = new Promise(() => {})", "exited with code 0"),
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
        story.deadline = Duration::from_secs(5);
        assert_eq!(story.error(), "luster.conf.js: the configuration gave no value within 5 s");
        let pid = std::fs::read_to_string(story.path().join("pid")).unwrap();
        assert!(!std::path::Path::new("/proc").join(pid).exists(), "it is gone, and was waited for");
    }
}

#[test]
fn at_a_reload_it_has_as_long_and_what_runs_stays() {
    let config =
        |body: &str| format!("require('fs').writeFileSync(__dirname + '/pid', `${{process.pid}}`);\n{body}");
    let fine = config("module.exports = {app: 'worker', workers: 1 + 1}");
    let mut story = module(&fine);
    let before = story.loaded();
    let reread = |story: &Story, deadline| {
        let reread = Reread {
            request: ConfigRequest { evaluation_deadline: deadline, ..story.request() },
            apps: [(crate::core::PoolName::default(), (before.clone(), Vec::new()))].into(),
            identity: crate::control::place::Identity::named("story").expect("a name"),
            node: story.node.clone().ok_or_else(String::new),
            node_args: Vec::new(),
            package: None,
            boot: json!({"v": 1, "program": "/usr/bin/luster", "args": []}),
            parent: None,
            limit: DescriptorLimit::current().unwrap(),
        };
        reread.into_read()(&Starter::alone())
    };
    for body in ["for (;;);", "module.exports = new Promise(() => setInterval(() => {}, 1000))"] {
        story = story.file("luster.conf.js", config(body));
        let refusal = reread(&story, Duration::from_secs(5)).expect_err("it never ends");
        assert!(refusal.ends_with("luster.conf.js: the configuration gave no value within 5 s"), "{refusal}");
        let pid = std::fs::read_to_string(story.path().join("pid")).unwrap();
        assert!(!std::path::Path::new("/proc").join(pid).exists(), "it is gone, and was waited for");
    }
    story = story.file("luster.conf.js", fine);
    reread(&story, EVALUATION_DEADLINE).expect("it is right again");
}

#[test]
fn without_node_a_program_cannot_be_read() {
    let mut story = module("module.exports = {app: process.argv[0]}");
    story.node = None;
    let error = story.load().unwrap_err();
    assert_eq!(error.exit(), Exit::ForkOrExec);
    assert!(matches!(error, Error::NoNode { .. }), "{error}");
    story.node = Some("/no/such/node".into());
    let error = story.load().unwrap_err();
    assert_eq!(error.exit(), Exit::ForkOrExec);
    assert!(error.to_string().contains("/no/such/node could not be started"), "{error}");
}
