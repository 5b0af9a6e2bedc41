//! Workers keep what Node has compiled for those after them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{Luster, Node, Running, TELL, eventually, node, on_nodes};

/// Tells which folder is in use, and what the app could see of it.
fn app() -> String {
    format!(
        "{TELL}require('./module');
        tell({{ folder: require('module').getCompileCacheDir() || null, variable: process.env.NODE_COMPILE_CACHE || null }});"
    )
}

fn luster(node: &Node, control: Value) -> Luster {
    Luster::with(&app(), json!({"workers": 1, "control": control}))
        .file("module.js", "exports.x = 1;")
        .node(node)
}

/// The luster, and the folder its worker uses.
fn start(luster: Luster) -> (Running, Value) {
    let luster = luster.start();
    let told = luster.await_told(1).remove(0);
    luster.await_ready(1);
    (luster, told["folder"].clone())
}

/// The generation's folder: Node's own, for its version, is in it.
fn generation(folder: &Value) -> PathBuf {
    Path::new(folder.as_str().expect("a folder")).parent().expect("a folder").to_owned()
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn a_worker_that_runs_writes_its_cache_to_a_private_folder_and_tidies_up() {
    on_nodes(&[node(22), node(24)], |node| {
        let cache = tempfile::tempdir().expect("a folder");
        let root = cache.path().join("luster");
        let with_cache =
            || luster(node, json!({})).env("CACHE_DIRECTORY", cache.path().to_str().expect("UTF-8"));
        let (luster, folder) = start(with_cache());
        let generation = generation(&folder);
        let app = generation.parent().expect("a folder");
        assert_eq!(app.parent(), Some(root.as_path()));
        assert_eq!(fs::metadata(&root).expect("there").permissions().mode() & 0o777, 0o700);
        assert_eq!(luster.told()[0]["variable"], Value::Null, "nothing for the app's children");
        for number in 1..=4 {
            fs::create_dir(app.join(format!("000000000000000{number}"))).expect("writable");
        }
        let inside = PathBuf::from(folder.as_str().expect("a folder"));
        eventually("the cache is written while the worker runs", || (entries(&inside) >= 2).then_some(()));
        eventually("older generations are gone", || (entries(app) == 3).then_some(()));
        assert!(inside.exists(), "the one in use stays");
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn a_new_generation_of_the_app_has_a_folder_of_its_own() {
    let node = node(24);
    let cache = tempfile::tempdir().expect("a folder");
    let (luster, first) =
        start(luster(&node, json!({})).env("CACHE_DIRECTORY", cache.path().to_str().expect("UTF-8")));
    luster.put("worker.js", &format!("{}// deployed", app()));
    kill(Pid::from_raw(luster.worker_pid(1)), Signal::SIGKILL).expect("it is there");
    let second = luster.await_told(2)[1]["folder"].clone();
    assert_ne!(generation(&first), generation(&second));
    assert_eq!(generation(&first).parent(), generation(&second).parent());
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn who_wants_none_or_another_one_has_that() {
    on_nodes(&[node(22), node(24)], |node| {
        let own = tempfile::tempdir().expect("a folder");
        let path = own.path().to_str().expect("UTF-8");
        let (off, folder) = start(luster(node, json!({"compileCache": false})));
        assert_eq!(folder, Value::Null);
        let (disabled, folder) = start(luster(node, json!({})).env("NODE_DISABLE_COMPILE_CACHE", "1"));
        assert_eq!(folder, Value::Null);
        let (chosen, folder) = start(luster(node, json!({})).env("NODE_COMPILE_CACHE", path));
        assert!(folder.as_str().is_some_and(|folder| folder.starts_with(path)), "{folder}");
        for luster in [off, disabled, chosen] {
            assert_eq!(luster.stop().0, 0);
        }
    });
}

#[test]
fn a_folder_that_others_may_change_or_nobody_may_make_is_not_used() {
    on_nodes(&[node(22), node(24)], |node| {
        let open = tempfile::tempdir().expect("a folder");
        let root = open.path().join("luster");
        fs::create_dir(&root).expect("writable");
        fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).expect("ours");
        let good = tempfile::tempdir().expect("a folder");
        for bad in [open.path().to_str().expect("UTF-8"), "/proc/no-such", "/dev/null", "relative"] {
            let good = good.path().to_str().expect("UTF-8");
            let luster = luster(node, json!({})).env("CACHE_DIRECTORY", bad).env("XDG_CACHE_HOME", good);
            let (luster, folder) = start(luster);
            assert!(folder.as_str().is_some_and(|folder| folder.starts_with(good)), "{bad}: {folder}");
            assert_eq!(luster.stop().0, 0);
        }
    });
}

#[test]
fn nodes_without_it_and_nodes_that_may_not_use_it_run_as_ever() {
    let app = format!("{TELL}tell({{ up: true }});");
    for (node, flag) in
        [(node(16), "--no-deprecation"), (node(20), "--no-deprecation"), (node(24), "--permission")]
    {
        let luster = Luster::with(&app, json!({"workers": 1})).node(&node);
        let readable = format!("--node-arg=--allow-fs-read={}/*", luster.path().display());
        let luster = luster.arg(format!("--node-arg={flag}"));
        let luster = if flag == "--permission" { luster.arg(readable) } else { luster }.start();
        assert_eq!(luster.await_told(1), [json!({"wid": 1, "up": true})], "Node {}", node.major);
        luster.await_ready(1);
        assert_eq!(luster.stop().0, 0);
    }
}
