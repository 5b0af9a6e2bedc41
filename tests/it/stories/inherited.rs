//! What workers inherit from a custom master's script: what it has changed - environment, folder, rights - they have from
//! their next start on, whatever ends them.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{HTTP, Luster, Running, TELL, free_port, node, on_nodes, usual_node};

/// A custom master with one worker that does this when it runs; each instance of the worker tells what it has inherited.
fn script(when_running: &str) -> Luster {
    let port = free_port();
    let master = format!(
        "{TELL}const luster = require('luster');
        if (luster.isMaster) {{
            const worker = () => luster.workers[1];
            luster.once('running', () => {{ {when_running} }});
        }}
        luster.configure({{ app: __dirname + '/worker.js', workers: 1, server: {{ port: {port} }} }}, true, __dirname).run();"
    );
    let app = format!(
        "{TELL}{HTTP}
        require('luster').registerRemoteCommand('die', () => process.exit(1));
        process.on('message', message => message.die && process.exit(1));
        tell({{ token: process.env.TOKEN, folder: require('path').basename(process.cwd()),
            user: process.getuid(), groups: process.getgroups() }});"
    );
    Luster::new().file("worker.js", &app).file("below/empty", "").file("master.js", &master)
}

/// What the instances of the worker have told.
fn lives(luster: &Running, count: usize) -> Vec<Value> {
    luster.await_told_where(count, "a life", |told| told.get("user").is_some())
}

#[test]
fn whatever_the_script_does_to_end_a_worker_its_successor_has_the_environment_of_now() {
    for end in [
        "worker().process.kill('SIGKILL');",
        "worker().process.disconnect();",
        "worker().send({ die: true });",
        "worker().remoteCall('die');",
        "require('cluster').workers[worker().id].kill('SIGKILL');",
        "process.kill(worker().pid, 'SIGKILL');",
    ] {
        // It has just said something, and is busy afterwards until the successor has been started.
        let body = format!(
            "worker().send({{}}); process.env.TOKEN = 'renewed'; {end}
            const until = Date.now() + 300; while (Date.now() < until);"
        );
        let luster = script(&body).by_script(&usual_node(), &[]).env("TOKEN", "old").start();
        let tokens: Vec<_> = lives(&luster, 2).into_iter().map(|life| life["token"].clone()).collect();
        assert_eq!(tokens, ["old", "renewed"], "{end}");
        assert_eq!(luster.stop().0, 0);
    }
}

#[test]
fn a_worker_that_dies_is_started_again_where_the_script_has_gone_and_without_the_rights_it_has_dropped() {
    let drop = "setImmediate(() => {
            process.chdir(__dirname + '/below');
            if (process.getuid() === 0) { process.setgid(65534); process.setuid(65534); }
            tell({ dropped: true });
        });";
    on_nodes(&[node(16), node(24)], |node| {
        let luster = script(drop).by_script(node, &[]);
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(luster.path(), open).expect("ours");
        let luster = luster.start();
        luster.await_told_where(1, "the drop", |told| told["dropped"] == true);
        kill(Pid::from_raw(luster.worker_pid(1)), Signal::SIGKILL).expect("it is there");
        let lives = lives(&luster, 2);
        assert_eq!(lives[1]["folder"], "below", "Node {}", node.major);
        if nix::unistd::geteuid().is_root() {
            let rights = (&lives[1]["user"], &lives[1]["groups"]);
            assert_eq!(rights, (&json!(65534), &json!([65534])), "Node {}", node.major);
        }
        assert_eq!(luster.stop().0, 0);
    });
}

#[test]
fn what_the_script_says_of_workers_wins_over_where_it_has_gone() {
    let body = "process.chdir(__dirname + '/below');
        luster.setup({ cwd: __dirname });
        worker().restart();";
    let luster = script(body).by_script(&usual_node(), &[]).start();
    let lives = lives(&luster, 2);
    assert_eq!(lives[0]["folder"], lives[1]["folder"]);
    assert_eq!(luster.stop().0, 0);
}
