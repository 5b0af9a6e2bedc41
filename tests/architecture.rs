//! Holds the code to ARCHITECTURE.md: heads, sizes, which room may name which, and what the pure core never does.
//!
//! It reads `src/` as text, so a rule that is broken fails by file and line.

use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms each room may name, besides itself.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("supervisor", &[]),
    ("config", &["supervisor", "Exit"]),
    ("process", &["supervisor"]),
    ("cluster", &["supervisor", "ipc"]),
    ("ipc", &["supervisor"]),
    ("host", &["supervisor", "ipc", "process", "scripts"]),
    ("scripts", &[]),
    ("output", &[]),
    ("watch", &[]),
    ("driver", &["supervisor", "process", "cluster", "ipc", "host", "scripts", "output", "watch", "Exit"]),
    ("logging", &["cli"]),
    ("cli", &["Exit"]),
    ("exit.rs", &[]),
    (
        "command",
        &[
            "cli",
            "config",
            "driver",
            "scripts",
            "process",
            "cluster",
            "ipc",
            "host",
            "output",
            "watch",
            "supervisor",
            "logging",
            "Exit",
        ],
    ),
];

/// What the pure core never touches.
const IMPURE: &[&str] = &[
    "tokio",
    "nix::",
    "std::process",
    "std::fs",
    "std::net",
    "std::io",
    "std::os",
    "std::thread",
    "std::env",
    "Instant",
    "SystemTime",
    "tracing",
    "println",
    "async ",
    "serde",
];

const LONGEST_FILE: usize = 400;

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn is_test(&self) -> bool {
        self.path.components().any(|part| part.as_os_str() == "tests") || self.path.ends_with("tests.rs")
    }

    /// The code before the inline tests.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
        lines.enumerate().map(|(index, line)| (index + 1, line))
    }
}

fn sources() -> Vec<Source> {
    let mut folders = vec![PathBuf::from("src")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder)).expect("readable") {
            let name = folder.join(entry.expect("readable").file_name());
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&name);
            if path.is_dir() {
                folders.push(name);
            } else if name.extension().is_some_and(|extension| extension == "rs") {
                sources.push(Source { text: fs::read_to_string(path).expect("UTF-8"), path: name });
            }
        }
    }
    assert!(sources.len() > 50, "the sources were found");
    sources
}

fn check(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_owns() {
    let headless = sources().into_iter().filter(|source| !source.text.starts_with("//! "));
    check(headless.map(|source| format!("{}:1: no `//!` head", source.name())).collect());
}

#[test]
fn a_file_can_be_held_in_the_head() {
    let long = |source: &Source| {
        let length = source.code().count();
        (!source.is_test() && length > LONGEST_FILE).then(|| format!("{}: {length} lines", source.name()))
    };
    check(sources().iter().filter_map(long).collect());
}

#[test]
fn rooms_name_only_what_the_table_allows() {
    let mut complaints = Vec::new();
    for source in sources() {
        let room =
            source.path.components().nth(1).expect("below src").as_os_str().to_string_lossy().into_owned();
        if room == "lib.rs" || room == "main.rs" {
            continue;
        }
        let allowed = MAY_NAME.iter().find(|(name, _)| *name == room);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{room} is not in the table"));
        for (number, line) in source.code() {
            if line.contains("super::super") && !source.is_test() {
                complaints.push(format!("{}:{number}: super::super", source.name()));
            }
            for (at, _) in line.match_indices("crate::") {
                let named = &line[at + "crate::".len()..];
                let end = named.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(named.len());
                let named = &named[..end];
                if named.is_empty() {
                    complaints
                        .push(format!("{}:{number}: a group hides what it names: {line}", source.name()));
                } else if named != room && !allowed.contains(&named) {
                    complaints.push(format!("{}:{number}: {room} names {named}", source.name()));
                }
            }
        }
    }
    check(complaints);
}

#[test]
fn the_supervisor_is_pure() {
    let mut complaints = Vec::new();
    for source in
        sources().iter().filter(|source| source.path.starts_with("src/supervisor") && !source.is_test())
    {
        for (number, line) in source.code().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                complaints.push(format!("{}:{number}: {word}", source.name()));
            }
        }
    }
    check(complaints);
}

#[test]
fn unsafe_code_lives_in_files_called_sys() {
    let outside = |source: &Source| {
        let lines = source.code().filter(|(_, line)| line.contains("unsafe {") || line.contains("unsafe fn"));
        let found =
            lines.map(|(number, _)| format!("{}:{number}: unsafe", source.name())).collect::<Vec<_>>();
        if source.path.ends_with("sys.rs") || source.is_test() { Vec::new() } else { found }
    };
    check(sources().iter().flat_map(outside).collect());
}

/// The names in the first column of the tables that have four.
fn documented_events() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/log-events.md");
    let text = fs::read_to_string(path).expect("UTF-8");
    let rows = text.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 3);
    rows.filter_map(|row| row.split('`').nth(1).map(str::to_owned)).collect()
}

#[test]
fn every_log_event_is_in_the_document_and_nothing_else() {
    let documented = documented_events();
    let (mut complaints, mut found) = (Vec::new(), Vec::new());
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (number, line) in source.code() {
            // As a field, or in a variable of that name for several lines.
            let of_tuple = line.split_once("(event, ").and_then(|(_, rest)| rest.split_once(") = (\""));
            let of_fields = line.split("event = \"").skip(1);
            for rest in of_tuple.map(|(_, rest)| rest).into_iter().chain(of_fields) {
                let name = rest.split('"').next().unwrap_or_default().to_owned();
                if !documented.contains(&name) {
                    let file = source.name();
                    complaints.push(format!("{file}:{number}: event {name} is not in docs/log-events.md"));
                }
                found.push(name);
            }
        }
    }
    let stale = documented.iter().filter(|name| !found.contains(name));
    complaints.extend(stale.map(|name| format!("docs/log-events.md: no event {name}")));
    check(complaints);
}
