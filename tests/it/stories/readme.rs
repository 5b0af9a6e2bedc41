//! What the README shows runs as it is there.

use serde_json::json;

use crate::harness::{Luster, Target, block, blocks, eventually, free_port, get, here, readme, usual_node};

/// Every block of the README, and the story that runs it.
const RUN: &[(&str, &str, &str)] = &[
    ("luster", "text", "the drawing"),
    ("Install", "console", "not run: cargo's own command"),
    ("Install", "console", "npm_package::TARBALL"),
    ("Install", "console", "npm_package"),
    ("Quick start", "console", "examples::simple_server_answers_on_the_ports_of_both_groups"),
    ("Quick start", "console", "deployment::a_first_service_is_one_line"),
    ("The command", "text", "readme::the_commands_options_are_those_of_its_help"),
    ("Operating a running luster", "console", "readme::a_running_luster_is_operated"),
    ("Operating a running luster", "console", "readme::a_running_luster_is_operated"),
    ("Configuration", "js", "readme::the_annotated_configuration_is_one"),
    ("Any program as a worker", "json", "programs::the_configuration_of_the_readme_runs_python"),
    ("Any program as a worker", "python", "programs::the_configuration_of_the_readme_runs_python"),
    ("Several apps", "json", "several_apps::the_configuration_of_the_readme_runs_both"),
    ("systemd", "ini", "deployment::the_systemd_unit_is_valid_and_does_what_it_says"),
    ("Containers", "dockerfile", "deployment::the_container_file_makes_a_folder_that_serves_and_stops"),
    ("nginx and haproxy", "json", "deployment::two_groups_behind"),
    ("nginx and haproxy", "nginx", "deployment::nginx_before_two_groups_loses_nothing"),
    (
        "nginx and haproxy",
        "haproxy",
        "deployment::haproxy_before_two_groups_loses_nothing_and_sees_no_group_down",
    ),
    ("logrotate", "text", "deployment::logrotate_loses_no_line"),
    ("Deploying by symlink", "console", "deployment::a_moved_symlink_is_rolled_out"),
    ("Deploying by symlink", "console", "deployment::a_moved_symlink_is_rolled_out"),
    ("npm start", "json", "deployment::npm_start_forwards_its_stop"),
    ("In a worker", "js", "readme::a_worker_finds_its_luster"),
    ("Apps with open handles", "js", "readme::an_app_that_closes_what_it_has_open_needs_no_signal"),
    ("Writing extensions", "js", "readme::the_extension_is_the_example"),
    ("Writing extensions", "js", "readme::an_extension_reloads"),
    ("Writing extensions", "js", "readme::a_worker_calls_the_master"),
    ("A master of your own", "js", "readme::a_script_is_the_master"),
    ("Log files, and restarts on change", "js", "readme::log_files_and_guard_are_built_in"),
    ("Developing luster", "console", "this is it"),
];

#[test]
fn every_block_is_run_by_a_story() {
    let found = blocks();
    let found: Vec<_> = found.iter().map(|block| (&*block.heading, &*block.language)).collect();
    assert_eq!(found, RUN.iter().map(|(heading, language, _)| (*heading, *language)).collect::<Vec<_>>());
}

#[test]
fn every_link_leads_somewhere() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = readme();
    let slug = |heading: &str| -> String {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|each| each.is_alphanumeric() || matches!(each, '-' | '_')).collect()
    };
    let headings = |text: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| Some(slug(line.strip_prefix('#')?.trim_start_matches('#').trim())))
            .collect()
    };
    let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
    for link in links.filter(|link| !link.starts_with("https://")) {
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let there = match file {
            "" => text.clone(),
            file if root.join(file).is_dir() => continue,
            file => {
                std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{link}: {error}"))
            }
        };
        assert!(anchor.is_empty() || headings(&there).iter().any(|heading| heading == anchor), "{link}");
    }
}

