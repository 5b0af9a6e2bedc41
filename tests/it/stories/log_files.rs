//! `luster-log-file` without its module: luster writes the log files itself.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Luster, Running, children, eventually, processes_in, usual_node};

const PRINTING: &str = "
    const { wid } = require('luster');
    process.on('SIGUSR2', () => console.log('again'));
    process.stdout.write('out of ' + wid + '\\nsecond line\\n');
    process.stderr.write('err of ' + wid + '\\n');
    setInterval(() => {}, 1000);";

fn logging(app: &str, options: Value) -> Luster {
    // Who only prints ends only when it is made to.
    let config = json!({
        "workers": 2, "control": {"stopTimeout": 100}, "extensions": {"luster-log-file": options},
    });
    Luster::with(app, config)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Waits until the file has this many lines that end so, and gives all.
#[track_caller]
fn await_lines(path: &Path, count: usize, end: &str) -> Vec<String> {
    eventually(&format!("{count} times {end:?} in {}", path.display()), || {
        let text = read(path);
        // The last one may be on its way.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines: Vec<String> = whole.lines().map(str::to_owned).collect();
        (lines.iter().filter(|line| line.ends_with(end)).count() >= count).then_some(lines)
    })
}

/// Whether the line begins with local time to the millisecond, as `2026-01-31 23:59:59.999 `.
fn is_stamped(line: &str) -> bool {
    let form = "dddd-dd-dd dd:dd:dd.ddd ";
    line.len() > form.len()
        && line.chars().zip(form.chars()).all(|(c, f)| if f == 'd' { c.is_ascii_digit() } else { c == f })
}

#[test]
fn what_workers_and_luster_print_is_stamped_marked_and_written_to_files() {
    let luster = logging(PRINTING, json!({"stdout": "logs/of/out.log", "stderr": "logs/err.log"})).start();
    let (out, err) = (luster.path().join("logs/of/out.log"), luster.path().join("logs/err.log"));
    let lines = await_lines(&out, 2, "second line");
    for wid in 1..=2 {
        let mine: Vec<_> = lines.iter().filter(|line| line.contains(&format!("[work:{wid}]"))).collect();
        assert_eq!(mine.len(), 2, "{lines:?}");
        assert!(mine[0].ends_with(&format!("[work:{wid}] out of {wid}")), "{mine:?}");
        assert!(mine[1].ends_with(&format!("[work:{wid}] second line")), "{mine:?}");
    }
    let all: Vec<_> = lines.into_iter().chain(await_lines(&err, 1, "err of 1")).collect();
    let unstamped: Vec<_> = all.iter().filter(|line| !is_stamped(line) && !line.starts_with('{')).collect();
    assert!(unstamped.is_empty(), "{unstamped:?}");
    // luster's own log, each line a JSON object here, for programs.
    let is_native = |line: &String| line.starts_with('{') && line.contains("\"event\":\"native\"");
    eventually("luster's log is there too", || read(&err).lines().map(str::to_owned).find(is_native));
    assert_eq!(children(luster.pid()).len(), 2, "two workers, and no Node besides");
    let folder = luster.path().to_owned();
    let mut luster = luster;
    luster.signal(Signal::SIGTERM);
    assert_eq!(luster.await_end(), 0);
    assert!(read(&err).contains("\"stopped\""), "to the last line");
    // But for where to look for it.
    let left = luster.log();
    let [line] = left.as_slice() else { panic!("{left:?}") };
    let told = format!("logging to {} (stdout) and {} (stderr)", out.display(), err.display());
    assert_eq!(
        (&line["message"], luster.stdout()),
        (&json!(told), String::new()),
        "all else is in the files"
    );
    assert_eq!(processes_in(&folder), []);
}

#[test]
fn with_text_for_people_lusters_lines_are_stamped_and_marked_as_the_workers_are() {
    let luster = logging(PRINTING, json!({"stdout": "all.log", "stderr": "all.log"})).start_as(&[]);
    let file = luster.path().join("all.log");
    // From then on a stop is heard: before that SIGTERM ends it as it ends any program.
    let lines = await_lines(&file, 2, ") started");
    assert!(lines.iter().all(|line| is_stamped(line)), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("using the built-in one")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains(" [master]  INFO luster 3")), "{lines:?}");
    let only = luster.stderr_of_workers();
    assert!(only.ends_with(&format!("logging to {}", file.display())), "{only}");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn an_option_that_is_none_is_a_warning() {
    for (name, options, words) in [
        (
            "luster-log-file",
            json!({"stdout": true, "extendconsole": true}),
            "did you mean \"extendConsole\"?",
        ),
        ("luster-log-file", json!({"file": "x"}), "its options are stdout, stderr, extendConsole"),
        ("luster-guard", json!({"exclude": ["x"]}), "name files by \"patterns\", such as"),
        ("luster-guard", json!({"pattern": ["x"]}), "did you mean \"patterns\"?"),
    ] {
        let config = json!({"workers": 1, "extensions": {name: options}});
        let (code, _, stderr) = Luster::with("", config).arg("check").output();
        assert_eq!(code, 0, "{stderr}");
        assert!(stderr.contains("luster.conf.json:") && stderr.contains("has no effect"), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
    }
    // A module may have other options.
    let config = json!({"workers": 1, "extensions": {"luster-guard": {"exclude": ["x"]}}});
    let installed = Luster::with("", config).file("node_modules/luster-guard.js", "").arg("check").output();
    assert!(!installed.2.contains("has no effect"), "{}", installed.2);
}

#[test]
fn true_keeps_a_stream_and_false_closes_it() {
    let luster = logging(PRINTING, json!({"stdout": true, "stderr": false})).start();
    let told = eventually("both have printed", || {
        let lines: Vec<String> = luster.stdout().lines().map(str::to_owned).collect();
        (lines.len() == 4).then_some(lines)
    });
    assert!(told.iter().all(|line| is_stamped(line) && line.contains(" [work:")), "{told:?}");
    // luster's own goes where it always did.
    luster.await_ready(2);
    assert_eq!(luster.stderr_of_workers(), "");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn files_are_opened_anew_on_request() {
    let luster = logging(PRINTING, json!({"stdout": "out.log", "stderr": true})).start();
    let (new, old) = (luster.path().join("out.log"), luster.path().join("out.log.1"));
    await_lines(&new, 2, "second line");
    fs::rename(&new, &old).expect("it is there");
    luster.signal(Signal::SIGUSR1);
    eventually("there is a new one", || new.exists().then_some(()));
    for pid in children(luster.pid()) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGUSR2).expect("it is there");
    }
    let lines = await_lines(&new, 2, "again");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(read(&old).lines().count(), 4);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn an_extension_asks_for_it_by_the_event_reopen_logs_and_prints_into_the_files_too() {
    let extension = "exports.configure = (config, luster) => {
        if (luster.isMaster) {
            console.log('printed by the host');
            luster.on('received worker ready', () => {
                require('fs').renameSync('out.log', 'out.log.1');
                luster.emit('reopen-logs');
            });
        }
    };";
    let config = json!({
        "workers": 1,
        "extensions": {"luster-log-file": {"stdout": "out.log", "stderr": true}, "mine": {}},
    });
    let luster = Luster::with("", config).file("node_modules/mine.js", extension).start();
    let old = luster.path().join("out.log.1");
    await_lines(&old, 1, "[master] printed by the host");
    eventually("a new one", || luster.path().join("out.log").exists().then_some(()));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn an_unfinished_line_is_written_though_others_print_all_the_time() {
    let app = "if (process.env.LUSTER_WID === '1') { process.stdout.write('connecting to the database… '); setInterval(() => {}, 1e6); }
        else { setInterval(() => console.log('alive'), 100); }";
    let luster = logging(app, json!({"stdout": "out.log", "stderr": true})).start();
    await_lines(&luster.path().join("out.log"), 1, "connecting to the database… ");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn what_an_extension_reads_is_told_not_to_be_in_the_files() {
    let extension = "exports.configure = (config, luster) => {
        if (luster.isMaster) {
            luster.setup({ silent: true });
            luster.on('worker fork', worker => worker.process.stdout.on('data', data => require('fs').appendFileSync('mine.txt', data)));
        }
    };";
    let config = json!({"workers": 2, "extensions": {"luster-log-file": {"stdout": "out.log", "stderr": "err.log"}, "mine": {}}});
    let luster = Luster::with(PRINTING, config).file("node_modules/mine.js", extension).start();
    await_lines(&luster.path().join("mine.txt"), 2, "second line");
    let err = luster.path().join("err.log");
    eventually("it is told", || read(&err).contains("\"log_rival\"").then_some(()));
    assert_eq!(read(&err).matches("\"log_rival\"").count(), 1, "once for all workers");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_stream_that_is_named_as_a_file_survives_being_opened_anew() {
    let luster = logging(PRINTING, json!({"stdout": "/dev/stdout", "stderr": true}));
    let out = luster.path().join("all.log");
    let running = luster.through(&["sh", "-c", "exec \"$@\" > all.log", "sh"]).start();
    await_lines(&out, 2, "second line");
    running.signal(Signal::SIGUSR1);
    running.await_event("reopened", 1);
    for pid in children(running.pid()) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGUSR2).expect("it is there");
    }
    await_lines(&out, 2, "again");
    assert_eq!(read(&out).lines().count(), 6, "{}", read(&out));
    assert_eq!(running.stop().0, 0);
}

#[test]
fn a_module_that_is_installed_is_run_in_its_place() {
    let module = "exports.configure = (config, luster) => {
        if (luster.isMaster) { require('fs').writeFileSync('ran', config.get('stdout')); }
    };";
    let luster = logging("", json!({"stdout": "out.log"}));
    let luster = luster.file("node_modules/luster-log-file/index.js", module).start();
    luster.await_ready(2);
    assert_eq!(read(&luster.path().join("ran")), "out.log");
    assert!(luster.events("native").is_empty() && !luster.path().join("out.log").exists());
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn where_only_node_can_know_whether_it_is_installed_node_is_asked() {
    // As with Plug'n'Play: a hook might find the module.
    let luster = logging(PRINTING, json!({"stdout": "out.log", "stderr": true})).file("hook.js", "");
    let luster = luster.arg("--node-arg=--require=./hook.js").start();
    await_lines(&luster.path().join("out.log"), 2, "second line");
    assert_eq!(luster.stop().0, 0);
    let hook = "const Module = require('module');
        const resolve = Module._resolveFilename;
        Module._resolveFilename = function (name, ...rest) {
            return name === 'luster-log-file' ? require('path').resolve('elsewhere.js') : resolve.call(this, name, ...rest);
        };";
    let module = "exports.configure = (config, luster) => console.log('the module', luster.isMaster);";
    let luster = logging("", json!({"stdout": "out.log"})).file("hook.js", hook).file("elsewhere.js", module);
    let luster = luster.arg("--node-arg=--require=./hook.js").start();
    luster.await_ready(2);
    eventually("the module runs", || luster.stdout().contains("the module true").then_some(()));
    assert_eq!(read(&luster.path().join("out.log")), "");
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn the_console_is_marked_with_extend_console() {
    let app = "console.log('one\\ntwo'); console.warn('%s', 'three'); setInterval(() => {}, 1000);";
    let options = json!({"stdout": "out.log", "stderr": "out.log", "extendConsole": true});
    let luster = logging(app, options).start();
    let lines = await_lines(&luster.path().join("out.log"), 2, "WARNING three");
    for (mark, text) in [("DEBUG", "one"), (">>>>>", "two")] {
        assert!(lines.iter().any(|line| line.ends_with(&format!("[work:1] {mark} {text}"))), "{lines:?}");
    }
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_custom_master_has_it_too() {
    let luster = logging("", json!({}));
    let master = "const luster = require('luster');
        luster.configure({ app: './worker.js', workers: 1, control: { stopTimeout: 100 }, extensions: {
            'luster-log-file': { stdout: 'out.log', stderr: true } } }, true, __dirname).run();";
    let luster =
        luster.file("master.js", master).file("worker.js", PRINTING).by_script(&usual_node(), &[]).start();
    let (new, old) = (luster.path().join("out.log"), luster.path().join("out.log.1"));
    await_lines(&new, 1, "[work:1] second line");
    fs::rename(&new, &old).expect("it is there");
    luster.signal(Signal::SIGUSR1);
    eventually("there is a new one", || new.exists().then_some(()));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_worker_that_floods_its_stdout_costs_nobody_else_anything() {
    let app = "if (process.env.LUSTER_WID === '1') {
            const line = 'x'.repeat(1000) + '\\n';
            const flood = () => { while (process.stdout.write(line)) {} };
            process.stdout.on('drain', () => setImmediate(flood));
            flood();
        } else {
            setInterval(() => console.log('tick'), 50);
        }";
    // A disk that takes nothing.
    let luster = logging(app, json!({"stdout": "/dev/full"})).start();
    luster.await_ready(2);
    await_stderr_once(&luster, "the log file (a stream) cannot be written: No space left on device");
    assert_eq!(luster.rollout()["event"], "rollout_finished");
    assert_eq!(luster.stop().0, 0);
}

/// Waits until this is on stderr, once.
#[track_caller]
fn await_stderr_once(luster: &Running, text: &str) {
    luster.await_stderr(text);
    assert_eq!(luster.stderr_of_workers().matches(text).count(), 1);
}

#[test]
fn what_is_wrong_with_it_is_told_before_anything_is_started() {
    for (options, code, words) in [
        (
            json!({"stdout": 5}),
            78,
            "\"extensions.luster-log-file.stdout\" must be a string or a boolean, not the number 5",
        ),
        (
            json!({"stdout": "worker.js/x.log"}),
            78,
            "worker.js/x.log (extensions.luster-log-file.stdout) cannot be opened",
        ),
        (json!({"stderr": "."}), 78, "cannot be opened: Is a directory"),
    ] {
        let (exit, stdout, stderr) = logging("console.log('started')", options.clone()).output();
        assert_eq!((exit, stdout.as_str()), (code, ""), "{options}: {stderr}");
        assert!(stderr.contains(words), "{options}: {stderr}");
    }
    let checked = logging("", json!({"stdout": 5})).arg("check").output();
    assert_eq!(checked.0, 78);
}

#[test]
fn the_last_words_of_a_worker_that_ends_itself_are_not_cut_short() {
    let app = "
        const line = 'x'.repeat(97) + '\\n';
        console.log(line.repeat(1999) + 'the end');
        process.exit(3);";
    let config = json!({
        "workers": 1, "control": {"exitThreshold": 5000}, "extensions": {"luster-log-file": {"stdout": "out.log"}},
    });
    let mut luster = Luster::with(app, config).start();
    assert_eq!(luster.await_end(), 1);
    let text = read(&luster.path().join("out.log"));
    assert_eq!(text.lines().filter(|line| line.ends_with("xxx")).count(), 1999);
    assert!(text.lines().any(|line| line.ends_with("the end")));
}
