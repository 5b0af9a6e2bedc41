//! What an extension, a script, the environment or the command line holds stays out of luster's log: names only.

use serde_json::json;

use crate::harness::{Luster, Running, eventually, usual_node};

/// In every place somebody may keep one.
const SECRET: &str = "hunter2";

/// Sets a variable, flags and arguments of workers, with the secret in each.
const EXTENSION: &str = "exports.configure = (config, luster) => {
    if (!luster.isMaster) return;
    process.env.DATABASE_PASSWORD = 'hunter2';
    luster.setup({ args: ['--token=hunter2'], execArgv: ['--title=hunter2'], cwd: process.cwd() });
};";

#[test]
fn what_an_extension_sets_is_never_told_however_verbose_luster_is() {
    for form in [&["-v"][..], &["-vv"], &["-v", "--log-format", "json"], &["-vv", "--log-format", "json"]] {
        let app =
            "require('luster'); if (process.env.DATABASE_PASSWORD !== 'hunter2') throw new Error('not set');";
        let config = json!({"workers": 1, "extensions": {"mine": {"password": SECRET}}});
        let luster = Luster::with(app, config)
            .file("node_modules/mine.js", EXTENSION)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("LUSTER_CONF", "db.password=hunter2;hunter2; extensions.mine.password=hunter2");
        let luster = luster.start_as(form);
        let is_ready = || luster.log().iter().any(|line| line.to_string().contains("is ready after"));
        eventually("it is ready", || is_ready().then_some(()));
        tells_no_secret(luster);
    }
}

#[track_caller]
fn tells_no_secret(luster: Running) {
    let (code, log) = luster.stop();
    assert_eq!(code, 0, "{log:?}");
    let all: Vec<String> = log.iter().map(ToString::to_string).collect();
    let told: Vec<&String> = all.iter().filter(|line| line.contains(SECRET)).collect();
    assert!(told.is_empty(), "{told:#?}");
}

#[test]
fn what_a_custom_master_sets_is_never_told() {
    let master = "const luster = require('luster');
        process.env.DATABASE_PASSWORD = 'hunter2';
        luster.configure({ app: './worker.js', workers: 1, db: { password: 'hunter2' } }, true, __dirname).run();
        process.env.LATER = 'hunter2';
        if (luster.isMaster) luster.setup({ args: ['--token=hunter2'] });";
    let luster =
        Luster::new().file("master.js", master).file("worker.js", "").by_script(&usual_node(), &[]).start();
    luster.await_ready(1);
    tells_no_secret(luster);
}