#[test]
fn the_commands_options_are_those_of_its_help() {
    let help = |command: &[&str]| {
        let luster = command.iter().fold(Luster::new(), |luster, word| luster.arg(*word)).arg("--help");
        let (code, help, _) = luster.output();
        assert_eq!(code, 0, "{command:?}");
        help.split("Examples:").next().expect("a part").to_owned()
    };
    let help = help(&[]) + &help(&["check"]) + &help(&["unit"]);
    let text = readme();
    let section = text.split("## The command").nth(1).and_then(|rest| rest.split("**Signals.**").next());
    let section = section.expect("it is there");
    let options = |text: &str| -> std::collections::BTreeSet<String> {
        let words = text.split(|each: char| !(each.is_alphanumeric() || each == '-'));
        words.filter(|word| word.starts_with("--") && word.len() > 3).map(str::to_owned).collect()
    };
    let said: Vec<_> =
        options(section).into_iter().filter(|option| option != "--max-http-header-size").collect();
    for option in said {
        assert!(help.contains(&option), "{option} is not in\n{help}");
    }
    for option in options(&help) {
        let known = ["--help", "--version", "--inspect", "--max-old-space-size"];
        assert!(section.contains(&option) || known.contains(&&*option), "{option} is not in the README");
    }
}

#[test]
fn the_commands_for_a_running_luster_are_those_of_its_help() {
    let help = |words: &[&str]| words.iter().fold(Luster::new(), |luster, word| luster.arg(*word)).output().1;
    let text = readme();
    let section = text.split("## Operating a running luster").nth(1).expect("it is there");
    let section = section.split("\n## ").next().expect("a part");
    let listed = help(&["--help"]);
    let listed =
        listed.split("Commands:").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("commands");
    let names = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    let names: Vec<_> = names
        .filter(|name| !matches!(*name, "check" | "help" | "init" | "unit" | "completions" | "man"))
        .collect();
    assert!(names.len() > 5, "{listed}");
    for name in names {
        assert!(section.contains(&format!("| `luster {name}")), "{name} is not in the README");
        let help = help(&[name, "--help"]);
        let words = help.split(|each: char| !(each.is_alphanumeric() || each == '-'));
        for option in words.filter(|word| word.starts_with("--") && word.len() > 3 && *word != "--help") {
            assert!(section.contains(&format!("`{option}")), "{option} of {name} is not in the README");
        }
    }
}

#[test]
fn a_running_luster_is_operated() {
    let app = "require('http').createServer((_, r) => r.end('hello')).listen(process.env.port);";
    let config = json!({"workers": 3, "server": {"port": free_port()}});
    let luster = Luster::with(app, config).start();
    luster.await_ready(3);
    let commands = |number: usize| {
        let blocks = blocks().into_iter().filter(|block| block.heading == "Operating a running luster");
        let text = blocks.map(|block| block.text).nth(number).expect("it is there");
        let socket = luster.control_path();
        let replaced = [("/run/my-app/luster.sock", socket.to_str().expect("UTF-8"))];
        let text = here(&text, if number == 0 { &[] } else { &replaced });
        text.lines().map(|line| line.trim_start_matches("$ ").to_owned()).collect::<Vec<_>>()
    };
    for line in commands(0) {
        let words = line.strip_prefix("luster ").expect("a command").split(' ');
        let command = words.fold(Luster::new().current_dir(luster.path()), Luster::arg);
        let (code, stdout, stderr) = command.output();
        assert_eq!(code, 0, "{line}: {stdout}{stderr}");
        assert!(!stdout.is_empty(), "{line}");
    }
    for line in commands(1) {
        let told = std::process::Command::new("sh").args(["-c", &line]).output().expect("there is curl");
        let answer: serde_json::Value = serde_json::from_slice(&told.stdout).expect("JSON");
        assert_eq!(answer["schema"], 1, "{line}");
    }
    luster.await_event("ready", 10);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn the_annotated_configuration_is_one() {
    let text = block("Configuration", "js");
    let luster = || {
        Luster::new()
            .file("worker.js", "")
            .file("extensions/my-extension.js", "exports.configure = () => {};")
            .file("luster.conf.js", &here(&text, &[("'www-data'", "'root'")]))
    };
    let (code, stdout, stderr) = luster().arg("check").output();
    assert_eq!((code, &*stderr), (0, ""), "{stdout}");
    let (_, stdout, _) = luster().arg("--print-config").output();
    let printed: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    let known = printed.as_object().expect("an object").keys().filter_map(|key| key.rsplit('.').next());
    let of_programs = block("Any program as a worker", "json");
    for key in known.filter(|key| !matches!(*key, "any")) {
        let is_there = text.contains(&format!("{key}:")) || of_programs.contains(&format!("\"{key}\":"));
        assert!(is_there, "{key} is not in the README");
    }
}

#[test]
fn a_worker_finds_its_luster() {
    let app = block("In a worker", "js");
    let config = json!({"workers": 1, "control": {"triggerReadyStateManually": true}});
    let luster = Luster::with(&app, config).start();
    luster.await_ready(1);
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn an_app_that_closes_what_it_has_open_needs_no_signal() {
    let app = block("Apps with open handles", "js");
    let port = free_port();
    let config = json!({"workers": 1, "server": {"port": port}, "control": {"exitTimeout": 60_000}});
    let luster = Luster::with(&app, config).start();
    luster.await_listening(1);
    assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "hello\n");
    let (code, log) = luster.stop();
    assert_eq!(code, 0);
    assert!(!log.iter().any(|line| line["event"] == "signalled"), "{log:?}");
}

#[test]
fn the_extension_is_the_example() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = std::fs::read_to_string(root.join("examples/extension/extensions/restart-watch.js"));
    assert!(example.expect("it is there").ends_with(&block("Writing extensions", "js")));
}

#[test]
fn an_extension_reloads() {
    let text = blocks().into_iter().filter(|block| block.heading == "Writing extensions").nth(1);
    let text = text.expect("it is there").text;
    let module = format!(
        "exports.configure = (config, luster) => {{\nif (luster.isMaster) luster.once('running', () => {{\n{text}\n}});\n}};"
    );
    let config = json!({"workers": 4, "extensions": {"deploy": {}}});
    let luster = Luster::with("", config).file("node_modules/deploy.js", &module).start();
    eventually("the answer", || luster.stdout().contains("4 workers have been replaced\n").then_some(()));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_worker_calls_the_master() {
    let text = blocks().into_iter().filter(|block| block.heading == "Writing extensions").nth(2);
    let text =
        here(&text.expect("it is there").text, &[("/* … */", "console.log(error, JSON.stringify(prices));")]);
    let (master, worker) = text.split_once("\n\n").expect("two parts");
    let module = format!(
        "exports.configure = (config, luster) => {{\nif (luster.isMaster) {{\n{master}\n}} else {{\n{worker}\n}}\n}};"
    );
    let config = json!({"workers": 1, "extensions": {"prices": {}}});
    let luster = Luster::with("", config).file("node_modules/prices.js", &module).start();
    eventually("the answer", || luster.stdout().contains(r#"null {"apple":3}"#).then_some(()));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn a_script_is_the_master() {
    let port = free_port();
    let script = here(&block("A master of your own", "js"), &[("8080", &port.to_string())]);
    let app =
        "require('http').createServer((q, r) => { require('luster').remoteCall('visited'); r.end('hello'); })
        .listen(process.env.port)";
    let luster =
        Luster::new().file("master.js", &script).file("worker.js", app).by_script(&usual_node(), &[]).start();
    luster.await_listening(2);
    assert_eq!(get(&Target::Tcp(port)).expect("an answer").body, "hello");
    eventually("it is told", || luster.stdout().contains("a visit at worker ").then_some(()));
    assert_eq!(luster.stop().0, 0);
}

#[test]
fn log_files_and_guard_are_built_in() {
    let extensions = block("Log files, and restarts on change", "js");
    let luster = Luster::new();
    let folder = luster.path().join("log");
    let extensions = here(&extensions, &[("/var/log/app", folder.to_str().expect("UTF-8"))]);
    let config = format!("module.exports = {{ app: './worker.js', workers: 1,\n{extensions}}};");
    std::fs::create_dir(&folder).expect("ours");
    let app = "console.log('hello'); console.error('goodbye'); setInterval(() => {}, 1000);";
    let luster = luster.file("worker.js", app).file("luster.conf.js", &config).start();
    let lines = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let hellos = |count: usize| {
        eventually("both files", || {
            let found = (
                lines("output.log").matches("hello").count(),
                lines("errors.log").matches("goodbye").count(),
            );
            (found.0 >= count && found.1 >= count).then_some(())
        });
    };
    hellos(1);
    luster.put("worker.js", &format!("{app} // changed"));
    hellos(2);
    assert_eq!(luster.stop().0, 0);
}
